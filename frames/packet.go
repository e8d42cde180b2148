package frames

// MaxPacketBytes is the longest Control Packet that the protocol knows, fixed header
// included.
const MaxPacketBytes = 1 + 4 + maxRemainingLength

// maxRemainingLength is what four bytes of a Variable Byte Integer can say (section 1.5.5).
const maxRemainingLength = 268_435_455

// Packet is one whole Control Packet as it lies in a buffer: both slices are
// views, valid as long as the buffer's bytes are.
type Packet struct {
	Raw  []byte // fixed header and body
	Body []byte // what follows the fixed header
}

// Type returns the Control Packet type, 0 for the zero Packet.
func (p Packet) Type() Type {
	if len(p.Raw) == 0 {
		return 0
	}
	return Type(p.Raw[0] >> 4)
}

// Flags returns the low four bits of the first byte (section 2.1.3).
func (p Packet) Flags() byte {
	if len(p.Raw) == 0 {
		return 0
	}
	return p.Raw[0] & 0x0F
}

// Cut takes the first Control Packet off buf without copying. ok is false, with a
// nil error, when more bytes are needed.
//
// The fixed header is judged as soon as it is there, before the body: a reserved
// type or flag of version v, a Remaining Length that is over-long or not minimal, a
// body where none may be (PINGREQ) give an *Error; so does a packet, header
// included, over maxPacketBytes (0x95 Packet too large). A maxPacketBytes of 0 or
// less leaves only the protocol's limit.
func Cut(buf []byte, v Version, maxPacketBytes int) (p Packet, ok bool, err error) {
	if len(buf) == 0 {
		return Packet{}, false, nil
	}
	if firstBytes[buf[0]]&versionBit(v) == 0 {
		return Packet{}, false, firstByteError(buf[0], v)
	}
	if len(buf) == 1 {
		return Packet{}, false, nil
	}
	n, size := int(buf[1]), 1
	if n >= 0x80 {
		u, s, legal := varint(buf[1:])
		if !legal {
			return Packet{}, false, errRemainingLength(Type(buf[0] >> 4))
		}
		if s == 0 {
			return Packet{}, false, nil
		}
		n, size = int(u), s
	}
	total := 1 + size + n
	if maxPacketBytes > 0 && total > maxPacketBytes {
		return Packet{}, false, errTooLarge(Type(buf[0] >> 4))
	}
	if n > 0 && hasNoBody(Type(buf[0]>>4), v) {
		return Packet{}, false, malformed(Type(buf[0]>>4), "", "packet with a body, which must have none")
	}
	if len(buf) < total {
		return Packet{}, false, nil
	}
	return Packet{Raw: buf[:total:total], Body: buf[1+size : total : total]}, true, nil
}

func errRemainingLength(t Type) *Error {
	return malformed(t, "MQTT-1.5.5-1", "remaining length over four bytes or not minimal")
}

func errTooLarge(t Type) *Error {
	return &Error{Type: t, Code: PacketTooLarge, Rule: "MQTT-3.2.2-15", Detail: "packet exceeds the maximum packet size"}
}

// hasNoBody: sections 3.12 and 3.13, for DISCONNECT 3.1.1 section 3.14.
func hasNoBody(t Type, v Version) bool {
	return t == TypePingreq || t == TypePingresp || t == TypeDisconnect && v != V5
}

// versionBit is a bit for each version; what is none is read as 3.1.1, the strictest.
func versionBit(v Version) uint8 {
	switch v {
	case V31:
		return 1
	case V5:
		return 4
	}
	return 2
}

// firstBytes holds for each first byte the versions (bits of versionBit) in which
// its type and flags are legal.
var firstBytes = func() (table [256]uint8) {
	for b := range table {
		for _, v := range []Version{V31, V311, V5} {
			if legalFirstByte(byte(b), v) {
				table[b] |= versionBit(v)
			}
		}
	}
	return table
}()

func legalFirstByte(b byte, v Version) bool {
	flags := b & 0x0F
	switch t := Type(b >> 4); t {
	case 0: // reserved, table 2-1
		return false
	case TypeConnect: // its own version is not known before it is read
		return flags == 0
	case TypePublish:
		qos, dup := flags>>1&3, flags&8 != 0
		return qos != 3 && !(dup && qos == 0) // [MQTT-3.3.1-4], [MQTT-3.3.1-2]
	case TypePubrel, TypeSubscribe, TypeUnsubscribe:
		if v == V31 { // QoS 1; a repetition has DUP set; RETAIN is not used
			return flags>>1&3 == 1
		}
		return flags == 2 // [MQTT-3.6.1-1], [MQTT-3.8.1-1], [MQTT-3.10.1-1]
	case TypeAuth:
		return v == V5 && flags == 0 // [MQTT-3.15.1-1]
	default:
		return v == V31 || flags == 0 // 3.1 marks all four "x", not used
	}
}

func firstByteError(b byte, v Version) *Error {
	switch t := Type(b >> 4); {
	case t == 0, t == TypeAuth && v != V5:
		return malformed(t, "", "reserved control packet type")
	case t == TypePublish && b>>1&3 == 3:
		return malformed(t, "MQTT-3.3.1-4", "QoS 3")
	case t == TypePublish:
		return malformed(t, "MQTT-3.3.1-2", "DUP with QoS 0")
	default:
		return malformed(t, "MQTT-2.1.3-1", "reserved flags")
	}
}

// begin checks that a Parse function got a packet of its type, legal in v. A packet
// that Cut returned for the same version passes.
func begin(p Packet, t Type, v Version) *Error {
	if p.Type() != t {
		return protocolError(p.Type(), "", "not a "+t.String()+" packet")
	}
	if firstBytes[p.Raw[0]]&versionBit(v) == 0 {
		return firstByteError(p.Raw[0], v)
	}
	return nil
}

// AppendPingreq appends a PINGREQ.
func AppendPingreq(dst []byte) []byte { return append(dst, byte(TypePingreq)<<4, 0) }

// AppendPingresp appends a PINGRESP.
func AppendPingresp(dst []byte) []byte { return append(dst, byte(TypePingresp)<<4, 0) }
