package session

import (
	"topicgate/frames"
	"topicgate/gateway/audit"
	"topicgate/policy"
)

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
func (s *Session) judgeWill() policy.Decision {
	topicName := []byte(s.will.topicName)
	if reserved(topicName) {
		return policy.Decision{Reason: "reserved_topic"}
	}
	return s.access().Publish(topicName)
}

func (s *Session) rejectWill(d policy.Decision) {
	reason := reasonOf(d)
	s.host.Metrics.Rejected("will", reason)
	s.audit(audit.Event{Action: audit.Will, Decision: audit.Refused, Topic: s.will.topicName, QoS: uint8(s.will.qos),
		Retain: s.will.retain, Bytes: s.will.bytes, Reason: reason, Rule: d.Rule.String()})
}
