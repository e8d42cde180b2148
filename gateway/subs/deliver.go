package subs

import (
	"topicgate/frames"
	"topicgate/policy"
)

// Deliver says what becomes of a PUBLISH of the broker's that may be read with access. withheld: the client does not
// get it, since it came for a filter of the gateway's making, or is a retained one that comes another time.
// changed: publish has other properties now. topicName is what publish is of, its Topic Alias resolved.
func (t *Table) Deliver(publish *frames.Publish, topicName []byte, access *policy.Access) (changed, withheld bool) {
	if !t.rewrites.Load() && !publish.Retain {
		return false, false
	}
	return t.deliver(publish, topicName, access)
}

func (t *Table) deliver(publish *frames.Publish, topicName []byte, access *policy.Access) (changed, withheld bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	stored := publish.Retain && !t.flagged // it comes for a SUBSCRIBE
	if stored && t.tooEarly(topicName, access) || publish.Retain && t.catchUp.drops(topicName) {
		return false, true
	}
	superfluous := func(id uint32) bool {
		if h := t.aliases.of(id); h != nil {
			return h.fetch != nil && h.fetch.superfluous(publish, topicName)
		}
		return stored && t.catchUp.brings(id, topicName)
	}
	withheld, without := true, true
	for p := range publish.Properties.All() {
		if p.ID == frames.PropSubscriptionIdentifier {
			without = false
			unwanted := superfluous(p.Uint())
			changed = changed || unwanted || t.aliases.of(p.Uint()) != nil || t.aliases.strange(p.Uint())
			withheld = withheld && unwanted
		}
	}
	if without {
		return false, stored && t.catchUp.brings(0, topicName)
	}
	if !changed || withheld {
		return false, withheld
	}
	t.rewrite(publish, superfluous)
	return true, false
}

// rewrite puts those that they stand for in place of the gateway's own Subscription Identifiers [MQTT-3.3.4-4].
// t.mu is held.
func (t *Table) rewrite(publish *frames.Publish, superfluous func(id uint32) bool) {
	var properties frames.Properties
	for p := range publish.Properties.All() {
		if p.ID == frames.PropSubscriptionIdentifier && (superfluous(p.Uint()) || t.aliases.strange(p.Uint())) {
			continue
		}
		h := t.aliases.of(p.Uint())
		if p.ID != frames.PropSubscriptionIdentifier || h == nil {
			properties = append(properties, p.Encoded...)
			continue
		}
		for _, s := range h.heardBy() {
			if s.id != 0 && t.asked[s.TopicFilter] == s {
				properties = properties.AppendUint(frames.PropSubscriptionIdentifier, s.id)
			}
		}
	}
	publish.Properties = properties
}

// heardBy is the subscriptions that messages of h are for.
func (h *held) heardBy() []*subscription {
	switch {
	case h.fetch != nil:
		return []*subscription{h.fetch.s}
	case len(h.owners.list) > 0:
		return h.owners.list
	}
	return h.former
}
