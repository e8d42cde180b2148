package audit

import (
	"net/netip"
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
// does not push out another's. What is beyond is lost, and counted under the user's name. Of who is not known yet the
// same holds for an address, in IPv6 a network of 64 bits; all of them together take no more than half of the table.
const shares = 8

// party is whose share an event takes of.
type party struct {
	user    string
	address netip.Prefix // of who is not known yet
}

func partyOf(e *Event) party {
	if e.User != "" {
		return party{user: e.User}
	}
	address, err := netip.ParseAddrPort(e.Remote)
	if err != nil {
		return party{}
	}
	bits := 32
	if address.Addr().Unmap().Is6() {
		bits = 64
	}
	network, _ := address.Addr().Unmap().Prefix(bits) // fits
	return party{address: network}
}

// table folds equal events. It is bounded: when it is full, or a user's share of it, what is not in it yet is lost.
type table struct {
	max   int
	usual int // owned by take: how many entries it found the last time

	mu      sync.Mutex
	byHash  map[uint64]*entry
	entries []*entry // in the order of their first time
	parties map[party]*share
	unknown int // entries of who is not known yet
	lost    int
}

// share is what one party has of the table.
type share struct {
	entries int
	lost    int // events beyond it
}

func newTable(max int) *table {
	return &table{max: max, byHash: make(map[uint64]*entry), parties: make(map[party]*share)}
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
	of := partyOf(e)
	t.share(of).entries++
	if of.address.IsValid() {
		t.unknown++
	}
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
	of := partyOf(e)
	if of == (party{}) { // the gateway's own
		return false
	}
	s := t.parties[of]
	switch {
	case s != nil && (s.entries >= max(1, t.max/shares) || of.user == "" && t.unknown >= max(1, t.max/2)):
		s.lost += count
		return true
	case s == nil && of.user == "" && t.unknown >= max(1, t.max/2): // one more stranger gets no share of its own
		t.lost += count
		return true
	}
	return false
}

// share is a party's. mu is held.
func (t *table) share(of party) *share {
	s := t.parties[of]
	if s == nil {
		s = &share{}
		t.parties[of] = s
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
	entries, parties := t.entries, t.parties
	lost = t.lost
	t.byHash, t.entries, t.parties, t.unknown, t.lost = byHash, fresh, make(map[party]*share), 0, 0
	t.mu.Unlock()
	t.usual = len(entries)
	events = make([]Event, len(entries))
	for i, entry := range entries {
		events[i] = entry.event
		events[i].Time, events[i].Count = entry.first, entry.count
	}
	for of, s := range parties {
		if s.lost > 0 {
			e := Event{Time: time.Now(), User: of.user, Reason: ReasonQueueFull, Count: s.lost}
			if of.address.IsValid() {
				e.Remote = of.address.String()
			}
			events = append(events, e)
			beyond += s.lost
		}
	}
	return events, lost, beyond
}
