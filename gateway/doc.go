// Package gateway is what happens on a connection: a WebSocket client on one side, an MQTT broker over TCP
// on the other, and between them every Control Packet read, judged and passed on.
//
// A connection walks through these rooms, a file each:
//
//	handshake.go     turns for connections that are no sessions yet, when many come at once
//	accept.go        origin, path, subprotocol, upgrade, the tokens of the HTTP request
//	establish.go     the first packet is CONNECT; token -> identity; policy; broker; CONNACK. By a crew (crew.go)
//	upstream.go      which broker, its connection, CONNECT with the verified name
//	up.go            client -> broker: PUBLISH judged and stamped, what the gateway acknowledges itself
//	down.go          broker -> client: each delivery judged, what is dropped completed towards the broker
//	subscribe.go     SUBSCRIBE and UNSUBSCRIBE, each filter on its own; answers.go: SUBACK put together
//	review.go        a policy change -> what the broker is asked for on the client's behalf
//	sleepers.go      what an MQTT Session is subscribed to while its client is away
//	local.go         the topics under $topicgate/
//	end.go           the reasons to end: log word, metric, Reason Code, close status
//
// session.go holds the life of it all. Up is towards the broker, down towards the client, everywhere.
//
// # Bytes
//
// socket.go reads whole chunks, by system calls that leave the scheduler alone, and says when nothing more is
// ready; package frames cuts packets out of them in place; outbound.go collects what goes on and writes it at
// once. A packet that is forwarded unchanged is the bytes that came, copied at most once, and costs no
// allocation. Nothing is flushed by a timer: the pumps flush before they wait.
//
// # Owners
//
// Two goroutines serve a session, each the only reader of its side. After some seconds of silence they end, and
// one goroutine waits for all silent sessions (parking.go): the next byte starts another. Any goroutine may
// write to either side, by an outbound, whose lock orders whole packets; a peer that does not read stops those
// who write to it, until the write timeout ends the session. Policy changes, the end of a token, an operator's
// order and the drain come from outside as calls of review or finish, which keep no goroutine while nothing
// happens.
//
// Callers hand New what it needs (Options), serve with Serve, and end with Drain or Close.
package gateway
