package gateway

import (
	"context"
	"sync"
	"testing"
	"time"

	"topicgate/auth"
	"topicgate/frames"
	"topicgate/gateway/internal/redistest"
	"topicgate/policy"
)

// A token that is revoked ends its sessions, and no others of the same user; a fresh token is judged by itself.
func TestARevokedTokenEndsItsSessionsAlone(t *testing.T) {
	server := redistest.Start(t)
	identity := func(tokenID string) auth.Identity {
		return auth.Identity{Issuer: "https://one.example", Subject: "1", Username: "alice", TokenID: tokenID}
	}
	r := newRedisRig(t, server, tokens{"a": identity("a"), "b": identity("b"), "c": identity("c")})
	first, second := r.connectAs(frames.V5, "a", "1"), r.connectAs(frames.V311, "b", "2")
	first.say(publishHex(first.v, topicToken, 1, 7, "c"))
	first.hears(ackHex(frames.TypePuback, 7, frames.Success, first.v))
	server.Run("SET", "tg:revoked:b", "", "EX", "100")
	second.closes(closeNotAuthenticated)
	_ = second.conn.Close()
	server.Run("SET", "tg:revoked:a", "", "EX", "100") // is its token no more
	first.lives()
	server.Run("SET", "tg:revoked:c", "", "EX", "100")
	first.hears("e0 01 87")
	first.closes(closeNotAuthenticated)
}

// Who is blocked, or whose token is revoked, while the broker is being asked is turned out at once.
func TestABlockDuringConnectHolds(t *testing.T) {
	server := redistest.Start(t)
	r := newRedisRig(t, server, names{})
	c := r.dial(frames.V5).opens(connectOf(frames.V5, "alice"))
	c.accept()
	c.fromGateway(frames.TypeConnect)
	s := r.onlySession()
	server.Run("SADD", "tg:blocked", "alice")
	r.until("the block is seen", func() bool { return s.grant.Standing() == policy.Blocked })
	c.reply(acceptedBy(c.v))
	c.expect(frames.TypeConnack)
	c.hears("e0 01 98")
	c.closes(closeForbidden)
}

// newRedisRig is newRig with its policy in server.
func newRedisRig(t *testing.T, server *redistest.Server, verifier Verifier) *rig {
	t.Helper()
	server.Run("SET", "tg:acl", chatRules)
	store, err := policy.NewStore(policy.StoreOptions{RedisURL: "redis://" + server.Addr, Prefix: "tg:", StaleMax: time.Minute})
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
	return newRig(t, func(o *rigOptions) { o.Policy, o.Verifier = store, verifier })
}
