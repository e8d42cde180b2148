package sleep

import (
	"context"
	"errors"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/expirable"
	"github.com/redis/go-redis/v9"
)

// Keeper keeps records by upstream Client Identifier, and when brokers were lost, by address.
type Keeper interface {
	Load(ctx context.Context, id string) (Stored, error)
	Keep(ctx context.Context, id string, data []byte, ttl time.Duration) error
	Forget(ctx context.Context, ids ...string) error // in one round trip
	Lose(ctx context.Context, broker string, at time.Time) error
}

// Stored is what a Keeper has.
type Stored struct {
	Data  []byte // nil: nothing
	Older bool   // it may be older than what was kept last
	Lost  map[string]time.Time
}

// NewKeeper keeps records in Redis, under prefix + "session:", or, if client is nil, in memory.
func NewKeeper(client redis.UniversalClient, prefix string) Keeper {
	if client != nil {
		return &shared{client: client, prefix: prefix + "session:", lost: prefix + "lost", runs: map[redis.UniversalClient]string{}}
	}
	return local{expirable.NewLRU[string, []byte](inMemory, nil, 0)}
}

// shared keeps them for all instances.
//
// A Redis that was restarted, or that another has taken over for, may have an older record, which looks like the newest. So each record
// is stamped with the run of the server that took it (run_id of INFO): one of another run may be older. Where the
// gateway has no right to INFO, all are taken for the newest.
type shared struct {
	client redis.UniversalClient
	prefix string
	lost   string // hash: broker -> Unix time in ms

	mu   sync.Mutex
	runs map[redis.UniversalClient]string // by server, as it said last
}

// stampEnd parts the run that a record is stamped with from the record.
const stampEnd = "|"

// server is the one that has a key.
func (s *shared) server(ctx context.Context, key string) (redis.UniversalClient, error) {
	if cluster, ok := s.client.(*redis.ClusterClient); ok {
		return cluster.MasterForKey(ctx, key)
	}
	return s.client, nil
}

var runID = regexp.MustCompile(`(?m)^run_id:(\w+)`)

// learn notes the run that a server says it is in; false: it has not answered.
func (s *shared) learn(server redis.UniversalClient, info *redis.StringCmd) (id string, ok bool) {
	if err := info.Err(); err != nil && !refused(err) {
		return "", false
	}
	if match := runID.FindStringSubmatch(info.Val()); match != nil {
		id = match[1]
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.runs) >= maxServers {
		clear(s.runs)
	}
	s.runs[server] = id
	return id, true
}

// maxServers bounds the servers that are known, of a Cluster whose members change.
const maxServers = 1000

// refused reports whether err is a server's answer.
func refused(err error) bool {
	var answer redis.Error
	return errors.As(err, &answer)
}

func (s *shared) knownRun(server redis.UniversalClient) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.runs[server]
}

func (s *shared) Load(ctx context.Context, id string) (Stored, error) {
	server, err := s.server(ctx, s.prefix+id)
	if err != nil {
		return Stored{}, err
	}
	pipe := server.Pipeline()
	get, info := pipe.Get(ctx, s.prefix+id), pipe.Info(ctx, "server")
	losses := func() *redis.MapStringStringCmd { return s.client.HGetAll(ctx, s.lost) } // another server's, perhaps
	if server == s.client {
		piped := pipe.HGetAll(ctx, s.lost)
		losses = func() *redis.MapStringStringCmd { return piped }
	}
	_, _ = pipe.Exec(ctx) // each command has its own error
	text, err := get.Result()
	if errors.Is(err, redis.Nil) {
		return Stored{}, nil
	}
	if err != nil {
		return Stored{}, err
	}
	present, ok := s.learn(server, info)
	if !ok {
		return Stored{}, info.Err()
	}
	written, data, stamped := strings.Cut(text, stampEnd)
	if !stamped {
		return Stored{}, nil
	}
	lost := losses()
	if err := lost.Err(); err != nil && !refused(err) {
		return Stored{}, err
	}
	return Stored{[]byte(data), present != "" && written != present, timesOf(lost.Val())}, nil
}

// timesOf reads what Lose has written.
func timesOf(texts map[string]string) map[string]time.Time {
	times := make(map[string]time.Time, len(texts))
	for key, text := range texts {
		if ms, err := strconv.ParseInt(text, 10, 64); err == nil {
			times[key] = time.UnixMilli(ms)
		}
	}
	return times
}

func (s *shared) Keep(ctx context.Context, id string, data []byte, ttl time.Duration) error {
	server, err := s.server(ctx, s.prefix+id)
	if err != nil {
		return err
	}
	for is := s.knownRun(server); ; {
		pipe := server.Pipeline()
		set := pipe.Set(ctx, s.prefix+id, is+stampEnd+string(data), ttl)
		info := pipe.Info(ctx, "server")
		_, _ = pipe.Exec(ctx) // each command has its own error
		if err := set.Err(); err != nil {
			return err
		}
		present, ok := s.learn(server, info)
		if !ok || present == is {
			return nil
		}
		is = present // once more, with the right stamp
	}
}

func (s *shared) Forget(ctx context.Context, ids ...string) error {
	_, err := s.client.Pipelined(ctx, func(p redis.Pipeliner) error { // one command would fail across the slots of a Cluster
		for _, id := range ids {
			p.Del(ctx, s.prefix+id)
		}
		return nil
	})
	return err
}

func (s *shared) Lose(ctx context.Context, broker string, at time.Time) error {
	return s.client.HSet(ctx, s.lost, broker, at.UnixMilli()).Err()
}

// inMemory bounds what is kept without Redis.
const inMemory = 10_000

// local serves a gateway without Redis: what it knows is lost with it.
type local struct {
	lru *expirable.LRU[string, []byte]
}

func (l local) Load(_ context.Context, id string) (Stored, error) {
	data, _ := l.lru.Get(id)
	return Stored{Data: data}, nil
}

func (l local) Keep(_ context.Context, id string, data []byte, _ time.Duration) error {
	l.lru.Add(id, data)
	return nil
}

func (l local) Forget(_ context.Context, ids ...string) error {
	for _, id := range ids {
		l.lru.Remove(id)
	}
	return nil
}

func (local) Lose(context.Context, string, time.Time) error { return nil } // Lost knows
