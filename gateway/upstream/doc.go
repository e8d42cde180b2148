// Package upstream knows which brokers there are, which of them a client goes to, and how one is spoken to until its
// CONNACK.
//
//	brokers.go  all of them: the order in which a client tries them, and which rest
//	dial.go     one client on its way: dial, PROXY header, TLS, CONNECT, CONNACK, the next broker
//	conn.go     the connection that comes of it
//	visit.go    a connection of the gateway's own, which takes an MQTT Session over to end it or to call a Will off
//	probe.go    is one of them there at all? For who asks without a client
//
// A session calls Brokers.Dial and Dialing.Start as soon as it knows the upstream Client Identifier, so that the broker is
// dialed while the policy is loaded, and then Connect, or Abandon alone. The CONNECT packet is the session's work; here it is bytes.
//
// How many are on their way to one broker is bounded by turns, which are given in order. Nothing here has a lock; what
// is known of a broker's health is one atomic. Connect waits, up to its context's deadline: hold nothing over it.
package upstream
