package frames

import (
	"encoding/binary"
	"errors"
)

// Publish is a PUBLISH (section 3.3). TopicName is empty only in 5.0 with a Topic
// Alias; PacketID is 0 only with QoS 0.
type Publish struct {
	Dup        bool
	QoS        QoS
	Retain     bool
	TopicName  []byte
	PacketID   uint16
	Properties Properties
	Payload    []byte
}

// ParsePublish reads a PUBLISH without allocating; its slices are views into p. A
// Subscription Identifier is let through, once or more, though a client must not
// send one [MQTT-3.3.4-6].
//
// When nothing is wrong but the message itself, so that errors.Is(err,
// ErrFaultyMessage), everything is filled all the same: flags, Packet Identifier and
// Payload, the Topic Name as it came, which may be none, and of the properties the
// Topic Alias alone, if there is one that is not 0. Who drops such a PUBLISH must take
// note of that alias: from now on it means this Topic Name to the sender, and whoever
// took a later PUBLISH for one on the former name would judge the wrong topic.
// Everything else gives the zero Publish: what the Packet Identifier or the Topic Alias
// is cannot be known then.
func ParsePublish(p Packet, v Version) (Publish, error) {
	if err := begin(p, TypePublish, v); err != nil {
		return Publish{}, err
	}
	flags, body := p.Flags(), p.Body
	m := Publish{Dup: flags&8 != 0, QoS: QoS(flags >> 1 & 3), Retain: flags&1 != 0}
	var size int
	if m.TopicName, size = lengthPrefixed(body); size == 0 {
		return Publish{}, malformed(TypePublish, "MQTT-3.3.2-1", "topic name ends early")
	}
	body = body[size:]
	var faulty *Error // of the message alone
	if len(m.TopicName) > 0 {
		if faulty = checkTopicName(m.TopicName); faulty != nil {
			faulty.Type = TypePublish
		}
	} else if v != V5 {
		faulty = malformed(TypePublish, "MQTT-4.7.3-1", "empty topic name")
	}
	if m.QoS > 0 {
		if len(body) < 2 {
			return Publish{}, malformed(TypePublish, "", "packet identifier ends early")
		}
		if m.PacketID = binary.BigEndian.Uint16(body); m.PacketID == 0 {
			return Publish{}, malformed(TypePublish, "MQTT-2.2.1-3", "packet identifier 0")
		}
		body = body[2:]
	}
	if v == V5 {
		c := cursor{rest: body, t: TypePublish}
		m.Properties = c.properties(v, inPublish)
		if c.err != nil {
			return m.withFaultyProperties(body, c.err, faulty)
		}
		if len(m.TopicName) == 0 {
			if _, ok := m.Properties.Uint(PropTopicAlias); !ok { // section 3.3.2.1
				faulty = protocolError(TypePublish, "", "neither topic name nor topic alias")
			}
		}
		body = c.rest
	}
	m.Payload = body
	if faulty != nil {
		m.Properties, _ = m.Properties.topicAlias()
		faulty.messageOnly = true
		return m, faulty
	}
	return m, nil
}

// withFaultyProperties returns m with what body, which begins with its properties, can
// be taken at its word for although bad says that they are wrong. earlier is what was
// wrong before them, if anything.
func (m Publish) withFaultyProperties(body []byte, bad, earlier *Error) (Publish, error) {
	n, size, legal := varint(body)
	if !legal || size == 0 || int(n) > len(body)-size {
		return Publish{}, bad
	}
	alias, known := Properties(body[size : size+int(n)]).topicAlias()
	if !known {
		return Publish{}, bad
	}
	m.Properties, m.Payload = alias, body[size+int(n):]
	if earlier != nil {
		bad = earlier
	}
	bad.messageOnly = true
	return m, bad
}

// topicAlias returns the Topic Alias alone; nothing when there is none or it is 0, which
// no later packet can mean. It is not known when properties end early, so that one might
// follow, or when it is there twice.
func (ps Properties) topicAlias() (alias Properties, known bool) {
	seen := false
	for len(ps) > 0 {
		p, rest, ok := ps.first()
		if !ok {
			return nil, false
		}
		if ps = rest; p.ID != PropTopicAlias {
			continue
		}
		if seen {
			return nil, false
		}
		if seen = true; p.number != 0 {
			alias = p.Encoded
		}
	}
	return alias, true
}

// PublishHead is a PUBLISH without its payload.
type PublishHead struct {
	Publish         // Payload is nil
	PacketBytes int // of the whole packet, fixed header and payload included
}

// ParsePublishHead reads a PUBLISH up to its payload from the front of buf, where the
// payload need not be yet: so that one that is too large to be held can be judged,
// completed and passed over by [Buffer.Skip]. ok is false, with a nil error, when more
// bytes are needed. A head over maxHeadBytes is not waited for (0x95 Packet too large); 0
// or less leaves only the protocol's limit.
//
// Errors are those of [ParsePublish]. With one that is ErrFaultyMessage the head is
// filled as it says.
func ParsePublishHead(buf []byte, v Version, maxHeadBytes int) (h PublishHead, ok bool, err error) {
	if len(buf) == 0 {
		return PublishHead{}, false, nil
	}
	if err := begin(Packet{Raw: buf[:1]}, TypePublish, v); err != nil {
		return PublishHead{}, false, err
	}
	remaining, size, legal := varint(buf[1:])
	if !legal {
		return PublishHead{}, false, errRemainingLength(TypePublish)
	}
	if size == 0 {
		return PublishHead{}, false, nil
	}
	header, total := 1+size, 1+size+int(remaining)
	n := publishHeadBytes(buf[:min(len(buf), total)], header, total, v)
	if maxHeadBytes > 0 && n > maxHeadBytes {
		return PublishHead{}, false, errTooLarge(TypePublish)
	}
	if len(buf) < n {
		return PublishHead{}, false, nil
	}
	h.Publish, err = ParsePublish(Packet{Raw: buf[:n:n], Body: buf[header:n:n]}, v)
	if err != nil && !errors.Is(err, ErrFaultyMessage) {
		return PublishHead{}, false, err
	}
	h.Payload, h.PacketBytes = nil, total
	return h, err == nil, err
}

// publishHeadBytes returns how long the head of a PUBLISH is, or, when buf is too short to
// tell, a length that buf has not yet and the head has at least. What is wrong in it is
// ParsePublish's to say: the whole of buf, or of the packet, is enough for that.
func publishHeadBytes(buf []byte, header, total int, v Version) int {
	n := header + 2
	if len(buf) < n {
		return min(n, total)
	}
	n += int(binary.BigEndian.Uint16(buf[header:]))
	if buf[0]>>1&3 > 0 {
		n += 2
	}
	if v == V5 && n < total {
		if len(buf) <= n {
			return n + 1
		}
		properties, size, legal := varint(buf[n:])
		switch {
		case !legal:
			n = len(buf)
		case size == 0:
			n = len(buf) + 1
		default:
			n += size + int(properties)
		}
	}
	return min(n, total)
}

// Append appends the whole packet. Before 5.0 there are no properties.
func (p *Publish) Append(dst []byte, v Version) []byte {
	n := 2 + len(p.TopicName) + propertiesSize(p.Properties, v) + len(p.Payload)
	if p.QoS > 0 {
		n += 2
	}
	flags := byte(p.QoS&3) << 1
	if p.Dup {
		flags |= 8
	}
	if p.Retain {
		flags |= 1
	}
	dst = appendVarint(append(dst, byte(TypePublish)<<4|flags), n)
	dst = appendString(dst, p.TopicName)
	if p.QoS > 0 {
		dst = binary.BigEndian.AppendUint16(dst, p.PacketID)
	}
	dst = appendProperties(dst, p.Properties, v)
	return append(dst, p.Payload...)
}
