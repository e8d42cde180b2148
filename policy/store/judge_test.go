package store

import (
	"context"
	"testing"
	"time"
)

// stillStore is a store that nothing runs: listened to, with one key that changed at since and is not read yet.
func stillStore(t *testing.T, stale time.Duration, since time.Time) (*Store, *server) {
	t.Helper()
	s, err := New(Options{RedisURL: "redis://127.0.0.1:1", Prefix: "topicgate:", StaleMax: stale})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	n := &server{canary: s.keys.canary(s.watch.process, "0"), heard: true, proven: true, seen: time.Now()}
	s.watch.nodes[""], s.watch.live, s.watch.since = n, true, time.Now()
	s.cache.entries[s.keys.text()].dirty = since
	return s, n
}

// readAll is as if all that changed had been read.
func (s *Store) readAll() {
	s.cache.mu.Lock()
	defer s.cache.mu.Unlock()
	for !s.cache.reads.Empty() {
		e := s.cache.reads.Take(func(*entry) int { return 0 })
		e.queued, e.dirty = false, time.Time{}
	}
}

// queued is how many keys wait to be read and how many sessions to be built anew.
func (c *cache) queued() (keys, sessions int) {
	c.reads.Each(func(*entry) { keys++ })
	c.builds.Each(func(*Grant) { sessions++ })
	return keys, sessions
}

// A change that is known and cannot be read is as bad as one that is not known: Redis answers canaries, but no reads.
func TestAChangeThatCannotBeReadFailsClosed(t *testing.T) {
	s, _ := stillStore(t, time.Minute, time.Now().Add(-time.Hour))
	if s.watch.judge(); !s.away.Load() {
		t.Error("a change has waited for an hour and is not read; want everything denied")
	}
	s.readAll()
	if s.watch.judge(); s.away.Load() {
		t.Error("all is read; want it in force")
	}
}

// What was missed while Redis was away is read before anything is allowed again.
func TestNothingIsAllowedBeforeWhatWasMissedIsRead(t *testing.T) {
	s, _ := stillStore(t, 0, time.Now().Add(-time.Second))
	s.away.Store(true)
	if s.watch.judge(); !s.away.Load() {
		t.Error("Redis is back and what was missed is not read; want everything denied still")
	}
	s.readAll()
	if s.watch.judge(); s.away.Load() {
		t.Error("all is read; want it in force")
	}
}

// A canary proves what happened before it was written, not before it was seen.
func TestACanaryProvesWhatWasBeforeIt(t *testing.T) {
	s, n := stillStore(t, time.Minute, time.Now())
	asked := time.Now().Add(-time.Second)
	n.asked = asked
	s.watch.canarySeen(n, n.canary)
	if !n.seen.Equal(asked) || !n.asked.IsZero() {
		t.Errorf("a canary of %v has seen all before %v", asked, n.seen)
	}
	s.watch.canarySeen(n, n.canary) // one more of it, that nobody waits for
	if !n.seen.Equal(asked) {
		t.Errorf("a canary that nobody waits for has seen all before %v; want %v", n.seen, asked)
	}
}

// A mark outlives a failed read: it is as old as the change, or what is missing would seem newer with each attempt.
func TestAFailedReadKeepsTheAgeOfTheChange(t *testing.T) {
	since := time.Now().Add(-time.Hour)
	s, _ := stillStore(t, time.Minute, since)
	s.cache.reading = true
	_, l, ok := s.cache.next()
	if !ok || len(l.entries) != 1 {
		t.Fatalf("next() = %+v; want a load of the rule text", l)
	}
	if got := s.cache.oldest(); !got.Equal(since) {
		t.Errorf("while it is read the oldest mark is of %v; want %v", got, since)
	}
	s.cache.mark(s.keys.text(), false) // meanwhile
	s.cache.fail(l, errStopped)
	if got := s.cache.oldest(); !got.Equal(since) {
		t.Errorf("after the failure the oldest mark is of %v; want %v", got, since)
	}
	if s.cache.batch >= maxBatch {
		t.Errorf("the next read takes %d keys; want fewer, for the reply may have been too long", s.cache.batch)
	}
}

// A key that changes while it is read is read again.
func TestAChangeDuringAReadIsReadAgain(t *testing.T) {
	s, _ := stillStore(t, time.Minute, time.Now())
	s.cache.reading = true
	_, l, _ := s.cache.next()
	s.cache.mark(s.keys.text(), false)
	s.cache.finish(l, []answer{{value: emptyValue}})
	if keys, _ := s.cache.queued(); keys != 1 || s.cache.oldest().IsZero() {
		t.Errorf("%d keys are to be read; want the rule text once more", keys)
	}
}

// While a canary is out, the time that counts is when the oldest was sent: none that follows makes a server that is
// silent look fresh.
func TestTheOldestCanaryCounts(t *testing.T) {
	s, n := stillStore(t, time.Minute, time.Now())
	s.timing.canary = time.Hour
	asked := time.Now().Add(-time.Second)
	n.asked = asked
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.watch.singCanaries(ctx)
	}()
	for range 3 {
		s.watch.kick <- struct{}{} // one waits unheard at most: the first has been sung
	}
	stop()
	<-done
	if !n.asked.Equal(asked) {
		t.Errorf("the canary that is out is of %v; want %v", n.asked, asked)
	}
}
