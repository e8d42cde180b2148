package store

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"topicgate/policy/payload"
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
	for i, e := range entries {
		l.since[i], l.old[i] = e.dirty, e.value
		e.dirty, e.load = time.Time{}, l
	}
	c.loads[l] = struct{}{}
	return l
}

// age makes the mark of e as old as since. c.mu is held.
func (e *entry) age(since time.Time) {
	if e.load == nil {
		e.dirty = earlier(e.dirty, since)
		return
	}
	i := slices.Index(e.load.entries, e)
	e.load.since[i] = earlier(e.load.since[i], since)
}

// answer is what a load found out about one entry: a value, an error, or that there is more of it than one reply
// is to hold.
type answer struct {
	value *keyValue
	ttl   time.Duration // of the key; 0: it has none
	err   error
	more  *scan

	differs bool // the value decides something otherwise than the one before
}

// compare finds out, without a lock, what is new in an answer.
func (a *answer) compare(old *keyValue) {
	if a.value == nil || a.value == old {
		return
	}
	a.differs = !old.same(a.value)
	if !a.differs && slices.Equal(old.notes, a.value.notes) {
		a.value = old
	}
}

// change is an entry whose value is another one than before.
type change struct {
	e       *entry
	v       *keyValue
	differs bool
}

const (
	// maxRest bounds how long a key that changes all the time, and is slow to read,
	// is left alone between two reads.
	maxRest = 200 * time.Millisecond
	// failRest is how long a key is left alone that could not be read though it was alone.
	failRest = 500 * time.Millisecond
)

// finish puts what was read in its place, and lets the grants that it changes
// be built anew. It returns what is another value now.
func (c *cache) finish(l *load, read []answer) (changes []change) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.end(l, read)
}

// end is finish; of what has ended already it is nothing. c.mu is held.
func (c *cache) end(l *load, read []answer) (changes []change) {
	if _, underWay := c.loads[l]; !underWay {
		return nil // the store has stopped
	}
	took := time.Since(l.began)
	defer close(l.done)
	delete(c.loads, l)
	failed := false
	for i, e := range l.entries {
		e.load = nil
		a := &read[i]
		switch {
		case e.gone:
			continue
		case a.more != nil:
			c.goOn(a.more, l, i)
			continue
		case a.value == nil:
			failed = true
			e.dirty = earlier(e.dirty, l.since[i])
			if a.err != nil && e.slow {
				c.rest(e, failRest)
			} else {
				e.slow = e.slow || a.err != nil // perhaps the others are well
				c.enqueue(e)
			}
			continue
		}
		if c.settle(e, a, l, i) {
			changes = append(changes, change{e, a.value, a.differs})
		}
		switch {
		case e.dirty.IsZero():
		case took > maxRest/20:
			c.rest(e, min(took, maxRest)) // the server is ours for half of the time at most
		default:
			c.enqueue(e)
		}
	}
	switch {
	case l.scanned:
	case failed:
		c.batch = max(1, c.batch/4) // perhaps the reply was too long
	default:
		c.batch = min(maxBatch, c.batch*2)
	}
	return changes
}

// settle puts what was read of l's entry i in force, and tells whether it is another value. c.mu is held.
func (c *cache) settle(e *entry, a *answer, l *load, i int) bool {
	e.asOf = l.began
	e.slow = l.large
	c.expire(e, a.ttl)
	if a.value == e.value {
		return false
	}
	e.value = a.value
	if delete(c.problems, e); e.value.problem != "" {
		c.problems[e] = struct{}{}
	}
	if a.differs {
		for _, u := range e.users {
			c.wantBuild(u.g, l.since[i])
		}
	}
	return true
}

// fail ends a load that was never read.
func (c *cache) fail(l *load, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	l.err = err
	c.end(l, make([]answer, len(l.entries)))
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
func (s *Store) read(caller context.Context, loads ...*load) error {
	answers := s.askRedis(caller, s.client, loads...)
	together := len(answers) > 1
	var err error
	for _, l := range loads {
		read := answers[:len(l.entries)]
		answers = answers[len(read):]
		for i := range read {
			if read[i].err != nil {
				l.err, err = read[i].err, read[i].err
			}
		}
		l.again = together || errors.Is(l.err, errReplyTooLong)
		s.finish(l, read)
	}
	return err
}

// finish compares what was read with what was before, puts it in force and tells of it.
func (s *Store) finish(l *load, read []answer) {
	for i := range read {
		if l.entries[i].kind == wordsKind {
			read[i].keepWords(l.old[i])
		}
		read[i].compare(l.old[i])
	}
	for _, change := range s.cache.finish(l, read) {
		s.tell(change)
	}
}

// askRedis asks for what loads are to read, and gives an answer for each of their entries.
//
// The pipeline is a plain one: MULTI fails across the slots of a Cluster.
func (s *Store) askRedis(caller context.Context, client redis.UniversalClient, loads ...*load) []answer {
	start := time.Now()
	ctx, cancel := context.WithTimeout(caller, s.timing.read)
	defer cancel()
	var questions []question
	pipe := client.Pipeline()
	for _, l := range loads {
		for i, e := range l.entries {
			questions = append(questions, ask(ctx, pipe, e, l.old[i]))
		}
	}
	answers := make([]answer, len(questions))
	blocked := askBlocked(ctx, pipe, s.keys.blocked(), questions)
	_, _ = pipe.Exec(ctx) // each command has its own error
	blocked(answers)
	var failure error
	some := false
	for i := range questions {
		if q := &questions[i]; q.e.kind != blockedKind {
			answers[i] = q.answer()
		}
		if err := answers[i].err; err != nil {
			failure = err
		} else {
			some = true
		}
	}
	s.observe(Event{Kind: EventRead, OK: failure == nil, Keys: len(questions), Duration: time.Since(start)})
	if caller.Err() == nil {
		s.watch.readEnded(start, some, failure)
	}
	return answers
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
	members *redis.ScanCmd
	exists  *redis.IntCmd
	ttl     *redis.DurationCmd
}

// ask adds the commands for e to pipe; none for a blockedKind, which askBlocked reads. No reply is longer than what
// is taken at once.
func ask(ctx context.Context, pipe redis.Pipeliner, e *entry, old *keyValue) question {
	q := question{e: e, old: old}
	switch e.kind {
	case textKind:
		q.text, q.ttl = pipe.GetRange(ctx, e.key, 0, maxText), pipe.PTTL(ctx, e.key)
	case schemaKind:
		q.text, q.ttl = pipe.GetRange(ctx, e.key, 0, payload.MaxSchema), pipe.PTTL(ctx, e.key)
	case linesKind, setKind, rolesKind, wordsKind:
		q.members, q.ttl = pipe.SScan(ctx, e.key, 0, "", pieceMembers), pipe.PTTL(ctx, e.key)
	case revokedKind:
		q.exists = pipe.Exists(ctx, e.key)
	}
	return q
}

// answer makes sense of what Redis said, other than about a blockedKind.
func (q *question) answer() answer {
	if q.ttl != nil && q.ttl.Err() != nil {
		return answer{err: q.ttl.Err()}
	}
	switch q.e.kind {
	case textKind, schemaKind:
		bad, good := badText, textValue
		if q.e.kind == schemaKind {
			bad, good = badSchema, schemaValue
		}
		text, err := q.text.Result()
		switch {
		case redis.HasErrorPrefix(err, wrongType):
			return answer{value: bad("the key is no string", "", q.old), ttl: q.ttl.Val()}
		case err != nil && !errors.Is(err, redis.Nil):
			return answer{err: err}
		}
		return answer{value: good(q.e.key, text, q.old), ttl: q.ttl.Val()}
	case revokedKind:
		n, err := q.exists.Result()
		if err != nil {
			return answer{err: err}
		}
		return answer{value: boolValue(n > 0)}
	}
	members, cursor, err := q.members.Result()
	switch {
	case redis.HasErrorPrefix(err, wrongType):
		return answer{value: &keyValue{problem: wrongTypeSet}, ttl: q.ttl.Val()}
	case err != nil:
		return answer{err: err}
	}
	x := &scan{e: q.e, cursor: cursor, ttl: q.ttl.Val()}
	if value := x.take(members); value != nil {
		return answer{value: value, ttl: x.ttl}
	}
	if cursor != 0 {
		return answer{more: x}
	}
	return answer{value: x.value(q.old), ttl: x.ttl}
}

// askBlocked asks which of the usernames among questions are members of the blocked
// set, which is never read whole: it may be large. The function that it returns
// puts the answers, or the error, in their places.
func askBlocked(ctx context.Context, pipe redis.Pipeliner, key string, questions []question) func([]answer) {
	var usernames []any
	for i := range questions {
		if e := questions[i].e; e.kind == blockedKind {
			usernames = append(usernames, e.username)
		}
	}
	if usernames == nil {
		return func([]answer) {}
	}
	reply := pipe.SMIsMember(ctx, key, usernames...)
	return func(answers []answer) {
		members, err := reply.Result()
		wrong := redis.HasErrorPrefix(err, wrongType)
		for i := range questions {
			switch {
			case questions[i].e.kind != blockedKind:
			case wrong:
				answers[i].value = badBlocked(questions[i].old)
			case err != nil:
				answers[i].err = err
			default:
				answers[i].value = boolValue(members[0])
				members = members[1:]
			}
		}
	}
}
