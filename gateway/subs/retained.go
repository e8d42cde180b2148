package subs

import (
	"slices"
	"strings"

	"topicgate/frames"
	"topicgate/policy"
)

// How a client comes by its retained messages.
//
// They come with a SUBSCRIBE, once. While the policy stays, that is the broker's affair: the client's Retain
// Handling goes upstream with each piece. When the policy changes, a subscription may come to cover more, and the
// client is to have the retained messages of what is new to it, and no others again:
//
//   - A new piece that has no topics in common with what the subscription covered brings its own.
//   - Where a new piece overlaps what was covered (several covers have been merged), or where no new piece says so
//     to the broker (the subscription is held as it was asked for, or a deny has gone that had cut into a piece),
//     what is new is fetched: by a SUBSCRIBE with a Subscription Identifier of its own, followed by an UNSUBSCRIBE,
//     or, for a filter that is held anyway, by a SUBSCRIBE that makes it again what it was.
//   - A fetch may bring more than is new. By its identifier one knows what came by it, and drops what the
//     client had (sources) or what another review's fetch brings (a step).
//   - Without identifiers (3.1, 3.1.1, some brokers) one cannot tell by what a message comes. From the answer to the
//     review's first packet to that to its last, retained messages are sifted: what was covered before is
//     dropped, what is new passes once.
//
// May come twice: what the broker holds back beyond its in-flight window until the sifting is over, or beyond
// keptSteps later reviews; of more than maxSifted topics in one review. Must not come twice: all else. Must
// come: what is new to a subscription whose Retain Handling is not 2 and that is no Shared Subscription [MQTT-4.8.2].

const (
	// keptSteps bounds the reviews whose fetches' late messages are told from others: each keeps an Access that is
	// no longer in force.
	keptSteps = 4
	// maxSifted bounds the topics that a sifting remembers.
	maxSifted = 1024
)

// source is what a client has had the retained messages of: the topics that match filters and that access
// allowed, or all that match if there is none.
type source struct {
	filters *frames.FilterIndex
	access  *policy.Access
}

func (s source) has(topicName string) bool {
	return s.filters.Covers(topicName) && (s.access == nil || s.access.Receive([]byte(topicName)).Allowed)
}

func anyHas(sources []source, topicName string) bool {
	return slices.ContainsFunc(sources, func(s source) bool { return s.has(topicName) })
}

func indexOf(filters []string) *frames.FilterIndex {
	x := &frames.FilterIndex{}
	for _, filter := range filters {
		x.Add(filter)
	}
	return x
}

// step is from one review's Access to the next one's. A message that is new with a step comes by that step's
// packets: others that bring it too, since they are broad, must not.
type step struct{ from, to *policy.Access }

func (p step) isNew(topicName []byte) bool {
	return p.to.Receive(topicName).Allowed && !p.from.Receive(topicName).Allowed
}

// fetch asks for the retained messages of what a subscription came to cover without new pieces.
type fetch struct {
	s       *subscription
	filters []string
	matched *frames.FilterIndex // the same
	sources []source            // what of them came, or comes, without it
	step    step
	passes  bool // live messages too: the filter is to be held again
	late    bool // keptSteps reviews ago: nothing is told from anything any more
}

// retainedPlan is the half of a Plan that is about retained messages.
type retainedPlan struct {
	gained  []string // of the subscription that is being assigned: filters of what it comes to cover
	fetches []*fetch
	covered map[*policy.Access]*frames.FilterIndex // by subscriptions that the policy changes, with what was readable
	repeats bool                                   // retained messages of that come again
	step    step                                   // that a review makes
	started []*held                                // what fetches
}

// pieces are new pieces of a subscription that bring their retained messages.
type pieces struct {
	list  []string
	index frames.FilterIndex
}

func (p *pieces) add(filter string) {
	p.list = append(p.list, filter)
	p.index.Add(filter)
}

// gains is what came to be allowed since each Access that subscriptions were last reviewed with. They are
// few: it is found once for all subscriptions.
type gains struct {
	access *policy.Access
	since  map[*policy.Access]*policy.Gain
}

func (g *gains) from(before *policy.Access) *policy.Gain {
	gain, known := g.since[before]
	if !known {
		if g.since == nil {
			g.since = map[*policy.Access]*policy.Gain{}
		}
		gain = g.access.Since(before)
		g.since[before] = gain
	}
	return gain
}

// gainedBy is filters for what s comes to cover that it did not, whose retained messages it has to get.
func (t *Table) gainedBy(s *subscription, now narrowed, g *gains) (filters []string) {
	switch {
	case s.RetainHandling == retainNever || t.terms.NoRetained || s.group != "" || len(now.covers) == 0:
		return nil // unwanted; there are none [MQTT-4.8.2]; there is nothing
	case s.access != nil:
		filters, complete := g.from(s.access).Within(s.rest, t.settings.NarrowMax)
		tooLong := func(filter string) bool { return len(filter) > t.longestFilter() }
		if !complete || slices.ContainsFunc(filters, tooLong) {
			return []string{s.rest}
		}
		return slices.DeleteFunc(filters, func(filter string) bool { return !t.settings.Dialect.TakesTopicFilter(filter) })
	case s.vague:
		return nil // what could be read before this connection nobody knows
	case now.over:
		return []string{s.rest}
	}
	known := indexOf(s.covers)
	for _, filter := range now.covers {
		if !known.Covers(filter) {
			filters = append(filters, filter)
		}
	}
	return filters
}

// fetchGained asks for the retained messages of what the subscription has gained, unless they come by fresh pieces.
func (p *Plan) fetchGained(c *change, fresh *pieces) {
	s := c.s
	p.cover(s.covers, s.access)
	if len(p.gained) == 0 {
		return
	}
	f := &fetch{s: s, step: p.step}
	for _, filter := range p.gained {
		if !fresh.index.Covers(filter) {
			f.filters = append(f.filters, filter)
		}
	}
	p.gained = nil
	if len(f.filters) == 0 {
		return
	}
	f.filters = disjoint(f.filters) // or a message would come by two
	f.matched = indexOf(f.filters)
	steps := overlapSteps * (1 + len(f.filters))
	for _, filter := range f.filters {
		if _, overlaps := fresh.index.Overlapping(filter, &steps); overlaps || steps <= 0 {
			f.sources = append(f.sources, source{filters: &fresh.index})
			break
		}
	}
	before := indexOf(s.covers)
	if slices.ContainsFunc(f.filters, func(filter string) bool { return meets(before, s.access, filter, &steps) }) {
		f.sources = append(f.sources, source{before, s.access})
	}
	p.fetches = append(p.fetches, f)
	p.repeats = p.repeats || len(f.sources) > 0
}

// cover notes what a subscription covered so far.
func (p *Plan) cover(covers []string, access *policy.Access) {
	if p.t.terms.Identifiers || len(covers) == 0 {
		return // nothing will be sifted
	}
	if p.covered == nil {
		p.covered = map[*policy.Access]*frames.FilterIndex{}
	}
	if p.covered[access] == nil {
		p.covered[access] = &frames.FilterIndex{}
	}
	for _, filter := range covers {
		p.covered[access].Add(filter)
	}
}

// meets reports whether what was covered may have had topics of filter.
func meets(covered *frames.FilterIndex, access *policy.Access, filter string, steps *int) bool {
	if access != nil {
		if allowed, complete := access.Narrow(filter, 1); complete && len(allowed) == 0 {
			return false
		}
	}
	_, overlaps := covered.Overlapping(filter, steps)
	return overlaps || *steps <= 0
}

// planFetches has join add the SUBSCRIBEs that fetch, and returns what is to be unsubscribed after them.
func (p *Plan) planFetches(join func(id uint32, e entry)) (after []entry) {
	identifiers := p.t.terms.Identifiers
	for _, f := range p.fetches {
		brought := p.broughtTo(f.s)
		// A filter that is held is asked for once more after the fetch, as it is to be; others are unsubscribed.
		again := *f
		again.passes = true
		live, others := &held{fetch: &again}, &held{fetch: f}
		filters := f.filters
		if p.flagged() && identifiers {
			filters = p.reworded(filters)
		}
		for _, filter := range filters {
			if brought != nil && brought.Covers(filter) {
				continue
			}
			h := others
			known := p.known(filter)
			switch {
			case known == nil || p.leaves(known):
				after = append(after, entry{options: frames.Subscription{TopicFilter: filter}, held: others})
			case !identifiers:
				p.touch(known, -1).ask(retainAlways)
				continue
			default:
				h = live
				c := p.touch(known, -1)
				c.ask(retainNever)
				if c.retain == retainIfNew {
					c.retain = retainAlways // after the fetch it is not new to the broker
				}
			}
			if h.waiting++; h.waiting == 1 {
				p.started = append(p.started, h)
				if identifiers {
					h.id = p.newAlias(h)
				}
			}
			options := frames.Subscription{TopicFilter: filter, QoS: f.s.QoS}
			if h == live { // mosquitto 2.0 keeps these two as they come first, whatever is asked for afterwards
				last := p.byHeld[filter].wants.options(filter)
				options.NoLocal, options.RetainAsPublished = last.NoLocal, last.RetainAsPublished
			}
			join(h.id, entry{options: options, held: h})
		}
	}
	return after
}

// broughtTo is the pieces of a subscription that another one has asked for with their retained messages: they come for
// both. Nil: there are none.
func (p *Plan) broughtTo(s *subscription) (brought *frames.FilterIndex) {
	c := p.changed[s]
	if c == nil || !p.t.terms.Identifiers {
		return nil
	}
	for _, piece := range c.now.pieces {
		if t := p.byHeld[piece]; t != nil && t.subscribe && t.retain == retainAlways {
			if brought == nil {
				brought = &frames.FilterIndex{}
			}
			brought.Add(strings.TrimPrefix(piece, s.group))
		}
	}
	return brought
}

// leaves reports whether nobody wants h any more once the plan is committed.
func (p *Plan) leaves(h *held) bool {
	c := p.byHeld[h.filter]
	return c != nil && c.wants.total() == 0
}

// flagged reports whether some subscription has Retain As Published once the plan is committed.
func (p *Plan) flagged() bool {
	return p.t.flagged || slices.ContainsFunc(p.subscriptions, func(c *change) bool { return c.asked.RetainAsPublished })
}

// reworded puts, where it can, other filters that match the same in place of those that are held. With Retain As
// Published a live message may look like a stored one; it comes by what is held then, never by a fetch.
func (p *Plan) reworded(filters []string) (list []string) {
	for _, filter := range filters {
		base, open := strings.CutSuffix(filter, "#")
		below, parent := base+"+/#", strings.TrimSuffix(base, "/") // which '#' matches too, unless it is no topic
		if !open || p.known(filter) == nil || p.known(below) != nil || p.known(parent) != nil || len(below) > p.t.longestFilter() {
			list = append(list, filter)
			continue
		}
		if list = append(list, below); parent != "" {
			list = append(list, parent)
		}
	}
	return list
}

// sifting keeps retained messages from a client that has them, without identifiers. It belongs to a review and
// lasts until the broker's answer to its last packet.
type sifting struct {
	sources []source        // what the review brings again; from the answer to its first packet on
	begun   bool            // that has come
	step    step            // what is new comes once,
	seen    map[string]bool // of these topics it has
}

// sift is the sifting that the plan makes necessary.
func (p *Plan) sift() *sifting {
	s := &sifting{step: p.step}
	if p.repeats {
		for access, filters := range p.covered {
			s.sources = append(s.sources, source{filters, access})
		}
	}
	return s
}

// catchUp is what a table knows of retained messages that are under way. A nil one knows of none.
type catchUp struct {
	fetching []*held    // the last fetches, while there are identifiers to tell them by
	siftings []*sifting // under way
}

// keep notes what is about to be sent: fetches, and a sifting, if there is one.
func (c *catchUp) keep(started []*held, s *sifting, identifiers bool) {
	if s != nil {
		c.siftings = append(c.siftings, s)
	}
	if !identifiers {
		return // nothing tells what comes by a fetch
	}
	c.fetching = append(c.fetching, started...)
	steps := 1
	for i := len(c.fetching) - 1; i > 0; i-- {
		if c.fetching[i-1].fetch.step == c.fetching[i].fetch.step {
			continue
		}
		if steps++; steps > keptSteps {
			for _, old := range c.fetching[:i] {
				old.fetch = &fetch{s: old.fetch.s, passes: old.fetch.passes, late: true}
			}
			c.fetching = slices.Clone(c.fetching[i:])
			return
		}
	}
}

// brings reports whether a retained message that comes with this Subscription Identifier (0: none) is one that a
// fetch brings, which is not answered yet.
func (c *catchUp) brings(id uint32, topicName []byte) bool {
	return c != nil && slices.ContainsFunc(c.fetching, func(h *held) bool {
		return h.waiting > 0 && h.fetch.s.id == id && h.fetch.step.isNew(topicName) && h.fetch.matched.Covers(string(topicName))
	})
}

// superfluous reports whether a fetch brings this message though it is not wanted of it: it is a live one, the
// client has it, or it was allowed later and another fetch brings it.
func (f *fetch) superfluous(publish *frames.Publish, topicName []byte) bool {
	if !publish.Retain {
		return !f.passes
	}
	return !f.late && (!f.step.to.Receive(topicName).Allowed || anyHas(f.sources, string(topicName)))
}

// drops reports whether a sifting keeps a retained message from the client.
func (c *catchUp) drops(topicName []byte) bool {
	if c == nil || len(c.siftings) == 0 {
		return false
	}
	topic := string(topicName)
	if slices.ContainsFunc(c.siftings, func(s *sifting) bool { return s.begun && anyHas(s.sources, topic) }) {
		return true
	}
	for _, s := range slices.Backward(c.siftings) {
		if !s.step.isNew(topicName) {
			continue
		}
		if s.seen[topic] {
			return true
		}
		if s.seen == nil {
			s.seen = map[string]bool{}
		}
		if len(s.seen) < maxSifted {
			s.seen[topic] = true
		}
		return false
	}
	return false
}

// begin and end are for the answers to a sifting's first and last packet; nil is none.
func (c *catchUp) begin(s *sifting) {
	if s != nil {
		s.begun = true
	}
}

func (c *catchUp) end(s *sifting) {
	if c != nil && s != nil {
		c.siftings = slices.DeleteFunc(c.siftings, func(o *sifting) bool { return o == s })
	}
}

// tooEarly reports whether the next review is to bring a retained message, so that what brings it now, asked for
// before, must not. t.mu is held.
func (t *Table) tooEarly(topicName []byte, access *policy.Access) bool {
	return t.reviewed != nil && t.reviewed != access && len(t.asked) > 0 && !t.reviewed.Receive(topicName).Allowed
}
