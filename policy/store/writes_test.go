package store

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"topicgate/policy"
)

// A Redis that answers reads but takes no writes is not away: what a session may do is still known, and by whatever
// command it changes, that is followed.
func TestRedisThatRefusesWritesIsWatched(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "gone")
	for _, c := range []struct {
		name, says string
		args       []string
		begin, end [][]any
		change     []any // takes alice's room; nil: nothing can
	}{
		{name: "out of memory", says: "OOM",
			begin:  [][]any{{"CONFIG", "SET", "maxmemory-policy", "noeviction"}, {"CONFIG", "SET", "maxmemory", "1"}},
			end:    [][]any{{"CONFIG", "SET", "maxmemory", "0"}},
			change: []any{"SREM", "topicgate:user:alice:rooms", "7"}},
		{name: "too few replicas", says: "NOREPLICAS",
			begin: [][]any{{"CONFIG", "SET", "min-replicas-to-write", "1"}},
			end:   [][]any{{"CONFIG", "SET", "min-replicas-to-write", "0"}}},
		{name: "cannot save", says: "MISCONF", args: []string{"--dir", dir, "--save", "3600 1"},
			begin: [][]any{{"BGSAVE"}},
			end:   [][]any{{"CONFIG", "SET", "stop-writes-on-bgsave-error", "no"}}},
		{name: "the gateway may not", says: "NOPERM",
			begin:  [][]any{{"ACL", "SETUSER", "default", "-set"}},
			end:    [][]any{{"ACL", "SETUSER", "default", "+set"}},
			change: []any{"SREM", "topicgate:user:alice:rooms", "7"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := os.MkdirAll(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			r := startRedis(t, c.args...)
			r.do("SET", "topicgate:acl", roomRules)
			r.do("SADD", "topicgate:user:alice:rooms", "7")
			r.do("SET", "topicgate:revoked:old", "", "PX", "3600000")
			if err := os.RemoveAll(dir); err != nil {
				t.Fatal(err)
			}
			s := startStore(t, "redis://"+r.addr, quick, staleMax(0))
			alice := s.open(t, policy.Principal{Username: "alice"})
			before := s.count(away)
			for _, words := range c.begin {
				r.do(words...)
			}
			refused := func(s *testStore) {
				t.Helper()
				eventually(t, "status tells the true error", func() bool { return strings.Contains(s.Status().Detail["redis_writes"], c.says) })
				if st := s.Status(); !st.Ready || st.Detail["redis"] != "ok" {
					t.Errorf("Status() = %+v; want ready", st)
				}
			}
			refused(s)
			// Well beyond the time after which a connection counts as deaf.
			start := s.canarySeen(t)
			eventually(t, "canaries come for long", func() bool { return s.canarySeen(t).Sub(start) > 2*s.timing.deaf })
			if !reads(alice, "chat/room/7/x") || s.count(resetFor(ResetDeaf)) != 0 {
				t.Error("alice is denied her room, or the connection counted as deaf")
			}
			fresh := startStore(t, "redis://"+r.addr, quick) // in this state
			bob := fresh.open(t, policy.Principal{Username: "alice", ClientID: "2"})
			if !reads(bob, "chat/room/7/x") {
				t.Error("a store that starts now does not know alice's room")
			}
			refused(fresh)
			if c.change != nil {
				r.do(c.change...)
				eventually(t, "alice left", func() bool { return !reads(alice, "chat/room/7/x") && !reads(bob, "chat/room/7/x") })
			}
			for _, words := range c.end {
				r.do(words...)
			}
			eventually(t, "writes work again", func() bool { return s.Status().Detail["redis_writes"] == "" })
			r.do("SADD", "topicgate:user:alice:rooms", "8")
			eventually(t, "alice joined", func() bool { return reads(alice, "chat/room/8/x") && reads(bob, "chat/room/8/x") })
			s.mu.Lock()
			defer s.mu.Unlock()
			if n := strings.Count(s.log.String(), "redis refuses writes"); n != 1 {
				t.Errorf("it was logged %d times that Redis refuses writes; want once", n)
			}
			if n := s.countLocked(away) - before; n != 0 {
				t.Errorf("Redis was away %d times; want never", n)
			}
		})
	}
}

// canarySeen is when the canary was sent that the connection to the only server has told of last.
func (s *testStore) canarySeen(t *testing.T) time.Time {
	t.Helper()
	s.watch.mu.Lock()
	defer s.watch.mu.Unlock()
	return s.watch.nodes[""].seen
}

// counting is a hook that counts pipelines.
type counting struct {
	gate
	n *atomic.Int64
}

func (h counting) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		h.n.Add(1)
		return next(ctx, cmds)
	}
}

// A replica is not the server that changes come to: there no message proves anything.
func TestAReplicaIsNotTrusted(t *testing.T) {
	master := startRedis(t)
	r := startRedis(t, "--replicaof", "127.0.0.1 "+strconv.Itoa(master.port))
	s := startStore(t, "redis://"+r.addr, quick)
	var tried atomic.Int64
	s.client.AddHook(counting{gate{}, &tried})
	eventually(t, "canaries were tried", func() bool { return tried.Load() > 5 })
	if st := s.Status(); st.Ready {
		t.Errorf("Status() of a store on a replica = %+v; want not ready", st)
	}
}

// Whether a session could be served is tried with what one uses, whoever asks, and the command is named.
func TestStatusTriesWhatASessionUses(t *testing.T) {
	for _, command := range []string{"getrange", "sscan", "scard", "pttl", "exists", "smismember"} {
		t.Run(command, func(t *testing.T) {
			r := startRedis(t)
			r.do("SET", "topicgate:acl", roomRules)
			r.do("ACL", "SETUSER", "gateway", "on", ">pw", "~*", "&*", "+@all", "-"+command)
			s := startStore(t, "redis://gateway:pw@"+r.addr, quick)
			eventually(t, "watched", func() bool { return s.watch.isLive() })
			eventually(t, "not ready, for the command", func() bool {
				st := s.Status()
				return !st.Ready && strings.Contains(st.Detail["redis"], command+": NOPERM")
			})
			r.do("ACL", "SETUSER", "gateway", "+"+command)
			eventually(t, "ready", func() bool { return s.Status().Ready })
			s.open(t, policy.Principal{Username: "alice", TokenID: "1"})
		})
	}
}

// The watch and its commands are named, too.
func TestStatusNamesWhatTheWatchMayNot(t *testing.T) {
	for _, command := range []string{"client|tracking", "subscribe"} {
		r := startRedis(t)
		r.do("ACL", "SETUSER", "gateway", "on", ">pw", "~*", "&*", "+@all", "-"+command)
		s := startStore(t, "redis://gateway:pw@"+r.addr, quick)
		eventually(t, "not ready, for "+command, func() bool {
			st := s.Status()
			return !st.Ready && strings.Contains(st.Detail["redis"], "NOPERM") && strings.Contains(st.Detail["redis"], command)
		})
	}
}

// What is skipped in a set is told when it comes, though it changes nothing for anybody.
func TestSkippedValuesAreLoggedOnLiveSessions(t *testing.T) {
	r, s, alice := chatUser(t)
	eventually(t, "settled", settled(s))
	before := alice.Access().Serial()
	r.do("SADD", "topicgate:user:alice:rooms", "a/b", "+")
	eventually(t, "it is logged", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return strings.Contains(s.log.String(), "redis key holds what is skipped") && strings.Contains(s.log.String(), "2 of 3 values")
	})
	eventually(t, "settled", settled(s))
	if alice.Access().Serial() != before {
		t.Error("alice was built anew for what changes nothing")
	}
}

func TestOldestChangeCountsUntilItIsFelt(t *testing.T) {
	s, _ := stillStore(t, time.Minute, time.Now())
	s.readAll()
	if got := s.OldestChange(); got != 0 {
		t.Errorf("OldestChange() with nothing to do = %v; want 0", got)
	}
	g := waiter(s, "alice")
	s.cache.mu.Lock()
	s.cache.wantBuild(g, time.Now().Add(-time.Hour))
	s.cache.mu.Unlock()
	if got := s.OldestChange(); got < time.Hour {
		t.Errorf("OldestChange() = %v; want the hour that it has waited", got)
	}
	s.buildOne(t)
	if got := s.OldestChange(); got != 0 {
		t.Errorf("OldestChange() after the build = %v; want 0", got)
	}
	// What a session needs that is only being opened is nobody's change.
	s.watch.live = true
	o := s.Begin(policy.Principal{Username: "bob"}, nil)
	if got := s.OldestChange(); got != 0 {
		t.Errorf("OldestChange() during an Open = %v; want 0", got)
	}
	o.g.Close()
}
