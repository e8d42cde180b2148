package policy

import (
	"context"
	"time"
)

// reviewers share all work that changes make. Each does a batch at a time: a
// storm of changes costs them more rounds, but holds up nobody else.
const (
	reviewers  = 4
	maxReviews = 64 // grants built anew in one go
)

// review works off marks until the cache is stopped: first grants, which costs
// no round trip and puts in force what was read, then reads.
func (s *Store) review(ctx context.Context) {
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
			c.reviewed(grants)
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

// How long a reviewer waits after a failed read, doubled each time.
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
		case len(c.reviews) > 0:
			return c.takeReviews(), nil, true
		case c.reading && len(c.dirty) > 0:
			if l := c.takeDirty(); l != nil {
				return nil, l, true
			}
		default:
			c.work.Wait()
		}
	}
}

// takeReviews returns a pointer, which is the key in c.active. c.mu is held.
func (c *cache) takeReviews() *[]*Grant {
	n := min(len(c.reviews), maxReviews)
	grants := make([]*Grant, n)
	copy(grants, c.reviews)
	c.reviews = cut(c.reviews, n)
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

func (c *cache) reviewed(grants *[]*Grant) {
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
	c.dirty = cut(c.dirty, n)
	if len(entries) == 0 {
		return nil
	}
	return c.begin(entries)
}

// cut drops the first n of queue, and its storage with the last.
func cut[T any](queue []T, n int) []T {
	clear(queue[:n])
	if len(queue) == n {
		return nil
	}
	return queue[n:]
}

// stop ends the reviewers.
func (c *cache) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopped = true
	c.work.Broadcast()
}
