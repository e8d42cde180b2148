package store

import (
	"fmt"
	"testing"
	"time"

	"topicgate/policy"
)

// busy is a store that nothing runs, with sessions of mallory that want to be built.
func busy(t *testing.T, sessions int) (s *Store, mallory []*Grant) {
	s, _ = stillStore(t, time.Minute, time.Now())
	s.readAll()
	for range sessions {
		mallory = append(mallory, waiter(s, "mallory"))
	}
	s.want(mallory...)
	return s, mallory
}

func (s *Store) want(grants ...*Grant) {
	s.cache.mu.Lock()
	defer s.cache.mu.Unlock()
	for _, g := range grants {
		s.cache.wantBuild(g, time.Now())
	}
}

// buildOne builds what is next, which must be a grant.
func (s *Store) buildOne(t *testing.T) *Grant {
	t.Helper()
	g, _, ok := s.cache.next()
	if !ok || g == nil {
		t.Fatal("no grant is to be built")
	}
	g.rebuild()
	s.cache.built(g)
	return g
}

// However many sessions of one user want to be built, and want it again at once, another user's change is next.
func TestOneUsersManyBuildsHoldUpNobodyElse(t *testing.T) {
	s, mallory := busy(t, 500)
	alice := waiter(s, "alice")
	for round := range 50 {
		for range 20 { // mallory keeps all builders busy
			s.want(s.buildOne(t))
		}
		s.want(alice)
		n := 1
		for s.buildOne(t) != alice {
			n++
		}
		if n > 2 {
			t.Fatalf("round %d: alice's change was the %dth built of %d; want the second at most", round, n, len(mallory))
		}
	}
}

// Who wants as much as others and has larger builds has fewer of them.
func TestTurnsAreByCost(t *testing.T) {
	s, mallory := busy(t, 1)
	roles := make([]string, 300)
	for i := range roles {
		roles[i] = fmt.Sprint("role", i)
	}
	mallory[0].principal.Roles = roles
	s.buildOne(t) // and needs the lines of all of them now
	c := &s.cache
	c.mu.Lock()
	for _, e := range c.entries {
		e.value, e.dirty = emptyValue, time.Time{}
	}
	c.mu.Unlock()
	s.readAll()
	alice := waiter(s, "alice")
	s.want(mallory[0], alice)
	built := map[*Grant]int{}
	for range 1000 {
		g := s.buildOne(t)
		built[g]++
		s.want(g)
	}
	if m, a := built[mallory[0]], built[alice]; m < 10 || a < 20*m {
		t.Errorf("%d builds of 300 roles, %d of none; want each user to get about as much", m, a)
	}
}

// Of very many keys of one user that changed, and one of another, the one is in the next round trip.
func TestOneUsersManyReadsHoldUpNobodyElse(t *testing.T) {
	s, _ := stillStore(t, time.Minute, time.Now())
	s.readAll()
	c := &s.cache
	c.reading = true
	c.mu.Lock()
	for i := range 10 * maxBatch {
		c.enqueue(c.get(s.keys, setKind, "mallory", fmt.Sprint("set", i), "mallory"))
	}
	one := c.get(s.keys, setKind, "alice", "rooms", "alice")
	c.enqueue(one)
	c.mu.Unlock()
	_, l, _ := c.next()
	if len(l.entries) != maxBatch || one.load != l {
		t.Errorf("%d keys are read next, alice's among them: %v; want %d, true", len(l.entries), one.load == l, maxBatch)
	}
}

// A flood of builds leaves reads their turn, and so what others change.
func TestBuildsLeaveReadsTheirTurn(t *testing.T) {
	s, mallory := busy(t, 100)
	c := &s.cache
	c.reading = true
	c.mark(s.keys.text(), false)
	n := 0
	for ; ; n++ {
		g, l, _ := c.next()
		if l != nil {
			break
		}
		c.built(g)
		s.want(g)
		if n > len(mallory) {
			break
		}
	}
	if n > maxInARow {
		t.Errorf("%d grants were built before a key was read; want %d at most", n, maxInARow)
	}
}

// What is read in pieces takes turns by the piece, and no two pieces of one user are read at once.
func TestLargeReadsTakeTurnsByThePiece(t *testing.T) {
	s, _ := stillStore(t, time.Minute, time.Now())
	c := &s.cache
	c.reading = true
	c.mu.Lock()
	for i := range 3 {
		c.scan(c.get(s.keys, setKind, "mallory", fmt.Sprint("set", i), "mallory"))
	}
	c.mu.Unlock()
	x, _ := c.nextScan()
	c.mu.Lock()
	if !c.scans.Empty() {
		t.Error("another key of mallory's is read at the same time")
	}
	one := c.get(s.keys, setKind, "alice", "rooms", "alice")
	c.scan(one)
	c.mu.Unlock()
	c.putBack(x, false)
	if x, _ := c.nextScan(); x.e != one {
		t.Errorf("next is a piece of %s; want alice's", x.e.key)
	}
}

func TestRenewalThatChangesNothingCausesNoBuild(t *testing.T) {
	p := policy.Principal{Username: "bob", ClientID: "c", Roles: []string{"a", "b"}, Claims: `{"tenant":"x"}`, Issuer: "i", TokenID: "t"}
	s, _ := stillStore(t, time.Minute, time.Now())
	s.readAll()
	g := waiter(s, "bob")
	g.principal = p
	for _, c := range []struct {
		name  string
		renew func(p *policy.Principal)
		want  int
	}{
		{"the same", func(*policy.Principal) {}, 0},
		{"another name, which does not count", func(p *policy.Principal) { p.Username, p.ClientID = "mallory", "d" }, 0},
		{"other roles", func(p *policy.Principal) { p.Roles = []string{"a"} }, 1},
		{"other claims", func(p *policy.Principal) { p.Claims = `{}` }, 1},
		{"another token", func(p *policy.Principal) { p.TokenID = "u" }, 1},
	} {
		renewed := p
		c.renew(&renewed)
		g.principal = p
		g.Renew(renewed)
		if _, got := s.cache.queued(); got != c.want {
			t.Errorf("%s: %d builds are wanted; want %d", c.name, got, c.want)
		}
		if c.want > 0 {
			s.buildOne(t)
		}
	}
}

// A fresh token says when it was issued, and otherwise mostly the same.
func TestFreshTokenThatAllowsTheSameIsToldToNobody(t *testing.T) {
	r := startRedis(t)
	r.do("SET", "topicgate:acl", "pattern read tenant/{claim.tenant}\npattern read member/{claim.groups}\npattern read room/{rooms}\n")
	r.do("SADD", "topicgate:user:bob:rooms", "7")
	s := startStore(t, "redis://"+r.addr)
	told := make(chan struct{}, 10)
	token := func(n int, tenant string) policy.Principal {
		return policy.Principal{Username: "bob", TokenID: fmt.Sprint("t", n), Claims: fmt.Sprintf(`{"exp":%d,"tenant":%q,"groups":["g"]}`, n, tenant)}
	}
	g := s.openWith(t, token(0, "acme"), func() { told <- struct{}{} })
	before := g.Access()
	for n := range 10 {
		g.Renew(token(n, "acme"))
		eventually(t, "settled", settled(s))
	}
	if g.Access() != before || len(told) != 0 {
		t.Errorf("fresh tokens were told %d times, and the Access replaced: %v; want 0, false", len(told), g.Access() != before)
	}
	r.do("SET", "topicgate:revoked:t9", "")
	<-told
	if got := g.Standing(); got != Revoked {
		t.Errorf("Standing() = %v; want %v: the last token counts", got, Revoked)
	}
	g.Renew(token(10, "initech"))
	<-told
	if !reads(g, "tenant/initech") || reads(g, "tenant/acme") || g.Standing() != Good {
		t.Error("another tenant's token has no effect")
	}
	r.do("SET", "topicgate:acl", "pattern read exp/{claim.exp}\n")
	<-told
	if !reads(g, "exp/10") {
		t.Error("a claim that was not asked for before is that of an old token")
	}
}

// A user of whom nothing is left leaves nothing in the queues.
func TestAccountsEndWithTheirGrants(t *testing.T) {
	_, s, first := chatUser(t)
	for i := range 50 {
		s.open(t, policy.Principal{Username: fmt.Sprint("u", i)}).Close()
	}
	first.Close()
	s.cache.mu.Lock()
	defer s.cache.mu.Unlock()
	if n := len(s.cache.accounts); n != 1 {
		t.Errorf("%d accounts are left; want 1, of the rule text", n)
	}
}
