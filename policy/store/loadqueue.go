package store

import (
	"container/list"
	"context"
	"errors"
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
	waiting list.List // of *load
	quick   int       // reads under way that are not slow yet
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
	l.place = q.waiting.PushBack(l)
	if q.quick < quickReads {
		q.work.Signal()
	}
	return true
}

// drop takes l out again; false: a reader has it, or had.
func (q *loadQueue) drop(l *load) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if l.place == nil {
		return false
	}
	q.remove(l)
	return true
}

// remove takes l out. q.mu is held.
func (q *loadQueue) remove(l *load) {
	q.waiting.Remove(l.place)
	l.place = nil
}

// take waits for loads and returns those that go in one round trip, as many as fit. Nil: the queue is closed.
func (q *loadQueue) take() (loads []*load) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for !q.closed && (q.waiting.Len() == 0 || q.quick >= quickReads) {
		q.work.Wait()
	}
	if q.closed {
		return nil
	}
	keys := 0
	for q.waiting.Len() > 0 {
		l := q.waiting.Front().Value.(*load)
		if keys += len(l.entries); loads != nil && keys > maxBatch {
			break
		}
		q.remove(l)
		loads = append(loads, l)
	}
	q.quick++
	return loads
}

// leave ends the time in which a read counts as quick.
func (q *loadQueue) leave() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.quick--
	if q.waiting.Len() > 0 {
		q.work.Signal()
	}
}

// close lets the readers end, whatever waits.
func (q *loadQueue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.work.Broadcast()
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
