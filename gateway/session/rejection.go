package session

import (
	"time"

	"topicgate/frames"
	"topicgate/gateway/dialect"
	"topicgate/policy"
	"topicgate/policy/payload"
)

// rejection is why a message goes no further.
type rejection struct {
	reason string       // word for audit, metrics and the client
	rule   *policy.Rule // for the audit; nil: none

	// Of a directive, for the client.
	code      frames.ReasonCode // what says it best, in any packet
	directive string            // the line
	pointer   *string           // to what is wrong in a JSON payload
	detail    string
	retry     time.Duration // when it may pass
}

// denied is the rejection of what the rules do not allow.
func denied(d policy.Decision) *rejection { return &rejection{reason: reasonOf(d), rule: d.Rule} }

// misread is the rejection of a topic that the broker takes for another one.
func misread() *rejection {
	return &rejection{reason: dialect.Reason, code: frames.TopicNameInvalid}
}

// rejectedBy is that of what a directive refuses.
func rejectedBy(r *payload.Refusal) *rejection {
	j := &rejection{reason: r.Reason, rule: r.Rule, directive: r.Rule.Text, detail: r.Detail, code: frames.PayloadFormatInvalid}
	switch r.Reason {
	case payload.ReasonSize:
		j.code = frames.PacketTooLarge
	case payload.ReasonQoS:
		j.code = frames.QoSNotSupported
	case payload.ReasonRetain:
		j.code = frames.RetainNotSupported
	case payload.ReasonUnavailable:
		j.code = frames.ImplementationSpecificError
	case payload.ReasonSchema, payload.ReasonWords:
		j.pointer = &r.Pointer
	}
	return j
}

// ack is the Reason Code for a PUBACK or PUBREC, which know few (MQTT 5.0 tables 3-4 and 3-5): clients take
// another one for a broken packet.
func (r *rejection) ack() frames.ReasonCode {
	switch r.code {
	case 0:
		return frames.NotAuthorized
	case frames.PacketTooLarge:
		return frames.QuotaExceeded // "an implementation or administrative imposed limit has been exceeded"
	case frames.QoSNotSupported, frames.RetainNotSupported:
		return frames.ImplementationSpecificError // "valid, but the receiver is not willing to accept it"
	}
	return r.code
}
