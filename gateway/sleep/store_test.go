package sleep

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"topicgate/gateway/internal/redistest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The rights that deploy/README.md names are enough for what the gateway keeps of sleeping Sessions.
func TestRedisRightsAreEnough(t *testing.T) {
	client, check := redistest.Start(t).Limited("../../deploy/README.md")
	kept(t, NewKeeper(client, "topicgate:"))
	var forgotten atomic.Int64
	x := NewIndex(client, "topicgate:", 1, func(string) { forgotten.Add(1) })
	x.Note("alice", "a", time.Hour)
	x.Note("alice", "b", 2*time.Hour)
	redistest.Eventually(t, "one is beyond the bound", func() bool { return forgotten.Load() == 1 })
	x.Drop("alice", "b")
	redistest.Eventually(t, "none is left", func() bool {
		ids, err := x.Of(t.Context(), []string{"alice"})
		return err == nil && len(ids[0]) == 0
	})
	x.Close()
	check()
}

func TestRecordsAreKeptWithoutRedis(t *testing.T) { kept(t, NewKeeper(nil, "")) }

// kept writes, reads and forgets a record.
func kept(t *testing.T, keeper Keeper) {
	t.Helper()
	s := New(keeper, func() {})
	defer s.Close()
	want := func(want string) {
		t.Helper()
		if got, err := s.Load(t.Context(), "alice:c1"); string(got.Data) != want || err != nil {
			t.Errorf("Load() = %q, %v; want %q", got.Data, err, want)
		}
	}
	want("")
	for _, data := range []string{"x", "y"} {
		if err := s.Keep(t.Context(), "alice:c1", []byte(data), time.Minute); err != nil {
			t.Errorf("Keep() = %v", err)
		}
		want(data)
	}
	if err := s.Forget(t.Context(), "alice:c1"); err != nil {
		t.Errorf("Forget() = %v", err)
	}
	want("")
}

// hung is a Redis that says nothing.
type hung struct{ Keeper }

func (hung) Keep(ctx context.Context, _ string, _ []byte, _ time.Duration) error {
	<-ctx.Done()
	return ctx.Err()
}

func (hung) Forget(ctx context.Context, _ ...string) error {
	<-ctx.Done()
	return ctx.Err()
}

func TestAWriteEndsThoughRedisSaysNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(hung{}, func() {})
		defer s.Close()
		begin := time.Now()
		if err := s.Keep(t.Context(), "alice:c1", nil, time.Minute); !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) != timeout {
			t.Errorf("Keep() = %v after %v; want a timeout after %v", err, time.Since(begin), timeout)
		}
	})
}

// Of one item one write runs at a time; what is asked for meanwhile is written once more, by nobody who waits for it.
func TestAnItemIsWrittenByOneAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(NewKeeper(nil, ""), func() {})
		defer s.Close()
		var mu sync.Mutex
		var log strings.Builder
		note := func(what string) { mu.Lock(); log.WriteString(what); mu.Unlock() }
		item := s.Item(func() { note("later ") })
		others := 0
		hold := make(chan struct{})
		go item.Do(func() { note("first "); <-hold; note("ended ") })
		synctest.Wait()
		for range 10 * writers {
			item.Later()
			synctest.Wait()
		}
		for range 10 * writers { // whose turn it would be is not held up by the one that waits
			s.Item(func() { mu.Lock(); others++; mu.Unlock() }).Later()
		}
		go item.Do(func() { note("second ") })
		synctest.Wait()
		if got := log.String(); got != "first " || others != 10*writers {
			t.Errorf("while the first runs: %q, and %d others; want it alone, and all others", got, others)
		}
		close(hold)
		synctest.Wait()
		if got := log.String(); got != "first ended second later " && got != "first ended later second " {
			t.Errorf("written: %q; want what was asked for meanwhile once, after the first", got)
		}
	})
}

func TestCloseWritesWhatIsQueued(t *testing.T) {
	s := New(NewKeeper(nil, ""), func() {})
	var mu sync.Mutex
	written := 0
	for range 1000 {
		s.Item(func() { mu.Lock(); written++; mu.Unlock() }).Later()
	}
	s.Close()
	if written != 1000 {
		t.Errorf("%d items written; want all", written)
	}
}

func TestLivingSessionsAreRefreshed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var refreshed []time.Duration
		begin := time.Now()
		s := New(NewKeeper(nil, ""), func() { refreshed = append(refreshed, time.Since(begin)) })
		time.Sleep(Refresh + time.Second)
		s.Close()
		if len(refreshed) != 6 {
			t.Errorf("refreshed after %v; want six times in %v", refreshed, Refresh)
		}
	})
}
