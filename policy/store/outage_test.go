package store

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"topicgate/policy"
)

// quick makes the watcher as impatient as a test.
var quick = timed(func(t *timing) {
	t.canary, t.deaf, t.judge = 100*time.Millisecond, 500*time.Millisecond, 20*time.Millisecond
	t.openWait, t.fresh = 200*time.Millisecond, 50*time.Millisecond
})

// chatUser is a server with the rules of a chat, a store, and alice in room 7.
func chatUser(t *testing.T, with ...func(*Store, *Options)) (*testRedis, *testStore, *Grant) {
	t.Helper()
	r := startRedis(t)
	r.do("SET", "topicgate:acl", roomRules)
	r.do("SADD", "topicgate:user:alice:rooms", "7")
	s := startStore(t, "redis://"+r.addr, with...)
	eventually(t, "ready", func() bool { return s.Status().Ready }) // with a StaleMax of 0 it begins as one whose Redis is away
	g := s.open(t, policy.Principal{Username: "alice"})
	if !reads(g, "chat/room/7/x") {
		t.Fatal("alice does not read her room")
	}
	return r, s, g
}

func TestChangesGoOnAfterTheConnectionIsKilled(t *testing.T) {
	r, s, g := chatUser(t)
	for range 3 {
		before := s.count(resetFor(ResetLost))
		r.do("CLIENT", "KILL", "TYPE", "pubsub")
		r.do("SREM", "topicgate:user:alice:rooms", "7")
		eventually(t, "alice left", func() bool { return !reads(g, "chat/room/7/x") })
		eventually(t, "reset", func() bool { return s.count(resetFor(ResetLost)) > before && s.Status().Ready })
		r.do("SADD", "topicgate:user:alice:rooms", "7")
		eventually(t, "alice joined", func() bool { return reads(g, "chat/room/7/x") })
	}
}

func TestRestartedServerIsReadAgain(t *testing.T) {
	r, s, g := chatUser(t, quick)
	r.kill()
	eventually(t, "not ready", func() bool { return !s.Status().Ready })
	if !reads(g, "chat/room/7/x") {
		t.Error("what was allowed is denied before StaleMax")
	}
	r.start() // empty
	eventually(t, "nothing is allowed by an empty server", func() bool { return !reads(g, "chat/room/7/x") })
	r.do("SET", "topicgate:acl", roomRules)
	r.do("SADD", "topicgate:user:alice:rooms", "7")
	eventually(t, "alice is back", func() bool { return reads(g, "chat/room/7/x") && s.Status().Ready })
}

func TestHungServerIsNoticedByTheCanary(t *testing.T) {
	r, s, g := chatUser(t, quick)
	r.hang()
	eventually(t, "not ready", func() bool { return !s.Status().Ready })
	if _, err := s.Open(t.Context(), policy.Principal{Username: "bob"}, nil); !errors.Is(err, ErrUndecided) {
		t.Errorf("Open() with a hung server = %v; want ErrUndecided", err)
	}
	r.wake()
	eventually(t, "ready", func() bool { return s.Status().Ready })
	if s.count(resetFor(ResetDeaf)) == 0 {
		t.Error("no reset for a deaf connection")
	}
	r.do("DEL", "topicgate:user:alice:rooms")
	eventually(t, "alice left", func() bool { return !reads(g, "chat/room/7/x") })
	s.open(t, policy.Principal{Username: "bob"})
}

// Before the canary tells, a hung server is noticed by whoever asks it.
func TestOpenIsNotHeldUpByAHungServer(t *testing.T) {
	r, s, _ := chatUser(t)
	size := s.CachedKeys()
	r.hang()
	defer r.wake()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := s.Open(ctx, policy.Principal{Username: "bob"}, nil); !errors.Is(err, ErrUndecided) {
		t.Errorf("Open() = %v; want ErrUndecided", err)
	}
	if got := s.CachedKeys(); got != size {
		t.Errorf("CachedKeys() = %d after a failed Open; want %d", got, size)
	}
}

func TestServerAwayForTooLongFailsClosedAndHeals(t *testing.T) {
	for _, c := range []struct {
		name       string
		away, back func(*testRedis)
	}{
		{"hung", (*testRedis).hang, (*testRedis).wake},
		{"gone", func(r *testRedis) { r.do("SAVE"); r.kill() }, (*testRedis).start},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := startRedis(t)
			r.do("SET", "topicgate:acl", roomRules)
			r.do("SADD", "topicgate:user:alice:rooms", "7")
			s := startStore(t, "redis://"+r.addr, quick, staleMax(time.Second))
			var told atomic.Int64
			g := s.openWith(t, policy.Principal{Username: "alice"}, func() { told.Add(1) })
			c.away(r)
			eventually(t, "denied", func() bool { return !reads(g, "chat/room/7/x") })
			if got := g.Access().Receive([]byte("chat/room/7/x")).Reason; got != policy.ReasonUnavailable {
				t.Errorf("reason = %q; want %q", got, policy.ReasonUnavailable)
			}
			if got := g.Standing(); got != Unavailable {
				t.Errorf("Standing() = %v; want %v", got, Unavailable)
			}
			eventually(t, "changed was called", func() bool { return told.Load() > 0 })
			c.back(r)
			eventually(t, "allowed again", func() bool { return reads(g, "chat/room/7/x") })
			if got := g.Standing(); got != Good {
				t.Errorf("Standing() = %v; want %v", got, Good)
			}
			eventually(t, "changed was called again", func() bool { return told.Load() > 1 })
		})
	}
}

// What was changed while nobody listened must be known before anything is
// allowed again.
func TestHealingBeginsWithWhatWasMissed(t *testing.T) {
	r, _, g := chatUser(t, quick, staleMax(0))
	backEnd, err := net.Dial("tcp", r.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer backEnd.Close()
	r.do("PING") // served after the connection was accepted
	r.hang()
	eventually(t, "denied", func() bool { return !reads(g, "chat/room/7/x") })
	// Waits in the server's socket, and so is the first that it does when it wakes.
	if _, err := backEnd.Write([]byte("SREM topicgate:user:alice:rooms 7\r\nSADD topicgate:acl:user:alice \"read healed\"\r\n")); err != nil {
		t.Fatal(err)
	}
	var leaked atomic.Bool
	ctx, cancel := context.WithCancel(t.Context())
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		for ctx.Err() == nil {
			if reads(g, "chat/room/7/x") {
				leaked.Store(true)
			}
		}
	}()
	r.wake()
	eventually(t, "healed", func() bool { return reads(g, "healed") })
	cancel()
	<-watched
	if leaked.Load() {
		t.Error("alice could read the room that she had left while the server hung")
	}
}

func TestNobodyIsLetInWithoutRedis(t *testing.T) {
	s := startStore(t, "redis://127.0.0.1:1", quick)
	if _, err := s.Open(t.Context(), policy.Principal{Username: "alice"}, nil); !errors.Is(err, ErrUndecided) {
		t.Errorf("Open() = %v; want ErrUndecided", err)
	}
	if st := s.Status(); st.Ready || st.Detail["redis"] == "" {
		t.Errorf("Status() = %+v; want not ready, with a detail", st)
	}
}

func TestOpenAtTheStartWaitsForTheWatcher(t *testing.T) {
	r := startRedis(t)
	r.do("SET", "topicgate:acl", "pattern read a")
	s := startStore(t, "redis://"+r.addr)
	if g := s.open(t, policy.Principal{Username: "alice"}); !reads(g, "a") {
		t.Error("alice may not read a")
	}
}

// Some changes no connection tells of: everything is read again now and then.
func TestWhatRedisDoesNotTellOfIsReadInTheEnd(t *testing.T) {
	r, s, g := chatUser(t, timed(func(t *timing) { t.reread = 100 * time.Millisecond }))
	r.do("SWAPDB", "0", "1")
	eventually(t, "nothing is allowed by the other database", func() bool { return !reads(g, "chat/room/7/x") })
	eventually(t, "all is read again", func() bool { return s.count(resetFor(ResetPeriodic)) > 0 })
	r.do("SWAPDB", "0", "1")
	eventually(t, "alice is back", func() bool { return reads(g, "chat/room/7/x") })
}

// A text that needs what nobody has read yet comes into force when that is known: in between, what both texts allow
// stays allowed, or each session would leave its rooms and join them again.
func TestATextThatNeedsAnotherSetComesIntoForceWhole(t *testing.T) {
	r, s, g := chatUser(t)
	r.do("SADD", "topicgate:user:alice:groups", "7")
	for i := range 20 {
		set := []string{"{groups}", "{rooms}"}[i%2]
		var lost atomic.Bool
		ctx, cancel := context.WithCancel(t.Context())
		watched := make(chan struct{})
		go func() {
			defer close(watched)
			for ctx.Err() == nil {
				if !reads(g, "chat/room/7/x") {
					lost.Store(true)
				}
			}
		}()
		word := fmt.Sprint("text", i)
		r.do("SET", "topicgate:acl", "pattern read "+word+"\n"+strings.ReplaceAll(roomRules, "{rooms}", set)) // first: roomRules ends in a role
		eventually(t, word+" is in force", func() bool { return reads(g, word) && settled(s)() })
		cancel()
		<-watched
		if lost.Load() {
			t.Fatalf("alice could not read her room for a moment, while %s came into force", set)
		}
	}
}
