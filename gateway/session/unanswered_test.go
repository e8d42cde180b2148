package session

import (
	"log/slog"
	"testing"

	"topicgate/frames"
	"topicgate/gateway/internal/play"
)

// A broker that hangs up where others refuse does not say what it did not like: the log does.
func TestTheLogNamesASubscribeThatTheBrokerHungUpOn(t *testing.T) {
	play.EachVersion(t, func(t *testing.T, v frames.Version) {
		for _, answered := range []bool{true, false} {
			log := &lines{}
			r := newRig(t, func(o *rigOptions) {
				o.SubscribeMode, o.Logger = SubscribeNarrow, slog.New(slog.NewTextHandler(log, nil))
			})
			r.SetRules("pattern read room/one/#\n")
			c := r.Connect(v, "alice")
			c.Asks(1, 0, play.At(1, "room/#"))
			asked := c.Asked("room/one/#")
			if answered {
				c.Grants(asked.PacketID, 1)
				c.Granted(1, 1)
			}
			_ = c.Conn.Close()
			if v == frames.V5 {
				c.Expect(frames.TypeDisconnect)
			}
			c.Closes(1013)
			if got := log.count("filters=[room/one/#]"); (got == 1) == answered {
				t.Errorf("answered %t: the log names the filter %d times", answered, got)
			}
		}
	})
}
