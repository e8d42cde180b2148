package sleep

import (
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/redis/go-redis/v9"
)

// Index tells which MQTT Sessions of a user outlive their connections, by upstream Client Identifier: those that end
// when the user is blocked. Of one user no more than a bound are kept, and their records; who ends soonest goes first.
// It is in Redis, for all instances:
//
//	<prefix>sleeping:<username>  sorted set  upstream Client Identifier, by the time when the MQTT Session has ended by itself
//
// or, without Redis, where nobody can be blocked, in memory, for the bound alone.
//
// Its methods make notes. One goroutine writes them, many in one round trip; what Redis does not take is written later.
type Index struct {
	client redis.UniversalClient // nil: none
	prefix string
	most   int
	forget func(id string) // a record whose Session is beyond the bound
	local  *localIndex     // without a client; owned by write

	mu     sync.Mutex
	notes  map[string]note // by upstream Client Identifier, the newest of each
	users  map[string]int  // how many of them, by username
	wake   chan struct{}
	stop   context.CancelFunc
	writes sync.WaitGroup
}

// note is what is to be written of one MQTT Session.
type note struct {
	username string
	until    time.Time // zero: it has ended
}

const (
	// maxNotes bounds what waits to be written; more is not noted, and not ended when its user is blocked. Of one user no
	// more than the bound wait, and as many that have ended.
	maxNotes = 50_000
	// indexLife is for how long a user's index is kept after the last connection: longer than any record.
	indexLife = 200 * 24 * time.Hour
	// notesAtOnce go in one round trip.
	notesAtOnce = 100
	// gather is how long notes wait for others, so that who comes in a storm goes in one round trip.
	gather = 100 * time.Millisecond
)

// NewIndex makes an index of at most so many MQTT Sessions of a user; client is nil without Redis. forget is told of
// records that go. Close ends it.
func NewIndex(client redis.UniversalClient, prefix string, most int, forget func(id string)) *Index {
	x := &Index{client: client, prefix: prefix + "sleeping:", most: most, forget: forget, local: newLocalIndex(most),
		notes: map[string]note{}, users: map[string]int{}, wake: make(chan struct{}, 1)}
	ctx, stop := context.WithCancel(context.Background())
	x.stop = stop
	x.writes.Go(func() { x.write(ctx) })
	return x
}

// Close writes what is noted, if Redis is there, and ends.
func (x *Index) Close() {
	if x == nil {
		return
	}
	x.stop()
	x.writes.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	x.writeAll(ctx)
}

// Note says that an MQTT Session outlives its connection, by so much.
func (x *Index) Note(username, id string, ttl time.Duration) {
	x.note(id, note{username, time.Now().Add(ttl)})
}

// Drop says that one has ended.
func (x *Index) Drop(username, id string) { x.note(id, note{username: username}) }

func (x *Index) note(id string, n note) {
	if x == nil {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.add(id, n)
	select {
	case x.wake <- struct{}{}:
	default: // one waiting signal is as good as two
	}
}

// add takes a note in, if there is room. mu is held.
func (x *Index) add(id string, n note) {
	if _, known := x.notes[id]; !known {
		if len(x.notes) >= maxNotes || x.users[n.username] >= 2*x.most {
			return
		}
		x.users[n.username]++
	}
	x.notes[id] = n
}

// take takes out some notes.
func (x *Index) take() map[string]note {
	x.mu.Lock()
	defer x.mu.Unlock()
	some := make(map[string]note, min(len(x.notes), notesAtOnce))
	for id, n := range x.notes {
		if len(some) == notesAtOnce {
			break
		}
		some[id] = n
		delete(x.notes, id)
		if x.users[n.username]--; x.users[n.username] == 0 {
			delete(x.users, n.username)
		}
	}
	return some
}

// giveBack takes notes in again that could not be written. What is newer stays.
func (x *Index) giveBack(some map[string]note) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for id, n := range some {
		if _, newer := x.notes[id]; !newer {
			x.add(id, n)
		}
	}
}

// Of lists the MQTT Sessions of users; none without Redis.
func (x *Index) Of(ctx context.Context, usernames []string) (ids [][]string, err error) {
	if x.client == nil {
		return make([][]string, len(usernames)), nil
	}
	pipe := x.client.Pipeline()
	asked := make([]*redis.StringSliceCmd, len(usernames))
	for i, username := range usernames {
		asked[i] = pipe.ZRange(ctx, x.prefix+username, 0, -1)
	}
	if _, err = pipe.Exec(ctx); err != nil {
		return nil, err
	}
	for _, command := range asked {
		ids = append(ids, command.Val())
	}
	return ids, nil
}

// write writes what is noted, until ctx ends.
func (x *Index) write(ctx context.Context) {
	pauses := backoff.ExponentialBackOff{InitialInterval: gather, Multiplier: 2, RandomizationFactor: 0.5, MaxInterval: 10 * time.Second}
	for {
		select {
		case <-x.wake:
		case <-ctx.Done():
			return
		}
		for pause := gather; pause > 0; {
			select {
			case <-time.After(pause):
			case <-ctx.Done():
				return
			}
			if pause = 0; !x.writeAll(ctx) {
				pause = pauses.NextBackOff()
			}
		}
		pauses.Reset()
	}
}

// writeAll writes what is noted; false: something of it could not be written, and is noted again.
func (x *Index) writeAll(ctx context.Context) bool {
	for {
		some := x.take()
		if len(some) == 0 {
			return true
		}
		if left := x.put(ctx, some); len(left) > 0 {
			x.giveBack(left)
			return false
		}
	}
}

// put writes some notes, and returns those that could not be.
func (x *Index) put(ctx context.Context, some map[string]note) (left map[string]note) {
	if x.client == nil {
		x.local.put(some, x.forget)
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	pipe := x.client.Pipeline()
	written := make(map[string]redis.Cmder, len(some)) // by id
	counts := map[string]*redis.IntCmd{}               // by key
	now := strconv.FormatInt(time.Now().Unix(), 10)
	for id, n := range some {
		key := x.prefix + n.username
		if n.until.IsZero() {
			written[id] = pipe.ZRem(ctx, key, id)
			continue
		}
		written[id] = pipe.ZAdd(ctx, key, redis.Z{Score: float64(n.until.Unix()), Member: id})
		pipe.ZRemRangeByScore(ctx, key, "-inf", now)
		pipe.Expire(ctx, key, indexLife)
		counts[key] = pipe.ZCard(ctx, key)
	}
	_, _ = pipe.Exec(ctx) // each command has its own error
	left = map[string]note{}
	for id, command := range written {
		if err := command.Err(); err != nil && !redis.HasErrorPrefix(err, "WRONGTYPE") { // such a key is somebody else's
			left[id] = some[id]
		}
	}
	if len(left) == 0 {
		x.cut(ctx, counts)
	}
	return left
}

// cut takes out of each user's what is beyond the bound. What fails is made up for by the next note of that user.
func (x *Index) cut(ctx context.Context, counts map[string]*redis.IntCmd) {
	pipe := x.client.Pipeline()
	var cut []*redis.ZSliceCmd
	for key, count := range counts {
		if more := count.Val() - int64(x.most); more > 0 {
			cut = append(cut, pipe.ZPopMin(ctx, key, more))
		}
	}
	if len(cut) == 0 {
		return
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return
	}
	for _, command := range cut {
		for _, z := range command.Val() {
			if id, ok := z.Member.(string); ok {
				x.forget(id)
			}
		}
	}
}
