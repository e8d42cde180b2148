package gateway

import (
	"testing"
	"testing/synctest"

	"topicgate/frames"
	"topicgate/gateway/internal/play"
)

// A broker that only hangs up on a client whose MQTT Session another connection has: the client is told what has
// happened, not that the broker has gone.
func TestATakeoverIsToldWhenTheBrokerOnlyHangsUp(t *testing.T) {
	play.EachVersion(t, func(t *testing.T, v frames.Version) {
		r := newGate(t, nil)
		old := r.Connect(v, "alice")
		second := r.Dial(v).Opens(play.ConnectOf(v, "alice"))
		second.Accept()
		second.FromGateway(frames.TypeConnect)
		_ = old.Conn.Close() // as mosquitto 2.0 does, before it answers
		second.Reply(play.AcceptedBy(v))
		second.Expect(frames.TypeConnack)
		if v == frames.V5 {
			old.Hears("e0 01 8e")
		}
		old.Closes(1000)
		second.Lives()

		// The one that is left loses its broker, and that is all.
		synctest.Wait()
		_ = second.Conn.Close()
		if v == frames.V5 {
			second.Hears("e0 01 8b")
		}
		second.Closes(1013)
		synctest.Wait()
		if n := len(r.server.clients); n != 0 {
			t.Errorf("%d clients are left", n)
		}
	})
}
