package session

import (
	"io"
	"time"

	"github.com/gorilla/websocket"

	"topicgate/frames"
	"topicgate/gateway/metrics"
	"topicgate/gateway/subs"
	"topicgate/gateway/wire"
)

// up is the pump towards the broker and what it keeps. Nobody else touches that until the pump has
// returned.
type up struct {
	*Session

	inbox   frames.Buffer
	message io.Reader // the WebSocket message that is being read; nil: between two
	maximum int       // longest packet that the client may send
	counts  metrics.PacketCounts
	packets uint64
	bytes   uint64

	recent     recent
	directed   *directed    // nil: no directive has concerned a publish so far
	aliases    []topicAlias // those that the client uses
	refused    subs.IDSet   // refused QoS 2 publishes of 3.x that wait for PUBREL
	properties []byte       // scratch for stamped properties
}

func (u *up) count(p frames.Packet) {
	u.counts.Add(byte(p.Type()), len(p.Raw))
	u.packets++
	u.bytes += uint64(len(p.Raw))
}

// pump reads the client until there is nothing more to read. Packets are judged where they lie and
// go to the broker when no further one is ready.
func (u *up) pump() error {
	u.clientSocket.Idle = u.waits
	for {
		for {
			p, ok, err := u.inbox.Next(u.version, u.maximum)
			if err != nil {
				u.host.Metrics.MalformedPacket(wire.Up)
				return u.atEnd(brokenPacket(err))
			}
			if !ok {
				break
			}
			u.count(p)
			if err := u.handle(p); err != nil {
				return u.atEnd(err)
			}
		}
		err := u.receive()
		if err == wire.ErrPark {
			if err = u.park(wire.Up); err == errParked {
				return err
			}
		}
		if err != nil {
			return u.atEnd(u.clientReadError(err, EndInternal))
		}
	}
}

// atEnd sends on what was judged before the end.
func (u *up) atEnd(err error) error {
	_ = u.upstream.Flush()
	u.counts.Flush(u.host.Metrics, wire.Up)
	return err
}

// waits runs when all that the client sent is read and judged, before the wait for more.
func (u *up) waits() error {
	if err := u.idle(); err != nil {
		return err
	}
	if u.message == nil { // else the read that waits is into the inbox
		u.inbox.Release()
	}
	return nil
}

// idle sends on what was judged so far: the pump is about to wait for something, perhaps in the
// middle of a packet, whose bytes stay as they are.
func (u *up) idle() error {
	u.counts.Flush(u.host.Metrics, wire.Up)
	if err := u.upstream.Flush(); err != nil {
		return u.brokerWriteError(err)
	}
	if err := u.client.Flush(); err != nil {
		return u.clientWriteError(err)
	}
	return nil
}

// receive reads what has come of a WebSocket message. Whole packets are not held up by the rest of
// their message.
func (u *up) receive() error {
	if err := u.nextMessage(); err != nil {
		return err
	}
	return u.fill(wire.RoomFor(&u.inbox))
}

// receiveSome is receive of no more than n bytes, which takes storage for as many.
func (u *up) receiveSome(n int) error {
	if err := u.nextMessage(); err != nil {
		return err
	}
	space := u.inbox.Space(1)
	return u.fill(space[:min(n, len(space))])
}

// nextMessage waits for a message, unless one has not been read to its end.
func (u *up) nextMessage() error {
	if u.message == nil {
		if err := u.awaitMessage(); err != nil {
			return err
		}
		kind, message, err := u.ws.NextReader()
		if err != nil {
			return err
		}
		if kind != websocket.BinaryMessage { // [MQTT-6.0.0-1]
			return ended(EndTextMessage, nil)
		}
		u.message = message
	}
	if err := u.upstream.TakeOver(); err != nil { // the inbox may move
		return u.brokerWriteError(err)
	}
	return nil
}

// fill reads of the message into space of the inbox.
func (u *up) fill(space []byte) error {
	n, err := u.message.Read(space)
	u.inbox.Filled(n)
	if err == io.EOF {
		u.message = nil
		return nil
	}
	return err
}

// awaitMessage waits where the wait can be given up: before gorilla reads, which remembers errors.
func (u *up) awaitMessage() error {
	u.clientSocket.AllowPark(true)
	_, err := u.reader.Peek(1)
	u.clientSocket.AllowPark(false)
	return err
}

// handle judges one packet of the client's.
func (u *up) handle(p frames.Packet) error {
	switch t := p.Type(); t {
	case frames.TypePublish:
		return u.publish(p)
	case frames.TypePuback, frames.TypePubrec, frames.TypePubcomp:
		if _, err := frames.ParseAck(p, u.version); err != nil {
			return u.malformed(err)
		}
		return u.forward(p.Raw)
	case frames.TypePubrel:
		return u.pubrel(p)
	case frames.TypeSubscribe:
		return u.subscribe(p)
	case frames.TypeUnsubscribe:
		return u.unsubscribe(p)
	case frames.TypePingreq:
		u.pings.Add(1)
		return u.forward(p.Raw)
	case frames.TypeDisconnect:
		return u.disconnect(p)
	case frames.TypeAuth:
		return u.auth(p)
	default:
		// A second CONNECT [MQTT-3.1.0-2], or a packet that only servers send.
		return u.malformed(&frames.Error{Type: t, Code: frames.ProtocolError, Detail: "not expected from a client here"})
	}
}

func (u *up) malformed(err error) error {
	u.host.Metrics.MalformedPacket(wire.Up)
	return brokenPacket(err)
}

func (u *up) forward(raw []byte) error {
	if err := u.upstream.Forward(raw); err != nil {
		return u.brokerWriteError(err)
	}
	return nil
}

// pubrel completes the handshake of a refused publish here, others at the broker.
func (u *up) pubrel(p frames.Packet) error {
	ack, err := frames.ParseAck(p, u.version)
	if err != nil {
		return u.malformed(err)
	}
	if !u.refused.Has(ack.PacketID) {
		return u.forward(p.Raw)
	}
	u.refused.Remove(ack.PacketID)
	return u.acknowledge(frames.TypePubcomp, ack.PacketID, frames.Success)
}

// acknowledge answers the client with a PUBACK, PUBREC or PUBCOMP of the gateway's own.
func (u *up) acknowledge(t frames.Type, id uint16, reason frames.ReasonCode) error {
	ack := frames.Ack{Type: t, PacketID: id, Reason: reason}
	var packet [8]byte
	if err := u.client.Add(ack.Append(packet[:0], u.version)); err != nil {
		return u.clientWriteError(err)
	}
	return u.keepBrokerAwake()
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
