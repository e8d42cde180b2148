package integration

import (
	"net"
	"net/http"
	"testing"

	"topicgate/frames"
)

// At the limit of its file descriptors the gateway goes on: a flood of connections that say nothing keeps neither probes
// nor users out, nor Redis away.
func TestAFloodOfConnectionsAtTheLimitOfDescriptors(t *testing.T) {
	t.Parallel()
	s := prepareStack(t, "pattern readwrite chat/room/{rooms}/#\n")
	s.redis.do(t, "SADD", "topicgate:user:alice:rooms", "lobby")
	g := launchGateway(t, s.settings(), "/bin/sh", "-c", `ulimit -n 160; exec "$@"`, "sh")
	g.awaitReady(t)
	token := s.issuer.token(t, "alice")
	live := g.connect(t, frames.V5, "live", token)
	live.settled("chat/room/lobby/x", true)

	for round := range 3 {
		var flood []net.Conn
		for range 300 { // more than there are descriptors
			c, err := net.Dial("tcp", g.address)
			if err != nil {
				t.Fatal(err)
			}
			flood = append(flood, c)
		}
		for _, path := range []string{"/healthz", "/readyz"} {
			if status := g.status(path); status != http.StatusOK {
				t.Errorf("%s %d during the flood; want 200", path, status)
			}
		}
		live.ping()
		newcomer := g.connect(t, frames.V5, "newcomer", token)
		newcomer.ping()
		if round == 0 { // Redis has to be reached anew
			s.redis.kill()
			s.redis.restart(t)
			s.redis.do(t, "SADD", "topicgate:user:alice:rooms", "garden")
			live.settled("chat/room/garden/x", true)
			live.settled("chat/room/lobby/x", false)
			g.awaitReady(t)
		}
		newcomer.disconnect()
		for _, c := range flood {
			_ = c.Close()
		}
	}
}
