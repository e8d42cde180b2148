package session

import (
	"topicgate/auth"
	"topicgate/frames"
	"topicgate/gateway/audit"
	"topicgate/gateway/dialect"
	"topicgate/policy"
	"topicgate/policy/payload"
)

// RejectReasons lists every reason for which an operation is rejected, for metrics.
func RejectReasons() []string {
	reasons := []string{
		"policy", policy.ReasonUnavailable, policy.ReasonAmbiguous, policy.ReasonTooLarge, policy.ReasonClaimElsewhere, "packet_too_large", "faulty_message", "quota", "reserved_topic", dialect.Reason, "will", // operations
		"token_missing", "blocked", "token_revoked", "too_many_connections", "authentication_method", "client_id",
		"broker_unavailable", "broker", "issuer_unavailable", "protocol_version", "malformed", "other_subject",
	}
	reasons = append(reasons, payload.Reasons()...)
	for _, result := range auth.Results() {
		reasons = append(reasons, "token_"+result)
	}
	return reasons
}

// reasonOf is the word for why d does not allow.
func reasonOf(d policy.Decision) string {
	if d.Reason != "" {
		return d.Reason
	}
	return "policy"
}

// audit records event with what is known of the session. Topics are the client's words, in which it may have put a
// token; its identifier and its username were refused if they held one.
func (s *Session) audit(event audit.Event) {
	if s.host.Audit == nil {
		return
	}
	identity := s.whose.get()
	event.User, event.Issuer = identity.Username, identity.Issuer
	event.Topic = auth.Mask(event.Topic)
	event.Instance = s.host.Instance
	event.Session, event.ClientID, event.Remote = s.id, s.clientID, s.remote.String()
	s.host.Audit.Record(event)
}

// auditAllowed records what was accepted, if the operator wants that.
func (s *Session) auditAllowed(event audit.Event) {
	if s.host.AuditAllowed {
		event.Decision = audit.Allowed
		s.audit(event)
	}
}

func (s *Session) auditPublish(publish *frames.Publish, topicName []byte) {
	s.auditAllowed(audit.Event{Action: audit.Publish, Topic: string(topicName), QoS: uint8(publish.QoS),
		Retain: publish.Retain, Bytes: len(publish.Payload)})
}

// rejectPublish answers a refused PUBLISH as its QoS and the version demand. The broker never hears
// of it.
func (u *up) rejectPublish(publish *frames.Publish, topicName []byte, d policy.Decision) error {
	return u.reject(publish, topicName, denied(d))
}

func (u *up) reject(publish *frames.Publish, topicName []byte, r *rejection) error {
	u.host.Metrics.Rejected("publish", r.reason)
	u.audit(audit.Event{Action: audit.Publish, Decision: audit.Refused, Topic: string(topicName), QoS: uint8(publish.QoS),
		Retain: publish.Retain, Bytes: len(publish.Payload), Reason: r.reason, Rule: r.rule.String()})
	if err := u.tellRejection("publish", topicName, publish.QoS, r); err != nil {
		return err
	}
	return u.refusePublish(publish, r.ack())
}

// refusePublish completes towards the client a PUBLISH that goes no further, with code where the version
// has one.
func (u *up) refusePublish(publish *frames.Publish, code frames.ReasonCode) error {
	if publish.QoS > 0 && u.version != frames.V5 && u.host.DenyPublish == DenyDisconnect {
		return ended(EndPublishRejected, nil)
	}
	if u.version != frames.V5 {
		code = frames.Success // there are no others
	}
	switch publish.QoS {
	case 1:
		if u.ids.Publishing(publish.PacketID, 1) {
			// The broker has this one already, from before the policy changed, and will acknowledge it.
			return u.keepBrokerAwake()
		}
		return u.acknowledge(frames.TypePuback, publish.PacketID, code)
	case 2:
		switch {
		case u.ids.Publishing(publish.PacketID, 2):
			// The broker has a message with this identifier under way: this one is, by the protocol,
			// that one again. It goes on to its PUBREL.
			return u.acknowledge(frames.TypePubrec, publish.PacketID, frames.Success)
		case u.resumed && publish.Dup:
			// The same, from before the connection: the client's PUBREL shall reach the broker, or the
			// identifier would stay taken there and the next message with it be lost.
			return u.acknowledge(frames.TypePubrec, publish.PacketID, frames.Success)
		case code < frames.UnspecifiedError:
			u.refused.Add(publish.PacketID)
		}
		return u.acknowledge(frames.TypePubrec, publish.PacketID, code)
	}
	return u.keepBrokerAwake()
}

// rejectDelivery records a delivery that the client may not read.
func (s *Session) rejectDelivery(publish *frames.Publish, topicName []byte, d policy.Decision) {
	reason := reasonOf(d)
	s.host.Metrics.Rejected("deliver", reason)
	s.audit(audit.Event{Action: audit.Deliver, Decision: audit.Refused, Topic: string(topicName), QoS: uint8(publish.QoS),
		Retain: publish.Retain, Bytes: len(publish.Payload), Reason: reason, Rule: d.Rule.String()})
}

func (s *Session) rejectSubscribe(asked frames.Subscription, reason string, rule *policy.Rule) {
	s.host.Metrics.Rejected("subscribe", reason)
	s.audit(audit.Event{Action: audit.Subscribe, Decision: audit.Refused, Topic: asked.TopicFilter, QoS: uint8(asked.QoS),
		Reason: reason, Rule: rule.String()})
	// A failed write shows itself at the next one.
	_ = s.tellRejected("subscribe", []byte(asked.TopicFilter), asked.QoS, reason)
}
