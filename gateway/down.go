package gateway

import (
	"errors"
	"fmt"
	"io"
	"log/slog"

	"topicgate/frames"
	"topicgate/policy"
)

// downState is what the pump towards the client keeps. Nobody else touches it until the pump has
// returned.
type downState struct {
	counts  packetCounts
	packets uint64
	bytes   uint64

	recent     recent
	aliases    []topicAlias // those that the broker uses
	dropped    idSet        // dropped QoS 2 deliveries that wait for the broker's PUBREL
	properties []byte       // scratch for rewritten properties
	skip       int          // bytes of a packet that is too large, still to pass over
}

func (d *downState) count(p frames.Packet) {
	d.counts.add(byte(p.Type()), len(p.Raw))
	d.packets++
	d.bytes += uint64(len(p.Raw))
}

// brokerAliases bounds the aliases of a broker that uses more than it was allowed to; some do.
const brokerAliases = 256

// pumpDown reads the broker until it ends the connection or the session ends. What has come goes to the
// client in one WebSocket message when nothing more is ready.
func (s *session) pumpDown() error {
	s.broker.socket.idle = s.downWaits
	for {
		if err := s.handleInbox(); err != nil {
			return s.downEnded(err)
		}
		if err := s.client.settle(); err != nil { // the inbox may move
			return s.clientWriteError(err)
		}
		s.broker.socket.allowed = true
		err := s.broker.fill()
		s.broker.socket.allowed = false
		if err == errPark {
			if err = s.park(dirDown); err == errParked {
				return err
			}
		}
		if err != nil {
			return s.downEnded(s.brokerReadError(err))
		}
	}
}

// downWaits runs when all that the broker sent is read and judged, before the wait for more.
func (s *session) downWaits() error {
	s.down.counts.flush(s.server.options.Metrics, dirDown)
	if err := s.client.flush(); err != nil {
		return s.clientWriteError(err)
	}
	if err := s.upstream.flush(); err != nil {
		return s.brokerWriteError(err)
	}
	return nil
}

// brokerReadError says what a failed read from the broker means.
func (s *session) brokerReadError(err error) error {
	var end *endError
	switch {
	case errors.As(err, &end):
		return err // of downWaits
	case s.left.Load(): // the broker closes because the client has said goodbye
		return ended(EndClientDisconnect, nil)
	case err == io.EOF:
		err = errors.New("connection closed")
	}
	return ended(EndBrokerLost, err)
}

// downEnded sends on what came before the end.
func (s *session) downEnded(err error) error {
	s.down.counts.flush(s.server.options.Metrics, dirDown)
	_ = s.client.flush()
	return err
}

// handleInbox handles the whole packets that have come.
func (s *session) handleInbox() error {
	for {
		if s.down.skip > 0 {
			s.down.skip -= s.broker.inbox.Skip(s.down.skip)
			if s.down.skip > 0 {
				return nil
			}
		}
		p, ok, err := s.broker.inbox.Next(s.version, s.upstreamMaximum())
		if err != nil {
			if passed, err := s.passOver(err); passed {
				continue
			} else if err == nil {
				return nil // its head is not all there yet
			}
			return s.malformedDown(err)
		}
		if !ok {
			return nil
		}
		s.down.count(p)
		if err := s.handleDown(p); err != nil {
			return err
		}
	}
}

func (s *session) malformedDown(err error) error {
	s.server.options.Metrics.malformedPacket(dirDown)
	return ended(EndBrokerProtocolError, err)
}

// handleDown judges one packet of the broker's.
func (s *session) handleDown(p frames.Packet) error {
	switch t := p.Type(); t {
	case frames.TypePublish:
		return s.publishDown(p)
	case frames.TypePuback, frames.TypePubrec, frames.TypePubcomp:
		return s.ackDown(p)
	case frames.TypePubrel:
		return s.pubrelDown(p)
	case frames.TypeSuback:
		return s.subackDown(p)
	case frames.TypeUnsuback:
		return s.unsubackDown(p)
	case frames.TypePingresp:
		if s.pings.Load() > 0 {
			s.pings.Add(-1)
			return s.forwardDown(p.Raw)
		}
		return nil // answers a PINGREQ of the gateway's own
	case frames.TypeDisconnect:
		if s.version != frames.V5 {
			break
		}
		disconnect, err := frames.ParseDisconnect(p, s.version)
		if err != nil {
			return s.malformedDown(err)
		}
		if err := s.forwardDown(p.Raw); err != nil {
			return err
		}
		return ended(EndBrokerDisconnect, fmt.Errorf("DISCONNECT %s", disconnect.Reason))
	}
	return s.malformedDown(&frames.Error{Type: p.Type(), Code: frames.ProtocolError, Detail: "not expected from a broker"})
}

func (s *session) forwardDown(raw []byte) error {
	if err := s.client.forward(raw); err != nil {
		return s.clientWriteError(err)
	}
	return nil
}

// publishDown delivers a PUBLISH if it may be read now.
func (s *session) publishDown(p frames.Packet) error {
	publish, err := frames.ParsePublish(p, s.version)
	if err != nil {
		return s.malformedDown(err)
	}
	topicName := publish.TopicName
	var alias *topicAlias
	if s.version == frames.V5 {
		if alias, err = resolveAlias(&s.down.aliases, brokerAliases, &publish); err != nil {
			return s.malformedDown(err)
		}
		if alias != nil {
			topicName = alias.topicName
		}
	}
	if reserved(topicName) {
		return s.dropDelivery(&publish, topicName, policy.Decision{Reason: "reserved_topic"})
	}
	access := s.access()
	if d := s.down.recent.ask(access, topicName, (*policy.Access).Receive); !d.Allowed {
		return s.dropDelivery(&publish, topicName, d)
	}
	rewrite := false
	if publish.Retain || s.subs.rewritesIDs() {
		again := false
		if rewrite, again = s.subs.rewriteIDs(&publish, topicName, access); again {
			return s.completeDelivery(&publish)
		}
	}
	if alias != nil {
		rewrite = s.adaptAlias(&publish, alias) || rewrite
	}
	if !rewrite {
		s.told(&publish, alias)
		return s.forwardDown(p.Raw)
	}
	size := len(p.Raw) + len(topicName) + len(publish.Properties) + propertyOverhead
	if size > s.clientMaximum { // [MQTT-3.1.2-25]: as if it had been sent
		packet := publish.Append(nil, s.version)
		if len(packet) > s.clientMaximum {
			return s.dropDelivery(&publish, topicName, policy.Decision{Reason: "packet_too_large"})
		}
	}
	s.told(&publish, alias)
	if err := s.client.publish(&publish, s.version, size); err != nil {
		return s.clientWriteError(err)
	}
	return nil
}

// adaptAlias makes the packet say what the client can understand: an alias that it allowed and knows.
// It reports whether the packet was changed.
func (s *session) adaptAlias(publish *frames.Publish, alias *topicAlias) bool {
	n, _ := publish.Properties.Uint(frames.PropTopicAlias)
	switch {
	case n > uint32(s.aliasesDown): // the broker was not allowed to
		s.down.properties = appendWithout(s.down.properties[:0], publish.Properties, frames.PropTopicAlias)
		publish.Properties = s.down.properties
		publish.TopicName = alias.topicName
		return true
	case len(publish.TopicName) == 0 && !alias.told:
		publish.TopicName = alias.topicName
		return true
	}
	return false
}

// told notes that the client is about to get a PUBLISH that gives alias, if it has one, its meaning.
func (s *session) told(publish *frames.Publish, alias *topicAlias) {
	if alias == nil || len(publish.TopicName) == 0 {
		return
	}
	if _, ok := publish.Properties.Uint(frames.PropTopicAlias); ok {
		alias.told = true
	}
}

func appendWithout(dst []byte, properties frames.Properties, id frames.PropertyID) frames.Properties {
	for p := range properties.All() {
		if p.ID != id {
			dst = append(dst, p.Encoded...)
		}
	}
	return dst
}

// dropDelivery keeps a PUBLISH from the client and completes it towards the broker, so that messages that
// may be read are not held up behind it.
func (s *session) dropDelivery(publish *frames.Publish, topicName []byte, d policy.Decision) error {
	s.rejectDelivery(publish, topicName, d)
	return s.completeDelivery(publish)
}

// completeDelivery acknowledges a PUBLISH that the client does not get.
func (s *session) completeDelivery(publish *frames.Publish) error {
	switch publish.QoS {
	case 1:
		return s.acknowledgeUpstream(frames.TypePuback, publish.PacketID)
	case 2:
		// A message that was under way before the connection was (DUP) may be one that the client
		// has; its handshake is left to the client from PUBREL on, which hurts nobody who has not.
		if !publish.Dup {
			s.down.dropped.add(publish.PacketID)
		}
		return s.acknowledgeUpstream(frames.TypePubrec, publish.PacketID)
	}
	return nil
}

func (s *session) acknowledgeUpstream(t frames.Type, id uint16) error {
	ack := frames.Ack{Type: t, PacketID: id}
	var packet [8]byte
	if err := s.upstream.addBytes(ack.Append(packet[:0], s.version)); err != nil {
		return s.brokerWriteError(err)
	}
	return nil
}

// pubrelDown completes the handshake of a dropped delivery here, others at the client.
func (s *session) pubrelDown(p frames.Packet) error {
	ack, err := frames.ParseAck(p, s.version)
	if err != nil && !errors.Is(err, frames.ErrReasonCode) {
		return s.malformedDown(err)
	}
	if s.down.dropped.has(ack.PacketID) {
		s.down.dropped.remove(ack.PacketID)
		return s.acknowledgeUpstream(frames.TypePubcomp, ack.PacketID)
	}
	return s.relayAck(p, ack, err)
}

// ackDown passes on what the broker says to a publish of the client's.
func (s *session) ackDown(p frames.Packet) error {
	ack, err := frames.ParseAck(p, s.version)
	if err != nil && !errors.Is(err, frames.ErrReasonCode) {
		return s.malformedDown(err)
	}
	if ack.Type != frames.TypePubrec || ack.Reason >= frames.UnspecifiedError {
		s.ids.release(ack.PacketID)
	}
	return s.relayAck(p, ack, err)
}

// relayAck forwards an acknowledgement, with a Reason Code that is illegal (some brokers send such)
// replaced: clients give up on those.
func (s *session) relayAck(p frames.Packet, ack frames.Ack, illegal error) error {
	if illegal == nil {
		return s.forwardDown(p.Raw)
	}
	s.log(slog.LevelDebug, "illegal reason code repaired", "packet", ack.Type.String(), "reason_code", uint8(ack.Reason))
	repaired := frames.Ack{Type: ack.Type, PacketID: ack.PacketID}
	if ack.Reason >= frames.UnspecifiedError && (ack.Type == frames.TypePuback || ack.Type == frames.TypePubrec) {
		repaired.Reason = frames.UnspecifiedError
	}
	if err := s.client.addBytes(repaired.Append(nil, s.version)); err != nil {
		return s.clientWriteError(err)
	}
	return nil
}

// maxHeadBytes bounds the head of a packet that is passed over, which is waited for: a Topic Name, and as much again of
// properties.
const maxHeadBytes = 128 << 10

// passOver begins to skip a PUBLISH that is too large, which a broker of 3.x cannot be kept from
// sending (a retained one would end each session of its readers again and again). It reports whether
// it did; neither that nor an error: more of the packet's head is needed.
func (s *session) passOver(err error) (bool, error) {
	var broken *frames.Error
	if !errors.As(err, &broken) || broken.Code != frames.PacketTooLarge || broken.Type != frames.TypePublish {
		return false, err
	}
	head, ok, faulty := frames.ParsePublishHead(s.broker.inbox.Peek(), s.version, maxHeadBytes)
	if faulty != nil {
		return false, faulty
	}
	if !ok {
		return false, nil
	}
	topicName := head.TopicName
	if s.version == frames.V5 { // what it makes an alias mean holds for those that follow
		alias, err := resolveAlias(&s.down.aliases, brokerAliases, &head.Publish)
		if err != nil {
			return false, err
		}
		if alias != nil {
			topicName = alias.topicName
		}
	}
	s.down.skip = head.PacketBytes
	s.down.packets++
	s.down.bytes += uint64(s.down.skip)
	return true, s.dropDelivery(&head.Publish, topicName, policy.Decision{Reason: "packet_too_large"})
}
