// Package wire moves bytes.
package wire
