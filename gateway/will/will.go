package will

import (
	"time"

	"topicgate/frames"
	"topicgate/gateway/subs"
	"topicgate/policy"
	"topicgate/policy/store"
)

// Will is what is judged of a Will Message.
type Will struct {
	Topic  string
	QoS    frames.QoS
	Retain bool
	Bytes  int           // of its payload
	Delay  time.Duration // that the broker waits with it
}

// Of is what is judged of w.
func Of(w *frames.Will) *Will {
	seconds, _ := w.Properties.Uint(frames.PropWillDelayInterval)
	return &Will{Topic: w.TopicName, QoS: w.QoS, Retain: w.Retain, Bytes: len(w.Payload), Delay: time.Duration(seconds) * time.Second}
}

// Judge says whether the Will may be published now.
func (w *Will) Judge(grant *store.Grant) policy.Decision {
	switch standing := grant.Standing(); {
	case standing == store.Blocked:
		return policy.Decision{Reason: "blocked"}
	case standing == store.Revoked:
		return policy.Decision{Reason: "token_revoked"}
	}
	topicName := []byte(w.Topic)
	if subs.Reserved(topicName) {
		return policy.Decision{Reason: "reserved_topic"}
	}
	return grant.Access().Publish(topicName)
}
