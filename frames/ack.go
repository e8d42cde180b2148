package frames

import "encoding/binary"

// Ack is a PUBACK, PUBREC, PUBREL or PUBCOMP (sections 3.4 to 3.7): they are alike.
// Before 5.0 they have a Packet Identifier only.
type Ack struct {
	Type       Type
	PacketID   uint16
	Reason     ReasonCode
	Properties Properties
}

// ParseAck reads any of the four, without allocating; in 5.0 also the short forms
// without properties, or without properties and Reason Code.
//
// When nothing is wrong but a Reason Code that is illegal in that packet, every field
// is filled and the *Error, with Code ProtocolError, satisfies
// errors.Is(err, ErrReasonCode). Brokers do send such codes (PUBACK with 0x01), and
// some clients stop for good when they get one: who knows what was meant may set
// Reason and use the Ack.
func ParseAck(p Packet, v Version) (Ack, error) {
	t := p.Type()
	if t < TypePuback || t > TypePubcomp {
		return Ack{}, protocolError(t, "", "not a PUBACK, PUBREC, PUBREL or PUBCOMP packet")
	}
	if err := begin(p, t, v); err != nil {
		return Ack{}, err
	}
	c := cursor{rest: p.Body, t: t}
	a := Ack{Type: t, PacketID: c.packetID()}
	a.Reason, a.Properties = c.reasonAndProperties(v, 1<<t)
	if err := c.end(); err != nil {
		return Ack{}, err
	}
	return a, checkReason(a.Reason, t, v)
}

// reasonAndProperties reads what may be left out from the end (section 3.4.2.1, 3.4.2.2.1):
// properties, and the Reason Code before them, which is then Success.
func (c *cursor) reasonAndProperties(v Version, where uint32) (ReasonCode, Properties) {
	if v != V5 || len(c.rest) == 0 {
		return Success, nil
	}
	reason := ReasonCode(c.uint8())
	if len(c.rest) == 0 {
		return reason, nil
	}
	return reason, c.properties(v, where)
}

// reasonSize is what appendReason writes: the shortest form.
func reasonSize(reason ReasonCode, ps Properties, v Version) int {
	switch {
	case v != V5 || reason == Success && len(ps) == 0:
		return 0
	case len(ps) == 0:
		return 1
	}
	return 1 + propertiesSize(ps, v)
}

func appendReason(dst []byte, reason ReasonCode, ps Properties, v Version) []byte {
	switch reasonSize(reason, ps, v) {
	case 0:
		return dst
	case 1:
		return append(dst, byte(reason))
	}
	return appendProperties(append(dst, byte(reason)), ps, v)
}

// Append appends the whole packet, in 5.0 in the shortest form.
func (a Ack) Append(dst []byte, v Version) []byte {
	dst = appendHeader(dst, a.Type, 2+reasonSize(a.Reason, a.Properties, v))
	dst = binary.BigEndian.AppendUint16(dst, a.PacketID)
	return appendReason(dst, a.Reason, a.Properties, v)
}
