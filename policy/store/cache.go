package store

import (
	"container/list"
	"sync"
	"time"
	"topicgate/policy/fair"
)

// entry is one cached key, or, of the blocked set, one member.
type entry struct {
	// Immutable.
	key      string // Redis key, by keys.of
	username string // whose it is; empty: nobody's
	name     string // of a set, a role or a token
	kind     keyKind
	owner    *account

	// Guarded by cache.mu.
	users  []keyUser   // grants that it concerns; none and no pins: evicted
	value  *keyValue   // nil before the first load
	asOf   time.Time   // when the load of value began
	dirty  time.Time   // when the first change that value lacks was seen; zero: none
	load   *load       // under way
	expiry *time.Timer // of a key with a TTL
	pins   int32       // the rule text has one: its last good form outlives the sessions
	gone   bool        // evicted
	queued bool        // in cache.reads, or resting before it
	slow   bool        // too long for one reply, or it failed: read by a scan
}

// current tells whether e holds what Redis holds, as far as anybody knows.
func (e *entry) current() bool { return e.value != nil && e.dirty.IsZero() && e.load == nil }

// keyUser and use are the two ends of "this grant needs this key"; each knows the
// other's place, so that closing one of 100,000 sessions is no search.
type keyUser struct {
	g  *Grant
	at int // in g.uses
}

type keyUse struct {
	e  *entry
	at int // in e.users
}

// load is one pipelined read of some entries. Its entries' dirty marks are set
// aside in since: a mark made while it runs shows that what it reads may be old
// already, and that entry is read again.
type load struct {
	began   time.Time
	entries []*entry
	since   []time.Time
	old     []*keyValue   // what each held before
	place   *list.Element // in loadQueue.waiting, whose mu guards it; nil: not there
	scanned bool          // it is that of a scan
	large   bool          // what it reads is more than one reply is to hold
	done    chan struct{} // closed at the end

	// Valid at the end.
	err   error // one of the entries could not be decided
	again bool  // but may be when it is read alone
}

// cache holds the keys that open grants need, and the work to be done on them.
// mu is never held across a network call.
type cache struct {
	mu      sync.Mutex
	work    sync.Cond // on mu: something for a builder, or stopped
	entries map[string]*entry
	blocked map[string]*entry // by username
	grants  map[*Grant]struct{}

	accounts map[string]*account  // by username
	reads    fair.Turns[*entry]   // to be read, each once
	resting  map[*entry]struct{}  // likewise, a little later; see finish
	scans    fair.Turns[*scan]    // what is read in pieces
	scanWork sync.Cond            // on mu: a scan may have something to do, or stopped
	builds   fair.Turns[*Grant]   // to be built anew, each once
	inARow   int                  // builds since the last read
	loads    map[*load]struct{}   // under way
	building map[*Grant]time.Time // likewise, with the mark that each is built for
	batch    int                  // entries read at once: fewer after a failure
	reading  bool                 // the watcher is live: what is read now is kept current
	stopped  bool                 // Run has ended
	problems map[*entry]struct{}  // whose value has a problem
	behind   map[*Grant]time.Time // denied everything for changes that came so long ago; see judge
	refused  map[*Grant]string    // denied everything, for something of theirs is too large
}

// maxBatch bounds the keys of one pipeline, so that one reply is no burden to
// either side.
const maxBatch = 128

func (c *cache) init() {
	c.work.L, c.scanWork.L = &c.mu, &c.mu
	c.entries = make(map[string]*entry)
	c.blocked = make(map[string]*entry)
	c.grants = make(map[*Grant]struct{})
	c.resting = make(map[*entry]struct{})
	c.accounts = make(map[string]*account)
	c.loads = make(map[*load]struct{})
	c.building = make(map[*Grant]time.Time)
	c.behind = make(map[*Grant]time.Time)
	c.refused = make(map[*Grant]string)
	c.problems = make(map[*entry]struct{})
	c.batch = maxBatch
}

// is tells whether e is what [keyNames.of] makes a key of.
func (e *entry) is(kind keyKind, username, name string) bool {
	return e.kind == kind && e.username == username && e.name == name
}

// account returns that of a user, and counts who names it; see leave. c.mu is held.
func (c *cache) account(username string) *account {
	a := c.accounts[username]
	if a == nil {
		a = &account{username: username}
		c.accounts[username] = a
	}
	a.refs++
	return a
}

func (c *cache) leave(a *account) {
	if a.refs--; a.refs == 0 {
		delete(c.accounts, a.username)
	}
}

// get returns the entry of what [keyNames.of] makes a key of, a new one if need be, which a user of that name
// is charged for. c.mu is held.
func (c *cache) get(keys keyNames, kind keyKind, username, name, owner string) *entry {
	key := keys.of(kind, username, name)
	in, at := c.entries, key
	if kind == blockedKind {
		in, at = c.blocked, username
	}
	e := in[at]
	if e == nil {
		e = &entry{kind: kind, key: key, username: username, name: name, owner: c.account(owner), dirty: time.Now()}
		in[at] = e
		if kind == schemaKind || kind == wordsKind {
			e.pins++ // its last good form outlives the sessions, as that of the text which names it
		}
	}
	return e
}

// attach makes needed, which names no entry twice, the entries that g uses.
// c.mu is held.
func (c *cache) attach(g *Grant, needed []*entry) {
	same := len(needed) == len(g.uses)
	for i := 0; same && i < len(needed); i++ {
		same = needed[i] == g.uses[i].e
	}
	if same {
		return
	}
	for _, e := range needed {
		e.pins++ // survives the moment without a user
	}
	for _, u := range g.uses {
		c.release(u)
	}
	g.uses = make([]keyUse, len(needed))
	for i, e := range needed {
		g.uses[i] = keyUse{e, len(e.users)}
		e.users = append(e.users, keyUser{g, i})
		e.pins--
	}
}

// release ends one use; the last one evicts the entry. c.mu is held.
func (c *cache) release(u keyUse) {
	e, last := u.e, len(u.e.users)-1
	if u.at != last {
		moved := e.users[last]
		e.users[u.at] = moved
		moved.g.uses[moved.at].at = u.at
	}
	e.users[last] = keyUser{}
	e.users = e.users[:last]
	c.evict(e)
}

// evict forgets e when nobody needs it. c.mu is held.
func (c *cache) evict(e *entry) {
	if len(e.users) > 0 || e.pins > 0 {
		return
	}
	e.gone = true
	c.leave(e.owner)
	if e.expiry != nil {
		e.expiry.Stop()
	}
	delete(c.problems, e)
	delete(c.resting, e)
	if e.kind == blockedKind {
		delete(c.blocked, e.username)
	} else {
		delete(c.entries, e.key)
	}
}

// pin keeps the entry of the rule text whether or not a grant needs it.
func (c *cache) pin(keys keyNames) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.get(keys, textKind, "", "", "")
	e.pins++
	c.enqueue(e)
}

// mark notes a change of one Redis key, seen since then. It is called by the
// watcher's reader and so does nothing else.
func (c *cache) mark(key string, blockedKey bool) {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if blockedKey {
		for _, e := range c.blocked {
			c.markEntry(e, now)
		}
	} else if e := c.entries[key]; e != nil {
		c.markEntry(e, now)
	}
}

// markAll notes that changes since then may have gone unseen, and returns how
// many entries that concerns.
func (c *cache) markAll(since time.Time) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, in := range []map[string]*entry{c.entries, c.blocked} {
		for _, e := range in {
			c.markEntry(e, since)
		}
	}
	return len(c.entries) + len(c.blocked)
}

func (c *cache) markEntry(e *entry, since time.Time) {
	if e.dirty.IsZero() || since.Before(e.dirty) {
		e.dirty = since
	}
	if e.load == nil { // else the end of the load sees the mark
		c.enqueue(e)
	}
}

// enqueue lets a builder read e. c.mu is held.
func (c *cache) enqueue(e *entry) {
	if !e.queued && !e.gone {
		e.queued = true
		c.reads.Add(&e.owner.reads, e)
		c.work.Signal()
	}
}

// wantBuild lets a builder make g anew, for a change first seen at since. c.mu is held.
func (c *cache) wantBuild(g *Grant, since time.Time) {
	if !g.open {
		return // Open or Close sees to it
	}
	if g.since.IsZero() || since.Before(g.since) {
		g.since = since
	}
	c.queue(g)
}

// queue has g built for its mark; a build that is under way sees to that when it ends. c.mu is held.
func (c *cache) queue(g *Grant) {
	if _, building := c.building[g]; !g.queued && !building {
		g.queued = true
		c.builds.Add(&g.account.builds, g)
		c.work.Signal()
	}
}

// setReading tells whether what is read now is kept current by the watcher.
func (c *cache) setReading(live bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reading = live
	c.work.Broadcast()
	c.scanWork.Broadcast()
}

// size is the number of cached keys; each member of the blocked set counts as one.
func (c *cache) size() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.entries) + len(c.blocked)
}
