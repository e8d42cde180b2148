package gateway

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"topicgate/frames"
	"topicgate/gateway/internal/play"
)

func TestTooManyConnectionsOfAUserAreRefused(t *testing.T) {
	for _, v := range play.Versions {
		r := newGate(t, func(o *Options) { o.MaxConnectionsPerUser = 1 })
		r.Connect(v, "alice")
		second := play.ConnectOf(v, "alice")
		second.ClientID = "c2"
		r.Dial(v).Opens(second).WantRefused(3, 0x97, 1013)
		r.Connect(v, "bob")
		r.Connect(v, "alice") // the same client again: the broker ends the first
	}
}

func TestSessionsLeaveNothingBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newGate(t, func(o *Options) { o.MaxConnectionsPerUser = 5; o.MaxConnections = 1 })
		for _, end := range []func(c *play.Conversation){
			func(c *play.Conversation) { c.Say("e0 00"); c.Passes("e0 00") },
			func(c *play.Conversation) { _ = c.WS.Close() },
			func(c *play.Conversation) { _ = c.Conn.Close() },
			func(c *play.Conversation) {
				_ = c.WS.WriteControl(8, websocket.FormatCloseMessage(1001, ""), time.Now().Add(time.Second))
			},
		} {
			c := r.Connect(frames.V311, "alice")
			end(c)
			c.DrainClient()
			synctest.Wait()
			r.server.mu.Lock()
			sessions, users := len(r.server.sessions), len(r.server.users)
			r.server.mu.Unlock()
			r.server.doors.mu.Lock()
			open := r.server.doors.open
			r.server.doors.mu.Unlock()
			if sessions != 0 || users != 0 || open != 0 || len(r.server.Sessions()) != 0 {
				t.Errorf("%d sessions, %d users, %d open; want none", sessions, users, open)
			}
		}
	})
}
