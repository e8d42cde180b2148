package session

import (
	"slices"

	"topicgate/frames"
)

// part is one packet to the broker. Its answer goes into slots of the exchange, if it is of its kind.
type part struct {
	answer   frames.Type
	exchange *exchange // nil: the gateway's own affair
	entries  []entry

	begins, ends *quiet
}

// send sends what was planned. The first packet with the answer to an exchange bears the client's
// Packet Identifier; others have one of the gateway's own. asked is whether there is such a packet: once it is
// sent, the exchange belongs to whoever hears the answer. subs.order is held.
func (s *Session) send(all []outgoing, e *exchange, properties frames.Properties) (asked bool, err error) {
	type packet struct {
		outgoing
		exchange *exchange
	}
	var packets []packet
	for _, o := range all {
		for entries := range chunks(o.entries, min(maxSubscribeBytes, s.brokerMaximum)-len(properties)-packetOverhead) {
			p := packet{outgoing: outgoing{kind: o.kind, id: o.id, entries: entries}}
			if e != nil && o.kind+1 == e.answer && slices.ContainsFunc(entries, func(entry entry) bool { return len(entry.slots) > 0 }) {
				p.exchange = e
				e.parts++ // before the first answer can come
				asked = true
			}
			p.begins, o.begins = o.begins, nil
			packets = append(packets, p)
		}
		packets[len(packets)-1].ends = o.ends
	}
	first := true
	for _, p := range packets {
		var id uint16
		if p.exchange != nil && first {
			id, first = e.packetID, false
		} else {
			var ok bool
			if id, ok = s.ids.takeOwn(); !ok {
				return asked, ended(EndInternal, errNoPacketID)
			}
		}
		s.expect(id, &part{answer: p.kind + 1, exchange: p.exchange, entries: p.entries, begins: p.begins, ends: p.ends})
		if err := s.upstream.Add(s.encode(p.outgoing, id, p.exchange, properties)); err != nil {
			return asked, s.brokerWriteError(err)
		}
	}
	return asked, nil
}

// packetOverhead is what a SUBSCRIBE has beside filters and properties of the client: fixed header, Packet
// Identifier, Property Length, Subscription Identifier.
const packetOverhead = 5 + 2 + 4 + 5

// encode makes a packet; those that answer an exchange have the properties of the client's.
func (s *Session) encode(o outgoing, packetID uint16, e *exchange, properties frames.Properties) []byte {
	if e == nil {
		properties = nil
	}
	if o.kind == frames.TypeUnsubscribe {
		packet := frames.Unsubscribe{PacketID: packetID, Properties: properties}
		for _, entry := range o.entries {
			packet.TopicFilters = append(packet.TopicFilters, entry.options.TopicFilter)
		}
		return packet.Append(nil, s.version)
	}
	if id, _ := properties.Uint(frames.PropSubscriptionIdentifier); id != o.id {
		properties = properties.Without(frames.PropSubscriptionIdentifier)
		if o.id != 0 {
			properties = properties.AppendUint(frames.PropSubscriptionIdentifier, o.id)
		}
	}
	packet := frames.Subscribe{PacketID: packetID, Properties: properties}
	for _, entry := range o.entries {
		packet.Filters = append(packet.Filters, entry.options)
	}
	return packet.Append(nil, s.version)
}

// chunks cuts entries into lists that fit into one packet each; what fits into none stands alone.
func chunks(entries []entry, maximum int) func(yield func([]entry) bool) {
	return func(yield func([]entry) bool) {
		begin, size := 0, 0
		for i, e := range entries {
			n := 2 + len(e.options.TopicFilter) + 1
			if size+n > maximum && i > begin {
				if !yield(entries[begin:i]) {
					return
				}
				begin, size = i, 0
			}
			size += n
		}
		if begin < len(entries) {
			yield(entries[begin:])
		}
	}
}

// expect notes what the answer with this Packet Identifier will be about.
func (s *Session) expect(id uint16, p *part) {
	s.subs.mu.Lock()
	defer s.subs.mu.Unlock()
	s.subs.init()
	s.subs.parts[id] = p
}
