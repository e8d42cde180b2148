package will

import (
	"bytes"
	"time"

	"topicgate/frames"
	"topicgate/gateway/subs"
	"topicgate/policy"
	"topicgate/policy/payload"
	"topicgate/policy/store"
)

// keptPayload is how long the payload of a Will is kept, in bytes, that no directive concerns yet. If one does later, of a
// longer Will nobody can say whether it is as it should be, and it does not fire.
const keptPayload = 1 << 10

// Will is what is judged of a Will Message.
type Will struct {
	Topic  string
	QoS    frames.QoS
	Retain bool
	Bytes  int           // of its payload
	Delay  time.Duration // that the broker waits with it

	payload []byte // as the client sent it; nil: not kept
	sent    []byte // as the broker has it, if that is another; nil: it is not, or not kept
}

// Of is what is judged of w.
func Of(w *frames.Will) *Will {
	seconds, _ := w.Properties.Uint(frames.PropWillDelayInterval)
	return &Will{Topic: w.TopicName, QoS: w.QoS, Retain: w.Retain, Bytes: len(w.Payload), Delay: time.Duration(seconds) * time.Second, payload: w.Payload}
}

// Admit judges the Will of a CONNECT, as Judge does. stamped is the payload that is to be sent, nil: the client's own.
func (w *Will) Admit(grant *store.Grant, username string) (stamped []byte, d policy.Decision, refusal *payload.Refusal) {
	stamped, directed, d, refusal := w.judge(grant, username)
	switch {
	case refusal != nil || !d.Allowed:
	case !directed && len(w.payload) > keptPayload:
		w.payload = nil
	default:
		w.payload, w.sent = bytes.Clone(w.payload), stamped
	}
	return stamped, d, refusal
}

// Restore gives a CONNECT its own payload back that was stamped.
func (w *Will) Restore(connect *frames.Will) {
	if w.payload != nil {
		connect.Payload = w.payload
	}
}

// Judge says whether the Will may be published now, as the broker has it: allowed, and without a refusal.
func (w *Will) Judge(grant *store.Grant, username string) (policy.Decision, *payload.Refusal) {
	stamped, _, d, refusal := w.judge(grant, username)
	has := w.sent
	if has == nil {
		has = w.payload
	}
	if d.Allowed && refusal == nil && stamped != nil && !bytes.Equal(stamped, has) {
		refusal = &payload.Refusal{Rule: w.stamps(grant), Reason: payload.ReasonStamp} // it is newer than the Will
	}
	return d, refusal
}

// stamps is the directive that stamps the Will.
func (w *Will) stamps(grant *store.Grant) *policy.Rule {
	rules, _ := grant.Access().Directives([]byte(w.Topic))
	for _, rule := range rules {
		if rule.Directive().Kind == policy.Stamp {
			return rule
		}
	}
	return &policy.Rule{} // it has gone since
}

// judge judges what is known of the Will; directed tells whether there are directives for it.
func (w *Will) judge(grant *store.Grant, username string) (stamped []byte, directed bool, d policy.Decision, refusal *payload.Refusal) {
	switch grant.Standing() {
	case store.Blocked:
		return nil, false, policy.Decision{Reason: "blocked"}, nil
	case store.Revoked:
		return nil, false, policy.Decision{Reason: "token_revoked"}, nil
	}
	topicName := []byte(w.Topic)
	if subs.Reserved(topicName) {
		return nil, false, policy.Decision{Reason: "reserved_topic"}, nil
	}
	access, checks := grant.Checked()
	if d = access.Publish(topicName); !d.Allowed || !d.Directed {
		return nil, false, d, nil
	}
	rules, reason := access.Directives(topicName)
	if reason != "" {
		return nil, true, policy.Decision{Reason: reason}, nil
	}
	if refusal = payload.Limits(rules, w.Bytes, uint8(w.QoS), w.Retain); refusal != nil {
		return nil, true, d, refusal
	}
	if w.payload == nil && w.Bytes > 0 {
		for _, rule := range rules {
			if k := rule.Directive().Kind; k == policy.Check || k == policy.Stamp {
				return nil, true, d, &payload.Refusal{Rule: rule, Reason: payload.ReasonUnavailable}
			}
		}
		return nil, true, d, nil
	}
	if refusal = payload.Check(rules, w.payload, checks); refusal != nil {
		return nil, true, d, refusal
	}
	out, isStamped, refusal := payload.Stamps(rules, nil, w.payload, username)
	if refusal != nil || !isStamped {
		return nil, true, d, refusal
	}
	return out, true, d, nil
}
