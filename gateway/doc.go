// Package gateway is who comes in and when it all ends: the listener, the WebSocket upgrade, how many connections there
// may be, and the drain. What happens on a connection is package session's.
//
// # The tour
//
//	gateway            server.go, doors.go (how many connections), accept.go (origin, path, subprotocol, upgrade), admission.go,
//	                   drain.go, crew.go
//	gateway/edge       who is at the other end, and with which certificate: client address, origin, tokens of a request
//	gateway/wire       how bytes move: sockets, batches, back-pressure, silence
//	gateway/session    what happens on one connection: CONNECT, up, down, subscriptions, the topics under $topicgate/, the end
//	gateway/subs       what the client asked for, what it may read of that, what the broker holds in its stead
//	gateway/upstream   which broker, and how one is spoken to until its CONNACK
//	gateway/dialect    what a broker takes for something else
//	gateway/sleep      what a sleeping MQTT Session holds, in Redis or in memory
//	gateway/evict      whose MQTT Sessions end while they sleep: those of blocked users
//	gateway/will       whether a Will may be published, until its delay is over
//	gateway/registry   who is on, over all instances, and what an operator orders
//	gateway/metrics    what is counted, and the operators' listener
//	gateway/audit      what was refused, for whoever has to know
//
// A connection is accepted as a wire.Socket, takes its turn among the handshakes, is upgraded in accept and becomes a
// session.Session, which a crew takes as far as its CONNACK. From there on two goroutines serve it, or none while it is
// silent. The session knows its gateway as a session.Host. Which package may import which stands in .ci/imports.txt.
//
// Up is towards the broker, down towards the client, everywhere.
//
// # Bytes
//
// wire reads whole chunks, by system calls that leave the scheduler alone, and says when nothing more is ready; package
// frames cuts packets out of them in place; an Outbound collects what goes on and writes it at once. A packet that is
// forwarded unchanged is the bytes that came, copied at most once, and costs no allocation. Nothing is flushed by a
// timer: the pumps flush before they wait.
//
// # Order of locks
//
// Who holds the left one may take those on the right. What stands nowhere on the left is held for a moment and over
// nothing.
//
//	a Table's turn  -> its mu, IDs.mu, both Outbounds, reviewRequest.mu, sleep's Store.mu, credentials.mu
//	rates.mu        -> the mu of a user's rates
//	ending.mu       -> Lot.mu, a socket's deadline (writing.mu), IDs.mu
//	Outbound.mu     -> a socket's turn -> its deadline; over a write, so for up to the write timeout
//	CertReloader.mu -> none, but over the reading of files
//
// Table.mu, exchanges.mu, Server.mu, doors.mu, credentials.mu, reviewRequest.mu, reviewers.mu, payloadTurns.mu, herd.mu, the two of will, Registry.mu, sleep's three
// and Lot.mu are of the second kind. A probe's mu is held over a dial, and clients only try it. No lock is held over Redis but the turn, which is a right more than a lock: nobody but the session's own client and its review,
// which steps aside for others, ever waits for it.
//
// The turn and the Outbounds are held by a session that works, for as long as that takes. So nobody takes
// them for whom others wait: the policy store (Session.policyChanged), an operator's order (Server.disconnect), Drain,
// Close, and the timer that ends a session with its token take ending.mu and what is right of it, reviewRequest.mu,
// reviewers.mu and Server.mu alone. (The notice before the end of a token is written by a goroutine of its own.)
//
// # Queues
//
// Five queues look alike and are not: reviewers (package session) step aside before they wait, so that one who does not
// read holds up nobody; the builders of policy/store serve grants; both serve users in turn, by cost (policy/fair), and so
// do the turns of long payloads, for which the session itself waits. sleep has an item in its queue once,
// with the newest last; audit folds what is equal and gives each user a share. One type for all would be a special case for
// each, so each has its own. What they do have in common is the library's: back-off and semaphores.
//
// Callers hand New what it needs (Options), serve with Serve, and end with Drain or Close.
package gateway
