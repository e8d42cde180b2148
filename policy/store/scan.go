package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// What is taken of Redis for one user. Beyond it nothing is taken, not even a part: what was left out might be what
// a `deny` needs. Who needs the key is denied everything (policy.ReasonTooLarge), and nobody else.
const (
	maxMembers = 250_000  // of a set of values
	maxLines   = 10_000   // of a set of rule lines
	maxBytes   = 16 << 20 // of all members of a set
	maxText    = 4 << 20  // bytes of the rule text, which beyond that is refused as if it did not parse
	maxRoles   = 1_000    // of one principal
)

const (
	// pieceMembers is about how many members one reply holds. A set of fewer is read whole in the round trip that
	// all others share; a larger one goes on alone, so that no reading of it is long for anybody.
	pieceMembers = 1_000
	// scanners read what is large, or has failed: each one piece at a time, of one user in turn, no two of the same.
	scanners = 4
)

// scan is the reading of one key alone: of a large set piece by piece (SSCAN), or of a key that could not be read
// together with others. What changes in the set meanwhile may be in it or not: that change has marked it, and it is
// read again.
type scan struct {
	e *entry
	l *load // of e alone

	begun   bool // the first piece has been read
	sized   bool // Redis has been asked how many members there are
	cursor  uint64
	members []string
	bytes   int
	ttl     time.Duration
}

// scan begins to read e alone. c.mu is held.
func (c *cache) scan(e *entry) {
	l := c.begin([]*entry{e})
	l.scanned = true
	c.addScan(&scan{e: e, l: l})
}

// goOn lets x read on what is more than one reply of l's entry i. c.mu is held.
func (c *cache) goOn(x *scan, l *load, i int) {
	e := l.entries[i]
	x.begun = true
	x.l = &load{
		began: l.began, entries: []*entry{e}, since: l.since[i : i+1 : i+1], old: l.old[i : i+1 : i+1],
		done: make(chan struct{}), scanned: true, large: true,
	}
	e.load, e.slow = x.l, true
	c.loads[x.l] = struct{}{}
	c.addScan(x)
}

func (c *cache) addScan(x *scan) {
	if c.stopped {
		x.l.err = errStopped
		c.end(x.l, make([]answer, 1))
		return
	}
	c.scans.Add(&x.e.owner.scans, x)
	c.scanWork.Signal()
}

// nextScan waits for a scan to go on with; its user's others wait until it is put back. ok is false once the cache
// is stopped.
func (c *cache) nextScan() (x *scan, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for !c.stopped && (!c.reading || c.scans.Empty()) {
		c.scanWork.Wait()
	}
	if c.stopped {
		return nil, false
	}
	return c.scans.Hold(func(*scan) int { return 1 }), true
}

// putBack lets the next scan of x's user go on: in the end x itself again, unless it is done.
func (c *cache) putBack(x *scan, done bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if l := &x.e.owner.scans; !done {
		c.scans.Add(l, x)
	}
	c.scans.Release(&x.e.owner.scans)
	c.scanWork.Signal()
}

// readAlone serves scans until the cache is stopped.
func (s *Store) readAlone(ctx context.Context) {
	for {
		x, ok := s.cache.nextScan()
		if !ok {
			return
		}
		a := s.readPiece(ctx, x)
		if done := a != nil; done {
			x.l.err = a.err
			s.finish(x.l, []answer{*a})
			s.cache.putBack(x, true)
		} else {
			s.cache.putBack(x, false)
		}
	}
}

// readPiece reads the next piece of x. Nil: there are more.
func (s *Store) readPiece(ctx context.Context, x *scan) *answer {
	var a answer
	if s.cache.isGone(x.e) {
		return &answer{err: errStopped}
	}
	if !x.begun {
		a = s.askRedis(ctx, s.alone, x.l)[0]
	} else {
		a = s.readOn(ctx, x)
	}
	x.begun = true
	switch {
	case errors.Is(a.err, errReplyTooLong):
		x.l.large = true
		return &answer{value: tooLarge(fmt.Sprintf("over %d bytes in one reply", maxReply))}
	case a.more != nil:
		x.cursor, x.members, x.bytes, x.ttl = a.more.cursor, a.more.members, a.more.bytes, a.more.ttl
		x.l.large = true
		return nil
	}
	return &a
}

// readOn reads the piece at x.cursor. The first time it asks for the size of all: what is too large is not read.
func (s *Store) readOn(caller context.Context, x *scan) answer {
	start := time.Now()
	ctx, cancel := context.WithTimeout(caller, s.timing.read)
	defer cancel()
	pipe := s.alone.Pipeline()
	var size *redis.IntCmd
	if !x.sized {
		size = pipe.SCard(ctx, x.e.key)
	}
	piece := pipe.SScan(ctx, x.e.key, x.cursor, "", pieceMembers)
	_, _ = pipe.Exec(ctx)
	members, cursor, err := piece.Result()
	if err == nil && size != nil {
		err = size.Err()
	}
	s.observe(Event{Kind: EventRead, OK: err == nil, Keys: 1, Duration: time.Since(start)})
	if caller.Err() == nil {
		s.watch.readEnded(start, err == nil, err)
	}
	switch {
	case redis.HasErrorPrefix(err, wrongType):
		return answer{value: &keyValue{problem: wrongTypeSet}, ttl: x.ttl}
	case err != nil:
		return answer{err: err}
	case size != nil && size.Val() > int64(x.most()):
		return answer{value: tooLarge(fmt.Sprintf("%d members; at most %d are read", size.Val(), x.most())), ttl: x.ttl}
	}
	x.cursor, x.sized = cursor, true
	if value := x.take(members); value != nil {
		return answer{value: value, ttl: x.ttl}
	}
	if cursor != 0 {
		return answer{more: x}
	}
	return answer{value: x.value(x.l.old[0]), ttl: x.ttl}
}

// most is how many members are read.
func (x *scan) most() int {
	if x.e.kind == linesKind {
		return maxLines
	}
	return maxMembers
}

// take adds a piece. It returns a value when that is too much.
func (x *scan) take(members []string) *keyValue {
	for _, m := range members {
		x.bytes += len(m)
	}
	x.members = append(x.members, members...)
	switch {
	case x.bytes > maxBytes:
		return tooLarge(fmt.Sprintf("over %d bytes; no more are read", maxBytes))
	case len(x.members) > 2*x.most(): // SSCAN may name a member twice
		return tooLarge(fmt.Sprintf("over %d members; no more are read", x.most()))
	}
	return nil
}

// value is what all the pieces make.
func (x *scan) value(old *keyValue) *keyValue {
	var v *keyValue
	switch x.e.kind {
	case linesKind:
		v = linesValue(x.e.key, x.members, old)
	case wordsKind:
		v = wordsValue(x.members, old)
	default:
		v = setValue(x.members, x.e.kind == rolesKind, old)
	}
	if n := max(len(v.members), len(v.set)); n > x.most() {
		return tooLarge(fmt.Sprintf("%d members; at most %d are read", n, x.most()))
	}
	return v
}

func (c *cache) isGone(e *entry) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return e.gone
}
