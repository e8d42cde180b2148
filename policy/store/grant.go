package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"topicgate/policy"
	"topicgate/policy/payload"
)

// Standing tells whether a principal may be connected at all.
type Standing uint8

const (
	Good        Standing = iota
	Blocked              // the username is in <prefix>blocked
	Revoked              // <prefix>revoked:<jti> exists
	Unavailable          // what concerns it has not been known for longer than StaleMax: deny, and keep the session
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
	access   atomic.Pointer[policy.Access]
	checked  atomic.Pointer[checked] // nil: no directive of access names anything
	standing atomic.Uint32
	behind   atomic.Bool // what it lacks is too old; see cache.judgeGrants

	// Guarded by cache.mu. One build at a time: who is in cache.building waits in no queue.
	principal policy.Principal
	account   *account // that of the username; nil before the first need and after Close
	uses      []keyUse
	open      bool      // between Open and Close
	queued    bool      // in cache.builds
	since     time.Time // the oldest mark that access lacks and no build is under way for; zero: none
}

// Access returns what may be done now. It is replaced before changed is called.
func (g *Grant) Access() *policy.Access {
	if g.store.away.Load() || g.behind.Load() {
		return g.store.nothing
	}
	return g.access.Load()
}

// Standing returns whether the session may go on. Blocked and Revoked stay what
// they were while Redis is away.
func (g *Grant) Standing() Standing {
	standing := Standing(g.standing.Load())
	if standing == Good && (g.store.away.Load() || g.behind.Load()) {
		return Unavailable
	}
	return standing
}

// Renew takes the roles, claims and token of p, a fresh token of the same
// subject; username and Client Identifier stay what they were. The new Access
// follows, with a call of changed, once what p newly needs has been read. When p
// says what the last one said, nothing follows.
func (g *Grant) Renew(p policy.Principal) {
	c := &g.store.cache
	c.mu.Lock()
	defer c.mu.Unlock()
	p.Username, p.ClientID = g.principal.Username, g.principal.ClientID
	last := &g.principal
	if p.TokenID == last.TokenID && p.Issuer == last.Issuer && p.Claims == last.Claims && slices.Equal(p.Roles, last.Roles) {
		return
	}
	g.principal = p
	c.wantBuild(g, time.Now())
}

// Close ends the grant. A build that is under way may still call changed.
func (g *Grant) Close() {
	c := &g.store.cache
	c.mu.Lock()
	defer c.mu.Unlock()
	g.open = false
	delete(c.grants, g)
	delete(c.behind, g)
	delete(c.refused, g)
	c.attach(g, nil)
	if g.account != nil {
		c.leave(g.account)
		g.account = nil
	}
}

// ErrUndecided is why Open fails: Redis does not answer, or the notification
// connection is down, so that what is read might go stale unseen.
var ErrUndecided = errors.New("policy: cannot decide")

// Open loads what concerns p and keeps it current until Close.
//
// Only what is not cached and current is read, in one pipelined round trip, which
// it may share with others; a second one follows when the first brought roles or
// set names that nobody had needed so far. Sessions of one user that open at the
// same time share a load.
//
// changed is called after each change of Access or Standing, from the store's
// goroutines, which hold no lock then, and serve all others besides: it must not
// block, nor wait for anything that a session holds while it works. A mark and a
// queue are what it may make. It may call the Grant's methods.
//
// An error, mostly an ErrUndecided, means that the answer is no for now.
func (s *Store) Open(ctx context.Context, p policy.Principal, changed func()) (*Grant, error) {
	return s.Begin(p, changed).Wait(ctx)
}

// Opening is an Open under way.
type Opening struct {
	g      *Grant
	began  time.Time // zero: not yet
	mine   *load     // what is read for it
	others []*load   // what is read for others, and it needs too
	open   bool
	err    error
}

// Begin begins what Open does, without blocking: what the caller does until Wait
// goes on at the same time. Wait must be called, once.
func (s *Store) Begin(p policy.Principal, changed func()) *Opening {
	o := &Opening{g: &Grant{store: s, changed: changed, principal: p}}
	if o.err = checkPrincipal(p); o.err == nil && (s.client == nil || s.watch.isLive()) {
		o.began = time.Now()
		o.step()
	}
	return o
}

// Wait returns when the Open is done, or ctx has ended; see there.
func (o *Opening) Wait(ctx context.Context) (*Grant, error) {
	if o.open {
		return o.g, nil
	}
	s := o.g.store
	ctx, cancel := context.WithTimeout(ctx, s.timing.open)
	defer cancel()
	if o.err == nil && o.began.IsZero() {
		if o.err = s.watch.awaitLive(ctx); o.err == nil {
			o.began = time.Now()
			o.step()
		}
	}
	for o.err == nil && !o.open {
		if err := o.await(ctx); err != nil {
			o.err = fmt.Errorf("%w: %w", ErrUndecided, err)
		} else {
			o.step()
		}
	}
	if o.err != nil {
		o.g.Close()
		return nil, o.err
	}
	return o.g, nil
}

// step opens the grant, or has read what is missing.
func (o *Opening) step() {
	var err error
	o.mine, o.others, err = o.g.tryOpen(o.began)
	switch {
	case err != nil:
		o.err = fmt.Errorf("%w: %w", ErrUndecided, err)
	case o.mine != nil:
		o.g.store.ask(o.mine)
	case o.others == nil:
		o.open = true
	}
}

// await returns when all that step asked for has been read. What was read together and failed, perhaps because of
// one key, is no error yet: each key is read once more, alone.
func (o *Opening) await(ctx context.Context) error {
	if l := o.mine; l != nil {
		select {
		case <-l.done:
			if l.err != nil && !l.again {
				return l.err
			}
		case <-ctx.Done():
			o.g.store.giveUp(l, ctx.Err())
			return ctx.Err()
		}
	}
	for _, l := range o.others {
		select {
		case <-l.done: // failed ones are ours to try in the next round
			if l.scanned && l.err != nil {
				return l.err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// tryOpen opens g if all that it needs has been read, and is current or was read
// after began. Otherwise it returns the load that is left to the caller, and
// those under way that it has to await.
func (g *Grant) tryOpen(began time.Time) (mine *load, others []*load, err error) {
	v, mine, others, err := g.claim(began)
	if err == nil && mine == nil && others == nil {
		g.build(v)
		g.store.cache.built(g)
	}
	return mine, others, err
}

// claim attaches g to what it needs, and starts a load of what nobody reads yet.
// When nothing is missing, g is open, and counts as being built.
func (g *Grant) claim(began time.Time) (v basis, mine *load, others []*load, err error) {
	c := &g.store.cache
	c.mu.Lock()
	defer c.mu.Unlock()
	if g.account == nil {
		g.account = c.account(g.principal.Username)
	}
	needed, v := g.store.resolve(g)
	c.attach(g, needed)
	var toRead []*entry
	awaited := make(map[*load]struct{})
	for _, e := range needed {
		if e.current() || e.value != nil && !e.asOf.Before(began) {
			continue
		}
		if e.load == nil && !e.slow {
			toRead = append(toRead, e)
			continue
		}
		if e.load == nil {
			c.scan(e)
		}
		if _, known := awaited[e.load]; !known {
			awaited[e.load] = struct{}{}
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
	c.building[g] = time.Now()
	c.noteRefused(g, &v)
	return v, nil, nil, nil
}

// build puts v in force, and tells whether that decides anything otherwise than before: a fresh token may not. It is
// the only one of g that is under way.
func (g *Grant) build(v basis) (differs bool) {
	before, standing := g.access.Load(), uint32(v.standing)
	access := policy.NothingAllowedFor(policy.ReasonTooLarge)
	if v.refusal != "" {
		if v.anew && g.store.odd.Allow() {
			g.store.log.Error("a session is denied everything, for something that it needs is too large", "username", v.principal.Username, "detail", v.refusal)
		}
	} else {
		access = before.Next(v.principal, v.sets, v.rulesets...)
	}
	same := before != nil && access.Same(before)
	if same {
		access = before
	}
	if !g.put(access, v.checks) && same {
		return g.standing.Swap(standing) != standing
	}
	g.standing.Store(standing)
	return true
}

// rebuild brings g up to date, unless something that it needs newly has not been
// read yet: then the reading will bring g here again, and the Access in force
// stays until the new one is whole. It tells whether anything is decided otherwise.
func (g *Grant) rebuild() bool {
	v, whole := g.store.cache.prepare(g)
	return whole && g.build(v)
}

// prepare brings together what g is built of. When it is not whole, it has what is missing read, on which the age
// of the change goes over.
func (c *cache) prepare(g *Grant) (v basis, whole bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !g.open {
		return v, false
	}
	needed, v := g.store.resolve(g)
	c.attach(g, needed)
	whole = true
	for _, e := range needed {
		if e.value == nil {
			whole = false
			e.age(c.building[g])
			if e.load == nil {
				c.enqueue(e)
			}
		}
	}
	if whole {
		c.noteRefused(g, &v)
	}
	return v, whole
}

// noteRefused keeps for Status why g is denied everything, if it is. c.mu is held.
func (c *cache) noteRefused(g *Grant, v *basis) {
	_, before := c.refused[g]
	if v.anew = v.refusal != "" && !before; v.refusal != "" {
		c.refused[g] = v.refusal
	} else {
		delete(c.refused, g)
	}
}

func (g *Grant) tell() {
	if g.changed != nil {
		g.changed()
	}
}

// basis is all that an Access and a Standing are made of.
type basis struct {
	principal policy.Principal
	sets      map[string]policy.Set
	checks    *payload.Checks // nil: no directive names anything
	rulesets  []*policy.Ruleset
	standing  Standing
	unknown   bool
	refusal   string // why everything is denied, for something is too large; "": nothing is
	anew      bool   // it was not before
}

// resolve returns the entries that g needs, as far as the values read so far
// tell, and their values. c.mu is held.
func (s *Store) resolve(g *Grant) (needed []*entry, v basis) {
	p := g.principal
	v = basis{principal: p, sets: make(map[string]policy.Set)}
	needed = make([]*entry, 0, 16)
	var names, schemas, words []string
	add := func(rules *policy.Ruleset) {
		if rules != nil {
			v.rulesets = append(v.rulesets, rules)
			names = append(names, rules.SetNames()...)
			schemas, words = append(schemas, rules.Schemas()...), append(words, rules.Words()...)
		}
	}
	add(s.file.Load())
	if s.client == nil {
		v.principal.Roles = distinct(p.Roles)
		return nil, v
	}
	need := func(kind keyKind, username, name string) *keyValue {
		owner := username
		if kind == revokedKind {
			owner = p.Username
		}
		var e *entry
		if n := len(needed); n < len(g.uses) && g.uses[n].e.is(kind, username, name) {
			e = g.uses[n].e // most need what they needed before: no key is put together and looked up for that
		} else {
			e = s.cache.get(s.keys, kind, username, name, owner)
		}
		needed = append(needed, e)
		if e.value == nil {
			return emptyValue
		}
		if e.value.tooLarge {
			v.refusal = fmt.Sprintf("%q: %s", e.key, e.value.problem)
		}
		return e.value
	}
	add(need(textKind, "", "").rules)
	add(need(linesKind, p.Username, "").rules)
	inRedis := need(rolesKind, p.Username, policy.RolesSet)
	v.sets[policy.RolesSet] = inRedis.set
	v.principal.Roles = distinct(p.Roles, inRedis.members)
	if n := len(v.principal.Roles); n > maxRoles {
		v.refusal = fmt.Sprintf("%d roles, of token and Redis; at most %d are read", n, maxRoles)
		v.principal.Roles = nil
	}
	for _, role := range v.principal.Roles {
		add(need(linesKind, "", role).rules)
	}
	for _, name := range distinct(names) {
		if name != policy.RolesSet && validSetName(name) {
			v.sets[name] = need(setKind, p.Username, name).set
		}
	}
	if schemas != nil || words != nil {
		v.checks = &payload.Checks{Schemas: make(map[string]*payload.Schema), Words: make(map[string]*payload.Words)}
	}
	for _, name := range distinct(schemas) {
		v.checks.Schemas[name] = need(schemaKind, "", name).schema
	}
	for _, name := range distinct(words) {
		v.checks.Words[name] = need(wordsKind, "", name).forbidden()
	}
	blocked := need(blockedKind, p.Username, "")
	v.unknown = blocked.unknown
	if p.TokenID != "" && need(revokedKind, "", p.TokenID).yes {
		v.standing = Revoked
	}
	if blocked.yes {
		v.standing = Blocked
	}
	return needed, v
}

// distinct returns the names of lists, each once and none empty, in their order.
func distinct(lists ...[]string) []string {
	n := 0
	for _, list := range lists {
		n += len(list)
	}
	var out []string
	var seen map[string]struct{} // of many: a few are found faster without
	if n > 16 {
		seen = make(map[string]struct{}, n)
	}
	for _, list := range lists {
		for _, name := range list {
			if name == "" || seen == nil && slices.Contains(out, name) {
				continue
			}
			if seen != nil {
				if _, ok := seen[name]; ok {
					continue
				}
				seen[name] = struct{}{}
			}
			out = append(out, name)
		}
	}
	return out
}
