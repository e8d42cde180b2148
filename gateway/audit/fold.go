package audit

import (
	"sync"
	"time"
)

// entry is an event with neither time nor count, so that equal ones compare equal, and these beside it.
type entry struct {
	event Event
	first time.Time
	count int
}

// shares: one user's different events take no more than one of so many parts of the table, so that a flood of one's
// does not push out another's. What is beyond is lost, and counted under the user's name. Who is not known yet has the
// whole table.
const shares = 8

// table folds equal events. It is bounded: when it is full, or a user's share of it, what is not in it yet is lost.
type table struct {
	max   int
	usual int // owned by take: how many entries it found the last time

	mu      sync.Mutex
	byHash  map[uint64]*entry
	entries []*entry // in the order of their first time
	users   map[string]*share
	lost    int
}

// share is what one user has of the table.
type share struct {
	entries int
	lost    int // events beyond it
}

func newTable(max int) *table {
	return &table{max: max, byHash: make(map[uint64]*entry), users: make(map[string]*share)}
}

// add folds in count events like e, which has neither time nor count, and tells how many different
// events the table holds if this one is new, else 0. The lock is held for a look-up and an append;
// memory for a new entry is got outside of it.
func (t *table) add(hash uint64, e *Event, at time.Time, count int) (entries int) {
	t.mu.Lock()
	found := t.fold(hash, e, count)
	t.mu.Unlock()
	if found {
		return 0
	}
	created := &entry{*e, at, count}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.fold(hash, e, count) { // somebody else's has come in between
		return 0
	}
	t.entries = append(t.entries, created)
	t.share(e.User).entries++
	t.byHash[hash] = created // of two events with one hash the later one is folded
	return len(t.entries)
}

// fold reports whether e needs no entry: there is one already, or no room for one.
func (t *table) fold(hash uint64, e *Event, count int) bool {
	if old, ok := t.byHash[hash]; ok && old.event == *e {
		old.count += count
		return true
	}
	if len(t.entries) >= t.max {
		t.lost += count
		return true
	}
	if s := t.share(e.User); e.User != "" && s.entries >= max(1, t.max/shares) {
		s.lost += count
		return true
	}
	return false
}

// share is a user's. mu is held.
func (t *table) share(user string) *share {
	s := t.users[user]
	if s == nil {
		s = &share{}
		t.users[user] = s
	}
	return s
}

// half reports whether the table should be emptied before its time.
func (t *table) half() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.entries) >= (t.max+1)/2
}

// take empties the table. lost is how many operations no event stands for, and beyond how many more those of events
// with ReasonQueueFull do. One goroutine calls it.
func (t *table) take() (events []Event, lost, beyond int) {
	byHash, fresh := make(map[uint64]*entry, t.usual), make([]*entry, 0, t.usual) // before the lock
	t.mu.Lock()
	entries, users := t.entries, t.users
	lost = t.lost
	t.byHash, t.entries, t.users, t.lost = byHash, fresh, make(map[string]*share), 0
	t.mu.Unlock()
	t.usual = len(entries)
	events = make([]Event, len(entries))
	for i, entry := range entries {
		events[i] = entry.event
		events[i].Time, events[i].Count = entry.first, entry.count
	}
	for user, s := range users {
		if s.lost > 0 {
			events = append(events, Event{Time: time.Now(), User: user, Reason: ReasonQueueFull, Count: s.lost})
			beyond += s.lost
		}
	}
	return events, lost, beyond
}
