package subs

import "topicgate/frames"

// Heard is what comes of an answer of the broker's.
type Heard struct {
	// Known: it answers something. A broker that answers twice is not listened to.
	Known bool
	// Whole: the client's exchange is over; PacketID was its.
	Whole    bool
	PacketID uint16
	// Relay: the broker's packet is what the client is to hear, byte for byte. Else Packet is, if the exchange is over.
	Relay  bool
	Packet []byte
	// Review: a subscription has to be taken back, which a review does.
	Review bool
}

// Answer takes an answer of the broker's, to the client's exchange or to a packet of the gateway's own, which the
// client never hears of. legal says that the packet may be relayed. A broker may say less than it was asked.
func (t *Table) Answer(answer frames.Type, id uint16, codes []frames.ReasonCode, legal bool) (h Heard) {
	v := t.terms.Version
	code := func(i int) frames.ReasonCode {
		switch {
		case answer == frames.TypeUnsuback && v != frames.V5:
			return frames.Success
		case i >= len(codes) || !codes[i].Legal(answer, v):
			return frames.UnspecifiedError
		}
		return codes[i]
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.parts[id]
	if p == nil || p.answer != answer {
		return h
	}
	h.Known = true
	delete(t.parts, id)
	e := p.exchange
	for i, entry := range p.entries {
		if answer == frames.TypeSuback {
			t.granted(entry.held, code(i))
		}
		for _, ask := range entry.asks {
			if e != nil && (answer == frames.TypeSuback || !e.asks[ask].decided) {
				e.settle(ask, code(i))
			}
		}
	}
	t.catchUp.begin(p.begins)
	t.catchUp.end(p.ends)
	if e == nil {
		return h
	}
	if e.parts--; e.parts > 0 {
		return h
	}
	h.Whole, h.PacketID = true, e.packetID
	h.Review = t.conclude(e)
	h.Relay = e.relay && legal && (len(codes) == len(e.slots) || answer == frames.TypeUnsuback && v != frames.V5)
	if !h.Relay {
		h.Packet = e.packet(v)
	}
	return h
}

// granted notes what the broker says to a SUBSCRIBE for h. t.mu is held.
func (t *Table) granted(h *held, code frames.ReasonCode) {
	if h == nil {
		return
	}
	h.waiting--
	switch {
	case !failed(code):
		h.granted = true
	case !h.granted && h.waiting == 0 && h.fetch == nil:
		t.refuse().held = append(t.refuse().held, h)
	}
	if h.fetch != nil && h.waiting == 0 {
		t.aliases.retire(h)
	}
}

// conclude takes back the subscriptions that an exchange, all answered, was to make and did not. It reports
// whether there are any; they are removed by the next review. t.mu is held.
func (t *Table) conclude(e *exchange) (refused bool) {
	for _, m := range e.made {
		if m.s.asker != e {
			continue
		}
		m.s.asker = nil
		if failed(e.asks[m.ask].code) {
			t.refuse().subscriptions, refused = append(t.refuse().subscriptions, m.s), true
		}
	}
	return refused
}
