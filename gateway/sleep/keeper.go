package sleep

import (
	"context"
	"errors"
	"time"

	"github.com/hashicorp/golang-lru/v2/expirable"
	"github.com/redis/go-redis/v9"
)

// Keeper keeps records by upstream Client Identifier.
type Keeper interface {
	Load(ctx context.Context, id string) ([]byte, error) // nil: nothing is kept
	Keep(ctx context.Context, id string, data []byte, ttl time.Duration) error
	Forget(ctx context.Context, ids ...string) error // in one round trip
}

// NewKeeper keeps records in Redis, under prefix + "session:", or, if client is nil, in memory.
func NewKeeper(client redis.UniversalClient, prefix string) Keeper {
	if client != nil {
		return shared{client: client, prefix: prefix + "session:"}
	}
	return local{expirable.NewLRU[string, []byte](inMemory, nil, 0)}
}

// shared keeps them for all instances.
type shared struct {
	client redis.UniversalClient
	prefix string
}

func (s shared) Load(ctx context.Context, id string) ([]byte, error) {
	data, err := s.client.Get(ctx, s.prefix+id).Bytes()
	if errors.Is(err, redis.Nil) {
		return nil, nil
	}
	return data, err
}

func (s shared) Keep(ctx context.Context, id string, data []byte, ttl time.Duration) error {
	return s.client.Set(ctx, s.prefix+id, data, ttl).Err()
}

func (s shared) Forget(ctx context.Context, ids ...string) error {
	_, err := s.client.Pipelined(ctx, func(p redis.Pipeliner) error { // one command would fail across the slots of a Cluster
		for _, id := range ids {
			p.Del(ctx, s.prefix+id)
		}
		return nil
	})
	return err
}

// inMemory bounds what is kept without Redis.
const inMemory = 10_000

// local serves a gateway without Redis: what it knows is lost with it.
type local struct {
	lru *expirable.LRU[string, []byte]
}

func (l local) Load(_ context.Context, id string) ([]byte, error) {
	data, _ := l.lru.Get(id)
	return data, nil
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
