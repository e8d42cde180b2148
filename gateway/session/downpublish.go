package session

import (
	"errors"
	"log/slog"

	"topicgate/frames"
	"topicgate/gateway/subs"
	"topicgate/gateway/wire"
	"topicgate/policy"
)

// publish delivers a PUBLISH if it may be read now.
func (dn *down) publish(p frames.Packet) error {
	publish, err := frames.ParsePublish(p, dn.version)
	fault := err
	if err != nil && !errors.Is(err, frames.ErrFaultyMessage) {
		return dn.malformed(err)
	}
	topicName := publish.TopicName
	var alias *topicAlias
	if dn.version == frames.V5 {
		if alias, err = resolveAlias(&dn.aliases, brokerAliases, &publish); err != nil {
			return dn.malformed(err)
		}
		if alias != nil {
			topicName = alias.topicName
			fault = alias.judge(&publish, fault)
		}
	}
	if fault != nil {
		return dn.dropFaulty(&publish, topicName, fault)
	}
	if subs.Reserved(topicName) {
		return dn.drop(&publish, topicName, policy.Decision{Reason: "reserved_topic"})
	}
	access := dn.access()
	if d := dn.recent.ask(access, topicName, (*policy.Access).Receive); !d.Allowed {
		return dn.drop(&publish, topicName, d)
	}
	rewrite, withheld := dn.table.Deliver(&publish, topicName, access)
	if withheld {
		return dn.complete(&publish)
	}
	if publish.QoS == 0 && access.HasLatest() && access.Latest(topicName) {
		if kept, err := dn.keepLatest(&publish, topicName, alias != nil); kept || err != nil {
			return err
		}
	}
	if alias != nil {
		rewrite = dn.adaptAlias(&publish, alias) || rewrite
	}
	if !rewrite {
		dn.told(&publish, alias)
		return dn.forward(p.Raw)
	}
	size := len(p.Raw) + len(topicName) + len(publish.Properties) + propertyOverhead
	if size > int(dn.clientMaximum) { // [MQTT-3.1.2-25]: as if it had been sent
		packet := publish.Append(nil, dn.version)
		if len(packet) > int(dn.clientMaximum) {
			return dn.drop(&publish, topicName, policy.Decision{Reason: "packet_too_large"})
		}
	}
	dn.told(&publish, alias)
	if err := dn.client.Publish(&publish, dn.version, size); err != nil {
		return dn.clientWriteError(err)
	}
	return nil
}

// dropFaulty keeps a PUBLISH from the client that is none that it could understand, such as one whose Topic Name holds a
// wildcard: brokers that translate other protocols send such. The stream stays readable, so nobody's session ends.
func (dn *down) dropFaulty(publish *frames.Publish, topicName []byte, fault error) error {
	dn.host.Metrics.MalformedPacket(wire.Down)
	dn.log(slog.LevelDebug, "faulty message dropped", "err", fault.Error())
	return dn.drop(publish, topicName, policy.Decision{Reason: "faulty_message"})
}

// adaptAlias makes the packet say what the client can understand: an alias that it allowed and knows.
// It reports whether the packet was changed.
func (dn *down) adaptAlias(publish *frames.Publish, alias *topicAlias) bool {
	n, _ := publish.Properties.Uint(frames.PropTopicAlias)
	switch {
	case n > uint32(dn.aliasesDown): // the broker was not allowed to
		dn.properties = appendWithout(dn.properties[:0], publish.Properties, frames.PropTopicAlias)
		publish.Properties = dn.properties
		publish.TopicName = alias.topicName
		return true
	case len(publish.TopicName) == 0 && !alias.told:
		publish.TopicName = alias.topicName
		return true
	}
	return false
}

// told notes that the client is about to get a PUBLISH that gives alias, if it has one, its meaning.
func (dn *down) told(publish *frames.Publish, alias *topicAlias) {
	if alias == nil || len(publish.TopicName) == 0 {
		return
	}
	if _, ok := publish.Properties.Uint(frames.PropTopicAlias); ok {
		alias.told = true
	}
}

func appendWithout(dst []byte, properties frames.Properties, id frames.PropertyID) frames.Properties {
	for p := range properties.All() {
		if p.ID != id {
			dst = append(dst, p.Encoded...)
		}
	}
	return dst
}
