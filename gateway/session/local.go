package session

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"time"

	"topicgate/auth"
	"topicgate/frames"
	"topicgate/gateway/audit"
	"topicgate/gateway/subs"
)

// expiryNotice is how long before the end of its token a session is told.
const expiryNotice = time.Minute

// tell publishes v as JSON to the client, at QoS 0, if it listens to the topic.
func (s *Session) tell(topic string, v any) error {
	ids, ok := s.table.Hears(topic)
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
	if len(packet) > int(s.clientMaximum) {
		return nil // [MQTT-3.1.2-25]
	}
	if err := s.client.Add(packet); err != nil {
		return s.clientWriteError(err)
	}
	return nil
}

// tellRejected tells the client, if it listens, what was refused and why.
func (s *Session) tellRejected(action string, topic []byte, qos frames.QoS, reason string) error {
	return s.tellRejection(action, topic, qos, &rejection{reason: reason})
}

func (s *Session) tellRejection(action string, topic []byte, qos frames.QoS, r *rejection) error {
	if !s.table.Listens() {
		return nil
	}
	return s.tell(subs.TopicRejected, struct {
		Time    string     `json:"time"`
		Action  string     `json:"action"`
		Topic   string     `json:"topic"`
		QoS     frames.QoS `json:"qos"`
		Reason  string     `json:"reason"`
		Code    int        `json:"reason_code,omitempty"`
		Rule    string     `json:"rule,omitempty"`
		Pointer *string    `json:"pointer,omitempty"`
		Detail  string     `json:"detail,omitempty"`
		Retry   int64      `json:"retry_after_ms,omitempty"`
	}{time.Now().UTC().Format(time.RFC3339), action, string(topic), qos, r.reason, int(r.code), r.directive, r.pointer, r.detail, r.retry.Milliseconds()})
}

// tellAccess tells the client what its subscriptions cover now.
func (s *Session) tellAccess(changed []subs.Coverage) error {
	for _, c := range changed {
		if err := s.tell(subs.TopicAccess, c); err != nil {
			return err
		}
	}
	return nil
}

// tellExpiring tells the client that its token is about to end.
func (s *Session) tellExpiring(at time.Time) {
	_ = s.tell(subs.TopicExpiring, struct {
		Expires string `json:"expires"`
	}{at.UTC().Format(time.RFC3339)})
	_ = s.client.Flush() // a failure shows itself to the pumps
}

// publishLocal handles a PUBLISH to the gateway's own topics.
func (u *up) publishLocal(publish *frames.Publish, topicName []byte) error {
	reason := "reserved_topic"
	if string(topicName) == subs.TopicToken {
		err := u.freshToken(string(publish.Payload))
		if err == nil {
			return u.acceptPublish(publish)
		}
		reason = freshTokenReason(err)
		u.log(slog.LevelInfo, "fresh token refused", "err", err.Error())
	}
	u.host.Metrics.Rejected("publish", reason)
	u.audit(audit.Event{Action: audit.Publish, Decision: audit.Refused, Topic: string(topicName), QoS: uint8(publish.QoS),
		Retain: publish.Retain, Bytes: len(publish.Payload), Reason: reason})
	if err := u.tellRejected("publish", topicName, publish.QoS, reason); err != nil {
		return err
	}
	return u.refusePublish(publish, frames.NotAuthorized)
}

// acceptPublish acknowledges a PUBLISH that the gateway itself took.
func (u *up) acceptPublish(publish *frames.Publish) error {
	switch publish.QoS {
	case 1:
		return u.acknowledge(frames.TypePuback, publish.PacketID, frames.Success)
	case 2:
		u.refused.Add(publish.PacketID) // its PUBREL is answered here too
		return u.acknowledge(frames.TypePubrec, publish.PacketID, frames.Success)
	}
	return u.keepBrokerAwake()
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

// auth re-authenticates [MQTT-4.12.1-1]. A refusal is the end of the session.
func (u *up) auth(p frames.Packet) error {
	packet, err := frames.ParseAuth(p, u.version)
	if err != nil {
		return u.malformed(err)
	}
	method, _ := packet.Properties.Bytes(frames.PropAuthenticationMethod)
	if !u.reauthenticate || packet.Reason != frames.Reauthenticate || string(method) != oauth2JWT { // [MQTT-4.12.1-1]
		return u.malformed(&frames.Error{Type: frames.TypeAuth, Code: frames.ProtocolError, Rule: "MQTT-4.12.1-1", Detail: "not a re-authentication of the method of CONNECT"})
	}
	token, _ := packet.Properties.Bytes(frames.PropAuthenticationData)
	if err := u.freshToken(string(token)); err != nil {
		reason := freshTokenReason(err)
		u.host.Metrics.Rejected("connect", reason)
		u.audit(audit.Event{Action: audit.Connect, Decision: audit.Refused, Reason: reason})
		if reason == "issuer_unavailable" {
			return &endError{reason: EndCannotDecide, code: frames.ServerBusy, err: err}
		}
		return &endError{reason: EndNotAuthenticated, code: frames.NotAuthorized, err: err}
	}
	answer := frames.Auth{Reason: frames.Success}
	answer.Properties = answer.Properties.AppendBytes(frames.PropAuthenticationMethod, []byte(oauth2JWT))
	if packet := answer.Append(nil, u.version); len(packet) <= int(u.clientMaximum) { // [MQTT-3.1.2-24]
		if err := u.client.Add(packet); err != nil {
			return u.clientWriteError(err)
		}
	}
	return u.keepBrokerAwake()
}
