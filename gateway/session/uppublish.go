package session

import (
	"bytes"
	"time"

	"topicgate/frames"
	"topicgate/gateway/subs"
	"topicgate/policy"
)

// publish judges a PUBLISH and passes it on, with the verified identity on 5.0.
func (u *up) publish(p frames.Packet) error {
	publish, err := frames.ParsePublish(p, u.version)
	if err != nil {
		return u.malformed(err)
	}
	if u.limiter != nil {
		if err := u.slowDown(); err != nil {
			return err
		}
	}
	topicName := publish.TopicName
	var alias *topicAlias
	if u.version == frames.V5 {
		if _, ok := publish.Properties.Uint(frames.PropSubscriptionIdentifier); ok {
			return u.malformed(&frames.Error{Type: frames.TypePublish, Code: frames.ProtocolError, Rule: "MQTT-3.3.4-6", Detail: "Subscription Identifier from a client"})
		}
		if alias, err = resolveAlias(&u.aliases, u.aliasesUp, &publish); err != nil {
			return u.malformed(err)
		}
		if alias != nil {
			topicName = alias.topicName
		}
	}
	if publish.QoS == 2 && u.refused.Has(publish.PacketID) {
		// Until PUBREL, a PUBLISH with this identifier is the refused one again [MQTT-4.3.3-10].
		return u.acknowledge(frames.TypePubrec, publish.PacketID, frames.Success)
	}
	if subs.Reserved(topicName) {
		return u.publishLocal(&publish, topicName)
	}
	if !u.host.Dialect.TakesTopicName(topicName) {
		return u.reject(&publish, topicName, misread())
	}
	d := u.recent.ask(u.access(), topicName, (*policy.Access).Publish)
	if !d.Allowed {
		return u.rejectPublish(&publish, topicName, d)
	}
	var stamped []byte
	if d.Directed {
		payload, rejected, err := u.direct(&publish, topicName)
		switch {
		case err != nil:
			return err
		case rejected != nil:
			return u.reject(&publish, topicName, rejected)
		}
		stamped = payload
	}
	if u.host.AuditAllowed {
		u.auditPublish(&publish, topicName)
	}
	size := len(p.Raw) + len(topicName) + len(u.userProperty) + propertyOverhead + len(stamped)
	if size > int(u.brokerMaximum) && stamped == nil && alias != nil && len(publish.TopicName) == 0 && !alias.told {
		// The client cannot know that the broker is to be told a Topic Name here.
		return u.rejectPublish(&publish, topicName, policy.Decision{Reason: "packet_too_large"})
	}
	if stamped != nil {
		size -= len(publish.Payload)
		if size > int(u.brokerMaximum) {
			return u.rejectPublish(&publish, topicName, policy.Decision{Reason: "packet_too_large"})
		}
		publish.Payload = stamped
	}
	if publish.QoS > 0 && !u.ids.TakePublish(publish.PacketID, publish.QoS) {
		return u.cause()
	}
	if stamped == nil && (u.version != frames.V5 || alias == nil && u.userProperty == nil) {
		return u.forward(p.Raw)
	}
	if alias != nil {
		if !alias.told {
			publish.TopicName = topicName
		}
		alias.told = true
	}
	if u.version == frames.V5 {
		u.properties = u.stampProperties(u.properties[:0], publish.Properties)
		publish.Properties = u.properties
	}
	if err := u.upstream.Publish(&publish, u.version, size); err != nil {
		return u.brokerWriteError(err)
	}
	return nil
}

// stampProperties appends properties to dst with the verified username in place of what the client
// may have claimed.
func (s *Session) stampProperties(dst []byte, properties frames.Properties) frames.Properties {
	for p := range properties.All() {
		if !s.forged(p) {
			dst = append(dst, p.Encoded...)
		}
	}
	return append(dst, s.userProperty...)
}

// forged reports whether p is a User Property of the name that only the gateway sets.
func (s *Session) forged(p frames.Property) bool {
	if p.ID != frames.PropUserProperty || s.userProperty == nil {
		return false
	}
	name, _ := p.Pair()
	return bytes.EqualFold(name, []byte(s.host.UserProperty))
}

// slowDown waits until the session may publish again. What is on its way goes out first; the client
// feels that nobody reads.
func (u *up) slowDown() error {
	delay := u.limiter.Reserve().Delay()
	if delay <= 0 {
		return nil
	}
	if err := u.idle(); err != nil {
		return err
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-u.end.done:
		return u.cause()
	}
}
