package session

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/time/rate"

	"topicgate/frames"
	"topicgate/gateway/audit"
	"topicgate/gateway/registry"
	"topicgate/gateway/subs"
	"topicgate/gateway/upstream"
)

// refusal is why CONNECT is not accepted.
type refusal struct {
	v3, v5 frames.ReasonCode
	reason string // word for audit, metrics and the client
	end    EndReason
	err    error  // for the log
	topic  string // of a refused Will
	outage bool   // nobody has said no: later the answer may be another one
}

// outage is that nobody can decide or serve now.
func outage(reason string, end EndReason, err error) *refusal {
	return &refusal{v3: frames.V3ServerUnavailable, v5: frames.ServerUnavailable, reason: reason, end: end, err: err, outage: true}
}

// The refusals whose reasons are always the same.
var (
	refusedTokenMissing = refusal{v3: frames.V3NotAuthorized, v5: frames.NotAuthorized, reason: "token_missing", end: EndNotAuthenticated}
	refusedBlocked      = refusal{v3: frames.V3NotAuthorized, v5: frames.Banned, reason: "blocked", end: EndBlocked}
	refusedRevoked      = refusal{v3: frames.V3NotAuthorized, v5: frames.NotAuthorized, reason: "token_revoked", end: EndTokenRevoked}
	refusedWill         = refusal{v3: frames.V3NotAuthorized, v5: frames.NotAuthorized, reason: "will", end: EndWillRejected}
	refusedConnections  = refusal{v3: frames.V3ServerUnavailable, v5: frames.QuotaExceeded, reason: "too_many_connections", end: EndTooManyConnections}
	refusedAuthMethod   = refusal{v5: frames.BadAuthenticationMethod, reason: "authentication_method", end: EndNotAuthenticated}
	refusedVersion      = refusal{v3: frames.V3UnacceptableProtocol, v5: frames.UnsupportedProtocolVersion, reason: "protocol_version", end: EndBrokerRefused}
	refusedClientID     = refusal{v3: frames.V3IdentifierRejected, v5: frames.ClientIDNotValid, reason: "client_id", end: EndClientIDRejected}
)

// begin keeps the broker's connection and passes its CONNACK on. Its order is what makes it right:
//
//  1. The connection becomes the session's (keepBroker): without the deadline of the dial, and from then on woken up
//     by finish. A session that has ended already goes no further.
//  2. What the broker answered is taken over: Keep Alive, maxima, aliases, how long the MQTT Session sleeps.
//  3. The client gets its CONNACK before anything else can be told to it. A refusal is the end.
//  4. What was accepted is told to audit and operators, then the token's end is armed: no end before its beginning.
//  5. The CONNACK is flushed: the client is not to wait until the broker reads what resume sends.
//  6. A resumed MQTT Session is put right, before down has delivered anything of it.
//  7. It is remembered: a new one has nothing, whatever is stored of an older one.
//  8. begun is set, and only then is the policy looked at: a change before that found no session, one after it does.
func (s *Session) begin(conn upstream.Conn, connect *frames.Connect, connack frames.Connack, stored *subs.Record) error {
	s.accepted = connack.Reason == frames.Success
	if err := s.keepBroker(conn); err != nil {
		return err
	}
	s.keepAlive = time.Duration(connect.KeepAlive) * time.Second
	s.expectSleep(connect, connack.Properties)
	if s.version == frames.V5 {
		connack.Properties = s.clientConnack(connect, connack.Properties)
	}
	s.resumed = connack.SessionPresent
	// Of what nobody knows the subscriptions of, the client is to ask for anew; what the broker has queued comes.
	connack.SessionPresent = s.resumed && stored != nil && !stored.Older
	if err := s.passConnack(connack); err != nil {
		return err
	}
	s.table.Begin(&s.host.subs, subs.Terms{Version: s.version, Identifiers: s.version == frames.V5 && !s.withoutIDs, NoRetained: s.withoutRetained, BrokerMaximum: int(s.brokerMaximum)})
	s.limitRate()
	s.tellAccepted(conn.Address)
	s.host.Wills.Returned(s.upstreamID, conn.Address)
	// The client is not to wait for the answer until the broker reads what resume sends.
	if err := s.client.Flush(); err != nil {
		return s.clientWriteError(err)
	}
	if s.resumed {
		if stored == nil {
			stored = &subs.Record{Open: true} // whatever the broker holds, it is nothing that one knows
		}
		if err := s.resume(stored); err != nil {
			return err
		}
	}
	s.remember()
	s.ids.Blocked = func() {
		if err := s.up.idle(); err != nil {
			s.finish(err) // closes ids
		}
	}
	s.begun.Store(true)
	s.policyChanged()
	return s.client.Flush()
}

// keepBroker makes conn the session's. An error means that the session has ended already.
func (s *Session) keepBroker(conn upstream.Conn) error {
	_ = conn.Socket.SetDeadline(time.Time{}) // before finish may set one
	keepWaiting := s.keepWaiting             // one for both
	conn.Socket.OnAsk(keepWaiting)
	s.clientSocket.OnAsk(keepWaiting)
	conn.Socket.LimitWrites(s.host.WriteTimeout)
	c := conn.Stream // alone: with all of conn a buffer would be kept that was in its inbox
	s.upstream.Write = func(p []byte) error { _, err := c.Write(p); return err }
	s.broker = conn
	return s.end.unlessEnded(func() {
		s.dialed = true
		s.end.abort = nil // or the session would keep all that its context knows
	})
}

// passConnack answers the client with what the broker has answered. An error is the end of the session.
func (s *Session) passConnack(connack frames.Connack) error {
	if err := s.sendConnack(connack); errors.Is(err, errConnackTooLarge) {
		return ended(EndPacketTooLarge, err)
	} else if err != nil {
		return ended(EndClientLost, err)
	}
	if connack.Reason != frames.Success {
		s.audit(audit.Event{Action: audit.Connect, Decision: audit.Refused, Reason: "broker"})
		s.host.Metrics.Rejected("connect", "broker")
		return ended(EndBrokerRefused, fmt.Errorf("CONNACK %s", upstream.Describe(connack.Reason, s.version)))
	}
	return nil
}

// limitRate makes the limiter of the client's PUBLISHes, if there is a limit.
func (s *Session) limitRate() {
	if s.host.PublishRate <= 0 {
		return
	}
	burst := s.host.PublishBurst
	if burst == 0 {
		burst = int(s.host.PublishRate) // a second's worth
	}
	s.limiter = rate.NewLimiter(rate.Limit(s.host.PublishRate), max(1, burst))
}

// tellAccepted tells audit and operators of a client that was accepted, and arms the end of its token.
func (s *Session) tellAccepted(broker string) {
	s.log(slog.LevelDebug, "accepted", "broker", broker, "session_present", s.resumed)
	s.auditAllowed(audit.Event{Action: audit.Connect})
	if s.will != nil {
		s.auditAllowed(audit.Event{Action: audit.Will, Topic: s.will.Topic, QoS: uint8(s.will.QoS), Retain: s.will.Retain, Bytes: s.will.Bytes})
	}
	identity := s.whose.get()
	s.announce(registry.SessionInfo{
		Session: s.id, User: identity.Username, Issuer: identity.Issuer, ClientID: s.clientID, Version: s.version.String(),
		Remote: s.remote.String(), Upstream: broker, Since: time.Now().UTC(), Expires: identity.Expiry,
	})
	s.armExpiry(identity.Expiry)
}

// clientConnack is the properties of the broker's CONNACK as the client is to see them.
func (s *Session) clientConnack(connect *frames.Connect, from frames.Properties) frames.Properties {
	maximum := uint32(s.host.MaxPacketBytes)
	var properties frames.Properties
	for p := range from.All() {
		switch p.ID {
		case frames.PropAssignedClientIdentifier, frames.PropAuthenticationMethod, frames.PropAuthenticationData:
			// The broker's name for the client is none of the client's business.
		case frames.PropMaximumPacketSize:
			s.brokerMaximum = int32(min(p.Uint(), frames.MaxPacketBytes))
			// The packet grows on its way by the User Property.
			room := p.Uint() - min(p.Uint()-1, uint32(len(s.userProperty)+propertyOverhead))
			maximum = min(maximum, room)
		case frames.PropTopicAliasMaximum:
			if s.aliasesUp = uint16(min(p.Uint(), aliasMaximum)); s.aliasesUp > 0 {
				properties = properties.AppendUint(frames.PropTopicAliasMaximum, uint32(s.aliasesUp))
			}
		case frames.PropSubscriptionIdentifierAvailable:
			s.withoutIDs = p.Uint() == 0
			properties = append(properties, p.Encoded...)
		case frames.PropRetainAvailable:
			s.withoutRetained = p.Uint() == 0
			properties = append(properties, p.Encoded...)
		case frames.PropServerKeepAlive:
			s.keepAlive = time.Duration(p.Uint()) * time.Second
			properties = append(properties, p.Encoded...)
		default:
			properties = append(properties, p.Encoded...)
		}
	}
	properties = properties.AppendUint(frames.PropMaximumPacketSize, maximum)
	s.up.maximum = int(maximum)
	if connect.ClientID == "" {
		properties = properties.AppendBytes(frames.PropAssignedClientIdentifier, []byte(s.clientID)) // [MQTT-3.2.2-16]
	}
	if s.reauthenticate {
		properties = properties.AppendBytes(frames.PropAuthenticationMethod, []byte(oauth2JWT)) // [MQTT-4.12.0-6]
	}
	return properties
}

// refuse answers CONNECT with r and returns the end of the session. An outage has no CONNACK, unless the operator wants
// one: there are clients that give up for ever after any that is no success, and come back after a close.
func (s *Session) refuse(r *refusal) error {
	if !r.outage || s.host.Unavailable == UnavailableConnack {
		connack := frames.Connack{Reason: r.v3}
		if s.version == frames.V5 {
			connack.Reason = r.v5
			connack.Properties = connack.Properties.AppendBytes(frames.PropReasonString, []byte(r.reason))
		}
		_ = s.sendConnack(connack) // leave flushes it
	}
	s.host.Metrics.Rejected("connect", r.reason)
	s.audit(audit.Event{Action: audit.Connect, Decision: audit.Refused, Reason: r.reason, Topic: r.topic})
	return ended(r.end, r.err)
}

// sendConnack answers CONNECT. What does not fit into the Maximum Packet Size that the client has named is
// left out [MQTT-3.2.2-19]; if that is not enough the client gets no CONNACK [MQTT-3.1.2-24].
func (s *Session) sendConnack(connack frames.Connack) error {
	packet := connack.Append(nil, s.version)
	if s.clientMaximum > 0 && len(packet) > int(s.clientMaximum) {
		connack.Properties = connack.Properties.Without(frames.PropReasonString).Without(frames.PropUserProperty)
		if packet = connack.Append(nil, s.version); len(packet) > int(s.clientMaximum) {
			return errConnackTooLarge
		}
	}
	return s.client.Add(packet)
}

var errConnackTooLarge = errors.New("CONNACK exceeds the client's Maximum Packet Size")
