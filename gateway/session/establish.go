package session

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"topicgate/auth"
	"topicgate/frames"
	"topicgate/gateway/dialect"
	"topicgate/gateway/subs"
	"topicgate/gateway/upstream"
	"topicgate/gateway/wire"
	"topicgate/policy"
	"topicgate/policy/store"
)

// maxConnectBytes bounds the first packet, of a client that nobody knows yet: each of its five
// fields may have 64 KiB, and the properties of 5.0 a little more.
const maxConnectBytes = 512 << 10

// propertyOverhead is how much longer than the client's the packet upstream may be, beside the
// injected User Property: longer lengths, a Topic Name in place of its alias.
const propertyOverhead = 16

// establish tries to take the session from CONNECT to the CONNACK. A refusal, which may be an outage, is left to the
// caller to answer; an error is the end.
func (s *Session) establish(ctx context.Context, e *entry) (*refusal, error) {
	connect := e.connect
	if r := s.authenticate(ctx, connect); r != nil {
		return r, nil
	}
	if r := s.admit(e); r != nil {
		return r, nil
	}

	// Redis and the broker are asked at the same time, unless it is known that something is amiss.
	var opening *store.Opening
	if s.grant == nil {
		opening = s.host.Policy.Begin(s.principal(), s.policyChanged)
	}
	ctx, cancel := context.WithCancel(ctx)
	asleep := s.startWakeUp(ctx, connect)
	defer func() { cancel(); _, _ = asleep() }() // it ends before the session
	dialing := s.host.Brokers.Dial(s.upstreamID, s.remote, s.ws.LocalAddr())
	if e.tries == 1 {
		dialing.Start(ctx)
	}
	defer dialing.Abandon()
	if r := s.authorize(ctx, opening, connect); r != nil {
		return r, nil
	}
	stored, err := asleep()
	if err != nil {
		return outage(policy.ReasonUnavailable, EndCannotDecide, err), nil
	}
	s.host.Asks(s, s.upstreamID)
	conn, connack, err := dialing.Connect(ctx, s.upstreamConnect(connect), s.version, s.maximumFromBroker())
	if errors.Is(err, upstream.ErrVersion) {
		s.host.guess(dialect.RabbitMQ)
		r := refusedVersion
		r.err = err
		return &r, nil
	}
	if err != nil {
		return outage("broker_unavailable", EndBrokerUnavailable, err), nil
	}
	s.host.guess(dialect.Guess(s.version, s.upstreamID, connack))
	s.requestTokens, s.certificate = nil, nil
	if connack.Reason == frames.Success && connack.SessionPresent {
		// Once more, now that the broker has handed the MQTT Session over: until then another connection had it.
		if stored, err = s.wakeUp(ctx); err != nil {
			s.log(slog.LevelWarn, "stored subscriptions not read", "err", err.Error())
		}
	}
	return nil, s.begin(conn, connect, connack, stored)
}

// admit makes the upstream Client Identifier, and counts the session for its user, once.
func (s *Session) admit(e *entry) *refusal {
	if e.admitted {
		return nil
	}
	s.upstreamID = s.host.clientID.expand(s.whose.username(), s.clientID)
	if len(s.upstreamID) > frames.MaxStringBytes {
		return &refusedClientID
	}
	if e.admitted = s.host.Admit(s, s.whose.username(), s.upstreamID); !e.admitted {
		return &refusedConnections
	}
	return nil
}

// startWakeUp reads what a MQTT Session that may be resumed is subscribed to, while the policy is
// loaded. The function that it returns waits for that.
func (s *Session) startWakeUp(ctx context.Context, connect *frames.Connect) func() (*subs.Record, error) {
	if connect.CleanStart {
		return func() (*subs.Record, error) { return nil, nil }
	}
	var stored *subs.Record
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		stored, err = s.wakeUp(ctx)
	}()
	return func() (*subs.Record, error) {
		<-done
		return stored, err
	}
}

// readConnect reads the first packet, which must be CONNECT [MQTT-3.1.0-1].
func (s *Session) readConnect() (*frames.Connect, error) {
	_ = s.clientSocket.SetReadDeadline(time.Now().Add(s.host.ConnectTimeout))
	if err := s.cause(); err != nil {
		return nil, err // whose deadline is gone now
	}
	limit := min(s.host.MaxPacketBytes, maxConnectBytes)
	for {
		p, ok, err := s.up.inbox.Next(frames.V311, limit)
		if err != nil {
			s.host.Metrics.MalformedPacket(wire.Up)
			return nil, brokenPacket(err)
		}
		if !ok {
			if t := s.up.inbox.NextType(); t != 0 && t != frames.TypeConnect {
				return nil, ended(EndNoConnect, nil) // no need to wait for its end
			}
			if err := s.up.receive(); err != nil {
				return nil, s.clientReadError(err, EndConnectTimeout)
			}
			continue
		}
		if p.Type() != frames.TypeConnect {
			return nil, ended(EndNoConnect, fmt.Errorf("the first packet is %s", p.Type()))
		}
		s.up.count(p)
		connect, err := frames.ParseConnect(p)
		if err == nil {
			return &connect, nil
		}
		s.host.Metrics.MalformedPacket(wire.Up)
		var broken *frames.Error
		if errors.As(err, &broken) && broken.Code == frames.UnsupportedProtocolVersion {
			// [MQTT-3.1.2-2]. Levels after 5.0 are told in its words, those before in the oldest.
			s.version = frames.V311
			if connect.Version > frames.V5 {
				s.version = frames.V5
			}
			return nil, s.refuse(&refusal{v3: frames.V3UnacceptableProtocol, v5: frames.UnsupportedProtocolVersion,
				reason: "protocol_version", end: EndProtocolError, err: err})
		}
		if broken != nil && connect.Version == frames.V5 { // [MQTT-3.1.4-1] allows the CONNACK
			s.version = frames.V5
			return nil, s.refuse(&refusal{v5: broken.Code, reason: "malformed", end: EndMalformedPacket, err: err})
		}
		return nil, brokenPacket(err)
	}
}

// readClientProperties keeps what the client's CONNECT says of packets towards it.
func (s *Session) readClientProperties(connect *frames.Connect) {
	s.clientMaximum, s.brokerMaximum = frames.MaxPacketBytes, frames.MaxPacketBytes
	if connect.Version != frames.V5 {
		return
	}
	if n, ok := connect.Properties.Uint(frames.PropMaximumPacketSize); ok {
		s.clientMaximum = min(s.clientMaximum, int32(min(n, frames.MaxPacketBytes)))
	}
	if n, ok := connect.Properties.Uint(frames.PropTopicAliasMaximum); ok {
		s.aliasesDown = uint16(min(n, aliasMaximum))
	}
}

// upstreamConnect encodes the CONNECT that the broker sees: the client's, with the verified
// identity in place of its token.
func (s *Session) upstreamConnect(connect *frames.Connect) []byte {
	o := &s.host.Settings
	up := *connect
	up.ClientID = s.upstreamID
	name, password := s.host.UpstreamCredentials(s.whose.username())
	up.Username, up.HasUsername = name, name != ""
	up.Password = []byte(password)
	up.HasPassword = password != "" && (up.HasUsername || s.version == frames.V5) // [MQTT-3.1.2-22] of 3.1.1
	if s.version != frames.V5 {
		return up.Append(nil, s.version)
	}
	if o.UserProperty != "" {
		s.userProperty = frames.Properties(nil).AppendPair(frames.PropUserProperty, []byte(o.UserProperty), []byte(s.whose.username()))
	}
	var properties frames.Properties
	for p := range connect.Properties.All() {
		switch p.ID {
		case frames.PropAuthenticationMethod, frames.PropAuthenticationData, frames.PropMaximumPacketSize, frames.PropTopicAliasMaximum:
		case frames.PropUserProperty:
			if !s.forged(p) && !auth.HoldsToken(string(p.Encoded)) { // a place where clients put a token, too
				properties = append(properties, p.Encoded...)
			}
		default:
			properties = append(properties, p.Encoded...)
		}
	}
	if s.aliasesDown > 0 {
		properties = properties.AppendUint(frames.PropTopicAliasMaximum, uint32(s.aliasesDown))
	}
	// What the broker would send beyond our limit it must not send at all.
	up.Properties = properties.AppendUint(frames.PropMaximumPacketSize, uint32(s.maximumFromBroker()))
	if connect.Will != nil {
		w := *connect.Will
		w.Properties = s.stampProperties(nil, w.Properties)
		up.Will = &w
	}
	return up.Append(nil, s.version)
}

// maximumFromBroker is the longest packet that is taken from the broker.
func (s *Session) maximumFromBroker() int {
	return min(int(s.clientMaximum), s.host.MaxPacketBytes)
}
