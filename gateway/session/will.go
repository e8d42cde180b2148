package session

import (
	"topicgate/frames"
	"topicgate/gateway/audit"
	"topicgate/gateway/will"
	"topicgate/policy"
	"topicgate/policy/payload"
)

// admitWill judges the Will of a CONNECT, and stamps it. What the broker gets stands in w then.
func (s *Session) admitWill(w *frames.Will) *refusal {
	if s.will != nil { // an earlier try, which may have stamped it
		s.will.Restore(w)
	}
	s.will = will.Of(w)
	stamped, d, refusal := s.will.Admit(s.grant, s.whose.username())
	r := willRejection(d, refusal)
	if !s.host.Dialect.TakesTopicName([]byte(s.will.Topic)) {
		r = misread()
	}
	if r != nil {
		s.rejectWill(r)
		refused := refusedWill
		refused.topic = s.will.Topic
		if r.code != 0 {
			refused.v5, refused.reason = r.code, r.reason
		}
		return &refused
	}
	if stamped != nil {
		w.Payload = stamped
	}
	return nil
}

// fireWill asks whether the Will may be published now that it is about to be; it counts as a message of the user's.
func (s *Session) fireWill() *rejection {
	if r := willRejection(s.will.Judge(s.grant, s.whose.username())); r != nil {
		return r
	}
	rules, _ := s.access().Directives([]byte(s.will.Topic))
	return s.overRate(rules)
}

// willRejection is what was decided of a Will; nil: it may be published.
func willRejection(d policy.Decision, refusal *payload.Refusal) *rejection {
	switch {
	case refusal != nil:
		return rejectedBy(refusal)
	case !d.Allowed:
		return denied(d)
	}
	return nil
}

func (s *Session) rejectWill(r *rejection) {
	s.host.Metrics.Rejected("will", r.reason)
	s.audit(audit.Event{Action: audit.Will, Decision: audit.Refused, Topic: s.will.Topic, QoS: uint8(s.will.QoS),
		Retain: s.will.Retain, Bytes: s.will.Bytes, Reason: r.reason, Rule: r.rule.String()})
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
