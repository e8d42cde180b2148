// Package subs answers: what did the client ask for, what may it read of that, and what does the broker hold in its
// stead? It is a state machine: it knows no socket, no Redis, no clock, and starts no goroutine.
//
// Who has the Turn of a Table may make a Plan: of a SUBSCRIBE, an UNSUBSCRIBE, a review after a change of the policy,
// or of what is recorded of a resumed MQTT Session. A Plan is a value. It says what is to be sent, what then is
// to be kept (Plan.Record) and what will be true, and changes nothing; Commit makes it true in one step. So the
// record can be kept before the broker is asked, and no lock is held meanwhile but the turn, which is a client's own.
//
//	turn := table.Turn()                    // or TryTurn
//	plan := turn.Subscribe(&subscribe, access)
//	keep(plan.Record(broker))
//	commitment, err := plan.Commit(ids, subscribe.Properties)
//	send(commitment.Packets)                // or relay the client's own
//	turn.End()
//
//	heard := table.Answer(...)              // of the broker: what the client is to hear of it
//	changed, withheld := table.Deliver(...) // a PUBLISH of the broker's, on its way to the client
//
// The files: table.go what is known; subscribe.go, review.go the plans; plan.go how packets are put together from
// filters that change; commit.go; exchange.go, answer.go how the broker's answers become the client's;
// retained.go how a client comes by its retained messages, and what may come twice; identifiers.go Subscription
// Identifiers of the gateway's own; deliver.go; record.go what outlives the connection; local.go the topics under
// $topicgate/; ids.go Packet Identifiers.
//
// # Cost
//
// No plan costs more than what is linear in the client's packet and in what it changes upstream; a review, in what
// the client has asked for and what that is held as. Where filters have to be compared with each other the
// comparisons are counted, and what would take too many is held as it was asked for and cut at delivery.
//
// # Locks
//
// A Table has two: the turn, which orders what the broker is told and is held while packets are sent, and mu, which is
// held for a step of Answer, Deliver and Commit and never over a plan. What both protect is written by who has both,
// and read by who has either. IDs has one of its own.
package subs
