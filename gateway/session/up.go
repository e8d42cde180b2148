package session

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/gorilla/websocket"

	"topicgate/frames"
	"topicgate/gateway/metrics"
	"topicgate/gateway/wire"
	"topicgate/policy"
)

// upState is what the pump towards the broker keeps. Nobody else touches it until the pump has
// returned.
type upState struct {
	inbox   frames.Buffer
	message io.Reader // the WebSocket message that is being read; nil: between two
	maximum int       // longest packet that the client may send
	counts  metrics.PacketCounts
	packets uint64
	bytes   uint64

	recent     recent
	aliases    []topicAlias // those that the client uses
	refused    idSet        // refused QoS 2 publishes of 3.x that wait for PUBREL
	properties []byte       // scratch for stamped properties
}

func (u *upState) count(p frames.Packet) {
	u.counts.Add(byte(p.Type()), len(p.Raw))
	u.packets++
	u.bytes += uint64(len(p.Raw))
}

// pumpUp reads the client until there is nothing more to read. Packets are judged where they lie and
// go to the broker when no further one is ready.
func (s *Session) pumpUp() error {
	s.clientSocket.Idle = s.upWaits
	for {
		for {
			p, ok, err := s.up.inbox.Next(s.version, s.up.maximum)
			if err != nil {
				s.host.Metrics.MalformedPacket(wire.Up)
				return s.upEnded(brokenPacket(err))
			}
			if !ok {
				break
			}
			s.up.count(p)
			if err := s.handleUp(p); err != nil {
				return s.upEnded(err)
			}
		}
		err := s.receive()
		if err == wire.ErrPark {
			if err = s.park(wire.Up); err == errParked {
				return err
			}
		}
		if err != nil {
			return s.upEnded(s.clientReadError(err, EndInternal))
		}
	}
}

// upEnded sends on what was judged before the end.
func (s *Session) upEnded(err error) error {
	_ = s.upstream.Flush()
	s.up.counts.Flush(s.host.Metrics, wire.Up)
	return err
}

// upWaits runs when all that the client sent is read and judged, before the wait for more.
func (s *Session) upWaits() error {
	if err := s.upIdle(); err != nil {
		return err
	}
	if s.up.message == nil { // else the read that waits is into the inbox
		s.up.inbox.Release()
	}
	return nil
}

// upIdle sends on what was judged so far: the pump is about to wait for something, perhaps in the
// middle of a packet, whose bytes stay as they are.
func (s *Session) upIdle() error {
	s.up.counts.Flush(s.host.Metrics, wire.Up)
	if err := s.upstream.Flush(); err != nil {
		return s.brokerWriteError(err)
	}
	if err := s.client.Flush(); err != nil {
		return s.clientWriteError(err)
	}
	return nil
}

// receive reads what has come of a WebSocket message. Whole packets are not held up by the rest of
// their message.
func (s *Session) receive() error {
	if s.up.message == nil {
		if err := s.awaitMessage(); err != nil {
			return err
		}
		kind, message, err := s.ws.NextReader()
		if err != nil {
			return err
		}
		if kind != websocket.BinaryMessage { // [MQTT-6.0.0-1]
			return ended(EndTextMessage, nil)
		}
		s.up.message = message
	}
	if err := s.upstream.TakeOver(); err != nil { // the inbox may move
		return s.brokerWriteError(err)
	}
	n, err := s.up.message.Read(wire.RoomFor(&s.up.inbox))
	s.up.inbox.Filled(n)
	if err == io.EOF {
		s.up.message = nil
		return nil
	}
	return err
}

// awaitMessage waits where the wait can be given up: before gorilla reads, which remembers errors.
func (s *Session) awaitMessage() error {
	s.clientSocket.AllowPark(true)
	_, err := s.reader.Peek(1)
	s.clientSocket.AllowPark(false)
	return err
}

// handleUp judges one packet of the client's.
func (s *Session) handleUp(p frames.Packet) error {
	switch t := p.Type(); t {
	case frames.TypePublish:
		return s.publishUp(p)
	case frames.TypePuback, frames.TypePubrec, frames.TypePubcomp:
		if _, err := frames.ParseAck(p, s.version); err != nil {
			return s.malformedUp(err)
		}
		return s.forwardUp(p.Raw)
	case frames.TypePubrel:
		return s.pubrelUp(p)
	case frames.TypeSubscribe:
		return s.subscribeUp(p)
	case frames.TypeUnsubscribe:
		return s.unsubscribeUp(p)
	case frames.TypePingreq:
		s.pings.Add(1)
		return s.forwardUp(p.Raw)
	case frames.TypeDisconnect:
		return s.disconnectUp(p)
	case frames.TypeAuth:
		return s.authUp(p)
	default:
		// A second CONNECT [MQTT-3.1.0-2], or a packet that only servers send.
		return s.malformedUp(&frames.Error{Type: t, Code: frames.ProtocolError, Detail: "not expected from a client here"})
	}
}

func (s *Session) malformedUp(err error) error {
	s.host.Metrics.MalformedPacket(wire.Up)
	return brokenPacket(err)
}

func (s *Session) forwardUp(raw []byte) error {
	if err := s.upstream.Forward(raw); err != nil {
		return s.brokerWriteError(err)
	}
	return nil
}

// publishUp judges a PUBLISH and passes it on, with the verified identity on 5.0.
func (s *Session) publishUp(p frames.Packet) error {
	publish, err := frames.ParsePublish(p, s.version)
	if err != nil {
		return s.malformedUp(err)
	}
	if s.limiter != nil {
		if err := s.slowDown(); err != nil {
			return err
		}
	}
	topicName := publish.TopicName
	var alias *topicAlias
	if s.version == frames.V5 {
		if _, ok := publish.Properties.Uint(frames.PropSubscriptionIdentifier); ok {
			return s.malformedUp(&frames.Error{Type: frames.TypePublish, Code: frames.ProtocolError, Rule: "MQTT-3.3.4-6", Detail: "Subscription Identifier from a client"})
		}
		if alias, err = resolveAlias(&s.up.aliases, s.aliasesUp, &publish); err != nil {
			return s.malformedUp(err)
		}
		if alias != nil {
			topicName = alias.topicName
		}
	}
	if publish.QoS == 2 && s.up.refused.has(publish.PacketID) {
		// Until PUBREL, a PUBLISH with this identifier is the refused one again [MQTT-4.3.3-10].
		return s.acknowledge(frames.TypePubrec, publish.PacketID, frames.Success)
	}
	if reserved(topicName) {
		return s.publishLocal(&publish, topicName)
	}
	if d := s.up.recent.ask(s.access(), topicName, (*policy.Access).Publish); !d.Allowed {
		return s.rejectPublish(&publish, topicName, d)
	}
	if s.host.AuditAllowed {
		s.auditPublish(&publish, topicName)
	}
	size := len(p.Raw) + len(topicName) + len(s.userProperty) + propertyOverhead
	if size > s.brokerMaximum && alias != nil && len(publish.TopicName) == 0 && !alias.told {
		// The client cannot know that the broker is to be told a Topic Name here.
		return s.rejectPublish(&publish, topicName, policy.Decision{Reason: "packet_too_large"})
	}
	if publish.QoS > 0 && !s.ids.takePublish(publish.PacketID, publish.QoS) {
		return s.cause()
	}
	if s.version != frames.V5 || alias == nil && s.userProperty == nil {
		return s.forwardUp(p.Raw)
	}
	if alias != nil {
		if !alias.told {
			publish.TopicName = topicName
		}
		alias.told = true
	}
	s.up.properties = s.stampProperties(s.up.properties[:0], publish.Properties)
	publish.Properties = s.up.properties
	if err := s.upstream.Publish(&publish, s.version, size); err != nil {
		return s.brokerWriteError(err)
	}
	return nil
}

// stampProperties appends properties to dst with the verified username in place of what the client
// may have claimed.
func (s *Session) stampProperties(dst []byte, properties frames.Properties) frames.Properties {
	for p := range properties.All() {
		if !s.forged(p) {
			dst = append(dst, p.Encoded...)
		}
	}
	return append(dst, s.userProperty...)
}

// forged reports whether p is a User Property of the name that only the gateway sets.
func (s *Session) forged(p frames.Property) bool {
	if p.ID != frames.PropUserProperty || s.userProperty == nil {
		return false
	}
	name, _ := p.Pair()
	return bytes.EqualFold(name, []byte(s.host.UserProperty))
}

// slowDown waits until the session may publish again. What is on its way goes out first; the client
// feels that nobody reads.
func (s *Session) slowDown() error {
	delay := s.limiter.Reserve().Delay()
	if delay <= 0 {
		return nil
	}
	if err := s.upIdle(); err != nil {
		return err
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-s.end.done:
		return s.cause()
	}
}

// pubrelUp completes the handshake of a refused publish here, others at the broker.
func (s *Session) pubrelUp(p frames.Packet) error {
	ack, err := frames.ParseAck(p, s.version)
	if err != nil {
		return s.malformedUp(err)
	}
	if !s.up.refused.has(ack.PacketID) {
		return s.forwardUp(p.Raw)
	}
	s.up.refused.remove(ack.PacketID)
	return s.acknowledge(frames.TypePubcomp, ack.PacketID, frames.Success)
}

// acknowledge answers the client with a PUBACK, PUBREC or PUBCOMP of the gateway's own.
func (s *Session) acknowledge(t frames.Type, id uint16, reason frames.ReasonCode) error {
	ack := frames.Ack{Type: t, PacketID: id, Reason: reason}
	var packet [8]byte
	if err := s.client.Add(ack.Append(packet[:0], s.version)); err != nil {
		return s.clientWriteError(err)
	}
	return s.keepBrokerAwake()
}

// keepBrokerAwake sends a PINGREQ of the gateway's own when the broker has heard nothing for half the
// Keep Alive although the client has not been silent: what the gateway answers itself never
// reaches the broker, which would end the session.
func (s *Session) keepBrokerAwake() error {
	if s.keepAlive == 0 || time.Since(s.broker.Socket.LastWrite()) < s.keepAlive/2 {
		return nil
	}
	if err := s.upstream.Add(frames.AppendPingreq(nil)); err != nil {
		return s.brokerWriteError(err)
	}
	return nil
}

// brokerWriteError says what a failed write towards the broker means.
func (s *Session) brokerWriteError(err error) error {
	if isTimeout(err) {
		return ended(EndBrokerLost, errors.New("the broker does not read"))
	}
	return ended(EndBrokerLost, err)
}

// clientWriteError says what a failed write towards the client means.
func (s *Session) clientWriteError(err error) error {
	if isTimeout(err) {
		return ended(EndClientSlow, nil)
	}
	return ended(EndClientLost, err)
}

// clientReadError says what a failed read from the client means. A deadline that was not set by
// finish is timeout.
func (s *Session) clientReadError(err error, timeout EndReason) error {
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
