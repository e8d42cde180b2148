// Package play lets a test play the client and the broker of a gateway.
package play
