package integration

import (
	"fmt"
	"slices"
	"strings"

	"topicgate/frames"
)

// The model says, from what back ends wrote and what clients asked for, who may read what and what must have
// arrived. It knows nothing of pieces, reviews or brokers.

// rules is who may read what, for one user: filters in which {rooms} stands for each room.
type rules struct{ allow, deny []string }

// add takes over a rule line; those that let somebody write are none of the model's business.
func (r *rules) add(line string) {
	switch word, filter, _ := strings.Cut(line, " "); word {
	case "read":
		r.allow = append(r.allow, filter)
	case "deny":
		r.deny = append(r.deny, filter)
	}
}

// expanded is the same with the rooms written out.
func (r rules) expanded(rooms map[string]bool) (e rules) {
	each := func(filters []string) (out []string) {
		for _, f := range filters {
			if !strings.Contains(f, "{rooms}") {
				out = append(out, f)
				continue
			}
			for room, member := range rooms {
				if member {
					out = append(out, strings.ReplaceAll(f, "{rooms}", room))
				}
			}
		}
		return out
	}
	return rules{allow: each(r.allow), deny: each(r.deny)}
}

func matchedBy(filters []string, topic string) bool {
	return slices.ContainsFunc(filters, func(f string) bool { return frames.Match(f, topic) })
}

func (r rules) reads(topic string) bool {
	return matchedBy(r.allow, topic) && !matchedBy(r.deny, topic)
}

// reachable reports whether the rules could allow something of filter, with other rooms.
func (r rules) reachable(filter string) bool {
	return slices.ContainsFunc(r.allow, func(f string) bool {
		return frames.Overlaps(strings.ReplaceAll(f, "{rooms}", "+"), filter)
	})
}

// verdict is what a model can say of something: it must not be, may be, or must be.
type verdict int

const (
	never verdict = iota
	maybe
	always
)

// whole is whether all of filter is inside what the rules allow. Of several rules that might cover it only
// together the model says nothing.
func (r rules) whole(filter string, topics []string) verdict {
	if slices.ContainsFunc(r.deny, func(f string) bool { return frames.Covers(f, filter) }) {
		return never
	}
	if slices.ContainsFunc(r.allow, func(f string) bool { return frames.Covers(f, filter) }) {
		return always
	}
	for _, topic := range topics {
		if frames.Match(filter, topic) && !matchedBy(r.allow, topic) {
			return never
		}
	}
	return maybe
}

// wish is a subscription that a client was granted.
type wish struct {
	filter string // without the share group
	shared bool
	qos    frames.QoS
	retain uint8 // Retain Handling
	id     uint32
}

// copies is how one message may have come: the least and the most of each Subscription Identifier, and of
// packets. A client of 3.x sees packets only.
type copies struct {
	ids      map[uint32][2]int
	min, max int
	qos      frames.QoS // at least one packet has it; only where a packet must come
}

// wants adds that the subscription brings the message.
func (c *copies) wants(w wish, v verdict, published frames.QoS) {
	if v == never {
		return
	}
	if c.ids == nil {
		c.ids = map[uint32][2]int{}
	}
	bounds := c.ids[w.id]
	bounds[1]++
	c.max++
	if v == always {
		bounds[0]++
		c.min = 1
		c.qos = max(c.qos, min(w.qos, published))
	}
	c.ids[w.id] = bounds
}

// check compares what has come, as packets, with what is wanted.
func (c *copies) check(packets []frames.Publish, v frames.Version) error {
	if n := len(packets); n < c.min || n > c.max {
		return fmt.Errorf("came %d times; want %d to %d", n, c.min, c.max)
	}
	if v != frames.V5 || len(packets) == 0 {
		return nil
	}
	seen := map[uint32]int{}
	qos := frames.QoS(0)
	for _, p := range packets {
		qos = max(qos, p.QoS)
		for property := range p.Properties.All() {
			if property.ID == frames.PropSubscriptionIdentifier {
				seen[property.Uint()]++
			}
		}
	}
	for id, n := range seen {
		if bounds := c.ids[id]; n > bounds[1] {
			return fmt.Errorf("came %d times for Subscription Identifier %d; want at most %d", n, id, bounds[1])
		}
	}
	for id, bounds := range c.ids {
		if id != 0 && seen[id] < bounds[0] {
			return fmt.Errorf("came %d times for Subscription Identifier %d; want %d", seen[id], id, bounds[0])
		}
	}
	if c.min > 0 && qos < c.qos {
		return fmt.Errorf("came with QoS %d; want %d", qos, c.qos)
	}
	return nil
}
