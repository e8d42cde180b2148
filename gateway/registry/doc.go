// Package registry tells operators which sessions live, over all instances, and tells the instances what an operator
// orders.
//
//	registry.go       the sessions of this instance, and what is to be written of them
//	registrywrite.go  the one goroutine that writes
//	livesessions.go   reads the sessions of all instances
//	order.go          an order to end sessions: sent, repeated, waited for
//	listen.go         the other end of that
//
// A gateway makes one Registry (New), starts it with what obeys orders, and tells it of sessions by Add, Replace
// and Remove, which only make marks. LiveSessions and Disconnect are for the command line and need no Registry.
// What is in Redis ends by itself soon after its process.
//
// Registry.mu is held for no more than a look at its maps and is the last lock in any order; orders are obeyed with
// none held.
package registry
