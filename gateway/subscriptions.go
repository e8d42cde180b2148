package gateway

import (
	"slices"
	"sync"
	"sync/atomic"

	"topicgate/frames"
)

// Bounds of what a client can make the gateway remember of its subscriptions.
const (
	maxFilterBytes    = 4 << 20  // text of all Topic Filters of a session
	maxOpenExchanges  = 64       // SUBSCRIBEs and UNSUBSCRIBEs that wait for the broker; more wait unread
	maxSubscribeBytes = 64 << 10 // of one SUBSCRIBE or UNSUBSCRIBE of the gateway's own making
)

// subscriptions are what the client asked for and what the broker has been asked for in its stead.
//
// A filter of the client's is held upstream as pieces: as it is, narrowed to what may be read, or as
// nothing at all. Pieces follow the policy; what the client asked for stays.
type subscriptions struct {
	// order is held while packets are made and sent, so that the broker sees them in the order in
	// which the tables below changed. It is taken before mu, and never by the pump towards the client,
	// which must go on whatever the broker does.
	order sync.Mutex

	mu        sync.Mutex
	asked     map[string]*subscription // by Topic Filter as the client wrote it
	bytes     int                      // of these filters
	held      map[string]*heldFilter   // by Topic Filter as the broker knows it
	parts     map[uint16]*part         // packets that wait for the broker's answer, by Packet Identifier
	exchanges int                      // of the client's, that wait
	answered  sync.Cond                // when one of them was answered, or the session ended; L is mu
	rewritten atomic.Int32             // held filters whose Subscription Identifier stands for others
	locals    atomic.Int32             // subscriptions to the gateway's own topics
	changes   atomic.Uint64            // of what snapshot gives
	closed    bool
}

// full reports whether a subscription to filter would be one too many (limit 0: none is).
func (b *subscriptions) full(filter string, limit int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.asked[filter] != nil {
		return false
	}
	return limit > 0 && len(b.asked) >= limit || b.bytes > maxFilterBytes
}

// subscription is one that the client has.
type subscription struct {
	frames.Subscription        // as asked
	id                  uint32 // Subscription Identifier; 0: none
	group               string // "$share/<group>/" or nothing
	rest                string // the filter without it
	pieces              []string
}

// heldFilter is a subscription that the broker has, or is getting.
type heldFilter struct {
	owners  []*subscription
	options frames.Subscription // as last sent
	id      uint32              // the Subscription Identifier that the broker puts into its messages
	clean   bool                // owners want just that identifier
}

// exchange is a SUBSCRIBE or UNSUBSCRIBE of the client's that is being answered.
type exchange struct {
	answer   frames.Type // TypeSuback or TypeUnsuback
	packetID uint16
	reasons  []frames.ReasonCode
	decided  []bool // of reasons
	parts    int    // still to be answered
	relay    bool   // the broker's answer is the client's, byte for byte
}

// part is one packet of the gateway's to the broker. Its answer goes into slots of the exchange.
type part struct {
	exchange *exchange // nil: the gateway's own affair
	slots    []int
	filters  []string
}

// settle puts the broker's answer for a filter into slot i. A filter that became several is as good as the
// best of them.
func (e *exchange) settle(i int, code frames.ReasonCode) {
	failed := func(c frames.ReasonCode) bool { return c >= frames.UnspecifiedError }
	switch old := e.reasons[i]; {
	case !e.decided[i]:
		e.reasons[i] = code
	case failed(old) && !failed(code), !failed(old) && !failed(code) && code > old && code <= frames.GrantedQoS2:
		e.reasons[i] = code
	}
	e.decided[i] = true
}

// subscribeUp judges each filter of a SUBSCRIBE on its own and sends on what is left of it.
func (s *session) subscribeUp(p frames.Packet) error {
	subscribe, err := frames.ParseSubscribe(p, s.version)
	if err != nil {
		return s.malformedUp(err)
	}
	if err := s.beginExchange(subscribe.PacketID); err != nil {
		return err
	}
	s.subs.order.Lock()
	defer s.subs.order.Unlock()
	defer s.remember()

	id, _ := subscribe.Properties.Uint(frames.PropSubscriptionIdentifier)
	e := &exchange{
		answer: frames.TypeSuback, packetID: subscribe.PacketID,
		reasons: make([]frames.ReasonCode, len(subscribe.Filters)), decided: make([]bool, len(subscribe.Filters)),
	}
	var up, dropped outgoing
	unchanged := true
	var covers []coverage
	for i, asked := range subscribe.Filters {
		if reason := s.judgeFilter(asked); reason != frames.Success {
			e.settle(i, reason)
			unchanged = false
			continue
		}
		s.subs.mu.Lock()
		sub := s.subs.put(asked, id)
		if sub.local() {
			s.subs.mu.Unlock()
			e.settle(i, frames.Success) // QoS 0 is all that the gateway's own topics have
			unchanged = false
			continue
		}
		pieces := s.piecesOf(sub)
		for _, piece := range s.subs.own(sub, pieces) {
			dropped.add(piece, frames.Subscription{}, -1)
		}
		for _, piece := range pieces {
			options := s.subs.optionsOf(piece, asked, id)
			unchanged = unchanged && piece == asked.TopicFilter && options == asked && s.subs.held[piece].clean
			up.add(piece, options, i)
		}
		if len(pieces) == 0 {
			e.settle(i, frames.ReasonCode(asked.QoS))
			unchanged = false
		}
		covers = append(covers, coverageOf(sub))
		s.subs.mu.Unlock()
	}
	if err := s.tellAccess(covers); err != nil {
		return err
	}

	e.relay = unchanged && len(up.filters) == len(subscribe.Filters)
	if err := s.sendUnsubscribe(dropped, nil, 0); err != nil {
		return err
	}
	if e.relay {
		s.expect(subscribe.PacketID, &part{exchange: e, slots: up.slots, filters: up.filters})
		return s.forwardUp(p.Raw)
	}
	if len(up.filters) == 0 {
		return s.answer(e)
	}
	return s.sendSubscribe(up, e, subscribe.PacketID, subscribe.Properties)
}

// unsubscribeUp undoes just what was asked for.
func (s *session) unsubscribeUp(p frames.Packet) error {
	unsubscribe, err := frames.ParseUnsubscribe(p, s.version)
	if err != nil {
		return s.malformedUp(err)
	}
	if err := s.beginExchange(unsubscribe.PacketID); err != nil {
		return err
	}
	s.subs.order.Lock()
	defer s.subs.order.Unlock()
	defer s.remember()

	e := &exchange{
		answer: frames.TypeUnsuback, packetID: unsubscribe.PacketID,
		reasons: make([]frames.ReasonCode, len(unsubscribe.TopicFilters)), decided: make([]bool, len(unsubscribe.TopicFilters)),
	}
	var up outgoing
	unchanged := true
	s.subs.mu.Lock()
	for i, filter := range unsubscribe.TopicFilters {
		sub := s.subs.asked[filter]
		switch {
		case sub != nil:
			e.settle(i, frames.Success)
			released := s.subs.remove(sub)
			unchanged = unchanged && len(released) == 1 && released[0] == filter
			for _, piece := range released {
				up.add(piece, frames.Subscription{}, i)
			}
		case s.subs.held[filter] != nil || reserved(filter):
			// The gateway's own piece of another subscription: the client never had it.
			e.settle(i, frames.NoSubscriptionExisted)
			unchanged = false
		default: // from before this connection, perhaps
			up.add(filter, frames.Subscription{}, i)
		}
	}
	s.subs.mu.Unlock()

	e.relay = unchanged && len(up.filters) == len(unsubscribe.TopicFilters)
	if e.relay {
		s.expect(unsubscribe.PacketID, &part{exchange: e, slots: up.slots, filters: up.filters})
		return s.forwardUp(p.Raw)
	}
	if len(up.filters) == 0 {
		return s.answer(e)
	}
	return s.sendUnsubscribe(up, e, unsubscribe.PacketID)
}

// beginExchange waits for its turn and takes the client's Packet Identifier.
func (s *session) beginExchange(packetID uint16) error {
	s.subs.mu.Lock()
	s.subs.answered.L = &s.subs.mu
	if _, taken := s.subs.parts[packetID]; taken && !s.ids.isOwn(packetID) {
		s.subs.mu.Unlock()
		return s.malformedUp(&frames.Error{Type: frames.TypeSubscribe, Code: frames.ProtocolError, Rule: "MQTT-2.2.1-3", Detail: "Packet Identifier in use"})
	}
	for waiting := false; s.subs.exchanges >= maxOpenExchanges && !s.subs.closed; waiting = true {
		if !waiting { // what the broker is to answer must be on its way
			s.subs.mu.Unlock()
			err := s.upIdle()
			s.subs.mu.Lock()
			if err != nil {
				s.subs.mu.Unlock()
				return err
			}
			continue
		}
		s.subs.answered.Wait()
	}
	s.subs.exchanges++
	s.subs.mu.Unlock()
	if !s.ids.take(packetID) {
		return s.cause()
	}
	return nil
}

// close wakes up who waits in beginExchange.
func (b *subscriptions) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	if b.answered.L != nil {
		b.answered.Broadcast()
	}
}

// put notes what the client asks for, in place of what it asked for with the same filter before
// [MQTT-3.8.4-3]. b.mu is held.
func (b *subscriptions) put(asked frames.Subscription, id uint32) *subscription {
	sub := b.asked[asked.TopicFilter]
	if sub == nil {
		if b.asked == nil {
			b.asked, b.held, b.parts = map[string]*subscription{}, map[string]*heldFilter{}, map[uint16]*part{}
		}
		sub = &subscription{rest: asked.TopicFilter}
		if _, rest, shared := frames.SplitShare(asked.TopicFilter); shared {
			sub.group, sub.rest = asked.TopicFilter[:len(asked.TopicFilter)-len(rest)], rest
		}
		b.asked[asked.TopicFilter] = sub
		b.bytes += len(asked.TopicFilter)
		if sub.local() {
			b.locals.Add(1)
		}
	}
	sub.Subscription, sub.id = asked, id
	b.changes.Add(1)
	return sub
}

// remove forgets sub and returns the held filters that nobody wants any more. b.mu is held.
func (b *subscriptions) remove(sub *subscription) []string {
	b.changes.Add(1)
	delete(b.asked, sub.TopicFilter)
	b.bytes -= len(sub.TopicFilter)
	if sub.local() {
		b.locals.Add(-1)
	}
	return b.own(sub, nil)
}

// own makes pieces those of sub and returns the held filters that nobody wants any more. b.mu is held.
func (b *subscriptions) own(sub *subscription, pieces []string) (released []string) {
	for _, piece := range sub.pieces {
		if slices.Contains(pieces, piece) {
			continue
		}
		h := b.held[piece]
		if h == nil {
			continue
		}
		h.owners = slices.DeleteFunc(h.owners, func(o *subscription) bool { return o == sub })
		b.refresh(h)
		if len(h.owners) == 0 {
			delete(b.held, piece)
			released = append(released, piece)
		}
	}
	for _, piece := range pieces {
		h := b.held[piece]
		if h == nil {
			h = &heldFilter{clean: true}
			b.held[piece] = h
		}
		if !slices.Contains(h.owners, sub) {
			h.owners = append(h.owners, sub)
		}
	}
	sub.pieces = pieces
	b.changes.Add(1)
	return released
}

// refresh recounts whether messages of h carry just the identifiers that its owners asked for.
func (b *subscriptions) refresh(h *heldFilter) {
	clean := true
	for _, o := range h.owners {
		clean = clean && o.id == h.id
	}
	if clean != h.clean {
		if clean {
			b.rewritten.Add(-1)
		} else {
			b.rewritten.Add(1)
		}
	}
	h.clean = clean
}

// optionsOf is how a piece is asked for upstream: for all that own it at once, so that what each wants
// is among what comes. asked is the one that asks now, in a packet
// with the Subscription Identifier id. b.mu is held.
func (b *subscriptions) optionsOf(piece string, asked frames.Subscription, id uint32) frames.Subscription {
	h := b.held[piece]
	options := asked
	options.TopicFilter = piece
	for _, o := range h.owners {
		options.QoS = max(options.QoS, o.QoS)
		options.NoLocal = options.NoLocal && o.NoLocal
		options.RetainAsPublished = options.RetainAsPublished || o.RetainAsPublished
	}
	h.options, h.id = options, id
	b.refresh(h)
	return options
}

// outgoing is what goes upstream in one go.
type outgoing struct {
	filters []string
	options []frames.Subscription
	slots   []int
}

func (o *outgoing) add(filter string, options frames.Subscription, slot int) {
	o.filters = append(o.filters, filter)
	o.options = append(o.options, options)
	o.slots = append(o.slots, slot)
}

// chunks cuts o into pieces that fit into one packet each.
func (o *outgoing) chunks(maximum int, yield func(outgoing) error) error {
	begin, size := 0, 0
	for i, filter := range o.filters {
		if n := len(filter) + 3; size+n > maximum && i > begin {
			if err := yield(o.slice(begin, i)); err != nil {
				return err
			}
			begin, size = i, n
		} else {
			size += n
		}
	}
	if begin == len(o.filters) {
		return nil
	}
	return yield(o.slice(begin, len(o.filters)))
}

func (o *outgoing) slice(i, j int) outgoing {
	return outgoing{filters: o.filters[i:j], options: o.options[i:j], slots: o.slots[i:j]}
}

// sendSubscribe asks the broker for out. The first packet bears the client's identifier, if there is
// an exchange; others are the gateway's own. subs.order is held.
func (s *session) sendSubscribe(out outgoing, e *exchange, packetID uint16, properties frames.Properties) error {
	return s.sendParts(out, e, packetID, func(id uint16, o outgoing) []byte {
		packet := frames.Subscribe{PacketID: id, Properties: properties, Filters: o.options}
		return packet.Append(nil, s.version)
	})
}

// sendUnsubscribe takes out back. subs.order is held.
func (s *session) sendUnsubscribe(out outgoing, e *exchange, packetID uint16) error {
	return s.sendParts(out, e, packetID, func(id uint16, o outgoing) []byte {
		packet := frames.Unsubscribe{PacketID: id, TopicFilters: o.filters}
		return packet.Append(nil, s.version)
	})
}

func (s *session) sendParts(out outgoing, e *exchange, packetID uint16, encode func(uint16, outgoing) []byte) error {
	type packet struct {
		id uint16
		outgoing
	}
	var packets []packet
	_ = out.chunks(min(maxSubscribeBytes, s.brokerMaximum/2), func(o outgoing) error {
		packets = append(packets, packet{outgoing: o})
		return nil
	})
	if e != nil {
		e.parts = len(packets) // before the first answer can come
	}
	for i, p := range packets {
		p.id = packetID
		if e == nil || i > 0 {
			var ok bool
			if p.id, ok = s.ids.takeOwn(); !ok {
				return ended(EndInternal, errNoPacketID)
			}
		}
		s.expect(p.id, &part{exchange: e, slots: p.slots, filters: p.filters})
		if err := s.upstream.addBytes(encode(p.id, p.outgoing)); err != nil {
			return s.brokerWriteError(err)
		}
	}
	return nil
}

// expect notes what the answer with this Packet Identifier will be about.
func (s *session) expect(id uint16, p *part) {
	s.subs.mu.Lock()
	defer s.subs.mu.Unlock()
	if p.exchange != nil && p.exchange.parts == 0 {
		p.exchange.parts = 1
	}
	if s.subs.parts == nil {
		s.subs.parts = map[uint16]*part{}
	}
	s.subs.parts[id] = p
}
