package store

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

const (
	// quickReads is how many reads for Opens are under way before the next ones wait for company: what
	// waits together goes in one round trip.
	quickReads = 2
	// maxReads bounds them with those that turned out slow, and so the connections that they use.
	maxReads = 16
	// slowRead is when a read has proved to be slow: nobody waits for it any more but who asked.
	slowRead = 5 * time.Millisecond
)

// loadQueue holds what Opens have to read until a reader takes it, everything that waits at once. So when
// all clients come back together, their reads share round trips, and leave the pool's other connections
// to the canary and the builders. Every Open that waits has one load in it at most.
type loadQueue struct {
	mu      sync.Mutex
	work    sync.Cond // on mu: a reader may have something to do
	waiting []*load
	quick   int // reads under way that are not slow yet
	closed  bool
}

func (q *loadQueue) init() { q.work.L = &q.mu }

// put hands l to a reader, which ends it. False: there are none any more.
func (q *loadQueue) put(l *load) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return false
	}
	q.waiting = append(q.waiting, l)
	if q.quick < quickReads {
		q.work.Signal()
	}
	return true
}

// drop takes l out again; false: a reader has it, or had.
func (q *loadQueue) drop(l *load) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	i := slices.Index(q.waiting, l)
	if i >= 0 {
		q.waiting = slices.Delete(q.waiting, i, i+1)
	}
	return i >= 0
}

// take waits for loads and returns those that go in one round trip: as many as fit, or one that is to be
// alone. Nil: the queue is closed.
func (q *loadQueue) take() (loads []*load) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for !q.closed && (len(q.waiting) == 0 || q.quick >= quickReads) {
		q.work.Wait()
	}
	if q.closed {
		return nil
	}
	n, keys := 0, 0
	for n < len(q.waiting) {
		l := q.waiting[n]
		if keys += len(l.entries); n > 0 && (l.alone || keys > maxBatch) {
			break
		}
		if n++; l.alone {
			break
		}
	}
	loads = append(loads, q.waiting[:n]...)
	q.waiting = dropFirst(q.waiting, n)
	q.quick++
	return loads
}

// leave ends the time in which a read counts as quick.
func (q *loadQueue) leave() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.quick--
	if len(q.waiting) > 0 {
		q.work.Signal()
	}
}

// close lets the readers end, and returns what none of them has taken.
func (q *loadQueue) close() (left []*load) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	left, q.waiting = q.waiting, nil
	q.work.Broadcast()
	return left
}

var errStopped = errors.New("the store has stopped")

// ask has l read soon.
func (s *Store) ask(l *load) {
	if !s.loads.put(l) {
		s.cache.fail(l, errStopped)
	}
}

// giveUp ends l, because of err, if no reader has taken it yet.
func (s *Store) giveUp(l *load, err error) {
	if s.loads.drop(l) {
		s.cache.fail(l, err)
	}
}

// serveLoads reads for Opens until the queue is closed.
func (s *Store) serveLoads(ctx context.Context) {
	for {
		loads := s.loads.take()
		if loads == nil {
			return
		}
		slow := time.AfterFunc(slowRead, s.loads.leave)
		_ = s.read(ctx, loads...) // each load knows how it went
		if slow.Stop() {
			s.loads.leave()
		}
	}
}
