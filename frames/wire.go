package frames

import (
	"encoding/binary"
	"math/bits"
)

// varint decodes a Variable Byte Integer (section 1.5.5). size is 0 when b ends
// inside it. legal is false when it has more than four bytes or more than it needs
// [MQTT-1.5.5-1].
func varint(b []byte) (n uint32, size int, legal bool) {
	for i, c := range b {
		n |= uint32(c&0x7F) << (7 * i)
		if c < 0x80 {
			return n, i + 1, c != 0 || i == 0
		}
		if i == 3 {
			return 0, 0, false
		}
	}
	return 0, 0, true
}

// varintSize is the number of bytes that appendVarint writes.
func varintSize(n int) int { return max(1, (bits.Len32(uint32(n))+6)/7) }

func appendVarint(dst []byte, n int) []byte {
	if n < 0 || n > maxRemainingLength {
		panic("frames: BUG: length over four bytes")
	}
	for n >= 0x80 {
		dst = append(dst, byte(n)|0x80)
		n >>= 7
	}
	return append(dst, byte(n))
}

func appendString[T text](dst []byte, s T) []byte {
	if len(s) > MaxStringBytes {
		panic("frames: BUG: string over 65,535 bytes")
	}
	return append(binary.BigEndian.AppendUint16(dst, uint16(len(s))), s...)
}

// appendHeader appends a fixed header. 3.1 and the later versions agree on the flags.
func appendHeader(dst []byte, t Type, bodyBytes int) []byte {
	flags := byte(0)
	if t == TypePubrel || t == TypeSubscribe || t == TypeUnsubscribe {
		flags = 2
	}
	return appendVarint(append(dst, byte(t)<<4|flags), bodyBytes)
}

// propertiesSize is what properties take in version v: nothing before 5.0.
func propertiesSize(ps Properties, v Version) int {
	if v != V5 {
		return 0
	}
	return varintSize(len(ps)) + len(ps)
}

func appendProperties(dst []byte, ps Properties, v Version) []byte {
	if v != V5 {
		return dst
	}
	return append(appendVarint(dst, len(ps)), ps...)
}

// cursor reads a body from its front. The first thing that is wrong stays in err,
// and what is read after it are zero values.
type cursor struct {
	rest []byte
	t    Type
	err  *Error
}

func (c *cursor) fail(e *Error) {
	if c.err == nil {
		c.err = e
	}
	c.rest = nil
}

func (c *cursor) take(n int) []byte {
	if len(c.rest) < n || c.err != nil {
		c.fail(malformed(c.t, "", "packet ends early"))
		return nil
	}
	b := c.rest[:n:n]
	c.rest = c.rest[n:]
	return b
}

func (c *cursor) uint8() uint8 {
	if b := c.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (c *cursor) uint16() uint16 {
	if b := c.take(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

// packetID reads a Packet Identifier, which is never 0 [MQTT-2.2.1-3].
func (c *cursor) packetID() uint16 {
	id := c.uint16()
	if id == 0 && c.err == nil {
		c.fail(malformed(c.t, "MQTT-2.2.1-3", "packet identifier 0"))
	}
	return id
}

// binary reads a length of two bytes and as many bytes (section 1.5.6).
func (c *cursor) binary() []byte { return c.take(int(c.uint16())) }

// utf8 reads a UTF-8 encoded string (section 1.5.4).
func (c *cursor) utf8() []byte {
	b := c.binary()
	if c.err == nil {
		if err := checkString(b); err != nil {
			err.Type = c.t
			c.fail(err)
		}
	}
	return b
}

// properties reads and checks the properties that packet type c.t may have; there
// are none before 5.0. where is a bit of the property table.
func (c *cursor) properties(v Version, where uint32) Properties {
	if v != V5 || c.err != nil {
		return nil
	}
	n, size, legal := varint(c.rest)
	if !legal {
		c.fail(malformed(c.t, "MQTT-1.5.5-1", "property length over four bytes or not minimal"))
		return nil
	}
	if size == 0 || int(n) > len(c.rest)-size {
		c.fail(malformed(c.t, "", "properties end early"))
		return nil
	}
	if n == 0 {
		c.rest = c.rest[1:]
		return nil
	}
	ps := Properties(c.rest[size : size+int(n) : size+int(n)])
	c.rest = c.rest[size+int(n):]
	if err := checkProperties(ps, c.t, where); err != nil {
		c.fail(err)
		return nil
	}
	return ps
}

// end returns what was wrong, or that bytes are left over.
func (c *cursor) end() error {
	if c.err != nil {
		return c.err
	}
	if len(c.rest) > 0 {
		return malformed(c.t, "", "bytes after the end of the packet")
	}
	return nil
}
