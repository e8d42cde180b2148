package session

import (
	"testing"

	"topicgate/frames"
	"topicgate/gateway/internal/play"
)

func TestPublishIsForwardedAsItCame(t *testing.T) {
	c := newRig(t, nil).Connect(frames.V311, "alice")
	for _, qos := range []frames.QoS{0, 1, 2} {
		packet := play.PublishHex(frames.V311, "chat/status/alice", qos, uint16(qos)*7, "hi")
		c.Say(packet)
		c.Passes(packet)
	}
}

func TestPublishIsStampedWithTheUsername(t *testing.T) {
	c := newRig(t, nil).Connect(frames.V5, "alice")
	c.Say(play.PublishHex(frames.V5, "chat/status/alice", 1, 9, "hi"))
	c.Passes(play.StampedHex("chat/status/alice", 1, 9, "hi", "alice"))
}
