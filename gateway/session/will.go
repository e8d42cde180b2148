package session

import (
	"topicgate/gateway/audit"
	"topicgate/gateway/dialect"
	"topicgate/gateway/will"
	"topicgate/policy"
)

// judgeWill asks whether the Will may be published now.
func (s *Session) judgeWill() policy.Decision {
	if !s.host.Dialect.TakesTopicName([]byte(s.will.Topic)) {
		return policy.Decision{Reason: dialect.Reason}
	}
	return s.will.Judge(s.grant)
}

func (s *Session) rejectWill(d policy.Decision) {
	reason := reasonOf(d)
	s.host.Metrics.Rejected("will", reason)
	s.audit(audit.Event{Action: audit.Will, Decision: audit.Refused, Topic: s.will.Topic, QoS: uint8(s.will.QoS),
		Retain: s.will.Retain, Bytes: s.will.Bytes, Reason: reason, Rule: d.Rule.String()})
}

// leaveWill hands the Will on that waits at the broker when the session has left it.
func (s *Session) leaveWill(end EndReason) {
	info := s.info.Load()
	if s.will == nil || info == nil || s.sleep.item == nil || s.sleep.over || end == EndTakenOver {
		return
	}
	s.host.Wills.Keep(will.Left{Principal: s.principal(), Session: s.id, Remote: info.Remote, UpstreamID: s.upstreamID, Broker: info.Upstream,
		Since: info.Since, Expiry: s.sleep.expiry, Will: s.will})
}
