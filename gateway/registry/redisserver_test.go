package registry

import (
	"context"
	"strconv"
	"testing"

	"topicgate/gateway/internal/redistest"
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
