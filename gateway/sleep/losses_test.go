package sleep

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"topicgate/gateway/internal/redistest"
)

// A Redis that comes back with an older state has older records: that is known, until they are written anew.
func TestARecordOfAnEarlierRunMayBeOlder(t *testing.T) {
	r := redistest.Start(t)
	s := New(NewKeeper(r.Client, "tg:"), func() {})
	defer s.Close()
	keep := func(data string) {
		t.Helper()
		redistest.Eventually(t, "it is kept", func() bool { return s.Keep(t.Context(), "alice:c", []byte(data), time.Hour) == nil })
	}
	want := func(want string, older bool) {
		t.Helper()
		if got, err := s.Load(t.Context(), "alice:c"); string(got.Data) != want || got.Older != older || err != nil {
			t.Errorf("Load() = %q, older: %t, %v; want %q, %t", got.Data, got.Older, err, want, older)
		}
	}
	keep("first")
	want("first", false)
	r.Run("SAVE")
	keep("second")
	want("second", false)
	r.Kill()
	r.Start()
	want("first", true)
	keep("third")
	want("third", false)
	r.Kill()
	r.Start()
	keep("fourth") // by who has not looked since, and does not know yet
	want("fourth", false)
	other := New(NewKeeper(r.Client, "tg:"), func() {})
	defer other.Close()
	if got, err := other.Load(t.Context(), "alice:c"); string(got.Data) != "fourth" || got.Older || err != nil {
		t.Errorf("another instance reads %q, %v; want the same", got.Data, err)
	}
}

// Without the right to ask for the run all records are taken for the newest.
func TestRecordsWithoutTheRightToInfo(t *testing.T) {
	r := redistest.Start(t)
	r.Run("ACL", "SETUSER", "gate", "on", ">secret", "~*", "+@all", "-info")
	client := redis.NewClient(&redis.Options{Addr: r.Addr, Username: "gate", Password: "secret"})
	defer client.Close()
	kept(t, NewKeeper(client, "tg:"))
}

// noting is a keeper that may refuse to note losses.
type noting struct {
	Keeper
	mu      sync.Mutex
	refuses bool
	lost    map[string]time.Time
	notes   int
}

func (n *noting) Lose(_ context.Context, broker string, at time.Time) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.refuses {
		return errors.New("away")
	}
	n.notes++
	n.lost[broker] = at
	return nil
}

func (n *noting) Load(ctx context.Context, id string) (Stored, error) {
	stored, err := n.Keeper.Load(ctx, id)
	n.mu.Lock()
	defer n.mu.Unlock()
	stored.Lost = n.lost
	return stored, err
}

// What was kept before a broker was lost is outdated, for every instance; what is kept afterwards is not, once the clocks
// of all are beyond it.
func TestALostBrokerOutdatesWhatWasKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keeper := &noting{Keeper: NewKeeper(nil, ""), lost: map[string]time.Time{}}
		one, two := New(keeper, func() {}), New(keeper, func() {})
		defer one.Close()
		defer two.Close()
		outdated := func(want bool) {
			t.Helper()
			synctest.Wait()
			for name, s := range map[string]*Store{"the one that lost it": one, "the other one": two} {
				k, err := s.Load(t.Context(), "alice:c")
				if err != nil || string(k.Data) != "x" || k.Outdated("a:1") != want || k.Outdated("b:1") {
					t.Errorf("%s: %q, %v, outdated: %t, %t; want %t and false", name, k.Data, err, k.Outdated("a:1"), k.Outdated("b:1"), want)
				}
			}
		}
		keep := func() { _ = one.Keep(t.Context(), "alice:c", []byte("x"), time.Hour) }
		keep()
		outdated(false)
		for range 1000 {
			one.Lost("a:1")
		}
		outdated(true)
		if keeper.notes != 1 {
			t.Errorf("%d notes; want one of a thousand sessions", keeper.notes)
		}
		time.Sleep(time.Second)
		keep() // by a session that has not noticed yet, for all we know
		outdated(true)
		time.Sleep(lossMargin)
		keep()
		outdated(false)

		keeper.mu.Lock()
		keeper.refuses = true
		keeper.mu.Unlock()
		one.Lost("a:1")
		synctest.Wait()
		if k, _ := one.Load(t.Context(), "alice:c"); !k.Outdated("a:1") {
			t.Error("who lost a broker does not know it while Redis is away")
		}
		keeper.mu.Lock()
		keeper.refuses = false
		keeper.mu.Unlock()
		time.Sleep(time.Minute)
		outdated(true)
	})
}

// Losses are for all instances, in Redis.
func TestLossesAreKeptInRedis(t *testing.T) {
	r := redistest.Start(t)
	one, two := New(NewKeeper(r.Client, "tg:"), func() {}), New(NewKeeper(r.Client, "tg:"), func() {})
	defer one.Close()
	defer two.Close()
	if err := one.Keep(t.Context(), "alice:c", []byte("x"), time.Hour); err != nil {
		t.Fatal(err)
	}
	one.Lost("a:1")
	redistest.Eventually(t, "the other one knows", func() bool {
		k, err := two.Load(t.Context(), "alice:c")
		return err == nil && k.Outdated("a:1") && !k.Outdated("b:1")
	})
}
