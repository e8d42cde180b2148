package frames

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// Connect is a CONNECT (section 3.1). CleanStart is Clean Session before 5.0.
type Connect struct {
	Version     Version
	CleanStart  bool
	KeepAlive   uint16 // seconds
	ClientID    string // may be empty in every version: what then is the server's to say
	HasUsername bool
	HasPassword bool
	Username    string
	Password    []byte // a view into the packet
	Will        *Will  // nil: none
	Properties  Properties
}

// Will is the Will Message of a CONNECT. Payload and Properties are views.
type Will struct {
	TopicName  string
	Payload    []byte
	QoS        QoS
	Retain     bool
	Properties Properties
}

// Connect Flags (section 3.1.2.3).
const (
	flagReserved   = 1 << 0
	flagCleanStart = 1 << 1
	flagWill       = 1 << 2
	flagWillRetain = 1 << 5
	flagPassword   = 1 << 6
	flagUsername   = 1 << 7
	shiftWillQoS   = 3
)

// ParseConnect reads a CONNECT, whose version it tells. An unknown protocol name or
// level gives an *Error with Code UnsupportedProtocolVersion (0x84). With every error only
// Version is set, to the level asked for, 0 when the packet ends before it: it says in which
// form to answer. The bridge bit 0x80, which some brokers set in the level, is not supported.
func ParseConnect(p Packet) (Connect, error) {
	if err := begin(p, TypeConnect, V5); err != nil {
		return Connect{}, err
	}
	c := cursor{rest: p.Body, t: TypeConnect}
	name := c.binary()
	v := Version(c.uint8())
	if want, known := protocolName(v); c.err == nil && (!known || string(name) != want) {
		return Connect{Version: v &^ 0x80}, &Error{
			Type: TypeConnect, Code: UnsupportedProtocolVersion, Rule: "MQTT-3.1.2-2",
			Detail: fmt.Sprintf("unsupported protocol name or level %d", uint8(v)),
		}
	}
	if c.err != nil {
		v = 0
	}
	flags := c.uint8()
	if err := checkConnectFlags(flags, v); err != nil && c.err == nil {
		c.fail(err)
	}
	m := Connect{Version: v, CleanStart: flags&flagCleanStart != 0, KeepAlive: c.uint16()}
	m.Properties = c.properties(v, inConnect)
	m.ClientID = string(c.utf8())
	if flags&flagWill != 0 {
		m.Will = c.will(flags, v)
	}
	// 3.1 section 3.1: the Remaining Length takes precedence over the flags; user name
	// and password may be missing though flagged.
	missing := func() bool { return v == V31 && c.err == nil && len(c.rest) == 0 }
	if flags&flagUsername != 0 && !missing() {
		m.HasUsername, m.Username = true, string(c.utf8())
	}
	if flags&flagPassword != 0 && !missing() {
		m.HasPassword, m.Password = true, c.binary()
	}
	if err := c.end(); err != nil {
		return Connect{Version: v}, err
	}
	return m, nil
}

// protocolName is the name that goes with a level: 3.1 section 3.1, [MQTT-3.1.2-1].
func protocolName(v Version) (name string, known bool) {
	switch v {
	case V31:
		return "MQIsdp", true
	case V311, V5:
		return "MQTT", true
	}
	return "", false
}

// checkConnectFlags: what 3.1 does not use it does not forbid.
func checkConnectFlags(flags uint8, v Version) *Error {
	willQoS := flags >> shiftWillQoS & 3
	switch {
	case flags&flagReserved != 0 && v != V31:
		return malformed(TypeConnect, "MQTT-3.1.2-3", "reserved connect flag")
	case flags&flagWill != 0 && willQoS == 3:
		return malformed(TypeConnect, "MQTT-3.1.2-12", "Will QoS 3")
	case flags&flagWill == 0 && willQoS != 0 && v != V31:
		return malformed(TypeConnect, "MQTT-3.1.2-11", "Will QoS without Will")
	case flags&flagWill == 0 && flags&flagWillRetain != 0 && v != V31:
		return malformed(TypeConnect, "MQTT-3.1.2-13", "Will Retain without Will")
	case flags&flagPassword != 0 && flags&flagUsername == 0 && v != V5:
		return malformed(TypeConnect, "3.1.1 MQTT-3.1.2-22", "password without user name")
	}
	return nil
}

// will reads Will Properties, Will Topic and Will Payload (section 3.1.3.2 to 3.1.3.4).
func (c *cursor) will(flags uint8, v Version) *Will {
	w := &Will{QoS: QoS(flags >> shiftWillQoS & 3), Retain: flags&flagWillRetain != 0}
	w.Properties = c.properties(v, inWill)
	topicName := c.binary()
	if c.err == nil {
		if err := checkTopicName(topicName); err != nil {
			err.Type, err.Detail = TypeConnect, "Will: "+err.Detail
			c.fail(err)
		}
	}
	w.TopicName, w.Payload = string(topicName), c.binary()
	return w
}

// Append appends the whole packet in version v, whatever m.Version says.
func (m *Connect) Append(dst []byte, v Version) []byte {
	name, known := protocolName(v)
	if !known {
		panic("frames: BUG: CONNECT of unknown " + v.String())
	}
	n := 2 + len(name) + 1 + 1 + 2 + propertiesSize(m.Properties, v) + 2 + len(m.ClientID)
	flags := byte(0)
	if m.CleanStart {
		flags |= flagCleanStart
	}
	if w := m.Will; w != nil {
		flags |= flagWill | byte(w.QoS&3)<<shiftWillQoS
		if w.Retain {
			flags |= flagWillRetain
		}
		n += propertiesSize(w.Properties, v) + 2 + len(w.TopicName) + 2 + len(w.Payload)
	}
	if m.HasUsername {
		flags |= flagUsername
		n += 2 + len(m.Username)
	}
	if m.HasPassword {
		flags |= flagPassword
		n += 2 + len(m.Password)
	}
	dst = appendString(appendHeader(dst, TypeConnect, n), name)
	dst = binary.BigEndian.AppendUint16(append(dst, byte(v), flags), m.KeepAlive)
	dst = appendString(appendProperties(dst, m.Properties, v), m.ClientID)
	if w := m.Will; w != nil {
		dst = appendString(appendProperties(dst, w.Properties, v), w.TopicName)
		dst = appendString(dst, w.Payload)
	}
	if m.HasUsername {
		dst = appendString(dst, m.Username)
	}
	if m.HasPassword {
		dst = appendString(dst, m.Password)
	}
	return dst
}

// Bytes is about how many bytes the fields of m take.
func (m *Connect) Bytes() int {
	n := len(m.ClientID) + len(m.Username) + len(m.Password) + len(m.Properties)
	if m.Will != nil {
		n += len(m.Will.TopicName) + len(m.Will.Payload) + len(m.Will.Properties)
	}
	return n
}

// Clone returns a copy that shares no memory with the packet it was parsed from.
func (m *Connect) Clone() Connect {
	c := *m
	c.Password, c.Properties = bytes.Clone(m.Password), bytes.Clone(m.Properties)
	if m.Will != nil {
		w := *m.Will
		w.Payload, w.Properties = bytes.Clone(w.Payload), bytes.Clone(w.Properties)
		c.Will = &w
	}
	return c
}
