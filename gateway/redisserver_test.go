package gateway

import (
	"context"
	"strconv"
	"sync"
	"testing"
	"time"

	"topicgate/gateway/internal/redistest"
	"topicgate/policy"
)

// redisServer is a Redis with a registry of sessions in it.
type redisServer struct {
	*redistest.Server
	t testing.TB
}

func startRedis(t testing.TB, args ...string) *redisServer {
	t.Helper()
	return &redisServer{redistest.Start(t, args...), t}
}

// sessions lists what is registered.
func (r *redisServer) sessions() []LiveSession {
	r.t.Helper()
	all, err := LiveSessions(context.Background(), r.Client, "tg:")
	if err != nil {
		r.t.Fatal(err)
	}
	return all
}

// awaitSessions waits until so many sessions are registered.
func (r *redisServer) awaitSessions(n int) []LiveSession {
	r.t.Helper()
	var all []LiveSession
	redistest.Eventually(r.t, strconv.Itoa(n)+" sessions are registered", func() bool {
		all = r.sessions()
		return len(all) == n
	})
	return all
}

// newRedisRig is newRig for an instance that keeps its sessions, and reads its rules, in r.
func newRedisRig(t *testing.T, r *redisServer, instance string) *rig {
	t.Helper()
	r.Run("SET", "tg:acl", chatRules)
	store, err := policy.NewStore(policy.StoreOptions{RedisURL: "redis://" + r.Addr, Prefix: "tg:", StaleMax: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = store.Run(ctx) })
	t.Cleanup(func() { // after newRig's
		stop()
		running.Wait()
		_ = store.Close()
	})
	return newRig(t, func(o *Options) { o.Policy, o.RedisPrefix, o.Instance = store, "tg:", instance })
}
