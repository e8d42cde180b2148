// Package session is what happens on one connection: a client on one side, a broker on the other, and between them
// every Control Packet read, judged and passed on.
//
// A session walks through these rooms, a file each:
//
//	establish.go     the first packet is CONNECT; token -> identity; policy; broker (authenticate.go)
//	connack.go       begin: what the CONNACK sets in motion, in its order; refuse
//	up.go            client -> broker: PUBLISH judged and stamped, what the gateway acknowledges itself
//	down.go          broker -> client: each delivery judged, what is dropped completed towards the broker
//	subscribe.go     SUBSCRIBE and UNSUBSCRIBE, each filter on its own; answers.go: SUBACK put together
//	review.go        a policy change -> what the broker is asked for on the client's behalf (reviewers.go)
//	remember.go      what is written down of an MQTT Session that outlives the connection
//	local.go         the topics under $topicgate/
//	will.go, renew.go, reject.go, operator.go
//	end.go           the reasons to end: log word, metric, Reason Code, close status
//
// session.go holds the life of it all, host.go what a session needs of the gateway. Up is towards the broker, down
// towards the client, everywhere.
//
// # Owners
//
// Two goroutines serve a session, each the only reader of its side, and own what upState and downState hold. After
// some seconds of silence they end (parking.go); the next byte starts another. Any goroutine may write to either side.
// Policy changes, the end of a token, an operator's order and the drain come from outside as calls of policyChanged
// and End.
//
// Who makes a session calls New, Adopt and Serve, in this order, and hears of its end by Host.Forget.
//
// # Locks
//
// What comes from outside (policyChanged, End, Named, Info, Done, AskIdle, Refresh, the timer of a token) takes
// ending.mu, credentials.mu, reviewRequest.mu and reviewers.mu alone, and below ending.mu the locks that finish needs:
// Lot.mu, a socket's deadline, ids.mu. None of these is ever held over work or over a wait. subs.order and subs.mu are:
// nobody from outside takes them. The whole order stands in package gateway.
package session
