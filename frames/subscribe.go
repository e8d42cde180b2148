package frames

import "encoding/binary"

// Subscribe is a SUBSCRIBE (section 3.8).
type Subscribe struct {
	PacketID   uint16
	Properties Properties
	Filters    []Subscription
}

// Subscription is a Topic Filter with its Subscription Options (section 3.8.3.1);
// before 5.0 they are a QoS.
type Subscription struct {
	TopicFilter       string
	QoS               QoS
	NoLocal           bool
	RetainAsPublished bool
	RetainHandling    uint8
}

// Subscription Options.
const (
	optionsQoS            = 3
	optionsNoLocal        = 1 << 2
	optionsRetainAsPub    = 1 << 3
	shiftRetainHandling   = 4
	optionsReserved       = 3 << 6
	optionsReservedBefore = 0xFC // 3.1.1 section 3.8.3
)

// ParseSubscribe reads a SUBSCRIBE.
func ParseSubscribe(p Packet, v Version) (Subscribe, error) {
	if err := begin(p, TypeSubscribe, v); err != nil {
		return Subscribe{}, err
	}
	c := cursor{rest: p.Body, t: TypeSubscribe}
	m := Subscribe{PacketID: c.packetID(), Properties: c.properties(v, inSubscribe)}
	if c.err == nil && len(c.rest) == 0 {
		c.fail(protocolError(TypeSubscribe, "MQTT-3.8.3-2", "no topic filter"))
	}
	m.Filters = make([]Subscription, 0, countFilters(c.rest, 1))
	for len(c.rest) > 0 {
		m.Filters = append(m.Filters, c.subscription(v))
	}
	if err := c.end(); err != nil {
		return Subscribe{}, err
	}
	return m, nil
}

// countFilters counts what will be parsed, so that a packet of very many filters costs
// no more than its list; behind each filter stand so many bytes of options.
func countFilters(b []byte, optionBytes int) (n int) {
	for len(b) > 0 {
		_, size := lengthPrefixed(b)
		if size == 0 {
			break
		}
		b = b[min(len(b), size+optionBytes):]
		n++
	}
	return n
}

func (c *cursor) subscription(v Version) Subscription {
	filter := c.topicFilter()
	options := c.uint8()
	if v == V31 {
		options &^= optionsReservedBefore // 3.1 section 3.8: not used
	}
	s := Subscription{
		TopicFilter: filter, QoS: QoS(options & optionsQoS),
		NoLocal: options&optionsNoLocal != 0, RetainAsPublished: options&optionsRetainAsPub != 0,
		RetainHandling: options >> shiftRetainHandling & 3,
	}
	switch {
	case c.err != nil:
	case s.QoS == 3:
		c.fail(protocolError(TypeSubscribe, "", "QoS 3")) // section 3.8.3.1
	case v != V5 && options&optionsReservedBefore != 0, options&optionsReserved != 0:
		c.fail(malformed(TypeSubscribe, "MQTT-3.8.3-5", "reserved subscription options"))
	case s.RetainHandling == 3:
		c.fail(protocolError(TypeSubscribe, "", "Retain Handling 3")) // section 3.8.3.1
	case s.NoLocal:
		if _, _, shared := SplitShare(filter); shared {
			c.fail(protocolError(TypeSubscribe, "MQTT-3.8.3-4", "No Local on a shared subscription"))
		}
	}
	return s
}

// topicFilter reads and checks a Topic Filter.
func (c *cursor) topicFilter() string {
	filter := c.binary()
	if c.err != nil {
		return ""
	}
	if err := checkTopicFilter(filter); err != nil {
		err.Type = c.t
		c.fail(err)
		return ""
	}
	return string(filter)
}

// Append appends the whole packet.
func (m *Subscribe) Append(dst []byte, v Version) []byte {
	n := 2 + propertiesSize(m.Properties, v)
	for i := range m.Filters {
		n += 2 + len(m.Filters[i].TopicFilter) + 1
	}
	dst = binary.BigEndian.AppendUint16(appendHeader(dst, TypeSubscribe, n), m.PacketID)
	dst = appendProperties(dst, m.Properties, v)
	for i := range m.Filters {
		s := &m.Filters[i]
		dst = append(appendString(dst, s.TopicFilter), s.options(v))
	}
	return dst
}

func (s *Subscription) options(v Version) byte {
	options := byte(s.QoS & optionsQoS)
	if v != V5 {
		return options
	}
	if s.NoLocal {
		options |= optionsNoLocal
	}
	if s.RetainAsPublished {
		options |= optionsRetainAsPub
	}
	return options | s.RetainHandling&3<<shiftRetainHandling
}

// Suback is a SUBACK (section 3.9): one Reason Code for each filter, in order.
type Suback struct {
	PacketID   uint16
	Properties Properties
	Reasons    []ReasonCode
}

// ParseSuback reads a SUBACK. When nothing is wrong but illegal Reason Codes, every
// field is filled, as with [ParseAck]; the *Error is about the first of them, and
// [ReasonCode.Legal] finds them all.
func ParseSuback(p Packet, v Version) (Suback, error) {
	if err := begin(p, TypeSuback, v); err != nil {
		return Suback{}, err
	}
	c := cursor{rest: p.Body, t: TypeSuback}
	m := Suback{PacketID: c.packetID(), Properties: c.properties(v, inSuback), Reasons: c.reasons()}
	if err := c.end(); err != nil {
		return Suback{}, err
	}
	return m, checkReasons(m.Reasons, TypeSuback, v)
}

// reasons reads the payload of SUBACK and UNSUBACK: a code for each filter, and there
// was at least one [MQTT-3.8.4-6], [MQTT-3.11.3-1].
func (c *cursor) reasons() []ReasonCode {
	if c.err == nil && len(c.rest) == 0 {
		c.fail(malformed(c.t, "", "no reason code"))
	}
	if c.err != nil {
		return nil
	}
	codes := make([]ReasonCode, len(c.rest))
	for i, b := range c.rest {
		codes[i] = ReasonCode(b)
	}
	c.rest = nil
	return codes
}

func checkReasons(codes []ReasonCode, t Type, v Version) error {
	for _, code := range codes {
		if err := checkReason(code, t, v); err != nil {
			return err
		}
	}
	return nil
}

func appendReasons(dst []byte, codes []ReasonCode) []byte {
	for _, code := range codes {
		dst = append(dst, byte(code))
	}
	return dst
}

// Append appends the whole packet.
func (m Suback) Append(dst []byte, v Version) []byte {
	dst = appendHeader(dst, TypeSuback, 2+propertiesSize(m.Properties, v)+len(m.Reasons))
	dst = binary.BigEndian.AppendUint16(dst, m.PacketID)
	return appendReasons(appendProperties(dst, m.Properties, v), m.Reasons)
}
