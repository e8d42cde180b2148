package subs

import (
	"strings"

	"topicgate/frames"
	"topicgate/gateway/dialect"
	"topicgate/policy"
)

// Subscribe plans what becomes of a SUBSCRIBE: each filter is judged on its own by access, what may be done now,
// and what is left of it is asked for. A filter that stands in it several times counts as it stands last [MQTT-3.8.4-3].
func (n Turn) Subscribe(s *frames.Subscribe, access *policy.Access) *Plan {
	p := n.plan()
	p.id, _ = s.Properties.Uint(frames.PropSubscriptionIdentifier)
	p.exchange = newExchange(frames.TypeSuback, s.PacketID, len(s.Filters))
	p.relayed(len(s.Filters), func(i int, e entry) bool { return e.options == s.Filters[i] })
	if n.Empty() || p.reviewed == nil {
		p.reviewed = access
	}
	asks := make(map[string]int32, len(s.Filters)) // by filter
	last := make([]frames.Subscription, 0, len(s.Filters))
	for slot, asked := range s.Filters {
		ask, again := asks[asked.TopicFilter]
		if !again {
			ask = int32(len(last))
			asks[asked.TopicFilter] = ask
			last = append(last, asked)
		}
		last[ask] = asked
		p.exchange.slot(slot, ask, asked.QoS)
	}
	for i, asked := range last {
		p.ask(asked, int32(i), access)
	}
	return p.finish()
}

// ask judges one filter and assigns what is left of it.
func (p *Plan) ask(asked frames.Subscription, ask int32, access *policy.Access) {
	if code := p.judge(asked, access); code != frames.Success {
		p.exchange.settle(ask, code)
		return
	}
	p.Allowed = append(p.Allowed, asked)
	s := p.t.asked[asked.TopicFilter]
	c := &change{s: s, asked: asked, id: p.id}
	if c.isNew = s == nil; c.isNew {
		s = &subscription{Subscription: asked, rest: asked.TopicFilter}
		if _, rest, shared := frames.SplitShare(asked.TopicFilter); shared {
			s.group, s.rest = strings.TrimSuffix(asked.TopicFilter, rest), rest
		}
		c.s = s
		p.weight += weigh(asked.TopicFilter)
		p.more++
	}
	if Reserved(s.rest) {
		p.exchange.settle(ask, frames.Success) // QoS 0 is all that the gateway's own topics have
		p.change(c)
		return
	}
	c.now = p.narrow(s, p.reviewed)
	p.Covers = append(p.Covers, coverageOf(asked.TopicFilter, c.now.covers))
	p.assign(c, ask, askAgain)
	switch {
	case len(c.now.pieces) == 0:
		p.exchange.settle(ask, frames.ReasonCode(asked.QoS))
	case c.isNew || p.asking(s):
		c.new = true
		p.exchange.makes(ask, s)
	}
	p.change(c)
}

// asking reports whether the SUBSCRIBE that made s is not answered yet.
func (p *Plan) asking(s *subscription) bool {
	p.t.mu.Lock()
	defer p.t.mu.Unlock()
	return s.asker != nil
}

// change adds what becomes of a subscription.
func (p *Plan) change(c *change) {
	if p.changed == nil {
		p.changed = map[*subscription]*change{}
	}
	p.changed[c.s] = c
	p.subscriptions = append(p.subscriptions, c)
}

// judge says whether the client may have a subscription: Success, or the Reason Code of the SUBACK.
func (p *Plan) judge(asked frames.Subscription, access *policy.Access) frames.ReasonCode {
	refuse := func(v5 frames.ReasonCode, d policy.Decision) frames.ReasonCode {
		p.Refused = append(p.Refused, Refusal{asked, d})
		if p.t.terms.Version == frames.V5 {
			return v5
		}
		return frames.UnspecifiedError // 0x80 Failure; 3.1 has no such code, and nothing better
	}
	if p.full(asked.TopicFilter) {
		return refuse(frames.QuotaExceeded, policy.Decision{Reason: "quota"})
	}
	_, rest, shared := frames.SplitShare(asked.TopicFilter)
	if Reserved(rest) {
		if served(asked.TopicFilter) {
			return frames.Success
		}
		return refuse(frames.NotAuthorized, policy.Decision{Reason: "reserved_topic"})
	}
	if shared && !p.t.settings.Dialect.Shares() {
		return refuse(frames.SharedSubscriptionsNotSupported, policy.Decision{Reason: dialect.Reason})
	}
	if !p.t.settings.Dialect.TakesTopicFilter(asked.TopicFilter) {
		return refuse(frames.TopicFilterInvalid, policy.Decision{Reason: dialect.Reason})
	}
	if !p.t.settings.Strict && access.Reachable(rest) {
		return frames.Success
	}
	d := access.Subscribe(rest)
	if p.t.settings.Strict && d.Allowed {
		return frames.Success
	}
	return refuse(frames.NotAuthorized, d)
}

// full reports whether a subscription to filter would be one too many.
func (p *Plan) full(filter string) bool {
	if p.t.asked[filter] != nil {
		return false
	}
	limit := p.t.settings.MaxSubscriptions
	return limit > 0 && len(p.t.asked)+p.more >= limit || p.t.weight+p.weight > maxWeight
}

// Unsubscribe plans what becomes of an UNSUBSCRIBE, which undoes just what was asked for.
func (n Turn) Unsubscribe(u *frames.Unsubscribe) *Plan {
	p := n.plan()
	p.exchange = newExchange(frames.TypeUnsuback, u.PacketID, len(u.TopicFilters))
	p.relayed(len(u.TopicFilters), func(i int, e entry) bool { return e.options.TopicFilter == u.TopicFilters[i] })
	seen := make(map[string]bool, len(u.TopicFilters))
	for slot, filter := range u.TopicFilters {
		ask := int32(slot)
		p.exchange.slot(slot, ask, 0)
		s := p.t.asked[filter]
		switch {
		case seen[filter]:
			p.exchange.settle(ask, frames.NoSubscriptionExisted)
		case s != nil:
			p.exchange.settle(ask, frames.Success)
			p.remove(s, ask)
		case p.t.held[filter] != nil || Reserved(filter):
			// The gateway's own piece of another subscription: the client never had it.
			p.exchange.settle(ask, frames.NoSubscriptionExisted)
		case !p.t.settings.Dialect.TakesTopicFilter(filter): // the broker would take it for one that is held
			p.exchange.settle(ask, frames.NoSubscriptionExisted)
		default: // from before this connection, perhaps
			p.unknown = append(p.unknown, entry{options: frames.Subscription{TopicFilter: filter}, asks: []int32{ask}})
		}
		seen[filter] = true
	}
	return p.finish()
}

// remove plans the end of a subscription.
func (p *Plan) remove(s *subscription, ask int32) {
	c := &change{s: s, gone: true, asked: s.Subscription, id: s.id}
	p.assign(c, ask, onlyChanges)
	p.change(c)
}

// relayed notes by what one knows that the plan comes to the client's packet, as it is.
func (p *Plan) relayed(filters int, same func(i int, e entry) bool) {
	p.same = func() bool {
		if len(p.packets) != 1 || p.packets[0].kind+1 != p.exchange.answer || p.packets[0].id != p.id || len(p.packets[0].entries) != filters {
			return false
		}
		for i, e := range p.packets[0].entries {
			if !same(i, e) {
				return false
			}
		}
		return true
	}
}

func coverageOf(filter string, covers []string) Coverage {
	return Coverage{Filter: filter, Covers: append([]string{}, covers...)}
}
