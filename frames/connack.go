package frames

// Connack is a CONNACK (section 3.2).
type Connack struct {
	SessionPresent bool // always false in 3.1, which has no such flag
	Reason         ReasonCode
	Properties     Properties
}

// ParseConnack reads a CONNACK. When nothing is wrong but an illegal Reason Code, every
// field is filled, as with [ParseAck].
func ParseConnack(p Packet, v Version) (Connack, error) {
	if err := begin(p, TypeConnack, v); err != nil {
		return Connack{}, err
	}
	c := cursor{rest: p.Body, t: TypeConnack}
	flags, reason := c.uint8(), ReasonCode(c.uint8())
	switch {
	case c.err != nil, v == V31: // 3.1 section 3.2: the first byte is not used
	case flags > 1:
		c.fail(malformed(TypeConnack, "MQTT-3.2.2-1", "reserved connect acknowledge flags"))
	case flags == 1 && reason != Success:
		c.fail(protocolError(TypeConnack, "MQTT-3.2.2-6", "session present in a refusal"))
	}
	m := Connack{SessionPresent: flags == 1 && v != V31, Reason: reason, Properties: c.properties(v, inConnack)}
	if err := c.end(); err != nil {
		return Connack{}, err
	}
	return m, checkReason(m.Reason, TypeConnack, v)
}

// Append appends the whole packet.
func (m Connack) Append(dst []byte, v Version) []byte {
	dst = appendHeader(dst, TypeConnack, 2+propertiesSize(m.Properties, v))
	flags := byte(0)
	if m.SessionPresent && v != V31 {
		flags = 1
	}
	return appendProperties(append(dst, flags, byte(m.Reason)), m.Properties, v)
}
