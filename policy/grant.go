package policy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Standing tells whether a principal may be connected at all.
type Standing uint8

const (
	Good        Standing = iota
	Blocked              // the username is in <prefix>blocked
	Revoked              // <prefix>revoked:<jti> exists
	Unavailable          // Redis has been away for longer than StaleMax: deny, and keep the session
)

// String is the word for logs.
func (s Standing) String() string {
	return [...]string{"good", "blocked", "revoked", "unavailable"}[s]
}

// Grant is what one session may do, kept current until Close. Its methods may be
// called from any goroutine.
type Grant struct {
	store   *Store
	changed func()

	// Replaced by build, loaded for every packet.
	access   atomic.Pointer[Access]
	standing atomic.Uint32

	building sync.Mutex // orders builds, so that the last one saw the newest values

	// Guarded by cache.mu.
	principal Principal
	uses      []use
	open      bool      // between Open and Close
	queued    bool      // in cache.reviews
	since     time.Time // the oldest mark that access lacks; zero: none
}

// Access returns what may be done now. It is replaced before changed is called.
func (g *Grant) Access() *Access {
	if g.store.away.Load() {
		return g.store.nothing
	}
	return g.access.Load()
}

// Standing returns whether the session may go on. Blocked and Revoked stay what
// they were while Redis is away.
func (g *Grant) Standing() Standing {
	standing := Standing(g.standing.Load())
	if standing == Good && g.store.away.Load() {
		return Unavailable
	}
	return standing
}

// Renew takes the roles, claims and token of p, a fresh token of the same
// subject; username and Client Identifier stay what they were. The new Access
// follows, with a call of changed, once what p newly needs has been read.
func (g *Grant) Renew(p Principal) {
	c := &g.store.cache
	c.mu.Lock()
	defer c.mu.Unlock()
	p.Username, p.ClientID = g.principal.Username, g.principal.ClientID
	g.principal = p
	c.review(g, time.Now())
}

// Close ends the grant. A review that is under way may still call changed.
func (g *Grant) Close() {
	c := &g.store.cache
	c.mu.Lock()
	defer c.mu.Unlock()
	g.open = false
	delete(c.grants, g)
	c.attach(g, nil)
}

// ErrUndecided is why Open fails: Redis does not answer, or the notification
// connection is down, so that what is read might go stale unseen.
var ErrUndecided = errors.New("policy: cannot decide")

// Open loads what concerns p and keeps it current until Close.
//
// Only what is not cached and current is read, in one pipelined round trip; a
// second one follows when the first brought roles or set names that nobody had
// needed so far. Sessions of one user that open at the same time share a load.
//
// changed is called from the store's goroutines, and must not block, after each
// change of Access or Standing. An error, mostly an ErrUndecided, means that the
// answer is no for now.
func (s *Store) Open(ctx context.Context, p Principal, changed func()) (*Grant, error) {
	if err := checkPrincipal(p); err != nil {
		return nil, err
	}
	g := &Grant{store: s, changed: changed, principal: p}
	if s.client == nil {
		g.tryOpen(time.Time{})
		return g, nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.timing.open)
	defer cancel()
	if err := s.watch.awaitLive(ctx); err != nil {
		return nil, err
	}
	began := time.Now()
	for {
		mine, others, err := g.tryOpen(began)
		if err == nil && mine == nil && others == nil {
			return g, nil
		}
		if err == nil && mine != nil {
			err = s.readInTurn(ctx, mine)
		}
		for _, l := range others {
			select {
			case <-l.done: // failed ones are ours to try in the next round
			case <-ctx.Done():
				err = ctx.Err()
			}
		}
		if err != nil {
			g.Close()
			return nil, fmt.Errorf("%w: %w", ErrUndecided, err)
		}
	}
}

// tryOpen opens g if all that it needs has been read, and is current or was read
// after began. Otherwise it returns the load that is left to the caller, and
// those under way that it has to await.
func (g *Grant) tryOpen(began time.Time) (mine *load, others []*load, err error) {
	g.building.Lock()
	defer g.building.Unlock()
	v, mine, others, err := g.claim(began)
	if err == nil && mine == nil && others == nil {
		g.build(v)
	}
	return mine, others, err
}

// claim attaches g to what it needs, and starts a load of what nobody reads yet.
// When nothing is missing, g is open; g.building is held until it is built.
func (g *Grant) claim(began time.Time) (v basis, mine *load, others []*load, err error) {
	c := &g.store.cache
	c.mu.Lock()
	defer c.mu.Unlock()
	needed, v := g.store.resolve(g)
	c.attach(g, needed)
	var toRead []*entry
	for _, e := range needed {
		switch {
		case e.current(), e.value != nil && !e.asOf.Before(began):
		case e.load == nil:
			toRead = append(toRead, e)
		case !slices.Contains(others, e.load):
			others = append(others, e.load)
		}
	}
	if toRead != nil {
		mine = c.begin(toRead)
	}
	if mine != nil || others != nil {
		return v, mine, others, nil
	}
	if v.unknown {
		return v, nil, nil, errors.New("the blocked set is not readable")
	}
	g.open = true
	c.grants[g] = struct{}{}
	return v, nil, nil, nil
}

// build puts v in force. g.building is held.
func (g *Grant) build(v basis) {
	g.access.Store(NewAccess(v.principal, v.sets, v.rulesets...))
	g.standing.Store(uint32(v.standing))
}

// rebuild brings g up to date, unless something that it needs newly has not been
// read yet: then the reading will bring g here again, and the Access in force
// stays until the new one is whole. It tells whether there is something new.
func (g *Grant) rebuild() bool {
	s, c := g.store, &g.store.cache
	g.building.Lock()
	defer g.building.Unlock()
	c.mu.Lock()
	if !g.open {
		c.mu.Unlock()
		return false
	}
	needed, v := s.resolve(g)
	c.attach(g, needed)
	whole := true
	for _, e := range needed {
		if e.value == nil {
			whole = false
			if e.load == nil {
				c.enqueue(e)
			}
		}
	}
	c.mu.Unlock()
	if whole {
		g.build(v)
	}
	return whole
}

func (g *Grant) tell() {
	if g.changed != nil {
		g.changed()
	}
}

// basis is all that an Access and a Standing are made of.
type basis struct {
	principal Principal
	sets      map[string]Set
	rulesets  []*Ruleset
	standing  Standing
	unknown   bool
}

// resolve returns the entries that g needs, as far as the values read so far
// tell, and their values. c.mu is held.
func (s *Store) resolve(g *Grant) (needed []*entry, v basis) {
	p := g.principal
	v = basis{principal: p, sets: make(map[string]Set)}
	var names []string
	add := func(rules *Ruleset) {
		if rules != nil {
			v.rulesets = append(v.rulesets, rules)
			names = append(names, rules.SetNames()...)
		}
	}
	add(s.file.Load())
	if s.client == nil {
		v.principal.Roles = distinct(p.Roles)
		return nil, v
	}
	need := func(kind kind, key string) *value {
		e := s.cache.get(kind, key, p.Username)
		needed = append(needed, e)
		if e.value == nil {
			return empty
		}
		return e.value
	}
	add(need(textKind, s.keys.text()).rules)
	add(need(linesKind, s.keys.userLines(p.Username)).rules)
	inRedis := need(rolesKind, s.keys.set(p.Username, rolesSet))
	v.sets[rolesSet] = inRedis.set
	v.principal.Roles = distinct(p.Roles, inRedis.members)
	for _, role := range v.principal.Roles {
		add(need(linesKind, s.keys.roleLines(role)).rules)
	}
	for _, name := range distinct(names) {
		if name != rolesSet && validSetName(name) {
			v.sets[name] = need(setKind, s.keys.set(p.Username, name)).set
		}
	}
	blocked := need(blockedKind, s.keys.blocked())
	v.unknown = blocked.unknown
	if p.TokenID != "" && need(revokedKind, s.keys.revoked(p.TokenID)).yes {
		v.standing = Revoked
	}
	if blocked.yes {
		v.standing = Blocked
	}
	return needed, v
}

// distinct returns the names of lists, each once and none empty, in their order.
func distinct(lists ...[]string) []string {
	var out []string
	seen := make(map[string]struct{})
	for _, list := range lists {
		for _, name := range list {
			if _, ok := seen[name]; !ok && name != "" {
				seen[name] = struct{}{}
				out = append(out, name)
			}
		}
	}
	return out
}
