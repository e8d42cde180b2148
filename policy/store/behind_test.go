package store

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"topicgate/policy"
)

// A key that cannot be read while others are read well is no sign that Redis is away.
func TestWhoIsBehindIsDeniedAlone(t *testing.T) {
	r, s, alice := chatUser(t, quick, staleMax(0))
	before := s.count(away)
	var told atomic.Int64
	mallory := s.openWith(t, policy.Principal{Username: "mallory"}, func() { told.Add(1) })
	h := switchable{gate{user: "user:mallory", fail: true}, &atomic.Bool{}}
	s.client.AddHook(h)
	s.alone.AddHook(h)
	h.on.Store(true)
	r.do("SADD", "topicgate:user:mallory:rooms", "9")
	eventually(t, "mallory is denied", func() bool { return refusedFor(mallory, "chat/to/mallory") == policy.ReasonUnavailable })
	if got := mallory.Standing(); got != Unavailable {
		t.Errorf("Standing() = %v; want %v", got, Unavailable)
	}
	eventually(t, "changed was called", func() bool { return told.Load() > 0 })
	if _, err := s.Open(t.Context(), policy.Principal{Username: "mallory", ClientID: "2"}, nil); !errors.Is(err, ErrUndecided) {
		t.Errorf("Open(mallory) = %v; want ErrUndecided", err)
	}
	for range 3 {
		r.do("SREM", "topicgate:user:alice:rooms", "7")
		eventually(t, "alice left", func() bool { return !reads(alice, "chat/room/7/x") && reads(alice, "chat/to/alice") })
		r.do("SADD", "topicgate:user:alice:rooms", "7")
		eventually(t, "alice joined", func() bool { return reads(alice, "chat/room/7/x") })
	}
	if st := s.Status(); !st.Ready || !strings.Contains(st.Detail["behind"], `"mallory"`) {
		t.Errorf("Status() = %+v; want ready, with mallory named", st)
	}
	if reads(mallory, "chat/to/mallory") || s.OldestChange() == 0 {
		t.Error("mallory is allowed something, or nobody waits")
	}
	s.mu.Lock()
	logged := strings.Contains(s.log.String(), "could not be read for too long") && strings.Contains(s.log.String(), "too much for this server")
	s.mu.Unlock()
	if !logged {
		t.Error("the log does not say that mallory is denied, and why")
	}
	h.on.Store(false)
	eventually(t, "mallory is back", func() bool { return reads(mallory, "chat/room/9/x") && mallory.Standing() == Good })
	eventually(t, "settled", settled(s))
	if n := s.count(away) - before; n != 0 || s.OldestChange() != 0 {
		t.Errorf("Redis was away %d times, a change waits for %v; want never, 0s", n, s.OldestChange())
	}
	if st := s.Status(); st.Detail["behind"] != "" {
		t.Errorf("Status() = %+v; want nobody behind", st)
	}
}

// waiter is a grant of a store that nothing runs.
func waiter(s *Store, username string) *Grant {
	c := &s.cache
	c.mu.Lock()
	defer c.mu.Unlock()
	g := &Grant{store: s, open: true, principal: policy.Principal{Username: username}, account: c.account(username)}
	c.grants[g] = struct{}{}
	needed, _ := s.resolve(g)
	c.attach(g, needed)
	g.access.Store(policy.NewAccess(g.principal, nil))
	for _, e := range needed {
		if e.value == nil {
			e.value, e.dirty = emptyValue, time.Time{}
		}
	}
	return g
}

// What keeps a grant behind may be its key, on every step of the way, or that it is not built: the mark goes on.
func TestAMarkIsFeltOnlyInTheEnd(t *testing.T) {
	now := time.Now()
	s, _ := stillStore(t, time.Minute, now)
	s.readAll()
	alice, bob := waiter(s, "alice"), waiter(s, "bob")
	c := &s.cache
	c.reading = true
	old := now.Add(-time.Hour)
	limit := now.Add(-time.Minute)
	behind := func(step string, want bool) {
		t.Helper()
		c.judgeGrants(limit)
		if alice.behind.Load() != want || bob.behind.Load() {
			t.Errorf("%s: alice is behind: %v, bob: %v; want %v, false", step, alice.behind.Load(), bob.behind.Load(), want)
		}
		if got := c.oldest(); got.Equal(old) != want {
			t.Errorf("%s: the oldest change is of %v; want it of %v: %v", step, got, old, want)
		}
	}
	behind("at first", false)
	roles := c.entries["topicgate:user:alice:roles"]
	c.mu.Lock()
	c.markEntry(roles, old)
	c.mu.Unlock()
	behind("a key is to be read", true)
	_, l, _ := c.next()
	behind("it is read", true)
	c.finish(l, []answer{{value: setValue([]string{"mod"}, true, nil), differs: true}})
	behind("the grant is to be built", true)
	g, _, _ := c.next()
	behind("it is built", true)
	if g != alice || g.rebuild() {
		t.Fatal("alice is built without the lines of her new role")
	}
	c.built(g)
	behind("the lines of the role are to be read", true)
	_, l, _ = c.next()
	behind("they are read", true)
	c.finish(l, []answer{{value: emptyValue, differs: true}})
	behind("the grant is to be built again", true)
	if g, _, _ = c.next(); g != alice {
		t.Fatal("all is read, and alice is not built")
	}
	g.rebuild()
	c.built(g)
	behind("in the end", false)
}

// Who was denied for a mark stays so until it is felt, though a younger one would not do.
func TestWhoWasDeniedForAMarkStaysSoUntilItIsFelt(t *testing.T) {
	now := time.Now()
	s, _ := stillStore(t, time.Minute, now)
	s.readAll()
	alice := waiter(s, "alice")
	c := &s.cache
	e := c.entries["topicgate:user:alice:roles"]
	c.mu.Lock()
	c.markEntry(e, now.Add(-time.Second))
	c.mu.Unlock()
	c.judgeGrants(now) // after an outage: all that came before its end
	c.judgeGrants(now.Add(-time.Minute))
	if !alice.behind.Load() {
		t.Error("alice is not behind any more, and the change is not read")
	}
}

// The store calls `changed` with no lock held: whoever is called may ask it anything.
func TestWhoIsToldMayAskTheStore(t *testing.T) {
	r, s, _ := chatUser(t, quick, staleMax(time.Second))
	var g atomic.Pointer[Grant]
	done := make(chan struct{}, 100)
	ask := func() {
		if g := g.Load(); g != nil {
			g.Access()
			g.Standing()
			g.Renew(policy.Principal{})
			s.Status()
			s.OldestChange()
			s.CachedKeys()
			select {
			case done <- struct{}{}:
			default:
			}
		}
	}
	g.Store(s.openWith(t, policy.Principal{Username: "bob"}, ask))
	r.do("SADD", "topicgate:user:bob:rooms", "1")
	<-done
	r.hang() // denied for all
	<-done
	r.wake()
	<-done
	closing := make(chan struct{})
	var once atomic.Bool
	carol := make(chan *Grant, 1)
	carol <- s.openWith(t, policy.Principal{Username: "carol"}, func() {
		if once.CompareAndSwap(false, true) {
			(<-carol).Close()
			close(closing)
		}
	})
	r.do("SADD", "topicgate:user:carol:rooms", "1")
	<-closing
}
