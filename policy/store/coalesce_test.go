package store

import (
	"testing"
	"time"
)

// However often a key changes, it waits once, and a session that it concerns is built anew once.
func TestAStormWaitsOnce(t *testing.T) {
	since := time.Now().Add(-time.Minute)
	s, _ := stillStore(t, time.Minute, since)
	c := &s.cache
	g := &Grant{store: s, open: true, account: &account{}}
	for range 100 {
		c.mark(s.keys.text(), false)
		c.mu.Lock()
		c.wantBuild(g, time.Now())
		c.wantBuild(g, since)
		c.mu.Unlock()
	}
	if keys, sessions := c.queued(); keys != 1 || sessions != 1 || !g.since.Equal(since) {
		t.Errorf("%d keys and %d sessions wait, the session since %v; want one of each, since %v", keys, sessions, g.since, since)
	}
}

// A key that is slow to read and changes meanwhile rests before it is read again: what changes until then costs one
// read. After a failure reads are smaller for a while.
func TestAKeyThatIsSlowToReadRests(t *testing.T) {
	s, _ := stillStore(t, time.Minute, time.Now())
	c := &s.cache
	c.reading, c.batch = true, 1
	_, l, _ := c.next()
	l.began = l.began.Add(-time.Minute)
	c.mark(s.keys.text(), false)
	c.finish(l, []answer{{value: emptyValue}})
	c.mu.Lock()
	defer c.mu.Unlock()
	if keys, _ := c.queued(); keys != 0 || len(c.resting) != 1 {
		t.Errorf("%d keys wait and %d rest; want one that rests", keys, len(c.resting))
	}
	if c.batch != 2 {
		t.Errorf("after a read of one key that went well the next takes %d; want 2", c.batch)
	}
}
