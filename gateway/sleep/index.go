package sleep

import (
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// Index tells which MQTT Sessions of a user outlive their connections, by upstream Client Identifier: those that end
// when the user is blocked. It is in Redis, for all instances:
//
//	<prefix>sleeping:<username>  sorted set  upstream Client Identifier, by the time when the MQTT Session has ended by itself
//
// Of one user no more than a bound are kept, and their records; who ends soonest goes first. A nil Index does nothing.
//
// Its methods make notes. One goroutine writes them, many in one round trip.
type Index struct {
	client redis.UniversalClient
	prefix string
	most   int64
	forget func(id string) // a record whose Session is beyond the bound

	mu     sync.Mutex
	notes  map[string]note // by upstream Client Identifier, the newest of each
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
	// maxNotes bounds what waits to be written; more is not noted, and not ended when its user is blocked.
	maxNotes = 10_000
	// indexLife is for how long a user's index is kept after the last connection: longer than any record.
	indexLife = 200 * 24 * time.Hour
	// notesAtOnce go in one round trip.
	notesAtOnce = 100
)

// NewIndex makes an index of at most so many MQTT Sessions of a user; nil without Redis. forget is told of records that
// go. Close ends it.
func NewIndex(client redis.UniversalClient, prefix string, most int, forget func(id string)) *Index {
	if client == nil {
		return nil
	}
	x := &Index{client: client, prefix: prefix + "sleeping:", most: int64(most), forget: forget, notes: map[string]note{}, wake: make(chan struct{}, 1)}
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
	for x.writeSome(ctx) {
	}
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
	if _, known := x.notes[id]; known || len(x.notes) < maxNotes {
		x.notes[id] = n
	}
	select {
	case x.wake <- struct{}{}:
	default: // one waiting signal is as good as two
	}
}

// Of lists the MQTT Sessions of users.
func (x *Index) Of(ctx context.Context, usernames []string) (ids [][]string, err error) {
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

func (x *Index) write(ctx context.Context) {
	for {
		select {
		case <-x.wake:
		case <-ctx.Done():
			return
		}
		for x.writeSome(ctx) {
		}
		select {
		case <-time.After(100 * time.Millisecond): // who comes in a storm goes in one round trip
		case <-ctx.Done():
			return
		}
	}
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
	}
	return some
}

// writeSome writes some notes; false: there are none, or Redis does not take them. Those are lost: the next connection
// of each notes it again.
func (x *Index) writeSome(ctx context.Context) bool {
	some := x.take()
	if len(some) == 0 {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	pipe := x.client.Pipeline()
	counts := map[string]*redis.IntCmd{} // by key
	now := strconv.FormatInt(time.Now().Unix(), 10)
	for id, n := range some {
		key := x.prefix + n.username
		if n.until.IsZero() {
			pipe.ZRem(ctx, key, id)
			continue
		}
		pipe.ZAdd(ctx, key, redis.Z{Score: float64(n.until.Unix()), Member: id})
		pipe.ZRemRangeByScore(ctx, key, "-inf", now)
		pipe.Expire(ctx, key, indexLife)
		counts[key] = pipe.ZCard(ctx, key)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return false
	}
	x.cut(ctx, counts)
	return true
}

// cut takes out of each user's what is beyond the bound.
func (x *Index) cut(ctx context.Context, counts map[string]*redis.IntCmd) {
	pipe := x.client.Pipeline()
	var cut []*redis.ZSliceCmd
	for key, count := range counts {
		if more := count.Val() - x.most; more > 0 {
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
