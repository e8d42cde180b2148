package store

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
		old:     make([]*keyValue, len(entries)),
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
	value *keyValue
	ttl   time.Duration // of the key; 0: it has none
}

// change is an entry whose value is another one than before.
type change struct {
	e *entry
	v *keyValue
}

// maxRest bounds how long a key that changes all the time, and is slow to read,
// is left alone between two reads.
const maxRest = 200 * time.Millisecond

// finish puts what was read in its place, and lets the grants that it changes
// be built anew. It returns what is another value now.
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
				c.wantBuild(u.g, l.since[i])
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

// fail ends a load that was never read.
func (c *cache) fail(l *load, err error) {
	l.err = err
	c.finish(l, make([]answer, len(l.entries)))
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

// read does what loads are to do, in one round trip (of each master, in a
// Cluster), and returns an error when one of the keys could not be decided.
//
// The pipeline is a plain one: MULTI fails across the slots of a Cluster.
func (s *Store) read(caller context.Context, loads ...*load) error {
	start := time.Now()
	ctx, cancel := context.WithTimeout(caller, s.timing.read)
	defer cancel()
	keys := 0
	for _, l := range loads {
		keys += len(l.entries)
	}
	questions := make([]question, 0, keys)
	answers := make([]answer, keys)
	pipe := s.client.Pipeline()
	for _, l := range loads {
		for i, e := range l.entries {
			questions = append(questions, ask(ctx, pipe, e, l.old[i]))
		}
	}
	blocked := askBlocked(ctx, pipe, s.keys.blocked(), questions)
	_, _ = pipe.Exec(ctx) // each command has its own error
	blockedErr := blocked(answers)
	err := blockedErr
	for _, l := range loads {
		l.shared = len(loads) > 1
		read := answers[:len(l.entries)]
		for i := range read {
			failure := blockedErr
			if q := &questions[i]; q.e.kind != blockedKind {
				read[i], failure = q.answer()
			}
			if failure != nil {
				l.err, err = failure, failure
			}
		}
		answers, questions = answers[len(read):], questions[len(read):]
		for _, change := range s.cache.finish(l, read) {
			s.tell(change)
		}
	}
	s.observe(Event{Kind: EventRead, OK: err == nil, Keys: keys, Duration: time.Since(start)})
	if caller.Err() == nil {
		s.watch.readEnded(err)
	}
	return err
}

const (
	wrongType    = "WRONGTYPE"
	wrongTypeSet = "the key is no set; it counts as an empty one"
)

// question is what was asked about one entry.
type question struct {
	e   *entry
	old *keyValue

	text    *redis.StringCmd
	members *redis.StringSliceCmd
	exists  *redis.IntCmd
	ttl     *redis.DurationCmd
}

// ask adds the commands for e to pipe; none for a blockedKind, which askBlocked reads.
func ask(ctx context.Context, pipe redis.Pipeliner, e *entry, old *keyValue) question {
	q := question{e: e, old: old}
	switch e.kind {
	case textKind:
		q.text, q.ttl = pipe.Get(ctx, e.key), pipe.PTTL(ctx, e.key)
	case linesKind, setKind, rolesKind:
		q.members, q.ttl = pipe.SMembers(ctx, e.key), pipe.PTTL(ctx, e.key)
	case revokedKind:
		q.exists = pipe.Exists(ctx, e.key)
	}
	return q
}

// answer makes sense of what Redis said, other than about a blockedKind.
func (q *question) answer() (answer, error) {
	switch q.e.kind {
	case textKind:
		text, err := q.text.Result()
		switch {
		case redis.HasErrorPrefix(err, wrongType):
			return answer{badText("the key is no string", "", q.old), q.ttl.Val()}, nil
		case err != nil && !errors.Is(err, redis.Nil):
			return answer{}, err
		}
		return answer{textValue(q.e.key, text, q.old), q.ttl.Val()}, nil
	case revokedKind:
		n, err := q.exists.Result()
		if err != nil {
			return answer{}, err
		}
		return answer{value: yesValue(n > 0)}, nil
	}
	list, err := q.members.Result()
	switch {
	case redis.HasErrorPrefix(err, wrongType):
		return answer{&keyValue{problem: wrongTypeSet}, q.ttl.Val()}, nil
	case err != nil:
		return answer{}, err
	case q.e.kind == linesKind:
		return answer{linesValue(q.e.key, list, q.old), q.ttl.Val()}, nil
	}
	return answer{setValue(list, q.e.kind == rolesKind, q.old), q.ttl.Val()}, nil
}

// askBlocked asks which of the usernames among questions are members of the blocked
// set, which is never read whole: it may be large. The function that it returns
// puts the answers in their places; after an error there are none.
func askBlocked(ctx context.Context, pipe redis.Pipeliner, key string, questions []question) func([]answer) error {
	var usernames []any
	for i := range questions {
		if e := questions[i].e; e.kind == blockedKind {
			usernames = append(usernames, e.username)
		}
	}
	if usernames == nil {
		return func([]answer) error { return nil }
	}
	reply := pipe.SMIsMember(ctx, key, usernames...)
	return func(answers []answer) error {
		members, err := reply.Result()
		wrong := redis.HasErrorPrefix(err, wrongType)
		if err != nil && !wrong {
			return err
		}
		for i := range questions {
			switch {
			case questions[i].e.kind != blockedKind:
			case wrong:
				answers[i].value = badBlocked(questions[i].old)
			default:
				answers[i].value = yesValue(members[0])
				members = members[1:]
			}
		}
		return nil
	}
}
