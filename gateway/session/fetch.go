package session

import (
	"slices"

	"topicgate/frames"
	"topicgate/policy"
)

// Retained messages come with a SUBSCRIBE. Where a subscription comes to cover more and no new piece of it
// says so to the broker (it is held as it was asked for, or a deny has gone that had cut into a piece), they
// are fetched: by a subscription that is there for a moment.

// maxStepsKept bounds the reviews whose fetches' late messages are told from those that the client has, or gets by
// another: each keeps an Access that is no longer in force. What the broker has held back for longer may come twice.
const maxStepsKept = 4

// had is what a client has had the retained messages of: the topics that match filters and that access
// allowed, or all that match if there is none.
type had struct {
	filters []string
	access  *policy.Access
}

func (h had) has(topicName []byte) bool {
	match := func(filter string) bool { return frames.Match(filter, topicName) }
	return slices.ContainsFunc(h.filters, match) && (h.access == nil || h.access.Receive(topicName).Allowed)
}

func anyHas(list []had, topicName []byte) bool {
	return slices.ContainsFunc(list, func(h had) bool { return h.has(topicName) })
}

// step is from one review's Access to the next one's. A message that is new with a step comes by that step's
// packets: others that bring it too, since they are broad, must not.
type step struct{ from, to *policy.Access }

func (p step) isNew(topicName []byte) bool {
	return p.to.Receive(topicName).Allowed && !p.from.Receive(topicName).Allowed
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

// gained is filters for what sub comes to cover that it did not, whose retained messages it has to get. s.subs.order
// is held, s.subs.mu is not: it can take a while.
func (s *Session) gained(sub *subscription, n narrowed, g *gains) (filters []string) {
	switch {
	case sub.RetainHandling == retainNever || sub.group != "" || len(n.covers) == 0:
		return nil // unwanted; there are none [MQTT-4.8.2]; there is nothing
	case sub.access != nil:
		filters, complete := g.from(sub.access).Within(sub.rest, s.host.NarrowMax)
		tooLong := func(filter string) bool { return len(filter) > s.longestFilter() }
		if !complete || slices.ContainsFunc(filters, tooLong) {
			return []string{sub.rest}
		}
		return filters
	case n.over:
		return nil // what could be read before this connection nobody knows
	}
	known := setOf(sub.covers)
	for _, filter := range n.covers {
		if !known[filter] && !slices.ContainsFunc(sub.covers, func(outer string) bool { return frames.Covers(outer, filter) }) {
			filters = append(filters, filter)
		}
	}
	return filters
}

// fetchGained asks for the retained messages of what sub has gained since it was as before, unless they come
// by fresh pieces of it, those that are true.
func (r *request) fetchGained(sub *subscription, before narrowed, fresh map[string]bool) {
	r.had = append(r.had, had{before.covers, before.access})
	if len(r.gained[sub]) == 0 {
		return
	}
	var brought filterIndex
	var pieces []string
	for piece, yes := range fresh {
		if yes {
			brought.add(piece)
			pieces = append(pieces, piece)
		}
	}
	f := fetch{sub: sub}
	for _, filter := range r.gained[sub] {
		if piece, overlaps := brought.overlapping(filter); !overlaps || !frames.Covers(piece, filter) {
			f.filters = append(f.filters, filter)
		}
	}
	if len(f.filters) == 0 {
		return
	}
	f.filters = disjoint(f.filters) // or a message would come by two
	for _, filter := range f.filters {
		if _, overlaps := brought.overlapping(filter); overlaps {
			f.had = append(f.had, had{filters: pieces})
			break
		}
	}
	if slices.ContainsFunc(f.filters, before.meets) {
		f.had = append(f.had, had{before.covers, before.access})
	}
	r.fetches = append(r.fetches, f)
	r.again = r.again || len(f.had) > 0
}

// meets reports whether n may have covered topics of filter.
func (n narrowed) meets(filter string) bool {
	if n.access != nil {
		if allowed, complete := n.access.Narrow(filter, 1); complete && len(allowed) == 0 {
			return false
		}
	}
	return slices.ContainsFunc(n.covers, func(cover string) bool { return frames.Overlaps(cover, filter) })
}

// fetched is what a filter fetches, and of which review that is.
type fetched struct {
	fetch
	step
}

// keep notes that h fetches f, in a review that makes this step. b.mu is held.
func (b *subscriptions) keep(h *heldFilter, f fetch, p step) {
	h.fetched = &fetched{f, p}
	b.fetched = append(b.fetched, h)
	steps := 1
	for i := len(b.fetched) - 1; i > 0; i-- {
		if b.fetched[i-1].fetched.step == b.fetched[i].fetched.step {
			continue
		}
		if steps++; steps > maxStepsKept {
			for _, old := range b.fetched[:i] {
				old.fetched = nil
			}
			b.fetched = slices.Clone(b.fetched[i:])
			return
		}
	}
}

// unwanted reports whether h, which fetches, brings a retained message that is not new by it: the client has
// it, or it was allowed later and another fetch brings it.
func (h *heldFilter) unwanted(topicName []byte) bool {
	return h.fetched != nil && (!h.fetched.to.Receive(topicName).Allowed || anyHas(h.fetched.had, topicName))
}

// fetching reports whether a retained message that comes with this Subscription Identifier (0: none) is one that a
// fetch brings, which is not answered yet. b.mu is held.
func (b *subscriptions) fetching(id uint32, topicName []byte) bool {
	return slices.ContainsFunc(b.fetched, func(h *heldFilter) bool {
		return h.waiting > 0 && h.owners[0].id == id && h.fetched.isNew(topicName) && had{filters: h.fetched.filters}.has(topicName)
	})
}

// tooEarly reports whether the next review is to bring a retained message, so that what brings it now, asked for
// before, must not. b.mu is held.
func (b *subscriptions) tooEarly(topicName []byte, access *policy.Access) bool {
	return b.reviewed != nil && b.reviewed != access && len(b.asked) > 0 && !b.reviewed.Receive(topicName).Allowed
}
