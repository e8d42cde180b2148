package gateway

import (
	"slices"

	"topicgate/frames"
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
func (s *session) identifiers() bool { return s.version == frames.V5 && !s.subs.withoutIDs }

// rewritesIDs reports whether some messages carry a Subscription Identifier that stands for others.
func (b *subscriptions) rewritesIDs() bool { return b.rewritten.Load() }

// rewriteIDs replaces identifiers of the gateway's own by those that they stand for [MQTT-3.3.4-4]. again
// means that the message came for a filter of the gateway's making, and is none that the client lacks.
func (b *subscriptions) rewriteIDs(publish *frames.Publish, topicName []byte) (changed, again bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if publish.Retain && slices.ContainsFunc(b.quiet, func(q *quiet) bool { return matchesOne(q.filters, topicName) }) {
		return false, true
	}
	again = true
	for p := range publish.Properties.All() {
		if p.ID == frames.PropSubscriptionIdentifier {
			h := b.aliases[p.Uint()]
			changed = changed || h != nil
			again = again && h != nil && h.superfluous(publish, topicName)
		}
	}
	if !changed || again {
		return false, changed && again
	}
	var properties frames.Properties
	for p := range publish.Properties.All() {
		h := b.aliases[p.Uint()]
		switch {
		case p.ID != frames.PropSubscriptionIdentifier || h == nil:
			properties = append(properties, p.Encoded...)
			continue
		case h.superfluous(publish, topicName):
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
	return h.fetch && (!publish.Retain && !h.live || publish.Retain && matchesOne(h.had, topicName))
}

func matchesOne(filters []string, topicName []byte) bool {
	return slices.ContainsFunc(filters, func(filter string) bool { return frames.Match(filter, topicName) })
}

// quiet keeps retained messages that match filters from a client which has had them: without identifiers
// one cannot tell by which filter they come. It lasts from the broker's answer to the first packet of the
// review that brings them to that to the last.
type quiet struct{ filters []string }

// hush begins, unhush ends a time of quiet; none is nil. b.mu is held.
func (b *subscriptions) hush(q *quiet) {
	if q != nil {
		b.quiet = append(b.quiet, q)
		b.rewritten.Store(true)
	}
}

func (b *subscriptions) unhush(q *quiet) {
	if q != nil {
		b.quiet = slices.DeleteFunc(b.quiet, func(o *quiet) bool { return o == q })
		b.rewritten.Store(len(b.aliases) > 0 || len(b.quiet) > 0)
	}
}
