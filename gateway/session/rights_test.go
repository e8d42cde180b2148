package session

import (
	"context"
	"sync"
	"testing"
	"time"

	"topicgate/auth"
	"topicgate/frames"
	"topicgate/gateway/internal/play"
	"topicgate/gateway/internal/redistest"
	"topicgate/gateway/subs"
	"topicgate/policy/store"
)

// A token that is revoked ends its sessions, and no others of the same user; a fresh token is judged by itself.
func TestARevokedTokenEndsItsSessionsAlone(t *testing.T) {
	server := redistest.Start(t)
	identity := func(tokenID string) auth.Identity {
		return auth.Identity{Issuer: "https://one.example", Subject: "1", Username: "alice", TokenID: tokenID}
	}
	r := newRedisRig(t, server, tokens{"a": identity("a"), "b": identity("b"), "c": identity("c")})
	first, second := r.ConnectAs(frames.V5, "a", "1"), r.ConnectAs(frames.V311, "b", "2")
	first.Say(play.PublishHex(first.V, subs.TopicToken, 1, 7, "c"))
	first.Hears(play.AckHex(frames.TypePuback, 7, frames.Success, first.V))
	server.Run("SET", "tg:revoked:b", "", "EX", "100")
	second.Closes(closeNotAuthenticated)
	_ = second.Conn.Close()
	server.Run("SET", "tg:revoked:a", "", "EX", "100") // is its token no more
	first.Lives()
	server.Run("SET", "tg:revoked:c", "", "EX", "100")
	first.Hears("e0 01 87")
	first.Closes(closeNotAuthenticated)
}

// Who is blocked, or whose token is revoked, while the broker is being asked is turned out at once.
func TestABlockDuringConnectHolds(t *testing.T) {
	server := redistest.Start(t)
	r := newRedisRig(t, server, play.Names{})
	c := r.Dial(frames.V5).Opens(play.ConnectOf(frames.V5, "alice"))
	c.Accept()
	c.FromGateway(frames.TypeConnect)
	s := r.onlySession()
	server.Run("SADD", "tg:blocked", "alice")
	r.Until("the block is seen", func() bool { return s.grant.Standing() == store.Blocked })
	c.Reply(play.AcceptedBy(c.V))
	c.Expect(frames.TypeConnack)
	c.Hears("e0 01 98")
	c.Closes(closeForbidden)
}

// newRedisRig is newRig with its policy in server.
func newRedisRig(t *testing.T, server *redistest.Server, verifier Verifier) *rig {
	t.Helper()
	server.Run("SET", "tg:acl", play.ChatRules)
	policies, err := store.New(store.Options{RedisURL: "redis://" + server.Addr, Prefix: "tg:", StaleMax: time.Minute})
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
	return newRig(t, func(o *rigOptions) { o.Policy, o.Verifier = policies, verifier })
}
