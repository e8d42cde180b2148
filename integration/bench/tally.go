//go:build linux

package main

// tally accounts for a numbered stream of messages: 0, 1, 2, ...
type tally struct {
	next       uint64              // the number after the highest seen
	delivered  uint64              // each message once
	missing    map[uint64]struct{} // numbers below next not seen yet
	duplicated uint64
	reordered  uint64 // came after one with a higher number
}

// maxMissing bounds what a tally remembers; what it no longer remembers stays lost, and counts as
// a duplicate when it comes all the same.
const maxMissing = 1 << 20

func (t *tally) see(n uint64) {
	switch {
	case n == t.next:
		t.next++
		t.delivered++
	case n > t.next:
		if t.missing == nil {
			t.missing = map[uint64]struct{}{}
		}
		for m := t.next; m < n && len(t.missing) < maxMissing; m++ {
			t.missing[m] = struct{}{}
		}
		t.next = n + 1
		t.delivered++
	default:
		if _, late := t.missing[n]; !late {
			t.duplicated++
			return
		}
		delete(t.missing, n)
		t.delivered++
		t.reordered++
	}
}

// faults are messages that did not arrive as they should have.
type faults struct{ Lost, Duplicated, Reordered uint64 }

// close returns what went wrong with a stream of which sent messages were sent.
func (t *tally) close(sent uint64) faults {
	return faults{Lost: sent - t.delivered, Duplicated: t.duplicated, Reordered: t.reordered}
}

func (f faults) plus(g faults) faults {
	return faults{f.Lost + g.Lost, f.Duplicated + g.Duplicated, f.Reordered + g.Reordered}
}
