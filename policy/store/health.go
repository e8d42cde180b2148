package store

import (
	"context"
	"fmt"
	"time"
)

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
		w.mu.Lock()
		defer w.mu.Unlock()
		return fmt.Errorf("%w: redis %s", ErrUndecided, w.trouble())
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

// judge decides whether what the grants hold is too old to be used. What nobody can know, for Redis is not watched
// or not read, concerns all; a change that is known, and that its own keys keep from those who lack it, concerns
// them alone.
func (w *watcher) judge() {
	s, now := w.store, time.Now()
	backlog := s.cache.oldest()
	w.mu.Lock()
	unread := !backlog.IsZero() && !w.readGood.After(backlog) // nothing has been read since
	good := w.live && !(unread && now.Sub(backlog) >= s.timing.deaf)
	if s.away.Load() && unread && backlog.Before(w.since) {
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
	limit := now.Add(-max(s.options.StaleMax, s.timing.deaf))
	if s.away.Load() && limit.Before(w.since) {
		limit = w.since // who has not felt all that was missed is denied for longer than the others
	}
	readErr := w.readErr
	w.mu.Unlock()
	if unread && backlog.Before(asOf) {
		asOf = backlog
	}
	if unread && now.Sub(backlog) >= s.timing.canary {
		signal(w.doubt) // is it Redis, or that key?
	}
	away := !good && now.Sub(asOf) > s.options.StaleMax
	changed, late := s.cache.judgeGrants(limit) // first: what is allowed again must be known to all who are
	if late != "" && s.odd.Allow() {
		s.log.Error("a session is denied everything, for what concerns it could not be read for too long", "username", late, "err", fmt.Sprint(readErr))
	}
	if s.away.Swap(away) != away {
		s.observe(Event{Kind: EventAway, OK: !away})
		if away {
			s.log.Error("redis is away for too long, everything is denied", "since", asOf)
		} else {
			s.log.Info("redis is back")
		}
		changed = s.cache.openGrants()
	}
	for _, g := range changed {
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

// readEnded notes how a read ended that began at start: whether some of it went well, and what did not.
func (w *watcher) readEnded(start time.Time, some bool, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.readErr = err
	if some && start.After(w.readGood) {
		w.readGood = start
	}
}

// status tells whether a CONNECT can be decided, and how Redis is.
func (w *watcher) status() (ready bool, detail map[string]string) {
	w.tryReads(false)
	w.mu.Lock()
	defer w.mu.Unlock()
	detail = map[string]string{}
	if w.writeErr != "" {
		detail["redis_writes"] = "refused: " + w.writeErr
	}
	switch {
	case w.live && w.tried != nil:
		detail["redis"] = "does not answer: " + w.tried.Error()
		return false, detail
	case w.live && !w.store.away.Load():
		detail["redis"] = "ok"
		return true, detail
	}
	detail["redis"] = w.trouble()
	return false, detail
}

// trouble says why what Redis holds is not known. w.mu is held.
func (w *watcher) trouble() string {
	detail := "not watched for " + ago(w.since)
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
	return detail
}
