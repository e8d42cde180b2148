package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/gorilla/websocket"
	"golang.org/x/time/rate"

	"topicgate/auth"
	"topicgate/frames"
	"topicgate/gateway/audit"
	"topicgate/policy"
)

// maxConnectBytes bounds the first packet, of a client that nobody knows yet: each of its five
// fields may have 64 KiB, and the properties of 5.0 a little more.
const maxConnectBytes = 512 << 10

// oauth2JWT is the MQTT 5.0 Authentication Method that carries a token.
const oauth2JWT = "OAUTH2-JWT"

// propertyOverhead is how much longer than the client's the packet upstream may be, beside the
// injected User Property: longer lengths, a Topic Name in place of its alias.
const propertyOverhead = 16

// refusal is a CONNACK that ends the session before it began.
type refusal struct {
	v3, v5 frames.ReasonCode
	reason string // word for audit, metrics and the client
	end    EndReason
	err    error // for the log
}

// The refusals whose reasons are always the same.
var (
	refusedTokenMissing = refusal{v3: frames.V3NotAuthorized, v5: frames.NotAuthorized, reason: "token_missing", end: EndNotAuthenticated}
	refusedBlocked      = refusal{v3: frames.V3NotAuthorized, v5: frames.Banned, reason: "blocked", end: EndBlocked}
	refusedRevoked      = refusal{v3: frames.V3NotAuthorized, v5: frames.NotAuthorized, reason: "token_revoked", end: EndTokenRevoked}
	refusedWill         = refusal{v3: frames.V3NotAuthorized, v5: frames.NotAuthorized, reason: "will", end: EndWillRejected}
	refusedConnections  = refusal{v3: frames.V3ServerUnavailable, v5: frames.QuotaExceeded, reason: "too_many_connections", end: EndTooManyConnections}
	refusedAuthMethod   = refusal{v5: frames.BadAuthenticationMethod, reason: "authentication_method", end: EndNotAuthenticated}
	refusedClientID     = refusal{v3: frames.V3IdentifierRejected, v5: frames.ClientIDNotValid, reason: "client_id", end: EndClientIDRejected}
)

// establish takes the session from the upgrade to the CONNACK. An error is the end of it; the
// client has been answered.
func (s *session) establish() error {
	o := &s.server.options
	connect, err := s.readConnect()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), o.ConnectTimeout)
	defer cancel()
	_ = s.clientSocket.SetReadDeadline(time.Time{})

	s.version = connect.Version
	s.up.maximum = o.MaxPacketBytes
	s.readClientProperties(connect)
	if r := s.chooseClientID(connect); r != nil {
		return s.refuse(r, "")
	}
	if r := s.authenticate(ctx, connect); r != nil {
		return s.refuse(r, "")
	}
	s.requestTokens, s.certificate = nil, nil

	s.upstreamID = s.server.clientID.expand(s.identity.Username, s.clientID)
	s.log = s.log.With("username", s.identity.Username, "client_id", s.clientID)
	if len(s.upstreamID) > frames.MaxStringBytes {
		return s.refuse(&refusedClientID, "")
	}
	if !s.server.admit(s) {
		return s.refuse(&refusedConnections, "")
	}

	dialing := s.server.brokers.startDial(ctx, s.upstreamID, s.remote, s.ws.LocalAddr())
	asleep := s.startWakeUp(ctx, connect)
	if r, topic := s.authorize(ctx, connect); r != nil {
		dialing.abandon()
		return s.refuse(r, topic)
	}
	stored, err := asleep()
	if err != nil {
		dialing.abandon()
		return s.refuse(&refusal{v3: frames.V3ServerUnavailable, v5: frames.ServerUnavailable,
			reason: policy.ReasonUnavailable, end: EndCannotDecide, err: err}, "")
	}
	packet := s.upstreamConnect(connect)
	conn, connack, err := dialing.connect(ctx, packet, s.version, s.upstreamMaximum())
	if err != nil {
		return s.refuse(&refusal{v3: frames.V3ServerUnavailable, v5: frames.ServerUnavailable,
			reason: "broker_unavailable", end: EndBrokerUnavailable, err: err}, "")
	}
	return s.begin(conn, connect, connack, stored)
}

// startWakeUp reads what a MQTT Session that may be resumed is subscribed to, while the policy is
// loaded. The function that it returns waits for that.
func (s *session) startWakeUp(ctx context.Context, connect *frames.Connect) func() ([]storedSubscription, error) {
	if connect.CleanStart {
		return func() ([]storedSubscription, error) { return nil, nil }
	}
	var stored []storedSubscription
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		stored, err = s.wakeUp(ctx)
	}()
	return func() ([]storedSubscription, error) {
		<-done
		return stored, err
	}
}

// readConnect reads the first packet, which must be CONNECT [MQTT-3.1.0-1].
func (s *session) readConnect() (*frames.Connect, error) {
	_ = s.clientSocket.SetReadDeadline(time.Now().Add(s.server.options.ConnectTimeout))
	if err := s.cause(); err != nil {
		return nil, err // whose deadline is gone now
	}
	limit := min(s.server.options.MaxPacketBytes, maxConnectBytes)
	for {
		p, ok, err := s.up.inbox.Next(frames.V311, limit)
		if err != nil {
			s.server.options.Metrics.malformedPacket(dirUp)
			return nil, brokenPacket(err)
		}
		if !ok {
			if len(s.up.inbox.Peek()) > 0 && frames.Type(s.up.inbox.Peek()[0]>>4) != frames.TypeConnect {
				return nil, ended(EndNoConnect, nil) // no need to wait for its end
			}
			if err := s.receive(); err != nil {
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
		s.server.options.Metrics.malformedPacket(dirUp)
		var broken *frames.Error
		if errors.As(err, &broken) && broken.Code == frames.UnsupportedProtocolVersion {
			// [MQTT-3.1.2-2]. Levels after 5.0 are told in its words, those before in the oldest.
			s.version = frames.V311
			if connect.Version > frames.V5 {
				s.version = frames.V5
			}
			return nil, s.refuse(&refusal{v3: frames.V3UnacceptableProtocol, v5: frames.UnsupportedProtocolVersion,
				reason: "protocol_version", end: EndProtocolError, err: err}, "")
		}
		if broken != nil && len(p.Body) > 6 && p.Body[6] == byte(frames.V5) { // [MQTT-3.1.4-1] allows the CONNACK
			s.version = frames.V5
			return nil, s.refuse(&refusal{v5: broken.Code, reason: "malformed", end: EndMalformedPacket, err: err}, "")
		}
		return nil, brokenPacket(err)
	}
}

// readClientProperties keeps what the client's CONNECT says of packets towards it.
func (s *session) readClientProperties(connect *frames.Connect) {
	s.clientMaximum, s.brokerMaximum = maxRemainingLength, maxRemainingLength
	if connect.Version != frames.V5 {
		return
	}
	if n, ok := connect.Properties.Uint(frames.PropMaximumPacketSize); ok {
		s.clientMaximum = min(s.clientMaximum, int(n))
	}
	if n, ok := connect.Properties.Uint(frames.PropTopicAliasMaximum); ok {
		s.aliasesDown = uint16(min(n, aliasMaximum))
	}
}

// maxRemainingLength is the longest packet that the protocol knows: fixed header and body.
const maxRemainingLength = 5 + 268435455

// chooseClientID takes the client's identifier or makes one.
func (s *session) chooseClientID(connect *frames.Connect) *refusal {
	s.clientID = connect.ClientID
	if s.clientID != "" {
		if strings.ContainsFunc(s.clientID, unicode.IsControl) {
			// Allowed, but brokers hang up on it without a word [MQTT-1.5.4-2 and section 1.5.4].
			r := refusedClientID
			r.err = errors.New("control character in the Client Identifier")
			return &r
		}
		return nil
	}
	if connect.Version != frames.V5 && !connect.CleanStart { // 3.1.1 section 3.1.3.1
		r := refusedClientID
		r.err = errors.New("empty Client Identifier")
		return &r
	}
	s.clientID = newClientID()
	return nil
}

// authenticate finds the token and has it verified.
func (s *session) authenticate(ctx context.Context, connect *frames.Connect) *refusal {
	token, r := s.tokenOf(connect)
	if r != nil {
		return r
	}
	if token == "" {
		if s.certificate == nil {
			return &refusedTokenMissing
		}
		identity, err := auth.FromCertificate(s.certificate)
		if err != nil {
			return refusalOf(err)
		}
		s.identity = identity
		return nil
	}
	identity, err := s.server.options.Verifier.Verify(ctx, token)
	if err != nil {
		return refusalOf(err)
	}
	s.identity = identity
	return nil
}

// refusalOf turns an error of the verifier into the answer to CONNECT.
func refusalOf(err error) *refusal {
	var refused *auth.Refused
	if errors.As(err, &refused) {
		return &refusal{v3: frames.V3NotAuthorized, v5: frames.NotAuthorized, reason: "token_" + refused.Reason, end: EndNotAuthenticated, err: err}
	}
	// Whatever else it is, nobody has said no: the client may try again.
	return &refusal{v3: frames.V3ServerUnavailable, v5: frames.ServerUnavailable, reason: "issuer_unavailable", end: EndCannotDecide, err: err}
}

// tokenOf picks the token: the Authentication Method says where it is; else the first configured
// source that holds anything has it, and there is no falling through.
func (s *session) tokenOf(connect *frames.Connect) (string, *refusal) {
	if method, ok := connect.Properties.Bytes(frames.PropAuthenticationMethod); ok {
		if string(method) != oauth2JWT {
			return "", &refusedAuthMethod
		}
		s.reauthenticate = true
		data, _ := connect.Properties.Bytes(frames.PropAuthenticationData)
		if len(data) == 0 {
			return "", &refusedTokenMissing
		}
		return string(data), nil
	}
	for _, source := range s.server.options.TokenSources {
		token := ""
		switch source.Kind {
		case TokenPassword:
			token = string(connect.Password)
		case TokenUsername:
			token = connect.Username
		default:
			token = s.requestTokens[source]
		}
		if token != "" {
			return token, nil
		}
	}
	return "", nil
}

// authorize loads the policy and judges the Will. topic is that of a refused Will.
func (s *session) authorize(ctx context.Context, connect *frames.Connect) (r *refusal, topic string) {
	grant, err := s.server.options.Policy.Open(ctx, s.principal(), s.policyChanged)
	if err != nil {
		return &refusal{v3: frames.V3ServerUnavailable, v5: frames.ServerUnavailable, reason: policy.ReasonUnavailable, end: EndCannotDecide, err: err}, ""
	}
	s.grant = grant
	switch grant.Standing() {
	case policy.Good:
	case policy.Blocked:
		return &refusedBlocked, ""
	case policy.Revoked:
		return &refusedRevoked, ""
	default:
		return &refusal{v3: frames.V3ServerUnavailable, v5: frames.ServerUnavailable, reason: policy.ReasonUnavailable, end: EndCannotDecide}, ""
	}
	if connect.Will == nil {
		return nil, ""
	}
	s.will = newWill(connect.Will)
	if d := s.judgeWill(); !d.Allowed {
		s.rejectWill(d)
		return &refusedWill, s.will.topicName
	}
	return nil, ""
}

// principal is who the policy is asked about.
func (s *session) principal() policy.Principal {
	s.identityMu.Lock()
	defer s.identityMu.Unlock()
	return principalOf(s.identity, s.clientID)
}

func principalOf(identity auth.Identity, clientID string) policy.Principal {
	return policy.Principal{
		Username: identity.Username,
		ClientID: clientID,
		Roles:    identity.Roles,
		Claims:   identity.Claims,
		Issuer:   identity.Issuer,
		TokenID:  identity.TokenID,
	}
}

// upstreamConnect encodes the CONNECT that the broker sees: the client's, with the verified
// identity in place of its token.
func (s *session) upstreamConnect(connect *frames.Connect) []byte {
	o := &s.server.options
	up := *connect
	up.ClientID = s.upstreamID
	up.Username = strings.ReplaceAll(o.UpstreamUsername, "{username}", s.identity.Username)
	up.HasUsername = up.Username != ""
	up.Password = []byte(o.UpstreamPassword)
	up.HasPassword = o.UpstreamPassword != "" && (up.HasUsername || s.version == frames.V5) // [MQTT-3.1.2-22] of 3.1.1
	if s.version != frames.V5 {
		return up.Append(nil, s.version)
	}
	if o.UserProperty != "" {
		s.userProperty = frames.Properties(nil).AppendPair(frames.PropUserProperty, []byte(o.UserProperty), []byte(s.identity.Username))
	}
	var properties frames.Properties
	for p := range connect.Properties.All() {
		switch p.ID {
		case frames.PropAuthenticationMethod, frames.PropAuthenticationData, frames.PropMaximumPacketSize, frames.PropTopicAliasMaximum:
		case frames.PropUserProperty:
			if !s.forged(p) {
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
	up.Properties = properties.AppendUint(frames.PropMaximumPacketSize, uint32(s.upstreamMaximum()))
	if connect.Will != nil {
		w := *connect.Will
		w.Properties = s.stampProperties(nil, w.Properties)
		up.Will = &w
	}
	return up.Append(nil, s.version)
}

// upstreamMaximum is the longest packet that is taken from the broker.
func (s *session) upstreamMaximum() int { return min(s.clientMaximum, s.server.options.MaxPacketBytes) }

// begin keeps the broker's connection and passes its CONNACK on.
func (s *session) begin(conn brokerConn, connect *frames.Connect, connack frames.Connack, stored []storedSubscription) error {
	o := &s.server.options
	_ = conn.socket.SetDeadline(time.Time{}) // before finish may set one
	conn.socket.limitWrites(o.WriteTimeout)
	s.upstream.write = func(p []byte) error { _, err := conn.conn.Write(p); return err }
	s.accepted = connack.Reason == frames.Success
	s.endMu.Lock()
	s.broker = conn
	s.dialed = true
	alreadyEnded := s.endErr
	s.endMu.Unlock()
	if alreadyEnded != nil {
		return alreadyEnded
	}

	s.keepAlive = time.Duration(connect.KeepAlive) * time.Second
	s.expectSleep(connect, connack.Properties)
	if s.version == frames.V5 {
		connack.Properties = s.clientConnack(connect, connack.Properties)
	}
	if err := s.sendConnack(connack); errors.Is(err, errConnackTooLarge) {
		return ended(EndPacketTooLarge, err)
	} else if err != nil {
		return ended(EndClientLost, err)
	}
	if connack.Reason != frames.Success {
		s.audit(audit.Event{Action: audit.Connect, Decision: audit.Refused, Reason: "broker"})
		s.server.options.Metrics.rejected("connect", "broker")
		return ended(EndBrokerRefused, fmt.Errorf("CONNACK %s", describeConnack(connack.Reason, s.version)))
	}
	s.resumed = connack.SessionPresent
	s.log.Debug("accepted", "broker", conn.address, "session_present", connack.SessionPresent)
	if o.PublishRate > 0 {
		s.limiter = rate.NewLimiter(rate.Limit(o.PublishRate), max(1, o.PublishBurst))
	}
	s.auditAllowed(audit.Event{Action: audit.Connect})
	if s.will != nil {
		s.auditAllowed(audit.Event{Action: audit.Will, Topic: s.will.topicName, QoS: uint8(s.will.qos), Retain: s.will.retain, Bytes: s.will.bytes})
	}
	s.announce(SessionInfo{
		Session: s.id, User: s.identity.Username, Issuer: s.identity.Issuer, ClientID: s.clientID, Version: s.version.String(),
		Remote: s.remote.String(), Upstream: conn.address, Since: time.Now().UTC(), Expires: s.identity.Expiry,
	})
	s.armExpiry(s.identity.Expiry)
	// The client is not to wait for the answer until the broker reads what restore sends.
	if err := s.client.flush(); err != nil {
		return s.clientWriteError(err)
	}
	if s.resumed {
		s.restore(stored) // nothing has been delivered yet: down has not started
	}
	s.remember() // a new Session has nothing, whatever is stored of an older one
	s.ids.blocked = func() {
		if err := s.upIdle(); err != nil {
			s.finish(err) // closes ids
		}
	}
	// A change between Open and here found no session that could be ended.
	s.begun.Store(true)
	s.policyChanged()
	return s.client.flush()
}

// clientConnack is the properties of the broker's CONNACK as the client is to see them.
func (s *session) clientConnack(connect *frames.Connect, from frames.Properties) frames.Properties {
	maximum := uint32(s.server.options.MaxPacketBytes)
	var properties frames.Properties
	for p := range from.All() {
		switch p.ID {
		case frames.PropAssignedClientIdentifier, frames.PropAuthenticationMethod, frames.PropAuthenticationData:
			// The broker's name for the client is none of the client's business.
		case frames.PropMaximumPacketSize:
			s.brokerMaximum = int(p.Uint())
			// The packet grows on its way by the User Property.
			room := p.Uint() - min(p.Uint()-1, uint32(len(s.userProperty)+propertyOverhead))
			maximum = min(maximum, room)
		case frames.PropTopicAliasMaximum:
			if s.aliasesUp = uint16(min(p.Uint(), aliasMaximum)); s.aliasesUp > 0 {
				properties = properties.AppendUint(frames.PropTopicAliasMaximum, uint32(s.aliasesUp))
			}
		case frames.PropSubscriptionIdentifierAvailable:
			s.subs.withoutIDs = p.Uint() == 0
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

func describeConnack(code frames.ReasonCode, v frames.Version) string {
	if v == frames.V5 {
		return code.String()
	}
	return "return code " + strconv.Itoa(int(code))
}

// refuse answers CONNECT with r and returns the end of the session. topic is that of a refused Will.
func (s *session) refuse(r *refusal, topic string) error {
	connack := frames.Connack{Reason: r.v3}
	if s.version == frames.V5 {
		connack.Reason = r.v5
		connack.Properties = connack.Properties.AppendBytes(frames.PropReasonString, []byte(r.reason))
	}
	_ = s.sendConnack(connack) // leave flushes it
	s.server.options.Metrics.rejected("connect", r.reason)
	s.audit(audit.Event{Action: audit.Connect, Decision: audit.Refused, Reason: r.reason, Topic: topic})
	return ended(r.end, r.err)
}

// sendConnack answers CONNECT. What does not fit into the Maximum Packet Size that the client has named is
// left out [MQTT-3.2.2-19]; if that is not enough the client gets no CONNACK [MQTT-3.1.2-24].
func (s *session) sendConnack(connack frames.Connack) error {
	packet := connack.Append(nil, s.version)
	if s.clientMaximum > 0 && len(packet) > s.clientMaximum {
		connack.Properties = connack.Properties.Without(frames.PropReasonString).Without(frames.PropUserProperty)
		if packet = connack.Append(nil, s.version); len(packet) > s.clientMaximum {
			return errConnackTooLarge
		}
	}
	return s.client.addBytes(packet)
}

var errConnackTooLarge = errors.New("CONNACK exceeds the client's Maximum Packet Size")

// armExpiry ends the session when its token does, and tells the client a minute before.
func (s *session) armExpiry(at time.Time) {
	s.identityMu.Lock()
	defer s.identityMu.Unlock()
	if s.expiry != nil {
		s.expiry.Stop()
	}
	if at.IsZero() {
		return
	}
	end := func() { s.finish(ended(EndTokenExpired, nil)) }
	left := time.Until(at)
	if left <= expiryNotice {
		s.expiry = time.AfterFunc(left, end)
		return
	}
	s.expiry = time.AfterFunc(left-expiryNotice, func() {
		s.identityMu.Lock()
		current := s.identity.Expiry.Equal(at)
		if current {
			s.expiry = time.AfterFunc(time.Until(at), end)
		}
		s.identityMu.Unlock()
		if current {
			s.tellExpiring(at)
		}
	})
}

// clientReadError says what a failed read from the client means. A deadline that was not set by
// finish is timeout.
func (s *session) clientReadError(err error, timeout EndReason) error {
	var end *endError
	var closed *websocket.CloseError
	switch {
	case errors.As(err, &end):
		return err
	case isTimeout(err):
		return ended(timeout, nil)
	case errors.As(err, &closed) && closed.Code != websocket.CloseAbnormalClosure:
		return ended(EndClientLost, fmt.Errorf("WebSocket closed by the client with %d", closed.Code))
	case errors.Is(err, io.EOF), errors.As(err, &closed), errors.Is(err, io.ErrUnexpectedEOF):
		return ended(EndClientLost, nil)
	}
	return ended(EndClientLost, err)
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}
