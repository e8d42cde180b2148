package dialect

import (
	"strings"

	"topicgate/frames"
)

// Guess says which broker it may be, going by its answer to a CONNECT with this Client Identifier; MQTT: nothing speaks
// for another one. It is good for a warning and for nothing else.
func Guess(v frames.Version, clientID string, connack frames.Connack) Dialect {
	switch {
	case v != frames.V5 && connack.Reason == frames.V3IdentifierRejected && strings.ContainsAny(clientID, translated[NATS]):
		return NATS
	case v == frames.V5 && connack.Reason == frames.Success && lacks(connack.Properties):
		return RabbitMQ // 4
	}
	return MQTT
}

// lacks reports whether a CONNACK says that there are neither QoS 2 nor Shared Subscriptions.
func lacks(properties frames.Properties) bool {
	qos, one := properties.Uint(frames.PropMaximumQoS)
	shared, none := properties.Uint(frames.PropSharedSubscriptionAvailable)
	return one && none && qos == 1 && shared == 0
}
