package session

import (
	"time"

	"topicgate/frames"
	"topicgate/gateway/audit"
	"topicgate/gateway/subs"
	"topicgate/policy"
)

// will is what is judged of a Will again at the end of the session.
type will struct {
	topicName string
	qos       frames.QoS
	retain    bool
	bytes     int
	delay     time.Duration // that the broker waits with it
}

func newWill(w *frames.Will) *will {
	seconds, _ := w.Properties.Uint(frames.PropWillDelayInterval)
	return &will{topicName: w.TopicName, qos: w.QoS, retain: w.Retain, bytes: len(w.Payload), delay: time.Duration(seconds) * time.Second}
}

// judgeWill asks whether the Will may be published now.
func (s *Session) judgeWill() policy.Decision { return s.host.judgeWill(s.access(), s.will) }

func (h *Host) judgeWill(access *policy.Access, w *will) policy.Decision {
	topicName := []byte(w.topicName)
	if subs.Reserved(topicName) {
		return policy.Decision{Reason: "reserved_topic"}
	}
	return access.Publish(topicName)
}

func (s *Session) rejectWill(d policy.Decision) {
	reason := reasonOf(d)
	s.host.Metrics.Rejected("will", reason)
	s.audit(audit.Event{Action: audit.Will, Decision: audit.Refused, Topic: s.will.topicName, QoS: uint8(s.will.qos),
		Retain: s.will.retain, Bytes: s.will.bytes, Reason: reason, Rule: d.Rule.String()})
}
