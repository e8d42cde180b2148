package session

import (
	"errors"
	"fmt"
	"io"
	"log/slog"

	"topicgate/frames"
	"topicgate/gateway/metrics"
	"topicgate/gateway/subs"
	"topicgate/gateway/wire"
	"topicgate/policy"
)

// down is the pump towards the client and what it keeps. Nobody else touches that until the pump has
// returned.
type down struct {
	*Session

	counts  metrics.PacketCounts
	packets uint64
	bytes   uint64

	recent     recent
	aliases    []topicAlias // those that the broker uses
	dropped    subs.IDSet   // dropped QoS 2 deliveries that wait for the broker's PUBREL
	properties []byte       // scratch for rewritten properties
	skip       int          // bytes of a packet that is too large, still to pass over
	latest     *latest      // nil: nothing has waited yet of which only the newest counts
}

func (dn *down) count(p frames.Packet) {
	dn.counts.Add(byte(p.Type()), len(p.Raw))
	dn.packets++
	dn.bytes += uint64(len(p.Raw))
}

// brokerAliases bounds the aliases of a broker that uses more than it was allowed to; some do.
const brokerAliases = 256

// pump reads the broker until it ends the connection or the session ends. What has come goes to the
// client in one WebSocket message when nothing more is ready.
func (dn *down) pump() error {
	dn.broker.Socket.Idle = dn.waits
	for {
		if err := dn.handleInbox(); err != nil {
			return dn.atEnd(err)
		}
		if err := dn.client.TakeOver(); err != nil { // the inbox may move
			return dn.clientWriteError(err)
		}
		dn.broker.Socket.AllowPark(true)
		err := dn.broker.Fill()
		dn.broker.Socket.AllowPark(false)
		if err == wire.ErrPark {
			if err = dn.park(wire.Down); err == errParked {
				return err
			}
		}
		if err != nil {
			return dn.atEnd(dn.readError(err))
		}
	}
}

// waits runs when all that the broker sent is read and judged, before the wait for more.
func (dn *down) waits() error {
	dn.counts.Flush(dn.host.Metrics, wire.Down)
	if err := dn.client.Flush(); err != nil {
		return dn.clientWriteError(err)
	}
	if err := dn.upstream.Flush(); err != nil {
		return dn.brokerWriteError(err)
	}
	return nil
}

// readError says what a failed read from the broker means.
func (dn *down) readError(err error) error {
	var end *endError
	switch {
	case errors.As(err, &end):
		return err // of downWaits
	case dn.left.Load(): // the broker closes because the client has said goodbye
		return ended(EndClientDisconnect, nil)
	case err == io.EOF:
		err = errors.New("connection closed")
	}
	return ended(EndBrokerLost, err)
}

// atEnd sends on what came before the end.
func (dn *down) atEnd(err error) error {
	dn.counts.Flush(dn.host.Metrics, wire.Down)
	_ = dn.client.Flush()
	return err
}

// handleInbox handles the whole packets that have come.
func (dn *down) handleInbox() error {
	for {
		if dn.skip > 0 {
			dn.skip -= dn.broker.Inbox.Skip(dn.skip)
			if dn.skip > 0 {
				return nil
			}
		}
		p, ok, err := dn.broker.Inbox.Next(dn.version, dn.maximumFromBroker())
		if err != nil {
			if passed, err := dn.passOver(err); passed {
				continue
			} else if err == nil {
				return nil // its head is not all there yet
			}
			return dn.malformed(err)
		}
		if !ok {
			return nil
		}
		dn.count(p)
		if err := dn.handle(p); err != nil {
			return err
		}
	}
}

func (dn *down) malformed(err error) error {
	dn.host.Metrics.MalformedPacket(wire.Down)
	return ended(EndBrokerProtocolError, err)
}

// handle judges one packet of the broker's.
func (dn *down) handle(p frames.Packet) error {
	switch t := p.Type(); t {
	case frames.TypePublish:
		return dn.publish(p)
	case frames.TypePuback, frames.TypePubrec, frames.TypePubcomp:
		return dn.ack(p)
	case frames.TypePubrel:
		return dn.pubrel(p)
	case frames.TypeSuback:
		return dn.suback(p)
	case frames.TypeUnsuback:
		return dn.unsuback(p)
	case frames.TypePingresp:
		if dn.pings.Load() > 0 {
			dn.pings.Add(-1)
			return dn.forward(p.Raw)
		}
		return nil // answers a PINGREQ of the gateway's own
	case frames.TypeDisconnect:
		if dn.version != frames.V5 {
			break
		}
		disconnect, err := frames.ParseDisconnect(p, dn.version)
		if err != nil {
			return dn.malformed(err)
		}
		if err := dn.forward(p.Raw); err != nil {
			return err
		}
		return ended(EndBrokerDisconnect, fmt.Errorf("DISCONNECT %s", disconnect.Reason))
	}
	return dn.malformed(&frames.Error{Type: p.Type(), Code: frames.ProtocolError, Detail: "not expected from a broker"})
}

func (dn *down) forward(raw []byte) error {
	if err := dn.client.Forward(raw); err != nil {
		return dn.clientWriteError(err)
	}
	return nil
}

// drop keeps a PUBLISH from the client and completes it towards the broker, so that messages that
// may be read are not held up behind it.
func (dn *down) drop(publish *frames.Publish, topicName []byte, d policy.Decision) error {
	dn.rejectDelivery(publish, topicName, d)
	return dn.complete(publish)
}

// complete acknowledges a PUBLISH that the client does not get.
func (dn *down) complete(publish *frames.Publish) error {
	switch publish.QoS {
	case 1:
		return dn.acknowledge(frames.TypePuback, publish.PacketID)
	case 2:
		// A message that was under way before the connection was (DUP) may be one that the client
		// has; its handshake is left to the client from PUBREL on, which hurts nobody who has not.
		if !publish.Dup {
			dn.dropped.Add(publish.PacketID)
		}
		return dn.acknowledge(frames.TypePubrec, publish.PacketID)
	}
	return nil
}

func (dn *down) acknowledge(t frames.Type, id uint16) error {
	ack := frames.Ack{Type: t, PacketID: id}
	var packet [8]byte
	if err := dn.upstream.Add(ack.Append(packet[:0], dn.version)); err != nil {
		return dn.brokerWriteError(err)
	}
	return nil
}

// pubrel completes the handshake of a dropped delivery here, others at the client.
func (dn *down) pubrel(p frames.Packet) error {
	ack, err := frames.ParseAck(p, dn.version)
	if err != nil && !errors.Is(err, frames.ErrReasonCode) {
		return dn.malformed(err)
	}
	if dn.dropped.Has(ack.PacketID) {
		dn.dropped.Remove(ack.PacketID)
		return dn.acknowledge(frames.TypePubcomp, ack.PacketID)
	}
	return dn.relayAck(p, ack, err)
}

// ack passes on what the broker says to a publish of the client's.
func (dn *down) ack(p frames.Packet) error {
	ack, err := frames.ParseAck(p, dn.version)
	if err != nil && !errors.Is(err, frames.ErrReasonCode) {
		return dn.malformed(err)
	}
	if ack.Type != frames.TypePubrec || ack.Reason >= frames.UnspecifiedError {
		dn.ids.Release(ack.PacketID)
	}
	return dn.relayAck(p, ack, err)
}

// relayAck forwards an acknowledgement, with a Reason Code that is illegal (some brokers send such)
// replaced: clients give up on those.
func (dn *down) relayAck(p frames.Packet, ack frames.Ack, illegal error) error {
	if illegal == nil {
		return dn.relayAckAsOwn(p, ack)
	}
	dn.log(slog.LevelDebug, "illegal reason code repaired", "packet", ack.Type.String(), "reason_code", uint8(ack.Reason))
	repaired := frames.Ack{Type: ack.Type, PacketID: ack.PacketID}
	if ack.Reason >= frames.UnspecifiedError && (ack.Type == frames.TypePuback || ack.Type == frames.TypePubrec) {
		repaired.Reason = frames.UnspecifiedError
	}
	if err := dn.client.Add(repaired.Append(nil, dn.version)); err != nil {
		return dn.clientWriteError(err)
	}
	return nil
}

// relayAckAsOwn forwards an acknowledgement without the User Property of the gateway's own: some brokers give a
// publisher its User Properties back.
func (dn *down) relayAckAsOwn(p frames.Packet, ack frames.Ack) error {
	stamped := false
	for property := range ack.Properties.All() {
		stamped = stamped || dn.forged(property)
	}
	if !stamped {
		return dn.forward(p.Raw)
	}
	var properties frames.Properties
	for property := range ack.Properties.All() {
		if !dn.forged(property) {
			properties = append(properties, property.Encoded...)
		}
	}
	ack.Properties = properties
	if err := dn.client.Add(ack.Append(nil, dn.version)); err != nil {
		return dn.clientWriteError(err)
	}
	return nil
}

// maxHeadBytes bounds the head of a packet that is passed over, which is waited for: a Topic Name, and as much again of
// properties.
const maxHeadBytes = 128 << 10

// passOver begins to skip a PUBLISH that is too large, which a broker of 3.x cannot be kept from
// sending (a retained one would end each session of its readers again and again). It reports whether
// it did; neither that nor an error: more of the packet's head is needed.
func (dn *down) passOver(err error) (bool, error) {
	var broken *frames.Error
	if !errors.As(err, &broken) || broken.Code != frames.PacketTooLarge || broken.Type != frames.TypePublish {
		return false, err
	}
	head, ok, faulty := frames.ParsePublishHead(dn.broker.Inbox.Peek(), dn.version, maxHeadBytes)
	if faulty != nil && !errors.Is(faulty, frames.ErrFaultyMessage) {
		return false, faulty
	}
	if !ok && faulty == nil {
		return false, nil
	}
	topicName := head.TopicName
	if dn.version == frames.V5 { // what it makes an alias mean holds for those that follow
		alias, err := resolveAlias(&dn.aliases, brokerAliases, &head.Publish)
		if err != nil {
			return false, err
		}
		if alias != nil {
			topicName = alias.topicName
			_ = alias.judge(&head.Publish, faulty)
		}
	}
	dn.skip = head.PacketBytes
	dn.packets++
	dn.bytes += uint64(dn.skip)
	return true, dn.drop(&head.Publish, topicName, policy.Decision{Reason: "packet_too_large"})
}
