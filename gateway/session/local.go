package session

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"time"

	"topicgate/auth"
	"topicgate/frames"
	"topicgate/gateway/audit"
)

// Topics under localTopics are served by the gateway itself: each client sees its own, and nothing of
// them goes upstream or comes from there.
const (
	localTopics   = "$topicgate"
	topicToken    = "$topicgate/token"    // publish a fresh token here
	topicRejected = "$topicgate/rejected" // one message for each refused operation
	topicAccess   = "$topicgate/access"   // what a narrowed subscription now covers
	topicExpiring = "$topicgate/expiring" // a minute before the token ends
	topicNone     = "$topicgate/none"     // nobody is ever subscribed to this
)

// expiryNotice is how long before the end of its token a session is told.
const expiryNotice = time.Minute

// reserved reports whether a Topic Name or Topic Filter is the gateway's own.
func reserved[T ~string | ~[]byte](topic T) bool {
	if len(topic) < len(localTopics) || string(topic[:len(localTopics)]) != localTopics {
		return false
	}
	return len(topic) == len(localTopics) || topic[len(localTopics)] == '/'
}

// reservedFilter reports whether a filter of the gateway's own topics can be subscribed to: it matches
// one that the gateway publishes, and is not shared.
func reservedFilter(filter string) bool {
	return slices.ContainsFunc([]string{topicRejected, topicAccess, topicExpiring}, func(topic string) bool {
		return frames.Match(filter, topic)
	})
}

// local reports whether sub is of the gateway's own topics.
func (sub *subscription) local() bool { return reserved(sub.rest) }

// hears returns the Subscription Identifiers under which the client listens to a topic of the gateway's.
func (b *subscriptions) hears(topic string) (ids []uint32, ok bool) {
	if b.locals.Load() == 0 {
		return nil, false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, sub := range b.asked {
		if sub.local() && frames.Match(sub.rest, topic) {
			ok = true
			if sub.id != 0 {
				ids = append(ids, sub.id)
			}
		}
	}
	return ids, ok
}

// tell publishes v as JSON to the client, at QoS 0, if it listens to the topic.
func (s *Session) tell(topic string, v any) error {
	ids, ok := s.subs.hears(topic)
	if !ok {
		return nil
	}
	payload, err := json.Marshal(v)
	if err != nil {
		return ended(EndInternal, err) // impossible: plain structs
	}
	publish := frames.Publish{TopicName: []byte(topic), Payload: payload}
	if s.version == frames.V5 {
		publish.Properties = publish.Properties.AppendUint(frames.PropPayloadFormatIndicator, 1)
		publish.Properties = publish.Properties.AppendBytes(frames.PropContentType, []byte("application/json"))
		for _, id := range ids {
			publish.Properties = publish.Properties.AppendUint(frames.PropSubscriptionIdentifier, id)
		}
	}
	packet := publish.Append(nil, s.version)
	if len(packet) > s.clientMaximum {
		return nil // [MQTT-3.1.2-25]
	}
	if err := s.client.Add(packet); err != nil {
		return s.clientWriteError(err)
	}
	return nil
}

// tellRejected tells the client, if it listens, what was refused and why.
func (s *Session) tellRejected(action string, topic []byte, qos frames.QoS, reason string) error {
	if s.subs.locals.Load() == 0 {
		return nil
	}
	return s.tell(topicRejected, struct {
		Time   string     `json:"time"`
		Action string     `json:"action"`
		Topic  string     `json:"topic"`
		QoS    frames.QoS `json:"qos"`
		Reason string     `json:"reason"`
	}{time.Now().UTC().Format(time.RFC3339), action, string(topic), qos, reason})
}

// coverage is what one subscription of the client's now covers.
type coverage struct {
	Filter string   `json:"filter"`
	Covers []string `json:"covers"`
}

// tellAccess tells the client what its subscriptions cover now.
func (s *Session) tellAccess(changed []coverage) error {
	for _, c := range changed {
		if err := s.tell(topicAccess, c); err != nil {
			return err
		}
	}
	return nil
}

// tellExpiring tells the client that its token is about to end.
func (s *Session) tellExpiring(at time.Time) {
	_ = s.tell(topicExpiring, struct {
		Expires string `json:"expires"`
	}{at.UTC().Format(time.RFC3339)})
	_ = s.client.Flush() // a failure shows itself to the pumps
}

// publishLocal handles a PUBLISH to the gateway's own topics.
func (s *Session) publishLocal(publish *frames.Publish, topicName []byte) error {
	reason := "reserved_topic"
	if string(topicName) == topicToken {
		err := s.freshToken(string(publish.Payload))
		if err == nil {
			return s.acceptPublish(publish)
		}
		reason = freshTokenReason(err)
		s.log(slog.LevelInfo, "fresh token refused", "err", err.Error())
	}
	s.host.Metrics.Rejected("publish", reason)
	s.audit(audit.Event{Action: audit.Publish, Decision: audit.Refused, Topic: string(topicName), QoS: uint8(publish.QoS),
		Retain: publish.Retain, Bytes: len(publish.Payload), Reason: reason})
	if err := s.tellRejected("publish", topicName, publish.QoS, reason); err != nil {
		return err
	}
	return s.refusePublish(publish, frames.NotAuthorized)
}

// acceptPublish acknowledges a PUBLISH that the gateway itself took.
func (s *Session) acceptPublish(publish *frames.Publish) error {
	switch publish.QoS {
	case 1:
		return s.acknowledge(frames.TypePuback, publish.PacketID, frames.Success)
	case 2:
		s.up.refused.add(publish.PacketID) // its PUBREL is answered here too
		return s.acknowledge(frames.TypePubrec, publish.PacketID, frames.Success)
	}
	return s.keepBrokerAwake()
}

// freshToken lets the session go on with a new token.
func (s *Session) freshToken(token string) error {
	ctx, cancel := context.WithTimeout(context.Background(), s.host.ConnectTimeout)
	defer cancel()
	fresh, err := s.host.Verifier.Verify(ctx, token)
	if err != nil {
		return err
	}
	return s.renew(fresh)
}

func freshTokenReason(err error) string {
	var refused *auth.Refused
	switch {
	case errors.Is(err, errOtherSubject):
		return "other_subject"
	case errors.As(err, &refused):
		return "token_" + refused.Reason
	}
	return "issuer_unavailable"
}

// authUp re-authenticates [MQTT-4.12.1-1]. A refusal is the end of the session.
func (s *Session) authUp(p frames.Packet) error {
	packet, err := frames.ParseAuth(p, s.version)
	if err != nil {
		return s.malformedUp(err)
	}
	method, _ := packet.Properties.Bytes(frames.PropAuthenticationMethod)
	if !s.reauthenticate || packet.Reason != frames.Reauthenticate || string(method) != oauth2JWT { // [MQTT-4.12.1-1]
		return s.malformedUp(&frames.Error{Type: frames.TypeAuth, Code: frames.ProtocolError, Rule: "MQTT-4.12.1-1", Detail: "not a re-authentication of the method of CONNECT"})
	}
	token, _ := packet.Properties.Bytes(frames.PropAuthenticationData)
	if err := s.freshToken(string(token)); err != nil {
		reason := freshTokenReason(err)
		s.host.Metrics.Rejected("connect", reason)
		s.audit(audit.Event{Action: audit.Connect, Decision: audit.Refused, Reason: reason})
		if reason == "issuer_unavailable" {
			return &endError{reason: EndCannotDecide, code: frames.ServerBusy, err: err}
		}
		return &endError{reason: EndNotAuthenticated, code: frames.NotAuthorized, err: err}
	}
	answer := frames.Auth{Reason: frames.Success}
	answer.Properties = answer.Properties.AppendBytes(frames.PropAuthenticationMethod, []byte(oauth2JWT))
	if packet := answer.Append(nil, s.version); len(packet) <= s.clientMaximum { // [MQTT-3.1.2-24]
		if err := s.client.Add(packet); err != nil {
			return s.clientWriteError(err)
		}
	}
	return s.keepBrokerAwake()
}

// coverageOf is what the subscription to filter covers.
func coverageOf(filter string, n narrowed) coverage {
	return coverage{Filter: filter, Covers: append([]string{}, n.covers...)}
}
