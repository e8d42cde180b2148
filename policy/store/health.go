package store

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// canaryLife is how long the key of a gateway that is gone stays in Redis.
const canaryLife = time.Minute

// singCanaries writes the canary of each node that listens, each second and
// whenever one is wanted, through the client that reads go through.
func (w *watcher) singCanaries(ctx context.Context) {
	tick := time.NewTicker(w.store.timing.canary)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-w.kick:
		}
		var keys []string
		w.mu.Lock()
		for _, n := range w.nodes {
			if n.heard && n.canary != "" {
				keys = append(keys, n.canary)
				if n.asked.IsZero() {
					n.asked = time.Now()
				}
			}
		}
		w.mu.Unlock()
		if keys == nil {
			continue
		}
		limited, cancel := context.WithTimeout(ctx, w.store.timing.canary)
		// Whether it worked is seen by the invalidations.
		_, _ = w.store.client.Pipelined(limited, func(pipe redis.Pipeliner) error {
			for _, key := range keys {
				pipe.Set(limited, key, w.store.options.Instance, canaryLife)
			}
			return nil
		})
		cancel()
	}
}

// canarySeen notes that n's connection told of a canary.
func (w *watcher) canarySeen(n *server, key string) {
	w.mu.Lock()
	asked := n.asked
	ours := key == n.canary && n.heard && !asked.IsZero()
	first := !n.proven
	if ours {
		n.asked = time.Time{}
		if !first {
			n.seen = asked
		}
	}
	w.mu.Unlock()
	if ours && first {
		w.prove(n, asked)
	}
}

// prove notes that n's connection is to be trusted from now on. First everything
// is marked, then reads may begin: what they find is kept current.
func (w *watcher) prove(n *server, now time.Time) {
	w.mu.Lock()
	reason, since := n.reason, n.seen
	n.reason = ""
	w.mu.Unlock()
	w.store.reset(reason, since)
	w.mu.Lock()
	n.proven, n.seen, n.lastErr = n.heard, now, nil
	w.mu.Unlock()
	w.update()
}

// update finds out whether all of Redis is listened to.
func (w *watcher) update() {
	live, changed, lastErr := w.setLive()
	switch {
	case !changed:
	case live:
		w.store.log.Info("redis is watched")
	default:
		w.store.log.Warn("redis is not watched", "err", fmt.Sprint(lastErr))
	}
}

// setLive puts in force whether all nodes are to be trusted; lastErr is of one that is not.
func (w *watcher) setLive() (live, changed bool, lastErr error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	live = len(w.nodes) > 0
	for _, n := range w.nodes {
		if !n.proven {
			live = false
			lastErr = n.lastErr
		}
	}
	if live == w.live {
		return live, false, nil
	}
	w.live, w.since = live, time.Now()
	w.store.cache.setReading(live)
	if live {
		close(w.liveC)
	} else {
		w.liveC = make(chan struct{})
	}
	return live, true, lastErr
}

// isLive tells whether all of Redis is listened to.
func (w *watcher) isLive() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.live
}

// awaitLive waits for the watcher to be live, but not for a Redis that has been
// away for a while.
func (w *watcher) awaitLive(ctx context.Context) error {
	w.mu.Lock()
	liveC, left := w.liveC, w.store.timing.openWait-time.Since(w.since)
	w.mu.Unlock()
	select {
	case <-liveC:
		return nil
	default:
	}
	timer := time.NewTimer(max(left, 0))
	defer timer.Stop()
	select {
	case <-liveC:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", ErrUndecided, ctx.Err())
	case <-timer.C:
		_, detail := w.status()
		return fmt.Errorf("%w: redis %s", ErrUndecided, detail)
	}
}

// judgeAll closes connections that are deaf, fails closed what is too old, and
// has everything read again now and then: some changes (SWAPDB) no connection
// tells of.
func (w *watcher) judgeAll(ctx context.Context) {
	tick := time.NewTicker(w.store.timing.judge)
	defer tick.Stop()
	reread := time.NewTicker(w.store.timing.reread)
	defer reread.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			w.closeDeaf()
			w.judge()
		case <-reread.C:
			w.store.reset(ResetPeriodic, time.Now())
		}
	}
}

func (w *watcher) closeDeaf() {
	for _, addr := range w.takeDeaf() {
		w.store.log.Warn("redis connection is deaf", "addr", addr)
	}
}

// takeDeaf begins to close the connections that are deaf, and returns where they lead.
func (w *watcher) takeDeaf() (addrs []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	limit := time.Now().Add(-w.store.timing.deaf)
	for _, n := range w.nodes {
		if n.close == nil || n.opened.After(limit) || n.proven && (n.canary == "" || n.seen.After(limit)) {
			continue
		}
		addrs = append(addrs, n.addr)
		if n.proven {
			n.reason = ResetDeaf
		}
		go n.close() // which may wait for a connection being made
		n.close = nil
	}
	return addrs
}

// judge decides whether what the grants hold is too old to be used. It is as old
// as the oldest change that may be unknown or has not yet reached its grants.
func (w *watcher) judge() {
	s, now := w.store, time.Now()
	backlog := s.cache.oldest()
	w.mu.Lock()
	good := w.live && (backlog.IsZero() || now.Sub(backlog) < s.timing.deaf)
	if s.away.Load() && !backlog.IsZero() && backlog.Before(w.since) {
		good = false // what was missed must be known first
	}
	asOf := now
	for _, n := range w.nodes {
		if n.seen.Before(asOf) && (n.canary != "" || !n.proven) {
			asOf = n.seen
		}
	}
	if !w.checked.IsZero() && w.checked.Before(asOf) {
		asOf = w.checked
		good = good && now.Sub(asOf) < s.timing.deaf+s.timing.discover
	}
	w.mu.Unlock()
	if !backlog.IsZero() && backlog.Before(asOf) {
		asOf = backlog
	}
	away := !good && now.Sub(asOf) > s.options.StaleMax
	if s.away.Swap(away) == away {
		return
	}
	s.observe(Event{Kind: EventAway, OK: !away})
	if away {
		s.log.Error("redis is away for too long, everything is denied", "since", asOf)
	} else {
		s.log.Info("redis is back")
	}
	for _, g := range s.cache.openGrants() {
		g.tell()
	}
}

func (c *cache) openGrants() []*Grant {
	c.mu.Lock()
	defer c.mu.Unlock()
	grants := make([]*Grant, 0, len(c.grants))
	for g := range c.grants {
		grants = append(grants, g)
	}
	return grants
}

// readEnded notes how the last read ended.
func (w *watcher) readEnded(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.readErr = err
}

// status tells whether a CONNECT can be decided, and how Redis is.
func (w *watcher) status() (ready bool, detail string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.live && w.readErr != nil:
		return false, "does not answer: " + w.readErr.Error()
	case w.live && !w.store.away.Load():
		return true, "ok"
	}
	detail = "not watched for " + ago(w.since)
	if w.live {
		detail = "back for " + ago(w.since) + ", being read"
	}
	err := w.lastErr
	for _, n := range w.nodes {
		if n.lastErr != nil {
			err = n.lastErr
		}
	}
	if err != nil {
		detail += ": " + err.Error()
	}
	return false, detail
}
