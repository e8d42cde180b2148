package frames

import (
	"errors"
	"strconv"
)

// MaxStringBytes is the longest UTF-8 string or binary datum on the wire: its
// length is two bytes (section 1.5.4).
const MaxStringBytes = 65535

// Version is the protocol level that CONNECT names.
type Version uint8

// The protocol levels that the codec knows.
const (
	V31  Version = 3
	V311 Version = 4
	V5   Version = 5
)

// String returns the version as people write it, e.g. "3.1.1".
func (v Version) String() string {
	switch v {
	case V31:
		return "3.1"
	case V311:
		return "3.1.1"
	case V5:
		return "5.0"
	}
	return "level " + strconv.Itoa(int(v))
}

// Type is the Control Packet type (section 2.1.2).
type Type uint8

// The Control Packet types. TypeAuth exists in 5.0 only.
const (
	TypeConnect Type = 1 + iota
	TypeConnack
	TypePublish
	TypePuback
	TypePubrec
	TypePubrel
	TypePubcomp
	TypeSubscribe
	TypeSuback
	TypeUnsubscribe
	TypeUnsuback
	TypePingreq
	TypePingresp
	TypeDisconnect
	TypeAuth
)

var typeNames = [16]string{
	"type 0", "CONNECT", "CONNACK", "PUBLISH", "PUBACK", "PUBREC", "PUBREL", "PUBCOMP", "SUBSCRIBE",
	"SUBACK", "UNSUBSCRIBE", "UNSUBACK", "PINGREQ", "PINGRESP", "DISCONNECT", "AUTH",
}

// String returns the standard's name of the type, e.g. "CONNECT".
func (t Type) String() string {
	if int(t) < len(typeNames) {
		return typeNames[t]
	}
	return "type " + strconv.Itoa(int(t))
}

// QoS is a Quality of Service level: 0, 1 or 2.
type QoS uint8

// ErrReasonCode is what errors.Is finds in an [*Error] that objects to nothing but
// a Reason Code that is illegal in its packet. The Parse function has then filled
// every field, so that a packet of a sloppy broker can be repaired.
var ErrReasonCode = errors.New("illegal reason code")

// ErrFaultyMessage is what errors.Is finds in an [*Error] of a PUBLISH that objects to
// the message alone: a Topic Name that is none, a property that may not be there or
// whose value is illegal. What it says of itself is known all the same, as
// [ParsePublish] tells, so that a broker's can be dropped and completed without ending
// the session.
var ErrFaultyMessage = errors.New("faulty message")

// Error reports bytes that break the MQTT specification.
type Error struct {
	Type   Type       // Control Packet type; 0 while the fixed header is unread and for a topic on its own
	Code   ReasonCode // what an MQTT 5.0 peer is told, e.g. 0x81 Malformed Packet
	Rule   string     // conformance statement, e.g. "MQTT-3.3.2-2"
	Detail string     // what was wrong; never a payload, a password or a token

	reasonOnly  bool // nothing else is wrong: ErrReasonCode
	messageOnly bool // nothing but the message is wrong: ErrFaultyMessage
}

// Error returns one line for a log.
func (e *Error) Error() string {
	s := e.Code.String() + ": " + e.Detail
	if e.Type != 0 {
		s = e.Type.String() + ": " + s
	}
	if e.Rule != "" {
		s += " [" + e.Rule + "]"
	}
	return s
}

// Is makes errors.Is(err, ErrReasonCode) and errors.Is(err, ErrFaultyMessage) work.
func (e *Error) Is(target error) bool {
	return e.reasonOnly && target == ErrReasonCode || e.messageOnly && target == ErrFaultyMessage
}

func malformed(t Type, rule, detail string) *Error {
	return &Error{Type: t, Code: MalformedPacket, Rule: rule, Detail: detail}
}

func protocolError(t Type, rule, detail string) *Error {
	return &Error{Type: t, Code: ProtocolError, Rule: rule, Detail: detail}
}
