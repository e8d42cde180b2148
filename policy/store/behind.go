package store

import "time"

// marks calls f with all that no grant has felt yet: since when, and which key or which grant. c.mu is held.
func (c *cache) marks(f func(since time.Time, e *entry, g *Grant)) {
	key := func(since time.Time, e *entry) {
		if !since.IsZero() && !e.gone {
			f(since, e, nil)
		}
	}
	c.reads.Each(func(e *entry) {
		if e.load == nil { // else it counts below
			key(e.dirty, e)
		}
	})
	for e := range c.resting {
		key(e.dirty, e)
	}
	for l := range c.loads {
		for i, e := range l.entries {
			key(earlier(l.since[i], e.dirty), e)
		}
	}
	c.builds.Each(func(g *Grant) { f(g.since, nil, g) })
	for g, since := range c.building {
		f(since, nil, g)
	}
}

// earlier is the earlier of two times; zero is none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// concerns tells whether somebody may lack what changed in e: the first read of a key that a session which is
// still being opened needs is no change for anybody.
func (e *entry) concerns() bool {
	if e.pins > 0 {
		return true
	}
	for _, u := range e.users {
		if u.g.open {
			return true
		}
	}
	return false
}

// oldest returns the time of the oldest change that some grant has not felt yet; zero: none.
func (c *cache) oldest() (oldest time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.marks(func(since time.Time, e *entry, _ *Grant) {
		if (oldest.IsZero() || since.Before(oldest)) && (e == nil || e.concerns()) {
			oldest = since
		}
	})
	return oldest
}

// OldestChange is how long the oldest change that has not reached all its grants has waited; 0: none does.
func (s *Store) OldestChange() time.Duration {
	oldest := s.cache.oldest()
	if oldest.IsZero() {
		return 0
	}
	return time.Since(oldest)
}

// judgeGrants denies those grants everything that lack a change of before limit, and takes that back from those
// that have felt what they lacked. It returns whom it concerns: they are to be told, without a lock. late is the
// username of one who is denied from now on.
func (c *cache) judgeGrants(limit time.Time) (changed []*Grant, late string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	lacking := make(map[*Grant]time.Time)
	lacks := func(g *Grant, since time.Time) {
		was, behind := c.behind[g]
		if g.open && (since.Before(limit) || behind && !since.After(was)) {
			lacking[g] = earlier(lacking[g], since)
		}
	}
	c.marks(func(since time.Time, e *entry, g *Grant) {
		if g != nil {
			lacks(g, since)
			return
		}
		if len(c.behind) == 0 && !since.Before(limit) {
			return
		}
		for _, u := range e.users {
			lacks(u.g, since)
		}
	})
	for g, since := range lacking {
		if _, behind := c.behind[g]; !behind {
			c.behind[g] = since
			g.behind.Store(true)
			changed, late = append(changed, g), g.principal.Username
		}
	}
	for g := range c.behind {
		if _, lacks := lacking[g]; !lacks {
			delete(c.behind, g)
			g.behind.Store(false)
			changed = append(changed, g)
		}
	}
	return changed, late
}
