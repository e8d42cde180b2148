package session

import (
	"bytes"
	"time"

	"topicgate/frames"
	"topicgate/gateway/audit"
	"topicgate/gateway/subs"
	"topicgate/policy"
	"topicgate/policy/payload"
	"topicgate/policy/store"
)

// keptWill is how long the payload of a Will is kept, in bytes, that no directive concerns yet. If one does later, of a
// longer Will nobody can say whether it is as it should be, and it does not fire.
const keptWill = 1 << 10

// will is what is judged of a Will again at the end of the session.
type will struct {
	topicName string
	qos       frames.QoS
	retain    bool
	bytes     int
	delay     time.Duration // that the broker waits with it
	payload   []byte        // as the client sent it; nil: not kept
	sent      []byte        // as the broker has it; nil: likewise
}

func newWill(w *frames.Will) *will {
	seconds, _ := w.Properties.Uint(frames.PropWillDelayInterval)
	return &will{topicName: w.TopicName, qos: w.QoS, retain: w.Retain, bytes: len(w.Payload), delay: time.Duration(seconds) * time.Second}
}

// admitWill judges the Will of a CONNECT, and stamps it. What the broker gets stands in w then.
func (s *Session) admitWill(w *frames.Will) *refusal {
	if s.will != nil && s.will.payload != nil { // an earlier try, which may have stamped it
		w.Payload = s.will.payload
	}
	s.will = newWill(w)
	s.will.payload = w.Payload
	stamped, directed, r := s.host.judgePayload(s.grant, s.whose.username(), s.will)
	if r != nil {
		s.rejectWill(r)
		refused := refusedWill
		refused.topic = s.will.topicName
		if r.code != 0 {
			refused.v5, refused.reason = r.code, r.reason
		}
		return &refused
	}
	if !directed && len(w.Payload) > keptWill {
		s.will.payload = nil
		return nil
	}
	s.will.payload, s.will.sent = bytes.Clone(s.will.payload), stamped
	if stamped != nil {
		w.Payload = stamped
	}
	return nil
}

// fireWill asks whether the Will may be published now that it is about to be; it counts as a message of the user's.
func (s *Session) fireWill() *rejection {
	if r := s.host.judgeWill(s.grant, s.whose.username(), s.will); r != nil {
		return r
	}
	rules, _ := s.access().Directives([]byte(s.will.topicName))
	return s.overRate(rules)
}

// judgeWill asks whether a Will may be published as the broker has it. Nil: it may.
func (h *Host) judgeWill(grant *store.Grant, username string, w *will) *rejection {
	stamped, _, r := h.judgePayload(grant, username, w)
	has := w.sent
	if has == nil {
		has = w.payload
	}
	if r == nil && stamped != nil && !bytes.Equal(stamped, has) {
		return &rejection{reason: payload.ReasonStamp} // the directive is newer than the Will
	}
	return r
}

// judgePayload judges a Will with the payload that is known of it, and returns the one that is to be sent if that is
// another one; directed tells whether there are directives for it.
func (h *Host) judgePayload(grant *store.Grant, username string, w *will) (stamped []byte, directed bool, r *rejection) {
	topicName := []byte(w.topicName)
	if subs.Reserved(topicName) {
		return nil, false, &rejection{reason: "reserved_topic"}
	}
	access, checks := grant.Checked()
	d := access.Publish(topicName)
	if !d.Allowed {
		return nil, false, denied(d)
	}
	if !d.Directed {
		return nil, false, nil
	}
	rules, reason := access.Directives(topicName)
	if reason != "" {
		return nil, true, denied(policy.Decision{Reason: reason})
	}
	if refusal := payload.Limits(rules, w.bytes, uint8(w.qos), w.retain); refusal != nil {
		return nil, true, rejectedBy(refusal)
	}
	if w.payload == nil && w.bytes > 0 {
		for _, rule := range rules {
			if k := rule.Directive().Kind; k == policy.Check || k == policy.Stamp {
				return nil, true, &rejection{reason: payload.ReasonUnavailable, rule: rule}
			}
		}
		return nil, true, nil
	}
	if refusal := payload.Check(rules, w.payload, checks); refusal != nil {
		return nil, true, rejectedBy(refusal)
	}
	out, isStamped, refusal := payload.Stamps(rules, nil, w.payload, username)
	switch {
	case refusal != nil:
		return nil, true, rejectedBy(refusal)
	case !isStamped:
		return nil, true, nil
	}
	return out, true, nil
}

func (s *Session) rejectWill(r *rejection) {
	s.host.Metrics.Rejected("will", r.reason)
	s.audit(audit.Event{Action: audit.Will, Decision: audit.Refused, Topic: s.will.topicName, QoS: uint8(s.will.qos),
		Retain: s.will.retain, Bytes: s.will.bytes, Reason: r.reason, Rule: r.rule.String()})
}
