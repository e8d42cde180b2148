package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"topicgate/policy"
)

func TestBlockedAndRevokedAreToldAtOnce(t *testing.T) {
	r, s, _ := chatUser(t)
	var told atomic.Int64
	g := s.openWith(t, policy.Principal{Username: "bob", TokenID: "jti:1"}, func() { told.Add(1) })
	standing := func(want Standing) {
		t.Helper()
		eventually(t, "standing "+want.String(), func() bool { return g.Standing() == want })
	}
	standing(Good)
	r.do("SADD", "topicgate:blocked", "bob", "carol")
	standing(Blocked)
	eventually(t, "changed was called", func() bool { return told.Load() > 0 })
	if got := s.open(t, policy.Principal{Username: "carol"}).Standing(); got != Blocked {
		t.Errorf("Standing() of carol = %v; want %v", got, Blocked)
	}
	if got := s.open(t, policy.Principal{Username: "alice"}).Standing(); got != Good {
		t.Errorf("Standing() of alice = %v; want %v", got, Good)
	}
	r.do("SREM", "topicgate:blocked", "bob")
	standing(Good)
	r.do("SET", "topicgate:revoked:jti:1", "", "EX", "100")
	standing(Revoked)
	if got := s.open(t, policy.Principal{Username: "bob", TokenID: "jti:1"}).Standing(); got != Revoked {
		t.Errorf("Standing() of the same token = %v; want %v", got, Revoked)
	}
	r.do("SADD", "topicgate:blocked", "bob") // and another token would not help
	standing(Blocked)
	r.do("SREM", "topicgate:blocked", "bob")
	standing(Revoked)
	g.Renew(policy.Principal{Username: "mallory", TokenID: "jti:2", Roles: []string{"moderator"}})
	standing(Good)
	if !reads(g, "chat/to/bob") || reads(g, "chat/to/mallory") || !reads(g, "chat/room/1/x") {
		t.Error("after Renew: want bob's rules and the new role, whatever the username")
	}
}

func TestKeyWithTTLEndsThoughRedisDoesNotSay(t *testing.T) {
	r, s, g := chatUser(t)
	r.do("DEBUG", "SET-ACTIVE-EXPIRE", "0") // as if among very many keys with a TTL
	r.do("PEXPIRE", "topicgate:user:alice:rooms", "100")
	eventually(t, "alice left", func() bool { return !reads(g, "chat/room/7/x") })
	_ = s
}

func TestTextThatDoesNotParseLeavesTheLastGoodOne(t *testing.T) {
	r, s, g := chatUser(t)
	for _, bad := range [][]any{
		{"SET", "topicgate:acl", "pattern read a/%x\n"},
		{"LPUSH", "topicgate:acl", "x"},
	} {
		r.do("SET", "topicgate:acl", roomRules)
		eventually(t, "good text", func() bool { return s.Status().Detail["policy_redis"] == "" })
		if bad[0] == "LPUSH" {
			r.do("RENAME", "topicgate:acl", "elsewhere")
			eventually(t, "no text", func() bool { return !reads(g, "chat/to/alice") })
			r.do("RENAME", "elsewhere", "topicgate:acl")
			eventually(t, "good text", func() bool { return reads(g, "chat/to/alice") })
			r.do("LPUSH", "list", "x")
			bad = []any{"RENAME", "list", "topicgate:acl"}
		}
		r.do(bad...)
		eventually(t, "refused", func() bool {
			return strings.Contains(s.Status().Detail["policy_redis"], "last good one is in force")
		})
		if !reads(g, "chat/room/7/x") || !reads(s.open(t, policy.Principal{Username: "bob"}), "chat/to/bob") {
			t.Errorf("%v: the last good text is not in force", bad)
		}
		r.do("DEL", "topicgate:acl")
	}
	if s.count(func(e Event) bool { return e.Kind == EventPolicy && !e.OK }) < 2 {
		t.Error("refused texts were not observed")
	}
}

func TestTextThatNeverWasGoodAllowsNothing(t *testing.T) {
	r := startRedis(t)
	r.do("SET", "topicgate:acl", "pattern raed a\n")
	s := startStore(t, "redis://"+r.addr, file(writeFile(t, "rules.acl", "pattern read file/%u\n")))
	g := s.open(t, policy.Principal{Username: "alice"})
	if reads(g, "a") || !reads(g, "file/alice") {
		t.Error("want what the file allows, and nothing else")
	}
	if got := s.Status().Detail["policy_redis"]; !strings.Contains(got, "allows nothing") || !strings.Contains(got, "topicgate:acl:1") {
		t.Errorf("Status().Detail[policy_redis] = %q; want the line, and that it allows nothing", got)
	}
	r.do("SET", "topicgate:acl", "pattern read a\n")
	eventually(t, "good text", func() bool { return reads(g, "a") && s.Status().Detail["policy_redis"] == "" })
}

func TestSetKeyOfAnotherTypeCountsAsEmpty(t *testing.T) {
	r, s, g := chatUser(t)
	r.do("SET", "topicgate:user:alice:rooms", "7")
	eventually(t, "alice left", func() bool { return !reads(g, "chat/room/7/x") })
	if !reads(g, "chat/to/alice") {
		t.Error("the other rules do not count any more")
	}
	if got := s.Status(); !got.Ready || !strings.Contains(got.Detail["wrong_keys"], "topicgate:user:alice:rooms") {
		t.Errorf("Status() = %+v; want ready, and the key named", got)
	}
	r.do("DEL", "topicgate:user:alice:rooms")
	r.do("SADD", "topicgate:user:alice:rooms", "7")
	eventually(t, "alice joined", func() bool { return reads(g, "chat/room/7/x") && s.Status().Detail["wrong_keys"] == "" })
}

func TestBlockedSetOfAnotherTypeLetsNobodyNewIn(t *testing.T) {
	r, s, alice := chatUser(t)
	r.do("SADD", "topicgate:blocked", "bob")
	bob := s.open(t, policy.Principal{Username: "bob"})
	r.do("SET", "topicgate:blocked", "mallory")
	eventually(t, "not ready", func() bool { return !s.Status().Ready })
	if _, err := s.Open(t.Context(), policy.Principal{Username: "mallory"}, nil); !errors.Is(err, ErrUndecided) {
		t.Errorf("Open() = %v; want ErrUndecided", err)
	}
	if alice.Standing() != Good || bob.Standing() != Blocked {
		t.Errorf("standings %v, %v; want those before: %v, %v", alice.Standing(), bob.Standing(), Good, Blocked)
	}
	r.do("DEL", "topicgate:blocked")
	eventually(t, "ready", func() bool { return s.Status().Ready && bob.Standing() == Good })
	s.open(t, policy.Principal{Username: "mallory"})
}

func TestLineInASetIsSkippedAlone(t *testing.T) {
	r, s, g := chatUser(t)
	r.do("SADD", "topicgate:acl:user:alice", "read a", "raed b", "read c/#/d", "deny e")
	eventually(t, "good line", func() bool { return reads(g, "a") })
	s.mu.Lock()
	defer s.mu.Unlock()
	if !strings.Contains(s.log.String(), "redis key holds what is skipped") {
		t.Error("no warning was logged")
	}
}

func TestReloadedFileIsInForceForAll(t *testing.T) {
	r := startRedis(t)
	r.do("SADD", "topicgate:user:alice:teams", "red")
	path := writeFile(t, "rules.acl", "pattern read old/%u\n")
	s := startStore(t, "redis://"+r.addr, file(path))
	g := s.open(t, policy.Principal{Username: "alice"})
	if err := os.WriteFile(path, []byte("pattern read new/{teams}\npattern raed x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var problems policy.Problems
	if err := s.Reload(); !errors.As(err, &problems) || problems[0].Line != 2 {
		t.Errorf("Reload() = %v; want a problem in line 2", err)
	}
	if !reads(g, "old/alice") || s.Status().Detail["policy_file"] == "" {
		t.Error("the old file is not in force, or Status does not tell")
	}
	if err := os.WriteFile(path, []byte("pattern read new/{teams}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Reload(); err != nil {
		t.Errorf("Reload() = %v", err)
	}
	eventually(t, "new file with its set", func() bool { return reads(g, "new/red") && !reads(g, "old/alice") })
}

func TestConcurrentOpensOfOneUserShareALoad(t *testing.T) {
	r, s, _ := chatUser(t)
	before := r.calls()
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			g, err := s.Open(context.Background(), policy.Principal{Username: "bob", ClientID: fmt.Sprint(i)}, nil)
			if err != nil {
				t.Errorf("Open() = %v", err)
				return
			}
			t.Cleanup(g.Close)
		})
	}
	wg.Wait()
	// bob's lines, roles, rooms, banned.
	if got := r.calls()["sscan"] - before["sscan"]; got != 4 {
		t.Errorf("200 sessions of one user read %d sets; want 4", got)
	}
}

func TestClosedGrantsLeaveNothingBehind(t *testing.T) {
	_, s, first := chatUser(t)
	var grants []*Grant
	size := s.CachedKeys()
	for i := range 300 {
		g, err := s.Open(t.Context(), policy.Principal{Username: fmt.Sprint("user", i%100), TokenID: fmt.Sprint(i), Roles: []string{"moderator"}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		grants = append(grants, g)
	}
	if got := s.CachedKeys(); got <= size {
		t.Errorf("CachedKeys() = %d; want more than %d", got, size)
	}
	for i := range grants {
		grants[(i*7)%300].Close()
	}
	if got := s.CachedKeys(); got != size {
		t.Errorf("CachedKeys() = %d after closing all but one; want %d", got, size)
	}
	first.Close()
	first.Close() // does no harm
	if got := s.CachedKeys(); got != 1 {
		t.Errorf("CachedKeys() = %d after closing all; want 1, the rule text", got)
	}
}
