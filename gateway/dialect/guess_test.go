package dialect

import (
	"testing"

	"topicgate/frames"
)

func TestGuess(t *testing.T) {
	capabilities := func(qos, shared uint32) frames.Connack {
		return frames.Connack{Properties: frames.Properties(nil).AppendUint(frames.PropMaximumQoS, qos).AppendUint(frames.PropSharedSubscriptionAvailable, shared)}
	}
	for _, c := range []struct {
		v        frames.Version
		clientID string
		connack  frames.Connack
		want     Dialect
	}{
		{frames.V311, "alice:tab 1", frames.Connack{Reason: frames.V3IdentifierRejected}, NATS},
		{frames.V311, "alice:x.y", frames.Connack{Reason: frames.V3IdentifierRejected}, NATS},
		{frames.V311, "alice:tab1", frames.Connack{Reason: frames.V3IdentifierRejected}, MQTT},
		{frames.V311, "alice:x.y", frames.Connack{}, MQTT},
		{frames.V5, "alice:x.y", frames.Connack{Reason: frames.ClientIDNotValid}, MQTT},
		{frames.V5, "alice:tab1", capabilities(1, 0), RabbitMQ},
		{frames.V5, "alice:tab1", capabilities(0, 0), MQTT},
		{frames.V5, "alice:tab1", capabilities(1, 1), MQTT},
		{frames.V5, "alice:tab1", frames.Connack{}, MQTT},
	} {
		if got := Guess(c.v, c.clientID, c.connack); got != c.want {
			t.Errorf("Guess(%s, %q, %+v) = %s; want %s", c.v, c.clientID, c.connack, got, c.want)
		}
	}
}
