package gateway

import (
	"slices"

	"topicgate/frames"
)

// Retain Handling (section 3.8.3.1).
const (
	retainAlways = 0
	retainIfNew  = 1
	retainNever  = 2
)

// request gathers what a SUBSCRIBE, an UNSUBSCRIBE or a review changes upstream.
type request struct {
	version     frames.Version
	identifiers bool // Subscription Identifiers can be used

	touched []*touched
	byHeld  map[*heldFilter]*touched
	unknown []entry // filters to unsubscribe that only the broker may know
	fetches []fetch
	had     []string // what was covered, by subscriptions that the policy changes
	again   bool     // retained messages of that may come again
}

// touched is a held filter whose owners have changed or ask for it again.
type touched struct {
	held      *heldFilter
	before    []*subscription // its owners
	slots     []int           // of the client's packet that hang on the broker's answer
	subscribe bool            // even if nothing changes
	retain    uint8           // Retain Handling; the most generous of those that want it
}

// fetch asks for retained messages in what a subscription came to cover without new pieces.
type fetch struct {
	sub     *subscription
	filters []string
	had     []string // what it covered already
}

func (r *request) touch(h *heldFilter, slot int) *touched {
	t := r.byHeld[h]
	if t == nil {
		if r.byHeld == nil {
			r.byHeld = map[*heldFilter]*touched{}
		}
		t = &touched{held: h, before: slices.Clone(h.owners), retain: retainNever}
		r.byHeld[h] = t
		r.touched = append(r.touched, t)
	}
	if slot >= 0 && !slices.Contains(t.slots, slot) {
		t.slots = append(t.slots, slot)
	}
	return t
}

func (r *request) subscribe(h *heldFilter, slot int, retain uint8) {
	t := r.touch(h, slot)
	t.subscribe, t.retain = true, min(t.retain, retain)
}

// fetchNew asks for the retained messages of what sub covers and had not covered before, unless they come
// by its fresh pieces.
func (r *request) fetchNew(sub *subscription, before []string, fresh map[string]bool) {
	if sub.RetainHandling == retainNever || sub.group != "" || sub.over {
		return // unwanted; there are none [MQTT-4.8.2]; not known
	}
	f := fetch{sub: sub, had: before}
	had := setOf(before)
	for _, filter := range sub.covers {
		covers := func(outer string) bool { return frames.Covers(outer, filter) }
		if had[filter] || fresh[filter] || slices.ContainsFunc(before, covers) {
			continue
		}
		if slices.ContainsFunc(sub.pieces, func(piece string) bool { return fresh[piece] && covers(piece) }) {
			continue
		}
		f.filters = append(f.filters, filter)
	}
	if len(f.filters) > 0 {
		r.fetches = append(r.fetches, f)
		r.again = true
	}
}

// outgoing is a SUBSCRIBE or UNSUBSCRIBE to be sent, in one packet or more.
type outgoing struct {
	kind    frames.Type
	id      uint32 // Subscription Identifier of a SUBSCRIBE
	entries []entry

	begins, ends *quiet // with the answer to the first packet, to the last
}

type entry struct {
	options frames.Subscription // of an UNSUBSCRIBE, the filter
	held    *heldFilter         // nil: the gateway knows nothing of it
	slots   []int
}

// plan turns r into packets: what is left for good first, then what is new, then what something new has
// taken the place of, so that no message is lost in between. b.mu is held.
func (b *subscriptions) plan(r *request) []outgoing {
	var left, replaced []entry
	var subscribes []outgoing // by Subscription Identifier, of which a packet has but one
	join := func(id uint32, e entry) {
		i := slices.IndexFunc(subscribes, func(o outgoing) bool { return o.id == id })
		if i < 0 {
			i = len(subscribes)
			subscribes = append(subscribes, outgoing{kind: frames.TypeSubscribe, id: id})
		}
		subscribes[i].entries = append(subscribes[i].entries, e)
	}
	for _, f := range r.fetches {
		// A filter that is held is asked for once more after it, as it is to be; others are unsubscribed.
		held, others := &heldFilter{live: true}, &heldFilter{}
		for _, h := range []*heldFilter{held, others} {
			h.owners, h.had, h.fetch = []*subscription{f.sub}, f.had, true
		}
		for _, filter := range f.filters {
			h := others
			if known := b.held[filter]; known == nil {
				replaced = append(replaced, entry{options: frames.Subscription{TopicFilter: filter}, held: others})
			} else if h = held; r.identifiers {
				r.subscribe(known, -1, retainNever)
			} else {
				r.subscribe(known, -1, retainAlways)
				continue
			}
			if h.waiting++; h.waiting == 1 && r.identifiers {
				h.id = b.newAlias(h)
			}
			join(h.id, entry{options: frames.Subscription{TopicFilter: filter, QoS: f.sub.QoS}, held: h})
		}
	}
	var fresh filterIndex // of the new filters; any of those that overlap will do
	for _, t := range r.touched {
		h := t.held
		if len(h.owners) == 0 {
			continue
		}
		options, id := h.options(), b.identifierOf(h)
		options.RetainHandling = t.retain
		if !t.subscribe && !h.differs(options, id, r.version) {
			continue
		}
		if h.sent.TopicFilter == "" {
			_, rest, _ := frames.SplitShare(h.filter)
			fresh.add(rest)
		}
		h.sent, h.id = options, id
		h.waiting++
		join(id, entry{options: options, held: h, slots: t.slots})
	}
	for _, t := range r.touched {
		if len(t.held.owners) > 0 {
			continue
		}
		b.release(t.held)
		t.held.former = t.before
		if t.held.sent.TopicFilter == "" {
			continue
		}
		e := entry{options: frames.Subscription{TopicFilter: t.held.filter}, held: t.held, slots: t.slots}
		_, rest, _ := frames.SplitShare(t.held.filter)
		if _, overlaps := fresh.overlapping(rest); overlaps {
			replaced = append(replaced, e)
		} else {
			left = append(left, e)
		}
	}
	left = append(left, r.unknown...)
	if r.again && !r.identifiers && len(replaced) == 0 { // the answer to a packet is needed that comes after all
		replaced = append(replaced, entry{options: frames.Subscription{TopicFilter: topicNone}})
	}

	var all []outgoing
	if len(left) > 0 {
		all = append(all, outgoing{kind: frames.TypeUnsubscribe, entries: left})
	}
	all = append(all, subscribes...)
	if len(replaced) > 0 {
		all = append(all, outgoing{kind: frames.TypeUnsubscribe, entries: replaced})
	}
	if r.again && !r.identifiers {
		q := &quiet{filters: r.had}
		all[0].begins, all[len(all)-1].ends = q, q
	}
	return all
}

// differs reports whether the broker has to hear of these options, which nobody has just asked for.
func (h *heldFilter) differs(options frames.Subscription, id uint32, v frames.Version) bool {
	if v != frames.V5 {
		// Less is not worth it: the broker would send all retained messages again.
		return options.QoS > h.sent.QoS
	}
	options.RetainHandling = h.sent.RetainHandling
	return options != h.sent || id != h.id
}

// part is one packet to the broker. Its answer goes into slots of the exchange, if it is of its kind.
type part struct {
	answer   frames.Type
	exchange *exchange // nil: the gateway's own affair
	entries  []entry

	begins, ends *quiet
}

// send sends what was planned. The first packet with the answer to an exchange bears the client's
// Packet Identifier; others have one of the gateway's own. subs.order is held.
func (s *session) send(all []outgoing, e *exchange, properties frames.Properties) error {
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
				return ended(EndInternal, errNoPacketID)
			}
		}
		s.expect(id, &part{answer: p.kind + 1, exchange: p.exchange, entries: p.entries, begins: p.begins, ends: p.ends})
		if err := s.upstream.addBytes(s.encode(p.outgoing, id, p.exchange, properties)); err != nil {
			return s.brokerWriteError(err)
		}
	}
	return nil
}

// packetOverhead is what a SUBSCRIBE has beside filters and properties of the client: fixed header, Packet
// Identifier, Property Length, Subscription Identifier.
const packetOverhead = 5 + 2 + 4 + 5

// encode makes a packet; those that answer an exchange have the properties of the client's.
func (s *session) encode(o outgoing, packetID uint16, e *exchange, properties frames.Properties) []byte {
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
func (s *session) expect(id uint16, p *part) {
	s.subs.mu.Lock()
	defer s.subs.mu.Unlock()
	s.subs.init()
	s.subs.parts[id] = p
}
