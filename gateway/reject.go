package gateway

import (
	"errors"

	"topicgate/auth"
	"topicgate/frames"
	"topicgate/gateway/audit"
	"topicgate/policy"
)

// RejectReasons lists every reason for which an operation is rejected, for metrics.
func RejectReasons() []string {
	reasons := []string{
		"policy", policy.ReasonUnavailable, policy.ReasonAmbiguous, policy.ReasonTooLarge, "packet_too_large", "quota", "reserved_topic", "will", // operations
		"token_missing", "blocked", "token_revoked", "too_many_connections", "authentication_method", "client_id",
		"broker_unavailable", "broker", "issuer_unavailable", "protocol_version", "malformed", "token", "other_subject",
	}
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

// audit records event with what is known of the session.
func (s *session) audit(event audit.Event) {
	if s.server.options.Audit == nil {
		return
	}
	s.identityMu.Lock()
	event.User, event.Issuer = s.identity.Username, s.identity.Issuer
	s.identityMu.Unlock()
	event.Instance = s.server.options.Instance
	event.Session, event.ClientID, event.Remote = s.id, s.clientID, s.remote.String()
	s.server.options.Audit.Record(event)
}

// auditAllowed records what was accepted, if the operator wants that.
func (s *session) auditAllowed(event audit.Event) {
	if s.server.options.AuditAllowed {
		event.Decision = audit.Allowed
		s.audit(event)
	}
}

func (s *session) auditPublish(publish *frames.Publish, topicName []byte) {
	s.auditAllowed(audit.Event{Action: audit.Publish, Topic: string(topicName), QoS: uint8(publish.QoS),
		Retain: publish.Retain, Bytes: len(publish.Payload)})
}

// rejectPublish answers a refused PUBLISH as its QoS and the version demand. The broker never hears
// of it.
func (s *session) rejectPublish(publish *frames.Publish, topicName []byte, d policy.Decision) error {
	reason := reasonOf(d)
	s.server.options.Metrics.rejected("publish", reason)
	s.audit(audit.Event{Action: audit.Publish, Decision: audit.Refused, Topic: string(topicName), QoS: uint8(publish.QoS),
		Retain: publish.Retain, Bytes: len(publish.Payload), Reason: reason, Rule: d.Rule.String()})
	if err := s.tellRejected("publish", topicName, publish.QoS, reason); err != nil {
		return err
	}
	return s.refusePublish(publish, frames.NotAuthorized)
}

// refusePublish completes towards the client a PUBLISH that goes no further, with code where the version
// has one.
func (s *session) refusePublish(publish *frames.Publish, code frames.ReasonCode) error {
	if publish.QoS > 0 && s.version != frames.V5 && s.server.options.DenyPublish == DenyDisconnect {
		return ended(EndPublishRejected, nil)
	}
	if s.version != frames.V5 {
		code = frames.Success // there are no others
	}
	switch publish.QoS {
	case 1:
		if s.ids.publishing(publish.PacketID, 1) {
			// The broker has this one already, from before the policy changed, and will acknowledge it.
			return s.keepBrokerAwake()
		}
		return s.acknowledge(frames.TypePuback, publish.PacketID, code)
	case 2:
		switch {
		case s.ids.publishing(publish.PacketID, 2):
			// The broker has a message with this identifier under way: this one is, by the protocol,
			// that one again. It goes on to its PUBREL.
			return s.acknowledge(frames.TypePubrec, publish.PacketID, frames.Success)
		case s.resumed && publish.Dup:
			// The same, from before the connection: the client's PUBREL shall reach the broker, or the
			// identifier would stay taken there and the next message with it be lost.
			return s.acknowledge(frames.TypePubrec, publish.PacketID, frames.Success)
		case code < frames.UnspecifiedError:
			s.up.refused.add(publish.PacketID)
		}
		return s.acknowledge(frames.TypePubrec, publish.PacketID, code)
	}
	return s.keepBrokerAwake()
}

// rejectDelivery records a delivery that the client may not read.
func (s *session) rejectDelivery(publish *frames.Publish, topicName []byte, d policy.Decision) {
	reason := reasonOf(d)
	s.server.options.Metrics.rejected("deliver", reason)
	s.audit(audit.Event{Action: audit.Deliver, Decision: audit.Refused, Topic: string(topicName), QoS: uint8(publish.QoS),
		Retain: publish.Retain, Bytes: len(publish.Payload), Reason: reason, Rule: d.Rule.String()})
}

func (s *session) rejectSubscribe(asked frames.Subscription, reason string, rule *policy.Rule) {
	s.server.options.Metrics.rejected("subscribe", reason)
	s.audit(audit.Event{Action: audit.Subscribe, Decision: audit.Refused, Topic: asked.TopicFilter, QoS: uint8(asked.QoS),
		Reason: reason, Rule: rule.String()})
	// A failed write shows itself at the next one.
	_ = s.tellRejected("subscribe", []byte(asked.TopicFilter), asked.QoS, reason)
}

// will is what is judged of a Will again at the end of the session.
type will struct {
	topicName string
	qos       frames.QoS
	retain    bool
	bytes     int
}

func newWill(w *frames.Will) *will {
	return &will{topicName: w.TopicName, qos: w.QoS, retain: w.Retain, bytes: len(w.Payload)}
}

// judgeWill asks whether the Will may be published now.
func (s *session) judgeWill() policy.Decision {
	topicName := []byte(s.will.topicName)
	if reserved(topicName) {
		return policy.Decision{Reason: "reserved_topic"}
	}
	return s.access().Publish(topicName)
}

func (s *session) rejectWill(d policy.Decision) {
	reason := reasonOf(d)
	s.server.options.Metrics.rejected("will", reason)
	s.audit(audit.Event{Action: audit.Will, Decision: audit.Refused, Topic: s.will.topicName, QoS: uint8(s.will.qos),
		Retain: s.will.retain, Bytes: s.will.bytes, Reason: reason, Rule: d.Rule.String()})
}

// renew puts the identity of a fresh token in place of the old one. The same user must have it.
func (s *session) renew(fresh auth.Identity) error {
	s.identityMu.Lock()
	old := s.identity
	if fresh.Issuer != old.Issuer || fresh.Subject != old.Subject || fresh.Username != old.Username {
		s.identityMu.Unlock()
		return errOtherSubject
	}
	s.identity = fresh
	s.identityMu.Unlock()
	s.armExpiry(fresh.Expiry)
	s.grant.Renew(principalOf(fresh, s.clientID))
	if info := s.info.Load(); info != nil {
		changed := *info
		changed.Expires = fresh.Expiry
		s.announce(changed)
	}
	return nil
}

var errOtherSubject = errors.New("the token is another subject's")
