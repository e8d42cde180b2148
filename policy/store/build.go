package store

import (
	"context"
	"time"
)

// builders share all work that changes make. Each does a batch at a time: a
// storm of changes costs them more rounds, but holds up nobody else.
const (
	builders  = 4
	maxBuilds = 64 // grants built anew in one go
)

// work works off marks until the cache is stopped: first grants, which costs
// no round trip and puts in force what was read, then reads.
func (s *Store) work(ctx context.Context) {
	c := &s.cache
	pause := minPause
	for {
		grants, l, ok := c.next()
		if !ok {
			return
		}
		if grants != nil {
			for _, g := range *grants {
				if g.rebuild() {
					g.tell()
				}
			}
			c.built(grants)
			continue
		}
		if err := s.read(ctx, l); err == nil {
			pause = minPause
			continue
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		pause = min(2*pause, maxPause)
	}
}

// How long a builder waits after a failed read, doubled each time.
const (
	minPause = 20 * time.Millisecond
	maxPause = 500 * time.Millisecond
)

// next waits for work: grants to build or a load to do. ok is false once the
// cache is stopped.
func (c *cache) next() (grants *[]*Grant, l *load, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		switch {
		case c.stopped:
			return nil, nil, false
		case len(c.builds) > 0:
			return c.takeBuilds(), nil, true
		case c.reading && len(c.dirty) > 0:
			if l := c.takeDirty(); l != nil {
				return nil, l, true
			}
		default:
			c.work.Wait()
		}
	}
}

// takeBuilds returns a pointer, which is the key in c.active. c.mu is held.
func (c *cache) takeBuilds() *[]*Grant {
	n := min(len(c.builds), maxBuilds)
	grants := make([]*Grant, n)
	copy(grants, c.builds)
	c.builds = dropFirst(c.builds, n)
	oldest := time.Now()
	for _, g := range grants {
		if g.since.Before(oldest) {
			oldest = g.since
		}
		g.queued, g.since = false, time.Time{}
	}
	c.active[&grants] = oldest
	return &grants
}

func (c *cache) built(grants *[]*Grant) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.active, grants)
}

// takeDirty starts a load of the next entries that still need one. c.mu is held.
func (c *cache) takeDirty() *load {
	n := min(len(c.dirty), c.batch)
	entries := make([]*entry, 0, n)
	for _, e := range c.dirty[:n] {
		e.queued = false
		if !e.gone && e.load == nil && !e.dirty.IsZero() {
			entries = append(entries, e)
		}
	}
	c.dirty = dropFirst(c.dirty, n)
	if len(entries) == 0 {
		return nil
	}
	return c.begin(entries)
}

// dropFirst drops the first n of queue, and its storage with the last.
func dropFirst[T any](queue []T, n int) []T {
	clear(queue[:n])
	if len(queue) == n {
		return nil
	}
	return queue[n:]
}

// stop ends the builders.
func (c *cache) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopped = true
	c.work.Broadcast()
}
