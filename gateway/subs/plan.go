package subs

import (
	"slices"
	"strings"

	"topicgate/frames"
	"topicgate/policy"
)

// Retain Handling (section 3.8.3.1).
const (
	retainAlways = 0
	retainIfNew  = 1
	retainNever  = 2
)

// overlapSteps bounds, for each filter, the comparison of filters with each other. What takes longer is treated as
// if the filters overlapped, which costs a message more or a wider filter, never a message less.
const overlapSteps = 256

// Plan says what is to be sent to the broker and what is then true. It changes nothing before Commit, and is good
// for nothing once its turn has ended.
type Plan struct {
	t *Table

	// Covers is what the subscriptions that the plan concerns cover then, for the client to be told.
	Covers []Coverage
	// Refused are the filters of a SUBSCRIBE that the client does not get.
	Refused []Refusal
	// Allowed are the filters of a SUBSCRIBE that it gets, if the broker does not object.
	Allowed []frames.Subscription

	exchange *exchange   // of the client's packet; nil: a review
	id       uint32      // Subscription Identifier of a SUBSCRIBE of the client's
	same     func() bool // the one packet is the client's, as it came
	packets  []outgoing
	retained *sifting // that begins with the first packet's answer, and ends with the last one's

	subscriptions []*change
	changed       map[*subscription]*change // the same
	touched       []*touched
	byHeld        map[string]*touched // by filter as held
	unknown       []entry             // filters to unsubscribe that only the broker may know
	weight        int                 // more than before, in bytes
	more          int                 // subscriptions more than before
	reviewed      *policy.Access      // with which all are reviewed then

	aliases   []alias
	reused    int    // of the retired
	lastAlias uint32 // the lowest that was given away; 0: none

	retainedPlan
}

// change is what becomes of a subscription.
type change struct {
	s     *subscription
	isNew bool
	gone  bool
	asked frames.Subscription // as it is then
	id    uint32
	now   narrowed
	kept  bool // covers and pieces stay as they are
	new   bool // granted by nobody yet: the exchange that asks for it may take it back
}

// touched is a held filter whose owners change, or which is asked for again.
type touched struct {
	held      *held
	isNew     bool
	wants     wants // then
	left      []*subscription
	joined    []joined
	asks      []int32 // of the exchange, that hang on the broker's answer
	subscribe bool    // even if nothing changes
	retain    uint8   // Retain Handling; the most generous of those that want it
	sent      *frames.Subscription
	id        uint32
}

type joined struct {
	s  *subscription
	id uint32
}

// outgoing is a SUBSCRIBE or UNSUBSCRIBE to be sent, in one packet or more.
type outgoing struct {
	kind    frames.Type
	id      uint32 // Subscription Identifier of a SUBSCRIBE
	entries []entry
}

type entry struct {
	options frames.Subscription // of an UNSUBSCRIBE, the filter
	held    *held               // nil: the gateway knows nothing of it
	asks    []int32
}

// plan begins one, with what the broker has refused meanwhile.
func (n Turn) plan() *Plan {
	t := n.t
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.refused != nil {
		for _, h := range t.refused.held {
			if h.waiting == 0 && !h.granted {
				h.refused, h.sent = true, frames.Subscription{}
			}
		}
		for _, s := range t.refused.subscriptions {
			s.refused = true
		}
		t.refused = nil
	}
	return &Plan{t: t, reviewed: t.reviewed}
}

// touch notes that the filter is concerned, for the sake of an ask of the exchange (none: -1).
func (p *Plan) touch(h *held, ask int32) *touched {
	c := p.byHeld[h.filter]
	if c == nil {
		if p.byHeld == nil {
			p.byHeld = map[string]*touched{}
		}
		c = &touched{held: h, wants: h.wants, retain: retainNever}
		p.byHeld[h.filter] = c
		p.touched = append(p.touched, c)
	}
	if ask >= 0 && (len(c.asks) == 0 || c.asks[len(c.asks)-1] != ask) {
		c.asks = append(c.asks, ask)
	}
	return c
}

// piece is what is held by a filter, or will be; made if there is nothing yet.
func (p *Plan) piece(filter string, ask int32) *touched {
	if c := p.byHeld[filter]; c != nil {
		return p.touch(c.held, ask)
	}
	if h := p.t.held[filter]; h != nil {
		return p.touch(h, ask)
	}
	c := p.touch(&held{filter: filter}, ask)
	c.isNew = true
	p.weight += weigh(filter)
	return c
}

// known is what is held by a filter, or will be; nil: nothing.
func (p *Plan) known(filter string) *held {
	if c := p.byHeld[filter]; c != nil {
		return c.held
	}
	return p.t.held[filter]
}

func (c *touched) leave(s *subscription) {
	c.wants.add(&s.Subscription, -1)
	c.left = append(c.left, s)
}

func (c *touched) join(s *subscription, asked *frames.Subscription, id uint32) {
	c.wants.add(asked, 1)
	c.joined = append(c.joined, joined{s, id})
}

func (c *touched) ask(retain uint8) { c.subscribe, c.retain = true, min(c.retain, retain) }

// When a subscription's pieces are assigned: because the policy changed, or because the client asks for it.
const (
	onlyChanges = false
	askAgain    = true
)

// assign puts c.now in place of what the subscription had so far, for the sake of an ask (none: -1).
func (p *Plan) assign(c *change, ask int32, again bool) {
	s := c.s
	wanted := make(map[string]bool, len(c.now.pieces))
	for _, piece := range c.now.pieces {
		wanted[piece] = true
	}
	had := make(map[string]bool, len(s.pieces))
	var old frames.FilterIndex // of what the client has had the retained messages of
	steps := overlapSteps * (1 + len(c.now.pieces))
	for _, h := range s.pieces {
		if !wanted[h.filter] {
			p.touch(h, ask).leave(s)
		}
		had[h.filter] = true
		if !again {
			old.Add(strings.TrimPrefix(h.filter, s.group))
		}
	}
	fresh := pieces{} // those that bring their retained messages
	for _, filter := range c.now.pieces {
		known := p.known(filter)
		refused, lost := known != nil && known.refused, known != nil && known.lost
		if had[filter] && !again && !refused && !lost {
			continue
		}
		t := p.piece(filter, ask)
		switch {
		case !had[filter]:
			t.join(s, &c.asked, c.id)
		case again:
			t.leave(s)
			t.join(s, &c.asked, c.id)
		}
		retain := c.asked.RetainHandling
		if retain == retainIfNew && !had[filter] && (!again || t.held.sent.TopicFilter != "") {
			retain = retainAlways // what is new to this subscription need not be to the broker
		}
		rest := strings.TrimPrefix(filter, s.group)
		if lost && !again {
			retain = retainNever
			p.repeats = true
		} else if _, overlaps := old.Overlapping(rest, &steps); !again && !refused && (overlaps || steps <= 0) {
			retain = retainNever
			p.repeats = true
		}
		if retain != retainNever || p.t.terms.Version != frames.V5 { // which alone has Retain Handling
			fresh.add(rest)
		}
		t.ask(retain)
	}
	if !again {
		p.fetchGained(c, &fresh)
	}
}

// finish puts the packets together: what is left for good first, then what is new, then what something new has
// taken the place of, so that no message is lost in between.
func (p *Plan) finish() *Plan {
	var left, replaced []entry
	var subscribes []outgoing // by Subscription Identifier, of which a packet has but one
	places := map[uint32]int{}
	join := func(id uint32, e entry) {
		i, ok := places[id]
		if !ok {
			i = len(subscribes)
			places[id] = i
			subscribes = append(subscribes, outgoing{kind: frames.TypeSubscribe, id: id})
		}
		subscribes[i].entries = append(subscribes[i].entries, e)
	}
	replaced = p.planFetches(join)
	var fresh frames.FilterIndex // of the new filters; any of those that overlap will do
	for _, c := range p.touched {
		if c.wants.total() == 0 {
			continue
		}
		options, id := c.wants.options(c.held.filter), p.identifierOf(c)
		options.RetainHandling = c.retain
		if !c.subscribe && !c.held.differs(options, id, p.t.terms.Version) {
			continue
		}
		if c.held.sent.TopicFilter == "" {
			_, rest, _ := frames.SplitShare(c.held.filter)
			fresh.Add(rest)
		}
		c.sent, c.id = &options, id
		join(id, entry{options: options, held: c.held, asks: c.asks})
	}
	steps := overlapSteps * (1 + len(p.touched))
	for _, c := range p.touched {
		if c.wants.total() > 0 || c.held.sent.TopicFilter == "" {
			continue
		}
		e := entry{options: frames.Subscription{TopicFilter: c.held.filter}, held: c.held, asks: c.asks}
		_, rest, _ := frames.SplitShare(c.held.filter)
		if _, overlaps := fresh.Overlapping(rest, &steps); overlaps || steps <= 0 {
			replaced = append(replaced, e)
		} else {
			left = append(left, e)
		}
	}
	left = append(left, p.unknown...)
	blind := (p.repeats || len(p.fetches) > 0) && !p.t.terms.Identifiers // one cannot tell by what a message comes
	if blind && len(replaced) == 0 {                                     // the answer to a packet is needed that comes after all
		replaced = append(replaced, entry{options: frames.Subscription{TopicFilter: TopicNone}})
	}
	if len(left) > 0 {
		p.packets = append(p.packets, outgoing{kind: frames.TypeUnsubscribe, entries: left})
	}
	p.packets = append(p.packets, subscribes...)
	if len(replaced) > 0 {
		p.packets = append(p.packets, outgoing{kind: frames.TypeUnsubscribe, entries: replaced})
	}
	if blind {
		p.retained = p.sift()
	}
	return p
}

// differs reports whether the broker has to hear of these options, which nobody has just asked for.
func (h *held) differs(options frames.Subscription, id uint32, v frames.Version) bool {
	if h.sent.TopicFilter == "" {
		return true
	}
	if v != frames.V5 {
		// Less is not worth it: the broker would send all retained messages again.
		return options.QoS > h.sent.QoS
	}
	options.RetainHandling = h.sent.RetainHandling
	return options != h.sent || id != h.id
}

// Outdated reports whether access is a newer one than that which the plan was made with: a review is due.
func (p *Plan) Outdated(access *policy.Access) bool {
	return p.reviewed != access && len(p.subscriptions) > 0
}

// PacketID is that of the client's packet.
func (p *Plan) PacketID() uint16 { return p.exchange.packetID }

// Rereads reports whether the plan changes what of the subscriptions may be read where their covers do not tell: then a
// Record that is not open says something else, though the broker hears of nothing.
func (p *Plan) Rereads() bool {
	return slices.ContainsFunc(p.subscriptions, func(c *change) bool {
		return c.kept && c.s.access != c.now.access && (c.now.over || c.now.access.Denies() || c.s.access.Denies())
	})
}

// Changes reports whether the plan changes what an open Record says.
func (p *Plan) Changes() bool {
	return len(p.packets) > 0 || slices.ContainsFunc(p.subscriptions, func(c *change) bool { return !c.kept })
}

// Coverage is what one subscription of the client's covers.
type Coverage struct {
	Filter string   `json:"filter"`
	Covers []string `json:"covers"`
}

// Refusal is a filter that the client does not get.
type Refusal struct {
	Asked    frames.Subscription
	Decision policy.Decision // whose Reason may be "quota" or "reserved_topic"
}
