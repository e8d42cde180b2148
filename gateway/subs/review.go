package subs

import (
	"slices"
	"strings"

	"topicgate/frames"
	"topicgate/policy"
)

// Review plans what makes the subscriptions upstream follow the policy: access is what may be done now.
func (n Turn) Review(access *policy.Access) *Plan {
	p := n.plan()
	p.review(access)
	return p.finish()
}

func (p *Plan) review(access *policy.Access) {
	p.step = step{p.reviewed, access}
	p.reviewed = access
	since := gains{access: access}
	for _, s := range p.t.following() {
		if s.refused {
			p.remove(s, -1)
			continue
		}
		c := &change{s: s, asked: s.Subscription, id: s.id, now: p.narrow(s, access)}
		p.gained = p.t.gainedBy(s, c.now, &since)
		same := slices.Equal(s.covers, c.now.covers)
		if !same {
			p.Covers = append(p.Covers, coverageOf(s.TopicFilter, c.now.covers))
		}
		if c.kept = same && s.holds(c.now.pieces); c.kept {
			p.fetchGained(c, &pieces{})
		} else {
			p.assign(c, -1, onlyChanges)
		}
		p.gained = nil
		p.change(c)
	}
}

// holds reports whether these are the pieces of s, and the broker has them as far as one knows.
func (s *subscription) holds(filters []string) bool {
	if len(s.pieces) != len(filters) {
		return false
	}
	for i, h := range s.pieces {
		if h.filter != filters[i] || h.refused || h.lost {
			return false
		}
	}
	return true
}

// following is the subscriptions that follow the policy, in an order that does not change.
func (t *Table) following() []*subscription {
	list := make([]*subscription, 0, len(t.asked))
	for _, s := range t.asked {
		if !Reserved(s.rest) {
			list = append(list, s)
		}
	}
	slices.SortFunc(list, func(x, y *subscription) int { return strings.Compare(x.TopicFilter, y.TopicFilter) })
	return list
}

// narrow is what of s may be read with access.
func (p *Plan) narrow(s *subscription, access *policy.Access) narrowed {
	t := p.t
	whole := narrowed{covers: []string{s.rest}, pieces: []string{s.group + s.rest}, access: access}
	if !t.settings.Dialect.TakesTopicFilter(s.TopicFilter) {
		return narrowed{access: access} // recorded when the operator had not said yet which broker it is
	}
	if t.settings.Strict {
		if !access.Subscribe(s.rest).Allowed {
			return narrowed{access: access}
		}
		return whole
	}
	// What there is no room for need not be found.
	before := 0
	for _, h := range s.pieces {
		before += weigh(h.filter)
	}
	room := max(before, maxWeight-t.weight-p.weight+before)
	covers, complete := access.Narrow(s.rest, min(t.settings.NarrowMax, max(1, room/filterOverhead)))
	if !complete {
		whole.over = true
		return whole // cut at delivery
	}
	// A filter that is longer than any topic has none to match, and what a rule or a set says in words that mean something
	// else to the broker has none there.
	covers = slices.DeleteFunc(covers, func(filter string) bool {
		return len(filter) > frames.MaxStringBytes || !t.settings.Dialect.TakesTopicFilter(filter)
	})
	now := narrowed{covers: covers, pieces: disjoint(covers), access: access}
	if now.pieces == nil && len(covers) > 0 {
		whole.over = true
		return whole
	}
	if s.group != "" {
		now.pieces = slices.Clone(now.pieces)
		for i, piece := range now.pieces {
			now.pieces[i] = s.group + piece
		}
	}
	weight := 0
	for _, piece := range now.pieces {
		weight += weigh(piece)
		whole.over = whole.over || len(piece) > t.longestFilter()
	}
	if whole.over = whole.over || weight > room; whole.over {
		return whole
	}
	return now
}
