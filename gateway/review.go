package gateway

import (
	"slices"

	"topicgate/frames"
	"topicgate/policy"
)

// judgeFilter says whether the client may have a subscription: Success, or the Reason Code of the
// SUBACK. s.subs.order is held.
func (s *session) judgeFilter(asked frames.Subscription) frames.ReasonCode {
	refused := func(v5 frames.ReasonCode, reason string, rule *policy.Rule) frames.ReasonCode {
		s.rejectSubscribe(asked, reason, rule)
		if s.version == frames.V5 {
			return v5
		}
		return frames.UnspecifiedError // 0x80 Failure; 3.1 has no such code, and nothing better
	}
	if s.subs.full(asked.TopicFilter, s.server.options.MaxSubscriptions) {
		return refused(frames.QuotaExceeded, "quota", nil)
	}
	rest := asked.TopicFilter
	if _, r, shared := frames.SplitShare(rest); shared {
		rest = r
	}
	if reserved(rest) {
		if reservedFilter(asked.TopicFilter) {
			return frames.Success
		}
		return refused(frames.NotAuthorized, "reserved_topic", nil)
	}
	access := s.access()
	if s.server.options.SubscribeMode == SubscribeStrict {
		if d := access.Subscribe(rest); !d.Allowed {
			return refused(frames.NotAuthorized, reasonOf(d), d.Rule)
		}
		return frames.Success
	}
	if !access.Reachable(rest) {
		d := access.Subscribe(rest)
		return refused(frames.NotAuthorized, reasonOf(d), d.Rule)
	}
	return frames.Success
}

// piecesOf is what sub is upstream now.
func (s *session) piecesOf(sub *subscription) []string {
	access := s.access()
	if s.server.options.SubscribeMode == SubscribeStrict {
		if !access.Subscribe(sub.rest).Allowed {
			return nil
		}
		return []string{sub.TopicFilter}
	}
	pieces, complete := access.Narrow(sub.rest, s.server.options.NarrowMax)
	if !complete {
		return []string{sub.TopicFilter} // cut at delivery
	}
	pieces = disjoint(pieces)
	if sub.group != "" {
		for i, piece := range pieces {
			pieces[i] = sub.group + piece
		}
	}
	return pieces
}

// requestReview has the subscriptions reviewed soon. Requests that come while a review runs make one
// more of it.
func (s *session) requestReview() {
	if s.reviews.Add(1) > 1 {
		return
	}
	go func() {
		for {
			seen := s.reviews.Load()
			s.review()
			if s.reviews.CompareAndSwap(seen, 0) {
				return
			}
		}
	}()
}

// review makes the subscriptions upstream follow the policy.
func (s *session) review() {
	s.subs.order.Lock()
	defer s.subs.order.Unlock()
	defer s.remember()
	var dropped outgoing
	joined := map[uint32]*outgoing{} // by Subscription Identifier, of which a packet has but one
	var order []uint32
	var changed []coverage
	s.subs.mu.Lock()
	for _, sub := range s.subs.asked {
		if sub.local() {
			continue
		}
		before, pieces := sub.pieces, s.piecesOf(sub)
		if slices.Equal(before, pieces) {
			continue
		}
		for _, piece := range s.subs.own(sub, pieces) {
			dropped.add(piece, frames.Subscription{}, -1)
		}
		changed = append(changed, coverageOf(sub))
		for _, piece := range pieces {
			h := s.subs.held[piece]
			before, id := h.options, h.id
			if before.TopicFilter == "" {
				id = sub.id
			}
			options := s.subs.optionsOf(piece, sub.Subscription, id)
			if options.QoS == before.QoS && options.NoLocal == before.NoLocal && options.RetainAsPublished == before.RetainAsPublished && before.TopicFilter != "" {
				continue
			}
			if before.TopicFilter != "" {
				options.RetainHandling = 2 // it is there already, with its retained messages
			}
			if joined[id] == nil {
				joined[id] = &outgoing{}
				order = append(order, id)
			}
			joined[id].add(piece, options, -1)
		}
	}
	s.subs.mu.Unlock()

	// A piece that one subscription has let go and another has taken up is not to be lost.
	err := s.sendUnsubscribe(dropped.without(joined), nil, 0)
	for _, id := range order {
		if err != nil {
			break
		}
		var properties frames.Properties
		if id != 0 {
			properties = properties.AppendUint(frames.PropSubscriptionIdentifier, id)
		}
		err = s.sendSubscribe(*joined[id], nil, 0, properties)
	}
	if err == nil {
		err = s.upstream.flush()
	}
	if err != nil {
		s.finish(s.brokerWriteError(err))
		return
	}
	if s.tellAccess(changed) == nil {
		_ = s.client.flush() // a failure shows itself to the pumps
	}
}

// without is o less the filters that are asked for in joined.
func (o *outgoing) without(joined map[uint32]*outgoing) outgoing {
	wanted := map[string]bool{}
	for _, j := range joined {
		for _, filter := range j.filters {
			wanted[filter] = true
		}
	}
	var rest outgoing
	for i, filter := range o.filters {
		if !wanted[filter] {
			rest.add(filter, o.options[i], o.slots[i])
		}
	}
	return rest
}
