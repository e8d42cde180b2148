package store

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"

	"topicgate/policy"
)

// fill gives a key n members that begin with prefix.
func (r *testRedis) fill(key, prefix string, n int) {
	r.t.Helper()
	const some = 10_000
	for from := 0; from < n; from += some {
		members := make([]any, 0, some)
		for i := from; i < min(n, from+some); i++ {
			members = append(members, fmt.Sprint(prefix, i))
		}
		if err := r.SAdd(context.Background(), key, members...).Err(); err != nil {
			r.t.Fatal(err)
		}
	}
}

// refusedFor is the Reason for which a topic may not be read.
func refusedFor(g *Grant, topicName string) string {
	return g.Access().Receive([]byte(topicName)).Reason
}

func TestALargeSetIsReadInPieces(t *testing.T) {
	const members = 12_000
	r, s, _ := chatUser(t, quick)
	r.fill("topicgate:user:bob:rooms", "r", members)
	s.known(t)
	before := r.calls()
	bob := s.open(t, policy.Principal{Username: "bob"})
	for _, room := range []string{"r0", "r999", "r1000", fmt.Sprint("r", members-1)} {
		if !reads(bob, "chat/room/"+room+"/x") {
			t.Errorf("bob does not read room %s of his %d", room, members)
		}
	}
	after := r.calls()
	if got, want := after["sscan"]-before["sscan"], members/pieceMembers; got < want || got > 3*want {
		t.Errorf("%d members were read in %d pieces; want about %d", members, got, want)
	}
	if got := after["scard"] - before["scard"]; got != 1 {
		t.Errorf("the size was asked %d times; want once", got)
	}
	r.do("SREM", "topicgate:user:bob:rooms", "r0")
	eventually(t, "bob left", func() bool { return !reads(bob, "chat/room/r0/x") && reads(bob, "chat/room/r1/x") })
	r.do("DEL", "topicgate:user:bob:rooms")
	eventually(t, "bob left all", func() bool { return !reads(bob, "chat/room/r1/x") })
	eventually(t, "the set is a small one again", func() bool {
		s.cache.mu.Lock()
		defer s.cache.mu.Unlock()
		return !s.cache.entries["topicgate:user:bob:rooms"].slow
	})
}

// What is too large is not read, not even in part: the rest of it might be what a deny needs.
func TestWhatIsTooLargeConcernsThoseWhoNeedItAlone(t *testing.T) {
	long := strings.Repeat("x", 1<<20)
	for _, c := range []struct {
		name  string
		key   string
		fill  func(r *testRedis, key string)
		token []string // roles
	}{
		{"values", "topicgate:user:carol:rooms", func(r *testRedis, key string) { r.fill(key, "", maxMembers+1) }, nil},
		{"values of a deny", "topicgate:user:carol:banned", func(r *testRedis, key string) { r.fill(key, "", maxMembers+1) }, nil},
		{"lines", "topicgate:acl:user:carol", func(r *testRedis, key string) { r.fill(key, "read chat/room/", maxLines+1) }, nil},
		{"lines of a role", "topicgate:acl:role:mod", func(r *testRedis, key string) { r.fill(key, "read chat/room/", maxLines+1) }, []string{"mod"}},
		{"roles", "topicgate:user:carol:roles", func(r *testRedis, key string) { r.fill(key, "role", maxRoles+1) }, nil},
		{"bytes", "topicgate:user:carol:rooms", func(r *testRedis, key string) { r.fill(key, long, maxBytes>>20+1) }, nil},
		{"bytes of one reply", "topicgate:user:carol:rooms", func(r *testRedis, key string) { r.fill(key, long, maxReply>>20+1) }, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, s, alice := chatUser(t)
			carol := s.open(t, policy.Principal{Username: "carol", Roles: c.token})
			if !reads(carol, "chat/to/carol") {
				t.Fatal("carol may not read what is for her")
			}
			c.fill(r, c.key)
			eventually(t, "carol is denied", func() bool { return refusedFor(carol, "chat/to/carol") == policy.ReasonTooLarge })
			eventually(t, "settled", settled(s))
			again := s.open(t, policy.Principal{Username: "carol", ClientID: "again", Roles: c.token})
			if got := refusedFor(again, "chat/to/carol"); got != policy.ReasonTooLarge {
				t.Errorf("of a new session the reason is %q; want %q", got, policy.ReasonTooLarge)
			}
			if got := again.Access().Subscribe("chat/#").Reason; got != policy.ReasonTooLarge {
				t.Errorf("a subscription is refused for %q; want %q", got, policy.ReasonTooLarge)
			}
			if again.Standing() != Good || !reads(alice, "chat/room/7/x") || !reads(s.open(t, policy.Principal{Username: "bob"}), "chat/to/bob") {
				t.Error("carol's trouble is another's")
			}
			st := s.Status()
			if !st.Ready || !strings.Contains(st.Detail["denied"], `"carol"`) || c.name != "roles" && !strings.Contains(st.Detail["too_large"], c.key) {
				t.Errorf("Status() = %+v; want ready, with carol and %s named", st, c.key)
			}
			s.mu.Lock()
			logged := strings.Contains(s.log.String(), "too large")
			s.mu.Unlock()
			if !logged {
				t.Error("nothing is logged")
			}
			r.do("DEL", c.key)
			eventually(t, "carol is well", func() bool { return reads(carol, "chat/to/carol") && reads(again, "chat/to/carol") })
			if st := s.Status(); st.Detail["denied"] != "" || st.Detail["too_large"] != "" {
				t.Errorf("Status() = %+v; want nothing of what was", st)
			}
		})
	}
}

// The first session of a user whose keys are too large finds that out, though nobody has read them before.
func TestTheFirstWhoNeedsWhatIsTooLargeIsLetIn(t *testing.T) {
	r, s, _ := chatUser(t)
	long := strings.Repeat("x", 1<<20)
	r.fill("topicgate:user:carol:rooms", long, maxReply>>20+1)
	r.fill("topicgate:acl:user:dave", "read chat/room/", maxLines+1)
	for _, user := range []string{"carol", "dave"} {
		if got := refusedFor(s.open(t, policy.Principal{Username: user}), "chat/to/"+user); got != policy.ReasonTooLarge {
			t.Errorf("%s is refused for %q; want %q", user, got, policy.ReasonTooLarge)
		}
	}
	// One key alone that nobody has read, since it is the only one that is new.
	r.fill("topicgate:acl:role:mod", long, maxReply>>20+1)
	alice := s.open(t, policy.Principal{Username: "alice", ClientID: "2", Roles: []string{"mod"}})
	if got := refusedFor(alice, "chat/to/alice"); got != policy.ReasonTooLarge {
		t.Errorf("alice as mod is refused for %q; want %q", got, policy.ReasonTooLarge)
	}
}

func TestATooLargeSetIsNotRead(t *testing.T) {
	r, s, _ := chatUser(t, quick)
	r.fill("topicgate:user:carol:rooms", "", maxMembers+1)
	s.known(t)
	before := r.calls()
	s.open(t, policy.Principal{Username: "carol"})
	// Her lines, roles, rooms, banned; and one piece more of the rooms, with the size.
	if got := r.calls()["sscan"] - before["sscan"]; got != 5 {
		t.Errorf("SSCAN was called %d times; want 5", got)
	}
}

func TestATooLargeTextLeavesTheLastGoodOne(t *testing.T) {
	r, s, alice := chatUser(t)
	r.do("SET", "topicgate:acl", "#"+strings.Repeat("x", maxText)+"\npattern read all\n")
	eventually(t, "refused", func() bool { return strings.Contains(s.Status().Detail["policy_redis"], "last good one is in force") })
	if !reads(alice, "chat/room/7/x") || reads(alice, "all") {
		t.Error("the last good text is not in force")
	}
}

// However many keys are slow to read, others are read meanwhile, large ones too.
func TestALargeReadHoldsUpNobodyElse(t *testing.T) {
	r, s, alice := chatUser(t)
	g := gate{user: "mallory", open: make(chan struct{})}
	s.alone.AddHook(g)
	for _, set := range []string{"rooms", "banned", "roles"} {
		r.fill("topicgate:user:mallory:"+set, "", 3*pieceMembers)
	}
	r.fill("topicgate:user:bob:rooms", "r", 3*pieceMembers)
	ctx, cancel := context.WithCancel(t.Context())
	opened := make(chan struct{})
	go func() {
		defer close(opened)
		if m, err := s.Open(ctx, policy.Principal{Username: "mallory"}, nil); err == nil {
			m.Close()
		}
	}()
	eventually(t, "mallory's sets are being read", func() bool {
		s.cache.mu.Lock()
		defer s.cache.mu.Unlock()
		a := s.cache.accounts["mallory"]
		return a != nil && a.scans.Held() && a.scans.Len() == 2
	})
	r.do("SREM", "topicgate:user:alice:rooms", "7")
	eventually(t, "alice left", func() bool { return !reads(alice, "chat/room/7/x") })
	bob := s.open(t, policy.Principal{Username: "bob"})
	r.do("SREM", "topicgate:user:bob:rooms", "r7")
	eventually(t, "bob left", func() bool { return !reads(bob, "chat/room/r7/x") && reads(bob, "chat/room/r8/x") })
	cancel()
	close(g.open)
	<-opened
}

// switchable is a hook that fails what concerns a user for as long as it is on.
type switchable struct {
	gate
	on *atomic.Bool
}

func (h switchable) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	failing := h.gate.ProcessPipelineHook(next)
	return func(ctx context.Context, cmds []redis.Cmder) error {
		if h.on.Load() {
			return failing(ctx, cmds)
		}
		return next(ctx, cmds)
	}
}
