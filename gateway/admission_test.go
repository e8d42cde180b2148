package gateway

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"topicgate/frames"
)

func TestTooManyConnectionsOfAUserAreRefused(t *testing.T) {
	for _, v := range versions {
		r := newGate(t, func(o *Options) { o.MaxConnectionsPerUser = 1 })
		r.connect(v, "alice")
		second := connectOf(v, "alice")
		second.ClientID = "c2"
		r.dial(v).opens(second).wantRefused(3, 0x97, 1013)
		r.connect(v, "bob")
		r.connect(v, "alice") // the same client again: the broker ends the first
	}
}

func TestSessionsLeaveNothingBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newGate(t, func(o *Options) { o.MaxConnectionsPerUser = 5; o.MaxConnections = 1 })
		for _, end := range []func(c *conversation){
			func(c *conversation) { c.say("e0 00"); c.passes("e0 00") },
			func(c *conversation) { _ = c.ws.Close() },
			func(c *conversation) { _ = c.conn.Close() },
			func(c *conversation) {
				_ = c.ws.WriteControl(8, websocket.FormatCloseMessage(1001, ""), time.Now().Add(time.Second))
			},
		} {
			c := r.connect(frames.V311, "alice")
			end(c)
			c.drainClient()
			synctest.Wait()
			r.server.mu.Lock()
			sessions, users := len(r.server.sessions), len(r.server.users)
			r.server.mu.Unlock()
			if sessions != 0 || users != 0 || r.server.open.Load() != 0 || len(r.server.Sessions()) != 0 {
				t.Errorf("%d sessions, %d users, %d open; want none", sessions, users, r.server.open.Load())
			}
		}
	})
}
