package subs

import (
	"errors"
	"slices"

	"topicgate/frames"
)

// ErrNoPacketID is why a plan cannot be committed: all 65,535 Packet Identifiers are in use.
var ErrNoPacketID = errors.New("no free Packet Identifier")

const (
	maxSubscribeBytes = 64 << 10 // of one SUBSCRIBE or UNSUBSCRIBE of the gateway's own making
	// packetOverhead is what a SUBSCRIBE has beside filters and properties of the client: fixed header, Packet
	// Identifier, Property Length, Subscription Identifier.
	packetOverhead = 5 + 2 + 4 + 5
)

// Commitment is what comes of a plan that is committed.
type Commitment struct {
	// Relay: the client's own packet is to be sent, as it came, and nothing else.
	Relay bool
	// Packets are to be sent, in this order.
	Packets []Packet
	// Answer is for the client at once, since the broker is asked nothing on its behalf; nil: Table.Answer gives it.
	Answer []byte
}

// Packet is a SUBSCRIBE or UNSUBSCRIBE for the broker.
type Packet struct {
	subscribe   frames.Subscribe // if it has filters
	unsubscribe frames.Unsubscribe
}

// Append encodes the packet to the end of dst.
func (p *Packet) Append(dst []byte, v frames.Version) []byte {
	if len(p.subscribe.Filters) > 0 {
		return p.subscribe.Append(dst, v)
	}
	return p.unsubscribe.Append(dst, v)
}

// part is one packet to the broker whose answer is awaited. It goes into asks of the exchange, if it is of its kind.
type part struct {
	answer   frames.Type
	exchange *exchange // nil: the gateway's own affair
	entries  []entry

	begins, ends *sifting
}

// Commit makes the plan true, in one step. What it returns is to be sent before the turn ends. The first packet with
// the answer to the client's has its Packet Identifier and properties; others have an identifier of ids. An error
// leaves the table as it was.
func (p *Plan) Commit(ids *IDs, properties frames.Properties) (Commitment, error) {
	t, e := p.t, p.exchange
	var c Commitment
	parts := map[uint16]*part{}
	if e != nil && p.same() {
		e.relay, c.Relay, e.parts = true, true, 1
		parts[e.packetID] = &part{answer: e.answer, exchange: e, entries: p.packets[0].entries}
	} else {
		var own []uint16
		first := true
		var lastPart *part
		for _, o := range p.packets {
			room := func() int {
				room := min(maxSubscribeBytes, t.terms.BrokerMaximum) - packetOverhead
				if first {
					room -= len(properties)
				}
				return room
			}
			for entries := range chunks(o.entries, room) {
				q := &part{answer: o.kind + 1, entries: entries}
				if e != nil && q.answer == e.answer && slices.ContainsFunc(entries, func(x entry) bool { return len(x.asks) > 0 }) {
					q.exchange = e
					e.parts++
				}
				var id uint16
				var clients frames.Properties // once: they may be long
				if q.exchange != nil && first {
					id, clients, first = e.packetID, properties, false
				} else {
					var ok bool
					if id, ok = ids.TakeOwn(); !ok {
						for _, id := range own {
							ids.ReleaseOwn(id)
						}
						return Commitment{}, ErrNoPacketID
					}
					own = append(own, id)
				}
				if lastPart == nil {
					q.begins = p.retained
				}
				lastPart = q
				parts[id] = q
				c.Packets = append(c.Packets, packetOf(o, entries, id, clients))
			}
		}
		if lastPart != nil {
			lastPart.ends = p.retained
		}
		if e != nil && e.parts == 0 {
			c.Answer = e.packet(t.terms.Version)
		}
	}
	p.apply(parts)
	return c, nil
}

// apply changes the table.
func (p *Plan) apply(parts map[uint16]*part) {
	t := p.t
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.asked == nil {
		t.asked, t.held, t.parts = map[string]*subscription{}, map[string]*held{}, map[uint16]*part{}
	}
	t.reviewed = p.reviewed
	p.applyAliases()
	for _, c := range p.touched {
		p.applyTouched(c)
	}
	for _, c := range p.subscriptions {
		p.applyChange(c)
	}
	if len(p.started) > 0 || p.retained != nil {
		if t.catchUp == nil {
			t.catchUp = &catchUp{}
		}
		t.catchUp.keep(p.started, p.retained, t.terms.Identifiers)
	}
	for id, q := range parts {
		t.parts[id] = q
	}
	t.listened.Store(len(t.locals) > 0)
	t.follows.Store(int32(len(t.asked) - len(t.locals)))
}

func (p *Plan) applyAliases() {
	if len(p.aliases) == 0 {
		return
	}
	a := &p.t.aliases
	if a.held == nil {
		a.held = map[uint32]*held{}
	}
	a.retired = slices.Delete(a.retired, 0, p.reused)
	if p.lastAlias != 0 {
		a.lowest = p.lastAlias
	}
	for _, alias := range p.aliases {
		a.held[alias.id] = alias.held
	}
	p.t.rewrites.Store(true)
}

func (p *Plan) applyTouched(c *touched) {
	t, h := p.t, c.held
	if c.isNew {
		t.held[h.filter] = h
		t.weight += weigh(h.filter)
	}
	for _, s := range c.left {
		h.owners.remove(s)
	}
	for _, j := range c.joined {
		h.owners.add(j.s)
	}
	h.wants = c.wants
	if c.sent != nil {
		h.sent, h.id = *c.sent, c.id
		h.waiting++
		h.refused, h.lost = false, false
	}
	if h.wants.total() > 0 {
		return
	}
	delete(t.held, h.filter)
	t.weight -= weigh(h.filter)
	h.former = c.left
	t.aliases.retire(h)
}

// retire notes that h no longer needs its alias, if it has one.
func (a *aliases) retire(h *held) {
	if h.id != 0 && a.held[h.id] == h {
		a.retired = append(a.retired, h.id)
	}
}

func (p *Plan) applyChange(c *change) {
	t, s := p.t, c.s
	local := Reserved(s.rest)
	if !c.isNew {
		t.aliases.note(s.id, -1)
	}
	if c.gone {
		delete(t.asked, s.TopicFilter)
		t.weight -= weigh(s.TopicFilter)
		s.covers, s.pieces = nil, nil
		if local {
			t.locals = slices.DeleteFunc(t.locals, func(o *subscription) bool { return o == s })
		}
		return
	}
	t.aliases.note(c.id, 1)
	if c.isNew {
		t.asked[c.asked.TopicFilter] = s
		t.weight += weigh(c.asked.TopicFilter)
		if local {
			t.locals = append(t.locals, s)
		}
	}
	s.Subscription, s.id = c.asked, c.id
	t.flagged = t.flagged || s.RetainAsPublished
	if p.exchange != nil {
		s.refused = false
	}
	if c.new {
		s.asker = p.exchange
	}
	if local {
		return
	}
	s.covers, s.over, s.access, s.vague = c.now.covers, c.now.over, c.now.access, false
	if !c.kept {
		s.pieces = make([]*held, len(c.now.pieces))
		for i, filter := range c.now.pieces {
			s.pieces[i] = t.held[filter]
		}
	}
}

// packetOf makes a packet of entries.
func packetOf(o outgoing, entries []entry, packetID uint16, properties frames.Properties) Packet {
	if o.kind == frames.TypeUnsubscribe {
		packet := frames.Unsubscribe{PacketID: packetID, Properties: properties}
		for _, entry := range entries {
			packet.TopicFilters = append(packet.TopicFilters, entry.options.TopicFilter)
		}
		return Packet{unsubscribe: packet}
	}
	if id, _ := properties.Uint(frames.PropSubscriptionIdentifier); id != o.id {
		properties = properties.Without(frames.PropSubscriptionIdentifier)
		if o.id != 0 {
			properties = properties.AppendUint(frames.PropSubscriptionIdentifier, o.id)
		}
	}
	packet := frames.Subscribe{PacketID: packetID, Properties: properties}
	for _, entry := range entries {
		packet.Filters = append(packet.Filters, entry.options)
	}
	return Packet{subscribe: packet}
}

// chunks cuts entries into lists that fit into one packet each, which has room for so many bytes of them; what fits
// into none stands alone.
func chunks(entries []entry, room func() int) func(yield func([]entry) bool) {
	return func(yield func([]entry) bool) {
		begin, size, maximum := 0, 0, room()
		for i, e := range entries {
			n := 2 + len(e.options.TopicFilter) + 1
			if size+n > maximum && i > begin {
				if !yield(entries[begin:i]) {
					return
				}
				begin, size, maximum = i, 0, room()
			}
			size += n
		}
		if begin < len(entries) {
			yield(entries[begin:])
		}
	}
}
