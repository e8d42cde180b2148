// Package play lets a test play the client and the broker of a gateway: a Stage is what the gateway stands on (a
// policy, an audit, a listener, brokers), a Conversation is one client on it with its broker. What either says is
// written in hex, and what comes is wanted byte for byte; a wrong packet or a silence fails the test.
package play
