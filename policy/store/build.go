package store

import (
	"context"
	"time"

	"github.com/cenkalti/backoff/v5"
)

const (
	// builders share all work that changes make. Each does a little at a time: a storm of one user's changes costs
	// them more rounds, but holds up nobody else.
	builders = 4
	// maxInARow is how many grants are built before a read that waits has its turn.
	maxInARow = 16
)

// work works off marks until the cache is stopped: first grants, which costs
// no round trip and puts in force what was read, then reads.
func (s *Store) work(ctx context.Context) {
	c := &s.cache
	pauses := newPauses()
	for {
		g, l, ok := c.next()
		if !ok {
			return
		}
		if g != nil {
			if g.rebuild() {
				g.tell()
			}
			c.built(g)
			continue
		}
		if err := s.read(ctx, l); err == nil {
			pauses.Reset()
			continue
		}
		select {
		case <-ctx.Done():
		case <-time.After(pauses.NextBackOff()):
		}
	}
}

// newPauses are for who waits after a failure: doubled each time, and different for each gateway, since all lose a
// server at once.
func newPauses() *backoff.ExponentialBackOff {
	return &backoff.ExponentialBackOff{InitialInterval: 20 * time.Millisecond, Multiplier: 2, RandomizationFactor: 0.5, MaxInterval: 500 * time.Millisecond}
}

// next waits for work: a grant to build or a load to do. ok is false once the
// cache is stopped.
func (c *cache) next() (g *Grant, l *load, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		toRead := c.reading && !c.reads.Empty()
		switch {
		case c.stopped:
			return nil, nil, false
		case !c.builds.Empty() && (!toRead || c.inARow < maxInARow):
			c.inARow++
			if g := c.takeBuild(); g != nil {
				return g, nil, true
			}
		case toRead:
			c.inARow = 0
			if l := c.takeReads(); l != nil {
				return nil, l, true
			}
		default:
			c.work.Wait()
		}
	}
}

// takeBuild returns nil for a grant that is closed. c.mu is held.
func (c *cache) takeBuild() *Grant {
	g := c.builds.Take(func(g *Grant) int { return 1 + len(g.uses) })
	since := g.since
	g.queued, g.since = false, time.Time{}
	if !g.open {
		return nil
	}
	c.building[g] = since
	return g
}

// built ends a build, and has what came meanwhile built.
func (c *cache) built(g *Grant) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.building, g)
	if g.open && !g.since.IsZero() {
		c.queue(g)
	}
}

// takeReads starts a load of the next entries that still need one, as many as go in one round trip: from each user
// in turn. c.mu is held.
func (c *cache) takeReads() *load {
	var entries []*entry
	for len(entries) < c.batch && !c.reads.Empty() {
		e := c.reads.Take(func(*entry) int { return 1 })
		e.queued = false
		switch {
		case e.gone || e.load != nil || e.dirty.IsZero():
		case e.slow:
			c.scan(e)
		default:
			entries = append(entries, e)
		}
	}
	if entries == nil {
		return nil
	}
	return c.begin(entries)
}

// stop ends builders and scanners.
func (c *cache) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopped = true
	c.work.Broadcast()
	c.scanWork.Broadcast()
}

// failAll ends the loads that nobody will read.
func (c *cache) failAll(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for l := range c.loads {
		l.err = err
		c.end(l, make([]answer, len(l.entries)))
	}
}
