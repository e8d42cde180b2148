package store

import "time"

// EventKind is what a Event tells of.
type EventKind uint8

const (
	// EventRead: one pipelined round trip that read Keys keys in Duration; not OK
	// when it failed.
	EventRead EventKind = iota + 1
	// EventPolicy: a rule text, of the file or of Redis, was put in force, or, not
	// OK, refused, while the last good one stays.
	EventPolicy
	// EventReset: everything cached is read again, for Reason.
	EventReset
	// EventAway: Redis was away for longer than StaleMax and everything is denied;
	// OK: it is back.
	EventAway
)

// Reasons of EventReset.
const (
	ResetStart    = "start"    // first connection
	ResetLost     = "lost"     // the notification connection broke
	ResetDeaf     = "deaf"     // it was open, but told nothing
	ResetFlush    = "flush"    // FLUSHALL or FLUSHDB
	ResetTopology = "topology" // Cluster slots moved
	ResetPeriodic = "periodic" // every few minutes, whatever was seen or missed
)

// ResetReasons are all reasons, so that metrics can start them at 0.
var ResetReasons = []string{ResetStart, ResetLost, ResetDeaf, ResetFlush, ResetTopology, ResetPeriodic}

// Event is one thing that happened in a Store, for metrics. It is reported
// from the store's goroutines, with no lock held.
type Event struct {
	Kind     EventKind
	OK       bool
	Reason   string // EventReset
	Keys     int    // EventRead, EventReset
	Duration time.Duration
	Time     time.Time
}
