package gateway

import (
	"testing"

	"topicgate/frames"
)

func TestPublishIsForwardedAsItCame(t *testing.T) {
	c := newRig(t, nil).connect(frames.V311, "alice")
	for _, qos := range []frames.QoS{0, 1, 2} {
		packet := publishHex(frames.V311, "chat/status/alice", qos, uint16(qos)*7, "hi")
		c.say(packet)
		c.passes(packet)
	}
}

func TestPublishIsStampedWithTheUsername(t *testing.T) {
	c := newRig(t, nil).connect(frames.V5, "alice")
	c.say(publishHex(frames.V5, "chat/status/alice", 1, 9, "hi"))
	c.passes(stampedHex("chat/status/alice", 1, 9, "hi", "alice"))
}
