//go:build linux

package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"topicgate/frames"
)

// keepAlive is longer than any load; nobody pings.
const keepAlive = 3600

// client is one MQTT connection. Reading and writing are each one goroutine's.
type client struct {
	*socket
	version frames.Version
	inbox   frames.Buffer
}

// connect opens a session at a target for a user.
func connect(t *target, v frames.Version, u user, clientID string) (*client, error) {
	s, err := dial(t)
	if err != nil {
		return nil, err
	}
	c := &client{socket: s, version: v}
	packet := frames.Connect{Version: v, CleanStart: true, KeepAlive: keepAlive, ClientID: clientID,
		HasUsername: true, Username: u.name, HasPassword: true, Password: []byte(u.token)}
	if err := c.handshake(packet.Append(nil, v)); err != nil {
		return nil, errors.Join(fmt.Errorf("%s at %s: %w", clientID, t.name, err), c.Close())
	}
	return c, nil
}

func (c *client) handshake(packet []byte) error {
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if err := c.send(packet); err != nil {
		return err
	}
	p, err := c.await(frames.TypeConnack)
	if err != nil {
		return err
	}
	connack, err := frames.ParseConnack(p, c.version)
	if err != nil {
		return err
	}
	if connack.Reason != frames.Success {
		return fmt.Errorf("CONNACK %#x", uint8(connack.Reason))
	}
	return c.SetDeadline(time.Time{})
}

// subscribe subscribes to filters, all of which must be granted.
func (c *client) subscribe(qos frames.QoS, filters ...string) error {
	packet := frames.Subscribe{PacketID: 1}
	for _, f := range filters {
		packet.Filters = append(packet.Filters, frames.Subscription{TopicFilter: f, QoS: qos})
	}
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if err := c.send(packet.Append(nil, c.version)); err != nil {
		return err
	}
	p, err := c.await(frames.TypeSuback)
	if err != nil {
		return err
	}
	suback, err := frames.ParseSuback(p, c.version)
	if err != nil {
		return err
	}
	for i, reason := range suback.Reasons {
		if reason > 2 {
			return fmt.Errorf("SUBACK %#x for %s", uint8(reason), filters[i])
		}
	}
	return c.SetDeadline(time.Time{})
}

// await reads until a packet of the type comes.
func (c *client) await(want frames.Type) (frames.Packet, error) {
	for {
		p, ok, err := c.inbox.Next(c.version, maxPacketBytes)
		if err != nil {
			return p, err
		}
		if ok && p.Type() == want {
			return p, nil
		}
		if ok {
			continue
		}
		if err := c.fill(); err != nil {
			return p, fmt.Errorf("waiting for %v: %w", want, err)
		}
	}
}

const maxPacketBytes = 1 << 20

// fill reads once.
func (c *client) fill() error {
	n, err := c.Read(c.inbox.Space(readBytes))
	c.inbox.Filled(n)
	if n > 0 {
		return nil
	}
	return err
}

// stampBytes is what each payload begins with: the number of the message, and when it was sent.
const stampBytes = 16

// letter is a PUBLISH that is written again and again with another number.
type letter struct {
	packet  []byte
	id      int // offset of the Packet Identifier; 0: none
	payload int // offset of the payload
}

func newLetter(v frames.Version, topicName string, qos frames.QoS, payloadBytes int) letter {
	p := frames.Publish{QoS: qos, TopicName: []byte(topicName), Payload: make([]byte, max(payloadBytes, stampBytes))}
	if qos > 0 {
		p.PacketID = 1
	}
	for i := range p.Payload {
		p.Payload[i] = 'a' + byte(i%26)
	}
	l := letter{packet: p.Append(nil, v)}
	l.payload = len(l.packet) - len(p.Payload)
	if qos > 0 {
		l.id = l.payload - 2
		if v == frames.V5 {
			l.id-- // the empty properties stand between
		}
	}
	return l
}

// number writes the number and the time into the letter; a Packet Identifier follows from the number.
func (l letter) number(n uint64, now time.Duration) []byte {
	binary.BigEndian.PutUint64(l.packet[l.payload:], n)
	binary.BigEndian.PutUint64(l.packet[l.payload+8:], uint64(now))
	if l.id > 0 {
		binary.BigEndian.PutUint16(l.packet[l.id:], uint16(n%65535)+1)
	}
	return l.packet
}

// readStamp returns what number wrote.
func readStamp(payload []byte) (n uint64, sent time.Duration, ok bool) {
	if len(payload) < stampBytes {
		return 0, 0, false
	}
	return binary.BigEndian.Uint64(payload), time.Duration(binary.BigEndian.Uint64(payload[8:])), true
}

// began is the zero of the times in payloads.
var began = time.Now()

func sinceBegan() time.Duration { return time.Since(began) }
