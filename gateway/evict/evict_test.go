package evict

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"

	"topicgate/frames"
	"topicgate/gateway/internal/play"
	"topicgate/gateway/internal/redistest"
	"topicgate/gateway/sleep"
	"topicgate/gateway/upstream"
	"topicgate/policy/store"
)

// rig is an Evictor with a Redis, and brokers that note who is visited.
type rig struct {
	*Evictor
	t     testing.TB
	redis *redistest.Server
	play.Visited

	mu     sync.Mutex
	forgot []string
	failed int
}

func newRig(t testing.TB, brokers ...string) *rig {
	t.Helper()
	r := &rig{t: t, redis: redistest.Start(t)}
	policies, err := store.New(store.Options{RedisURL: "redis://" + r.redis.Addr + "/0", Prefix: "tg:", StaleMax: time.Minute, Instance: "one"})
	if err != nil {
		t.Fatal(err)
	}
	o := upstream.Options{Dial: r.Dial, Observe: func(string) {}}
	for _, host := range brokers {
		o.URLs = append(o.URLs, &url.URL{Scheme: "tcp", Host: host})
	}
	index := sleep.NewIndex(policies.Client(), "tg:", 100, func(string) {})
	r.Evictor = New(Options{
		Policy: policies, Index: index, Brokers: upstream.New(o),
		Credentials: func(username string) (string, string) { return username, "" },
		Forget: func(id string) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.forgot = append(r.forgot, id)
		},
		Ended: func(ok bool) {
			r.mu.Lock()
			defer r.mu.Unlock()
			if !ok {
				r.failed++
			}
		},
		Logger: slog.New(slog.DiscardHandler),
	})
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = policies.Run(ctx) })
	running.Go(func() { r.Run(ctx) })
	t.Cleanup(func() {
		stop()
		running.Wait()
		index.Close()
		_ = policies.Close()
	})
	return r
}

// sleeps has a user's MQTT Session in the index.
func (r *rig) sleeps(username, id string) {
	r.t.Helper()
	r.Index.Note(username, id, time.Hour)
	redistest.Eventually(r.t, id+" is in the index", func() bool {
		ids, err := r.Index.Of(r.t.Context(), []string{username})
		return err == nil && slices.Contains(ids[0], id)
	})
}

// visited is the Client Identifiers that were taken over, sorted.
func (r *rig) visited() (ids []string) {
	for _, c := range r.Connects() {
		ids = append(ids, c.ClientID)
	}
	slices.Sort(ids)
	return ids
}

// ends waits until these have been ended, and forgotten everywhere.
func (r *rig) ends(username string, ids ...string) {
	r.t.Helper()
	redistest.Eventually(r.t, fmt.Sprint(ids, " are ended"), func() bool {
		left, err := r.Index.Of(r.t.Context(), []string{username})
		r.mu.Lock()
		defer r.mu.Unlock()
		slices.Sort(r.forgot)
		return err == nil && len(left[0]) == 0 && slices.Equal(r.forgot, ids)
	})
}

// Whoever is blocked has what sleeps ended at each broker; nobody else has.
func TestWhatSleepsOfABlockedUserIsEnded(t *testing.T) {
	r := newRig(t, "a", "b")
	r.sleeps("alice", "alice:1")
	r.sleeps("alice", "alice:2")
	r.sleeps("bob", "bob:1")
	r.redis.Run("SADD", "tg:blocked", "alice", "nobody")
	r.ends("alice", "alice:1", "alice:2")
	if got := r.visited(); !slices.Equal(got, []string{"alice:1", "alice:1", "alice:2", "alice:2"}) {
		t.Errorf("visited %q; want each of alice's at two brokers", got)
	}
	for _, c := range r.Connects() {
		if expiry, ok := c.Properties.Uint(frames.PropSessionExpiryInterval); c.Version != frames.V5 || c.CleanStart || ok || c.Username != "alice" {
			t.Errorf("taken over with %+v, to be kept for %d s; want its end", c, expiry)
		}
	}
}

// A user who is blocked while the gateway starts, or was while it was down, is found.
func TestWhoWasBlockedBeforeIsFound(t *testing.T) {
	r := newRig(t, "a")
	r.redis.Run("ZADD", "tg:sleeping:alice", time.Now().Add(time.Hour).Unix(), "alice:1")
	r.redis.Run("SADD", "tg:blocked", "alice")
	r.ends("alice", "alice:1")
}

// A session that ends after everything was looked at, since its user is blocked, leaves another MQTT Session.
func TestWhatFallsAsleepOfABlockedUserIsEnded(t *testing.T) {
	r := newRig(t, "a")
	r.sleeps("alice", "alice:1")
	r.redis.Run("SADD", "tg:blocked", "alice")
	r.ends("alice", "alice:1")
	r.sleeps("alice", "alice:2")
	r.Slept("bob")
	r.Slept("alice")
	r.ends("alice", "alice:1", "alice:2")
}

// Changes without end put nobody's eviction off.
func TestChangesWithoutEndKeepNothingFromBeingEnded(t *testing.T) {
	r := newRig(t, "a")
	r.sleeps("alice", "alice:1")
	r.redis.Run("SADD", "tg:blocked", "alice")
	n := 0
	redistest.Eventually(t, "alice's is ended", func() bool {
		n++
		r.redis.Run("SADD", "tg:blocked", fmt.Sprint("u", n)) // sooner after one another than a change is left to settle
		return len(r.Connects()) > 0
	})
	r.ends("alice", "alice:1")
}

// A broker that is away has what sleeps there ended when it is back.
func TestABrokerThatIsAwayIsVisitedLater(t *testing.T) {
	r := newRig(t, "a")
	var mu sync.Mutex
	back := false
	r.Answers = func(_ int, c frames.Connect) []byte {
		mu.Lock()
		defer mu.Unlock()
		if !back {
			return nil
		}
		return play.Accepted(c.Version)
	}
	r.sleeps("alice", "alice:1")
	r.redis.Run("SADD", "tg:blocked", "alice")
	redistest.Eventually(t, "it was tried twice", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.failed >= 2
	})
	mu.Lock()
	back = true
	mu.Unlock()
	r.ends("alice", "alice:1")
}

// Who is not blocked any more keeps what sleeps, and may be blocked again.
func TestWhoIsUnblockedKeepsWhatSleeps(t *testing.T) {
	r := newRig(t, "a")
	r.redis.Run("SADD", "tg:blocked", "alice")
	r.redis.Run("SREM", "tg:blocked", "alice")
	r.sleeps("alice", "alice:1")
	r.redis.Run("SADD", "tg:blocked", "bob")
	r.sleeps("bob", "bob:1")
	r.Slept("bob")
	r.ends("bob", "bob:1")
	if got := r.visited(); !slices.Equal(got, []string{"bob:1"}) {
		t.Errorf("visited %q; want bob's alone", got)
	}
	r.redis.Run("SADD", "tg:blocked", "alice")
	r.ends("alice", "alice:1", "bob:1")
}
