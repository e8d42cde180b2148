// Package session is what happens on one connection: a client on one side, a broker on the other, and between them
// every Control Packet read, judged and passed on.
//
// A session walks through these rooms, a file each:
//
//	establish.go     the first packet is CONNECT; token -> identity; policy; broker (authenticate.go)
//	held.go          an outage: what establish could not do is tried again
//	connack.go       begin: what the CONNACK sets in motion, in its order; refuse
//	up.go            client -> broker, what the gateway acknowledges itself; uppublish.go: PUBLISH judged and stamped
//	direct.go        what directives ask of a PUBLISH: rates.go, payloadturns.go; rejection.go: what is told of a refusal
//	down.go          broker -> client, what is dropped completed towards the broker; downpublish.go: each delivery judged
//	subscribe.go     SUBSCRIBE and UNSUBSCRIBE, planned by package subs, kept, sent; answers.go: what the broker says
//	review.go        a policy change -> what the broker is asked for on the client's behalf (reviewers.go)
//	remember.go      what is written down of an MQTT Session that outlives the connection
//	local.go         the topics under $topicgate/
//	will.go          judged at CONNECT and at the end; vigil.go: and until its Will Delay is over
//	renew.go, reject.go, operator.go
//	end.go           the reasons to end: log word, metric, Reason Code, close status; ending.go: it comes once; herd.go: not all
//	                 at once; leave.go: goodbye
//
// session.go holds the life of it all, host.go what a session needs of the gateway. Up is towards the broker, down
// towards the client, everywhere.
//
// # Owners
//
// Two goroutines serve a session, each the only reader of its side, and own what up and down hold. After
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
// Lot.mu, a socket's deadline, IDs.mu. None of these is ever held over work or over a wait. The turn of the table is:
// nobody from outside takes it. The whole order stands in package gateway.
package session
