package session

import (
	"slices"

	"topicgate/frames"
	"topicgate/policy"
)

// Subscription Identifiers of the gateway's own stand for a held filter that several subscriptions share, and
// for one that only fetches retained messages. The client never sees them.
const (
	maxSubscriptionID = 268435455 // section 3.8.2.1.2
	manyAliases       = 64        // from so many on, identifiers that are no longer in use are used again
)

// newAlias finds an identifier for h. b.mu is held.
func (b *subscriptions) newAlias(h *heldFilter) uint32 {
	if b.aliases == nil {
		b.aliases = map[uint32]*heldFilter{}
	}
	b.rewritten.Store(true)
	if len(b.aliases) >= manyAliases {
		for id, old := range b.aliases {
			if !old.fetch && b.held[old.filter] != old || old.fetch && old.waiting == 0 {
				b.aliases[id] = h
				return id
			}
		}
	}
	taken := make(map[uint32]bool, len(b.asked))
	for _, sub := range b.asked {
		taken[sub.id] = true
	}
	id := uint32(maxSubscriptionID)
	for taken[id] || b.aliases[id] != nil {
		id--
	}
	b.aliases[id] = h
	return id
}

// adopt takes over the alias that h has in a resumed MQTT Session. b.mu is held.
func (b *subscriptions) adopt(h *heldFilter) {
	if b.aliases == nil {
		b.aliases = map[uint32]*heldFilter{}
	}
	b.aliases[h.id] = h
	b.rewritten.Store(true)
}

// identifierOf is the Subscription Identifier under which h is held upstream: its owners', if it is the
// same. b.mu is held.
func (b *subscriptions) identifierOf(h *heldFilter) uint32 {
	if b.aliases[h.id] == h {
		return h.id
	}
	id := h.owners[0].id
	for _, o := range h.owners {
		if o.id != id {
			return b.newAlias(h)
		}
	}
	if b.aliases[id] != nil { // the client has come upon it itself
		return b.newAlias(h)
	}
	return id
}

// identifiers reports whether Subscription Identifiers can be used.
func (s *Session) identifiers() bool { return s.version == frames.V5 && !s.subs.withoutIDs }

// rewritesIDs reports whether some messages carry a Subscription Identifier that stands for others.
func (b *subscriptions) rewritesIDs() bool { return b.rewritten.Load() }

// rewriteIDs replaces identifiers of the gateway's own by those that they stand for [MQTT-3.3.4-4]. again
// means that the message is none that the client lacks: it came for a filter of the gateway's making, or is a
// retained one that comes another time. access is what may be read now.
func (b *subscriptions) rewriteIDs(publish *frames.Publish, topicName []byte, access *policy.Access) (changed, again bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	stored := publish.Retain && !b.flagged // it comes for a SUBSCRIBE
	if stored && b.tooEarly(topicName, access) || publish.Retain && b.hushed(topicName) {
		return false, true
	}
	superfluous := func(p frames.Property) bool {
		if h := b.aliases[p.Uint()]; h != nil {
			return h.superfluous(publish, topicName)
		}
		return stored && b.fetching(p.Uint(), topicName)
	}
	again, without := true, true
	for p := range publish.Properties.All() {
		if p.ID == frames.PropSubscriptionIdentifier {
			without = false
			unwanted := superfluous(p)
			changed = changed || unwanted || b.aliases[p.Uint()] != nil
			again = again && unwanted
		}
	}
	if without {
		return false, stored && b.fetching(0, topicName)
	}
	if !changed || again {
		return false, again
	}
	var properties frames.Properties
	for p := range publish.Properties.All() {
		if p.ID == frames.PropSubscriptionIdentifier && superfluous(p) {
			continue
		}
		h := b.aliases[p.Uint()]
		if p.ID != frames.PropSubscriptionIdentifier || h == nil {
			properties = append(properties, p.Encoded...)
			continue
		}
		owners := h.owners
		if len(owners) == 0 {
			owners = h.former
		}
		for _, o := range owners {
			if o.id != 0 && b.asked[o.TopicFilter] == o {
				properties = properties.AppendUint(frames.PropSubscriptionIdentifier, o.id)
			}
		}
	}
	publish.Properties = properties
	return true, false
}

// superfluous reports whether h brings this message though it is not wanted of it.
func (h *heldFilter) superfluous(publish *frames.Publish, topicName []byte) bool {
	return h.fetch && (!publish.Retain && !h.live || publish.Retain && h.unwanted(topicName))
}

// quiet keeps retained messages from a client that has them: without identifiers one cannot tell by which
// filter they come. It belongs to a review and lasts until the broker's answer to its last packet.
type quiet struct {
	had   []had           // what the review brings again; from the answer to its first packet on
	begun bool            // that has come
	step  step            // what is new comes once,
	seen  map[string]bool // of these topics it has
}

// maxSeen bounds the topics that a review remembers: what comes by it and by something older, and is
// beyond, comes twice.
const maxSeen = 1024

// hushed reports whether a retained message is to be kept from the client. b.mu is held.
func (b *subscriptions) hushed(topicName []byte) bool {
	if slices.ContainsFunc(b.quiet, func(q *quiet) bool { return q.begun && anyHas(q.had, topicName) }) {
		return true
	}
	for _, q := range slices.Backward(b.quiet) {
		if !q.step.isNew(topicName) {
			continue
		}
		if q.seen[string(topicName)] {
			return true
		}
		if q.seen == nil {
			q.seen = map[string]bool{}
		}
		if len(q.seen) < maxSeen {
			q.seen[string(topicName)] = true
		}
		return false
	}
	return false
}

// hush begins, unhush ends a time of quiet; none is nil. b.mu is held.
func (b *subscriptions) hush(q *quiet) {
	if q != nil {
		q.begun = true
	}
}

func (b *subscriptions) unhush(q *quiet) {
	if q != nil {
		b.quiet = slices.DeleteFunc(b.quiet, func(o *quiet) bool { return o == q })
	}
}
