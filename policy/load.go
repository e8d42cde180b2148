package policy

import (
	"context"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"
)

// begin starts a load of entries, none of which is in another. c.mu is held.
func (c *cache) begin(entries []*entry) *load {
	l := &load{
		began:   time.Now(),
		entries: entries,
		since:   make([]time.Time, len(entries)),
		old:     make([]*value, len(entries)),
		done:    make(chan struct{}),
	}
	var oldest time.Time
	for i, e := range entries {
		l.since[i], l.old[i] = e.dirty, e.value
		if oldest.IsZero() || e.dirty.Before(oldest) {
			oldest = e.dirty
		}
		e.dirty, e.load = time.Time{}, l
	}
	c.active[l] = oldest
	return l
}

// answer is what a load found out about one entry; value is nil when it could not.
type answer struct {
	value *value
	ttl   time.Duration // of the key; 0: it has none
}

// change is an entry whose value is another one than before.
type change struct {
	e *entry
	v *value
}

// maxRest bounds how long a key that changes all the time, and is slow to read,
// is left alone between two reads.
const maxRest = 200 * time.Millisecond

// finish puts what was read in its place, and lets the grants that it changes
// be reviewed. It returns what is another value now.
func (c *cache) finish(l *load, read []answer) (changes []change) {
	took := time.Since(l.began)
	c.mu.Lock()
	defer c.mu.Unlock()
	defer close(l.done)
	delete(c.active, l)
	failed := false
	for i, e := range l.entries {
		e.load = nil
		v := read[i].value
		if e.gone {
			continue
		}
		if v == nil {
			failed = true
			e.dirty = l.since[i] // older than any mark made meanwhile
			c.enqueue(e)
			continue
		}
		e.asOf = l.began
		c.expire(e, read[i].ttl)
		if !e.value.same(v) {
			e.value = v
			changes = append(changes, change{e, v})
			if delete(c.problems, e); v.problem != "" {
				c.problems[e] = struct{}{}
			}
			for _, u := range e.users {
				c.review(u.g, l.since[i])
			}
		}
		switch {
		case e.dirty.IsZero():
		case took > maxRest/20:
			c.rest(e, min(took, maxRest)) // the server is ours for half of the time at most
		default:
			c.enqueue(e)
		}
	}
	if failed {
		c.batch = max(1, c.batch/4) // perhaps the reply was too long
	} else {
		c.batch = min(maxBatch, c.batch*2)
	}
	return changes
}

// rest enqueues e in a while. Changes until then cost one read. c.mu is held.
func (c *cache) rest(e *entry, d time.Duration) {
	if e.queued {
		return
	}
	e.queued = true
	c.resting[e] = struct{}{}
	time.AfterFunc(d, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.resting, e)
		e.queued = false
		c.enqueue(e)
	})
}

// expire marks e when its key's TTL runs out. Redis tells of an expired key only
// once it has removed it, which for a key that nobody reads may be minutes later
// (its expiry cycle samples); reading it then removes it. c.mu is held.
func (c *cache) expire(e *entry, ttl time.Duration) {
	if e.expiry != nil {
		e.expiry.Stop()
		e.expiry = nil
	}
	if ttl <= 0 {
		return
	}
	e.expiry = time.AfterFunc(ttl+time.Millisecond, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if !e.gone {
			c.markEntry(e, time.Now())
		}
	})
}

// readInTurn is read for Open: when all clients come back at once, their reads
// wait for each other here, and not for a connection of the pool, which the
// canary and the reviewers need.
func (s *Store) readInTurn(ctx context.Context, l *load) error {
	select {
	case s.turns <- struct{}{}:
		defer func() { <-s.turns }()
		return s.read(ctx, l)
	case <-ctx.Done():
		s.cache.finish(l, make([]answer, len(l.entries)))
		return ctx.Err()
	}
}

// read does what l is to do, in one round trip (of each master, in a Cluster),
// and returns an error when one of the keys could not be decided.
//
// The pipeline is a plain one: MULTI fails across the slots of a Cluster.
func (s *Store) read(caller context.Context, l *load) error {
	start := time.Now()
	ctx, cancel := context.WithTimeout(caller, s.timing.read)
	defer cancel()
	var decode []func() (answer, error)
	var err error
	pipe := s.client.Pipeline()
	blocked := make([]int, 0, len(l.entries)) // indexes
	read := make([]answer, len(l.entries))
	for i, e := range l.entries {
		if e.kind == blockedKind {
			blocked = append(blocked, i)
		}
		decode = append(decode, s.ask(ctx, pipe, e, l.old[i]))
	}
	members := askBlocked(ctx, pipe, s.keys.blocked(), l, blocked)
	_, _ = pipe.Exec(ctx) // each command has its own error
	for i, f := range decode {
		if f == nil {
			continue
		}
		var failure error
		if read[i], failure = f(); failure != nil {
			err = failure
		}
	}
	if failure := members(read); failure != nil {
		err = failure
	}
	s.observe(StoreEvent{Kind: EventRead, OK: err == nil, Keys: len(l.entries), Duration: time.Since(start)})
	for _, change := range s.cache.finish(l, read) {
		s.tell(change)
	}
	if caller.Err() == nil {
		s.watch.readEnded(err)
	}
	return err
}

const (
	wrongType    = "WRONGTYPE"
	wrongTypeSet = "the key is no set; it counts as an empty one"
)

// ask adds the commands for e to pipe, and returns what makes sense of the
// answers; nil for a blockedKind, which askBlocked reads.
func (s *Store) ask(ctx context.Context, pipe redis.Pipeliner, e *entry, old *value) func() (answer, error) {
	switch e.kind {
	case textKind:
		get, ttl := pipe.Get(ctx, e.key), pipe.PTTL(ctx, e.key)
		return func() (answer, error) {
			text, err := get.Result()
			switch {
			case redis.HasErrorPrefix(err, wrongType):
				return answer{badText("the key is no string", "", old), ttl.Val()}, nil
			case err != nil && !errors.Is(err, redis.Nil):
				return answer{}, err
			}
			return answer{textValue(e.key, text, old), ttl.Val()}, nil
		}
	case linesKind, setKind, rolesKind:
		members, ttl := pipe.SMembers(ctx, e.key), pipe.PTTL(ctx, e.key)
		return func() (answer, error) {
			list, err := members.Result()
			switch {
			case redis.HasErrorPrefix(err, wrongType):
				return answer{&value{problem: wrongTypeSet}, ttl.Val()}, nil
			case err != nil:
				return answer{}, err
			case e.kind == linesKind:
				return answer{linesValue(e.key, list, old), ttl.Val()}, nil
			}
			return answer{setValue(list, e.kind == rolesKind, old), ttl.Val()}, nil
		}
	case revokedKind:
		exists := pipe.Exists(ctx, e.key)
		return func() (answer, error) {
			n, err := exists.Result()
			if err != nil {
				return answer{}, err
			}
			return answer{value: yesValue(n > 0)}, nil
		}
	}
	return nil
}

// askBlocked asks which of the usernames at indexes are members of the blocked
// set, which is never read whole: it may be large.
func askBlocked(ctx context.Context, pipe redis.Pipeliner, key string, l *load, indexes []int) func([]answer) error {
	if len(indexes) == 0 {
		return func([]answer) error { return nil }
	}
	usernames := make([]any, len(indexes))
	for i, at := range indexes {
		usernames[i] = l.entries[at].username
	}
	reply := pipe.SMIsMember(ctx, key, usernames...)
	return func(read []answer) error {
		members, err := reply.Result()
		wrong := redis.HasErrorPrefix(err, wrongType)
		if err != nil && !wrong {
			return err
		}
		for i, at := range indexes {
			if wrong {
				read[at].value = badBlocked(l.old[at])
			} else {
				read[at].value = yesValue(members[i])
			}
		}
		return nil
	}
}
