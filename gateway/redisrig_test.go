package gateway

import (
	"context"
	"sync"
	"testing"
	"time"

	"topicgate/gateway/internal/play"
	"topicgate/policy/store"
)

// newRedisGate is newRig for an instance that keeps its sessions, and reads its rules, in r.
func newRedisGate(t *testing.T, r *redisServer, instance string) *gate {
	t.Helper()
	r.Run("SET", "tg:acl", play.ChatRules)
	policies, err := store.New(store.Options{RedisURL: "redis://" + r.Addr, Prefix: "tg:", StaleMax: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = policies.Run(ctx) })
	t.Cleanup(func() { // after newRig's
		stop()
		running.Wait()
		_ = policies.Close()
	})
	return newGate(t, func(o *Options) { o.Policy, o.RedisPrefix, o.Instance = policies, "tg:", instance })
}
