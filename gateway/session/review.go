package session

import (
	"slices"
	"strings"

	"topicgate/frames"
	"topicgate/policy"
)

// narrow is what of sub may be read with access. s.subs.order is held, s.subs.mu is not: it can take a
// while.
func (s *Session) narrow(sub *subscription, access *policy.Access) narrowed {
	whole := narrowed{covers: []string{sub.rest}, pieces: []string{sub.TopicFilter}, access: access}
	if s.host.SubscribeMode == SubscribeStrict {
		if !access.Subscribe(sub.rest).Allowed {
			return narrowed{access: access}
		}
		return whole
	}
	covers, complete := access.Narrow(sub.rest, s.host.NarrowMax)
	if !complete {
		whole.over = true
		return whole // cut at delivery
	}
	// A filter that is longer than any topic has none to match.
	covers = slices.DeleteFunc(covers, func(filter string) bool { return len(filter) > frames.MaxStringBytes })
	n := narrowed{covers: covers, pieces: disjoint(covers), access: access}
	if sub.group != "" {
		n.pieces = slices.Clone(n.pieces)
		for i, piece := range n.pieces {
			n.pieces[i] = sub.group + piece
		}
	}
	weight := 0
	for _, piece := range n.pieces {
		weight += weigh(piece)
		if len(piece) > s.longestFilter() {
			whole.over = true
		}
	}
	if whole.over || !s.subs.bears(sub, weight) {
		whole.over = true
		return whole
	}
	return n
}

// longestFilter is how many bytes of filter a SUBSCRIBE to the broker can hold.
func (s *Session) longestFilter() int {
	return min(frames.MaxStringBytes, s.brokerMaximum-packetOverhead-3)
}

// bears reports whether sub's pieces may weigh this much.
func (b *subscriptions) bears(sub *subscription, weight int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, piece := range sub.pieces {
		weight -= weigh(piece)
	}
	return weight <= 0 || b.weight+weight <= maxSubscriptionBytes
}

// requestReview has the subscriptions reviewed soon.
func (s *Session) requestReview() {
	if s.subs.requested.want() {
		s.host.reviewers.add(s)
	}
}

// reviewedWith is what a new subscription is narrowed by: the Access of all the others, though a review may be
// due, so that it is the review that brings what is new to any of them; access if there are none.
func (b *subscriptions) reviewedWith(access *policy.Access) *policy.Access {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.asked) == 0 || b.reviewed == nil {
		b.reviewed = access
	}
	return b.reviewed
}

// review makes the subscriptions upstream follow the policy. It calls wait before anything that may take long
// for another reason than that there is much to do.
func (s *Session) review(wait func()) {
	b := &s.subs
	if !b.order.TryLock() {
		wait()
		b.order.Lock()
	}
	defer b.order.Unlock()
	if s.left.Load() {
		return // the broker hears nothing after DISCONNECT
	}
	access := s.access()
	subs := b.list()
	results := make([]narrowed, len(subs))
	r := request{version: s.version, identifiers: s.identifiers(), gained: map[*subscription][]string{}, longest: s.longestFilter()}
	since := gains{access: access}
	for i, sub := range subs {
		results[i] = s.narrow(sub, access)
		if filters := s.gained(sub, results[i], &since); len(filters) > 0 {
			r.gained[sub] = filters
		}
	}

	var changed []coverage
	b.mu.Lock()
	r.step = step{b.reviewed, access}
	b.reviewed = access
	for i, sub := range subs {
		n := results[i]
		if sub.refused {
			b.remove(sub, &r, -1)
			continue
		}
		if !slices.Equal(sub.covers, n.covers) {
			changed = append(changed, coverageOf(sub.TopicFilter, n))
		} else if slices.Equal(sub.pieces, n.pieces) {
			before := sub.narrowed
			sub.narrowed = n
			r.fetchGained(sub, before, nil)
			continue
		}
		b.assign(sub, n, &r, -1, onlyChanges)
	}
	all := b.plan(&r)
	b.sending = len(all) > 0
	b.mu.Unlock()

	if len(all) > 0 || len(changed) > 0 {
		wait()
	}
	if len(all) > 0 {
		_, err := s.send(all, nil, nil)
		if err == nil {
			if err = s.upstream.Flush(); err != nil {
				err = s.brokerWriteError(err)
			}
		}
		b.sent(err == nil)
		if err != nil {
			s.finish(err)
			return
		}
	}
	s.remember()
	if len(changed) > 0 && s.tellAccess(changed) == nil {
		_ = s.client.Flush() // a failure shows itself to the pumps
	}
}

// sent notes that a review has told the broker what it changed, or could not.
func (b *subscriptions) sent(heard bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sending = false
	b.unheard = b.unheard || !heard
	b.init()
	b.changed.Broadcast()
}

// awaitSent returns when no review is sending. When the session has ended that takes no longer than a write may.
func (b *subscriptions) awaitSent() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.sending {
		b.changed.Wait()
	}
}

// list is the subscriptions that follow the policy, in an order that does not change.
func (b *subscriptions) list() []*subscription {
	b.mu.Lock()
	defer b.mu.Unlock()
	subs := make([]*subscription, 0, len(b.asked))
	for _, sub := range b.asked {
		if !sub.local() {
			subs = append(subs, sub)
		}
	}
	slices.SortFunc(subs, func(x, y *subscription) int { return strings.Compare(x.TopicFilter, y.TopicFilter) })
	return subs
}
