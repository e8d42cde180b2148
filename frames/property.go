package frames

import (
	"encoding/binary"
	"fmt"
	"iter"
)

// PropertyID identifies a property of 5.0 (table 2-4).
type PropertyID uint32

// All properties of 5.0.
const (
	PropPayloadFormatIndicator          PropertyID = 0x01
	PropMessageExpiryInterval           PropertyID = 0x02
	PropContentType                     PropertyID = 0x03
	PropResponseTopic                   PropertyID = 0x08
	PropCorrelationData                 PropertyID = 0x09
	PropSubscriptionIdentifier          PropertyID = 0x0B
	PropSessionExpiryInterval           PropertyID = 0x11
	PropAssignedClientIdentifier        PropertyID = 0x12
	PropServerKeepAlive                 PropertyID = 0x13
	PropAuthenticationMethod            PropertyID = 0x15
	PropAuthenticationData              PropertyID = 0x16
	PropRequestProblemInformation       PropertyID = 0x17
	PropWillDelayInterval               PropertyID = 0x18
	PropRequestResponseInformation      PropertyID = 0x19
	PropResponseInformation             PropertyID = 0x1A
	PropServerReference                 PropertyID = 0x1C
	PropReasonString                    PropertyID = 0x1F
	PropReceiveMaximum                  PropertyID = 0x21
	PropTopicAliasMaximum               PropertyID = 0x22
	PropTopicAlias                      PropertyID = 0x23
	PropMaximumQoS                      PropertyID = 0x24
	PropRetainAvailable                 PropertyID = 0x25
	PropUserProperty                    PropertyID = 0x26
	PropMaximumPacketSize               PropertyID = 0x27
	PropWildcardSubscriptionAvailable   PropertyID = 0x28
	PropSubscriptionIdentifierAvailable PropertyID = 0x29
	PropSharedSubscriptionAvailable     PropertyID = 0x2A
)

// String returns the standard's name, e.g. "Topic Alias".
func (id PropertyID) String() string {
	if int64(id) < int64(len(propertyTable)) && propertyTable[id].kind != 0 {
		return propertyTable[id].name
	}
	return fmt.Sprintf("property 0x%02X", uint32(id))
}

// Properties are the encoded properties of one packet without their length. A
// Parse function has validated them for its packet type; the Append methods keep
// them well-formed but judge nothing. Empty are nil, in every version.
type Properties []byte

// Property is one property, a view into its Properties.
type Property struct {
	ID      PropertyID
	Encoded []byte // identifier and value, to be copied as it is
	number  uint32
	value   []byte // of a string or binary; the name of a pair
	second  []byte // the value of a pair
}

// Uint returns the value of a byte, two or four byte or Variable Byte Integer, else 0.
func (p Property) Uint() uint32 { return p.number }

// Bytes returns the value of a UTF-8 string or of Binary Data, else nil.
func (p Property) Bytes() []byte {
	if p.ID == PropUserProperty {
		return nil
	}
	return p.value
}

// Pair returns name and value of a User Property, else nil.
func (p Property) Pair() (name, value []byte) {
	if p.ID != PropUserProperty {
		return nil, nil
	}
	return p.value, p.second
}

// first decodes the first property. It checks the form, not the values.
func (ps Properties) first() (p Property, rest Properties, ok bool) {
	if len(ps) == 0 || int(ps[0]) >= len(propertyTable) { // every identifier is one byte long
		return Property{}, nil, false
	}
	p.ID = PropertyID(ps[0])
	b := ps[1:]
	n := 0 // size of the value
	switch propertyTable[p.ID].kind {
	case kindByte:
		if n = 1; len(b) >= n {
			p.number = uint32(b[0])
		}
	case kindUint16:
		if n = 2; len(b) >= n {
			p.number = uint32(binary.BigEndian.Uint16(b))
		}
	case kindUint32:
		if n = 4; len(b) >= n {
			p.number = binary.BigEndian.Uint32(b)
		}
	case kindVarint:
		u, size, legal := varint(b)
		if !legal || size == 0 {
			return Property{}, nil, false
		}
		p.number, n = u, size
	case kindString, kindBinary:
		if p.value, n = lengthPrefixed(b); n == 0 {
			return Property{}, nil, false
		}
	case kindPair:
		first, second := 0, 0
		if p.value, first = lengthPrefixed(b); first == 0 {
			return Property{}, nil, false
		}
		if p.second, second = lengthPrefixed(b[first:]); second == 0 {
			return Property{}, nil, false
		}
		n = first + second
	default:
		return Property{}, nil, false
	}
	if len(b) < n {
		return Property{}, nil, false
	}
	p.Encoded = ps[: 1+n : 1+n]
	return p, b[n:], true
}

// lengthPrefixed returns a two byte length's bytes and the size of both, 0 when b is too short.
func lengthPrefixed(b []byte) (value []byte, size int) {
	if len(b) < 2 {
		return nil, 0
	}
	n := 2 + int(binary.BigEndian.Uint16(b))
	if len(b) < n {
		return nil, 0
	}
	return b[2:n:n], n
}

// All returns the properties in their order.
func (ps Properties) All() iter.Seq[Property] {
	return func(yield func(Property) bool) {
		for rest := ps; ; {
			p, next, ok := rest.first()
			if !ok || !yield(p) {
				return
			}
			rest = next
		}
	}
}

func (ps Properties) find(id PropertyID) (Property, bool) {
	for p := range ps.All() {
		if p.ID == id {
			return p, true
		}
	}
	return Property{}, false
}

// Uint returns the first property of that identifier as a number.
func (ps Properties) Uint(id PropertyID) (uint32, bool) {
	p, ok := ps.find(id)
	return p.Uint(), ok
}

// Bytes returns the first property of that identifier as a string or binary, a view.
func (ps Properties) Bytes(id PropertyID) ([]byte, bool) {
	p, ok := ps.find(id)
	return p.Bytes(), ok
}

// AppendUint appends a property that is a number.
func (ps Properties) AppendUint(id PropertyID, v uint32) Properties {
	switch mustKind(id) {
	case kindByte:
		return append(ps, byte(id), byte(v))
	case kindUint16:
		return append(ps, byte(id), byte(v>>8), byte(v))
	case kindUint32:
		return binary.BigEndian.AppendUint32(append(ps, byte(id)), v)
	case kindVarint:
		return appendVarint(append(ps, byte(id)), int(min(v, maxRemainingLength+1)))
	}
	panic("frames: BUG: " + id.String() + " is no number")
}

// AppendBytes appends a property that is a UTF-8 string or Binary Data.
func (ps Properties) AppendBytes(id PropertyID, value []byte) Properties {
	if k := mustKind(id); k != kindString && k != kindBinary {
		panic("frames: BUG: " + id.String() + " is no string")
	}
	return appendString(append(ps, byte(id)), value)
}

// AppendPair appends a property that is a pair: a User Property.
func (ps Properties) AppendPair(id PropertyID, name, value []byte) Properties {
	if mustKind(id) != kindPair {
		panic("frames: BUG: " + id.String() + " is no pair")
	}
	return appendString(appendString(append(ps, byte(id)), name), value)
}

// Without returns a copy without the properties of that identifier.
func (ps Properties) Without(id PropertyID) Properties {
	var kept Properties
	for p := range ps.All() {
		if p.ID != id {
			kept = append(kept, p.Encoded...)
		}
	}
	return kept
}
