package session

import (
	"slices"

	"topicgate/frames"
	"topicgate/gateway/audit"
	"topicgate/policy"
)

// exchange is a SUBSCRIBE or UNSUBSCRIBE of the client's that is being answered.
type exchange struct {
	answer   frames.Type // TypeSuback or TypeUnsuback
	packetID uint16
	reasons  []frames.ReasonCode
	decided  []bool          // of reasons
	subs     []*subscription // that a SUBSCRIBE asks for
	qos      []frames.QoS    // at which
	parts    int             // still to be answered
	relay    bool            // the broker's answer is the client's, byte for byte
}

func newExchange(answer frames.Type, packetID uint16, filters int) *exchange {
	return &exchange{answer: answer, packetID: packetID, reasons: make([]frames.ReasonCode, filters),
		decided: make([]bool, filters), subs: make([]*subscription, filters), qos: make([]frames.QoS, filters)}
}

func failed(code frames.ReasonCode) bool { return code >= frames.UnspecifiedError }

// settle puts the answer for a filter into slot i. A filter that became several is as good as the best of
// them; one that is held for others too is no better than it was asked for.
func (e *exchange) settle(i int, code frames.ReasonCode) {
	if e.answer == frames.TypeSuback && !failed(code) {
		code = min(code, frames.ReasonCode(e.qos[i]))
	}
	old := e.reasons[i]
	if !e.decided[i] || failed(old) && !failed(code) || !failed(code) && code > old {
		e.reasons[i] = code
	}
	e.decided[i] = true
}

// subscribeUp judges each filter of a SUBSCRIBE on its own and sends on what is left of it.
func (s *Session) subscribeUp(p frames.Packet) error {
	subscribe, err := frames.ParseSubscribe(p, s.version)
	if err != nil {
		return s.malformedUp(err)
	}
	if err := s.beginExchange(frames.TypeSubscribe, subscribe.PacketID); err != nil {
		return err
	}
	defer s.rememberNow() // when order is free again
	s.subs.order.Lock()
	defer s.subs.order.Unlock()

	id, _ := subscribe.Properties.Uint(frames.PropSubscriptionIdentifier)
	e := newExchange(frames.TypeSuback, subscribe.PacketID, len(subscribe.Filters))
	r := request{version: s.version, identifiers: s.identifiers()}
	var covers []coverage
	access := s.subs.reviewedWith(s.access())
	for i, asked := range subscribe.Filters {
		if reason := s.judgeFilter(asked); reason != frames.Success {
			e.settle(i, reason)
			continue
		}
		s.auditAllowed(audit.Event{Action: audit.Subscribe, Topic: asked.TopicFilter, QoS: uint8(asked.QoS)})
		sub, isNew := s.subs.put(asked, id)
		if sub.local() {
			e.settle(i, frames.Success) // QoS 0 is all that the gateway's own topics have
			continue
		}
		e.qos[i] = asked.QoS
		n := s.narrow(sub, access)
		s.subs.mu.Lock()
		s.subs.assign(sub, n, &r, i, askAgain)
		if len(n.pieces) == 0 {
			e.settle(i, frames.ReasonCode(asked.QoS))
		} else if e.subs[i] = sub; isNew || sub.asker != nil {
			sub.asker = e
		}
		s.subs.mu.Unlock()
		covers = append(covers, coverageOf(sub.TopicFilter, n))
	}
	if access != s.access() {
		s.requestReview()
	}
	if err := s.tellAccess(covers); err != nil {
		return err
	}
	s.subs.mu.Lock()
	all := s.subs.plan(&r)
	s.subs.mu.Unlock()
	e.relay = len(all) == 1 && all[0].kind == frames.TypeSubscribe && all[0].id == id && len(all[0].entries) == len(subscribe.Filters)
	for i := 0; e.relay && i < len(subscribe.Filters); i++ {
		e.relay = all[0].entries[i].options == subscribe.Filters[i]
	}
	return s.ask(p, all, e, subscribe.Properties)
}

// unsubscribeUp undoes just what was asked for.
func (s *Session) unsubscribeUp(p frames.Packet) error {
	unsubscribe, err := frames.ParseUnsubscribe(p, s.version)
	if err != nil {
		return s.malformedUp(err)
	}
	if err := s.beginExchange(frames.TypeUnsubscribe, unsubscribe.PacketID); err != nil {
		return err
	}
	defer s.rememberNow() // when order is free again
	s.subs.order.Lock()
	defer s.subs.order.Unlock()

	e := newExchange(frames.TypeUnsuback, unsubscribe.PacketID, len(unsubscribe.TopicFilters))
	r := request{version: s.version, identifiers: s.identifiers()}
	s.subs.mu.Lock()
	for i, filter := range unsubscribe.TopicFilters {
		sub := s.subs.asked[filter]
		switch {
		case sub != nil:
			e.settle(i, frames.Success)
			s.subs.remove(sub, &r, i)
		case s.subs.held[filter] != nil || reserved(filter) || slices.Contains(unsubscribe.TopicFilters[:i], filter):
			// The gateway's own piece of another subscription: the client never had it.
			e.settle(i, frames.NoSubscriptionExisted)
		default: // from before this connection, perhaps
			r.unknown = append(r.unknown, entry{options: frames.Subscription{TopicFilter: filter}, slots: []int{i}})
		}
	}
	all := s.subs.plan(&r)
	s.subs.mu.Unlock()

	e.relay = len(all) == 1 && len(all[0].entries) == len(unsubscribe.TopicFilters)
	for i := 0; e.relay && i < len(unsubscribe.TopicFilters); i++ {
		e.relay = all[0].kind == frames.TypeUnsubscribe && all[0].entries[i].options.TopicFilter == unsubscribe.TopicFilters[i]
	}
	return s.ask(p, all, e, unsubscribe.Properties)
}

// ask sends what p, the client's packet of the exchange, has become, or answers it if that is nothing.
// subs.order is held.
func (s *Session) ask(p frames.Packet, all []outgoing, e *exchange, properties frames.Properties) error {
	if e.relay {
		e.parts = 1
		s.expect(e.packetID, &part{answer: e.answer, exchange: e, entries: all[0].entries})
		return s.forwardUp(p.Raw)
	}
	if asked, err := s.send(all, e, properties); asked || err != nil {
		return err
	}
	if err := s.answer(e); err != nil {
		return err
	}
	return s.keepBrokerAwake()
}

// beginExchange waits for its turn and takes the client's Packet Identifier.
func (s *Session) beginExchange(t frames.Type, packetID uint16) error {
	b := &s.subs
	b.mu.Lock()
	b.init()
	if taken := b.parts[packetID]; taken != nil && !s.ids.isOwn(packetID) {
		b.mu.Unlock()
		return s.malformedUp(&frames.Error{Type: t, Code: frames.ProtocolError, Rule: "MQTT-2.2.1-3", Detail: "Packet Identifier in use"})
	}
	full := func() bool { return b.exchanges >= maxOpenExchanges && !b.requested.closed.Load() }
	if full() { // what the broker is to answer must be on its way
		b.mu.Unlock()
		if err := s.upIdle(); err != nil {
			return err
		}
		b.mu.Lock()
	}
	for full() {
		b.changed.Wait()
	}
	b.exchanges++
	b.mu.Unlock()
	if !s.ids.take(packetID) {
		return s.cause()
	}
	return nil
}

// judgeFilter says whether the client may have a subscription: Success, or the Reason Code of the
// SUBACK. s.subs.order is held.
func (s *Session) judgeFilter(asked frames.Subscription) frames.ReasonCode {
	refused := func(v5 frames.ReasonCode, reason string, rule *policy.Rule) frames.ReasonCode {
		s.rejectSubscribe(asked, reason, rule)
		if s.version == frames.V5 {
			return v5
		}
		return frames.UnspecifiedError // 0x80 Failure; 3.1 has no such code, and nothing better
	}
	if s.subs.full(asked.TopicFilter, s.host.MaxSubscriptions) {
		return refused(frames.QuotaExceeded, "quota", nil)
	}
	_, rest, _ := frames.SplitShare(asked.TopicFilter)
	if reserved(rest) {
		if reservedFilter(asked.TopicFilter) {
			return frames.Success
		}
		return refused(frames.NotAuthorized, "reserved_topic", nil)
	}
	access := s.access()
	if s.host.SubscribeMode == SubscribeNarrow && access.Reachable(rest) {
		return frames.Success
	}
	d := access.Subscribe(rest)
	if s.host.SubscribeMode == SubscribeStrict && d.Allowed {
		return frames.Success
	}
	return refused(frames.NotAuthorized, reasonOf(d), d.Rule)
}
