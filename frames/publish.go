package frames

import "encoding/binary"

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
	if len(m.TopicName) > 0 {
		if err := checkTopicName(m.TopicName); err != nil {
			err.Type = TypePublish
			return Publish{}, err
		}
	} else if v != V5 {
		return Publish{}, malformed(TypePublish, "MQTT-4.7.3-1", "empty topic name")
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
			return Publish{}, c.err
		}
		if len(m.TopicName) == 0 {
			if _, ok := m.Properties.Uint(PropTopicAlias); !ok { // section 3.3.2.1
				return Publish{}, protocolError(TypePublish, "", "neither topic name nor topic alias")
			}
		}
		body = c.rest
	}
	m.Payload = body
	return m, nil
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
