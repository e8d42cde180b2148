package frames

import "encoding/binary"

// Unsubscribe is an UNSUBSCRIBE (section 3.10).
type Unsubscribe struct {
	PacketID     uint16
	Properties   Properties
	TopicFilters []string
}

// ParseUnsubscribe reads an UNSUBSCRIBE.
func ParseUnsubscribe(p Packet, v Version) (Unsubscribe, error) {
	if err := begin(p, TypeUnsubscribe, v); err != nil {
		return Unsubscribe{}, err
	}
	c := cursor{rest: p.Body, t: TypeUnsubscribe}
	m := Unsubscribe{PacketID: c.packetID(), Properties: c.properties(v, 1<<TypeUnsubscribe)}
	if c.err == nil && len(c.rest) == 0 {
		c.fail(protocolError(TypeUnsubscribe, "MQTT-3.10.3-2", "no topic filter"))
	}
	m.TopicFilters = make([]string, 0, countFilters(c.rest, 0))
	for len(c.rest) > 0 {
		m.TopicFilters = append(m.TopicFilters, c.topicFilter())
	}
	if err := c.end(); err != nil {
		return Unsubscribe{}, err
	}
	return m, nil
}

// Append appends the whole packet.
func (m Unsubscribe) Append(dst []byte, v Version) []byte {
	n := 2 + propertiesSize(m.Properties, v)
	for _, filter := range m.TopicFilters {
		n += 2 + len(filter)
	}
	dst = binary.BigEndian.AppendUint16(appendHeader(dst, TypeUnsubscribe, n), m.PacketID)
	dst = appendProperties(dst, m.Properties, v)
	for _, filter := range m.TopicFilters {
		dst = appendString(dst, filter)
	}
	return dst
}

// Unsuback is an UNSUBACK (section 3.11): in 5.0 one Reason Code for each filter, in
// order; before, none.
type Unsuback struct {
	PacketID   uint16
	Properties Properties
	Reasons    []ReasonCode
}

// ParseUnsuback reads an UNSUBACK; illegal Reason Codes as with [ParseSuback].
func ParseUnsuback(p Packet, v Version) (Unsuback, error) {
	if err := begin(p, TypeUnsuback, v); err != nil {
		return Unsuback{}, err
	}
	c := cursor{rest: p.Body, t: TypeUnsuback}
	m := Unsuback{PacketID: c.packetID(), Properties: c.properties(v, inUnsuback)}
	if v == V5 {
		m.Reasons = c.reasons()
	}
	if err := c.end(); err != nil {
		return Unsuback{}, err
	}
	return m, checkReasons(m.Reasons, TypeUnsuback, v)
}

// Append appends the whole packet. Before 5.0 it has no Reason Codes.
func (m Unsuback) Append(dst []byte, v Version) []byte {
	reasons := m.Reasons
	if v != V5 {
		reasons = nil
	}
	dst = appendHeader(dst, TypeUnsuback, 2+propertiesSize(m.Properties, v)+len(reasons))
	dst = binary.BigEndian.AppendUint16(dst, m.PacketID)
	return appendReasons(appendProperties(dst, m.Properties, v), reasons)
}
