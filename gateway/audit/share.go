package audit

import (
	"net/netip"
	"time"
)

// parts: one party's events take no more than one of so many parts of the table, and of each queue, so that a flood of
// one's does not push out another's. What is beyond is lost, and counted under the party's name. A party is a user; of
// who is not known yet an address, in IPv6 a network of 64 bits, and all of these together take no more than half.
const parts = 8

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
		network, _ := netip.ParsePrefix(e.Remote) // as loss writes it
		return party{address: network}
	}
	bits := 32
	if address.Addr().Unmap().Is6() {
		bits = 64
	}
	network, _ := address.Addr().Unmap().Prefix(bits) // fits
	return party{address: network}
}

// loss is the event for count of the party's that were beyond its share.
func (p party) loss(count int) Event {
	e := Event{Time: time.Now(), User: p.user, Reason: ReasonQueueFull, Count: count}
	if p.address.IsValid() {
		e.Remote = p.address.String()
	}
	return e
}

// shares tells who has how much of a place for max entries.
type shares struct {
	max     int
	parties map[party]*share
	unknown int // entries of who is not known yet
}

// share is what one party has.
type share struct {
	entries int
	lost    int // operations beyond it
}

func newShares(max int) shares { return shares{max: max, parties: make(map[party]*share)} }

// each is how many entries one party may have.
func (s *shares) each() int { return max(1, s.max/parts) }

// room reports whether the party may have one more entry. If not, count operations are lost: own says that they are
// counted as the party's own; else the caller counts them, so that one more stranger makes no record.
func (s *shares) room(of party, count int) (ok, own bool) {
	if of == (party{}) { // the gateway's own
		return true, false
	}
	has, full := s.parties[of], of.user == "" && s.unknown >= max(1, s.max/2)
	switch {
	case has != nil && (full || has.entries >= s.each()):
		has.lost += count
		return false, true
	case has == nil && full:
		return false, false
	}
	return true, false
}

// enter counts an entry of the party's.
func (s *shares) enter(of party) {
	if of == (party{}) {
		return
	}
	has := s.parties[of]
	if has == nil {
		has = &share{}
		s.parties[of] = has
	}
	has.entries++
	if of.address.IsValid() {
		s.unknown++
	}
}

// leave takes back an entry. It returns what the party has lost, to be told now: once it has no more than half of what
// it may have, so that a flood that goes on makes a record now and then and not with each entry.
func (s *shares) leave(of party) (lost int) {
	has := s.parties[of]
	if has == nil {
		return 0
	}
	has.entries--
	if of.address.IsValid() {
		s.unknown--
	}
	if has.entries <= s.each()/2 {
		lost, has.lost = has.lost, 0
	}
	if has.entries == 0 {
		delete(s.parties, of)
	}
	return lost
}
