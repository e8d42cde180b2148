// Package sleep keeps what MQTT Sessions hold while their clients are away.
//
// What a client is subscribed to belongs to its MQTT Session, which may outlive the connection: a client that comes
// back, perhaps to another instance, has upstream what was right when it left. So that it can be put right, a record is
// kept beside the broker's Session, by upstream Client Identifier. What a record says is its session's affair; here it
// is bytes.
//
//	keeper.go  where records are: in Redis, for all instances, or in memory
//	store.go   the writers, and the queue before them
//	owed.go    what could not be written, or is not urgent
//	index.go   which MQTT Sessions of a user sleep, whatever is kept of them
//
// A session reads its record with Load before it is resumed, and makes an Item when it is known that the Session
// outlives the connection. Item.Do writes now, Later soon, off the data path; an item is queued at most once, so the
// queue is no longer than there are sessions. Of one item one write runs at a time, and the newest is the last.
//
// # Locks
//
// No lock (Store.mu, Item.mu, owed.mu) is held over a write or over anything else that waits; they are the last in any
// order, and Store.mu comes before none. Do waits for the write that is under way, so for Redis: hold no lock over it.
package sleep
