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

// table folds equal events. It is bounded: when it is full, or a user's share of it, what is not in it yet is lost.
type table struct {
	max   int
	usual int // owned by take: how many entries it found the last time

	mu      sync.Mutex
	byHash  map[uint64]*entry
	entries []*entry // in the order of their first time
	shares  shares
	lost    int
}

func newTable(max int) *table {
	return &table{max: max, byHash: make(map[uint64]*entry), shares: newShares(max)}
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
	t.shares.enter(partyOf(e))
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
	ok, own := t.shares.room(partyOf(e), count)
	if !ok && !own {
		t.lost += count
	}
	return !ok
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
	entries, shares := t.entries, t.shares
	lost = t.lost
	t.byHash, t.entries, t.shares, t.lost = byHash, fresh, newShares(t.max), 0
	t.mu.Unlock()
	t.usual = len(entries)
	events = make([]Event, len(entries))
	for i, entry := range entries {
		events[i] = entry.event
		events[i].Time, events[i].Count = entry.first, entry.count
	}
	for of, s := range shares.parties {
		if s.lost > 0 {
			events = append(events, of.loss(s.lost))
			beyond += s.lost
		}
	}
	return events, lost, beyond
}
