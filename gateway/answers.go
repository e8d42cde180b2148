package gateway

import (
	"errors"

	"topicgate/frames"
)

var errNoPacketID = errors.New("no free Packet Identifier")

// subackDown puts the broker's answer together with what the gateway decided itself.
func (s *session) subackDown(p frames.Packet) error {
	suback, err := frames.ParseSuback(p, s.version)
	if err != nil && !errors.Is(err, frames.ErrReasonCode) {
		return s.malformedDown(err)
	}
	for i, code := range suback.Reasons {
		if !code.Legal(frames.TypeSuback, s.version) {
			suback.Reasons[i] = frames.UnspecifiedError
		}
	}
	return s.answerDown(p, suback.PacketID, frames.TypeSuback, suback.Reasons, err)
}

// unsubackDown does the same for UNSUBACK, which has no codes before 5.0.
func (s *session) unsubackDown(p frames.Packet) error {
	unsuback, err := frames.ParseUnsuback(p, s.version)
	if err != nil && !errors.Is(err, frames.ErrReasonCode) {
		return s.malformedDown(err)
	}
	for i, code := range unsuback.Reasons {
		if !code.Legal(frames.TypeUnsuback, s.version) {
			unsuback.Reasons[i] = frames.UnspecifiedError
		}
	}
	return s.answerDown(p, unsuback.PacketID, frames.TypeUnsuback, unsuback.Reasons, err)
}

// answerDown handles an answer of the broker's: to the client's exchange, or to a packet of the
// gateway's own, which the client never hears of.
func (s *session) answerDown(p frames.Packet, id uint16, t frames.Type, codes []frames.ReasonCode, illegal error) error {
	s.subs.mu.Lock()
	answered := s.subs.parts[id]
	delete(s.subs.parts, id)
	if answered == nil {
		s.subs.mu.Unlock()
		s.log.Debug("answer to nothing", "packet", t.String())
		return nil // a broker that answers twice; the client has asked nothing
	}
	e := answered.exchange
	if t == frames.TypeSuback {
		for i, filter := range answered.filters {
			if i < len(codes) && codes[i] < frames.UnspecifiedError {
				continue
			}
			s.subs.lost(filter)
		}
	}
	whole := false
	if e != nil {
		for i, slot := range answered.slots {
			code := frames.UnspecifiedError // of a broker that says less than it was asked
			if i < len(codes) {
				code = codes[i]
			} else if t == frames.TypeUnsuback && s.version != frames.V5 {
				code = frames.Success
			}
			if t == frames.TypeSuback || !e.decided[slot] {
				e.settle(slot, code)
			}
		}
		e.parts--
		whole = e.parts == 0
	}
	s.subs.mu.Unlock()

	if e == nil || id != e.packetID {
		s.ids.releaseOwn(id)
	}
	switch {
	case !whole:
		return nil
	case e.relay && illegal == nil && len(codes) == s.expectedCodes(t, e):
		s.endExchange(e)
		return s.forwardDown(p.Raw)
	}
	return s.answer(e)
}

func (s *session) expectedCodes(t frames.Type, e *exchange) int {
	if t == frames.TypeUnsuback && s.version != frames.V5 {
		return 0
	}
	return len(e.reasons)
}

// answer sends the SUBACK or UNSUBACK of an exchange in which all is decided.
func (s *session) answer(e *exchange) error {
	s.endExchange(e)
	var packet []byte
	if e.answer == frames.TypeSuback {
		packet = frames.Suback{PacketID: e.packetID, Reasons: e.reasons}.Append(nil, s.version)
	} else {
		packet = frames.Unsuback{PacketID: e.packetID, Reasons: e.reasons}.Append(nil, s.version)
	}
	if err := s.client.addBytes(packet); err != nil {
		return s.clientWriteError(err)
	}
	return nil
}

func (s *session) endExchange(e *exchange) {
	s.ids.release(e.packetID)
	s.subs.mu.Lock()
	s.subs.exchanges--
	s.subs.answered.Signal()
	s.subs.mu.Unlock()
}

// lost forgets a piece that the broker has refused. b.mu is held.
func (b *subscriptions) lost(piece string) {
	h := b.held[piece]
	if h == nil {
		return
	}
	if !h.clean {
		b.rewritten.Add(-1)
	}
	delete(b.held, piece)
	for _, o := range h.owners {
		kept := o.pieces[:0:0]
		for _, p := range o.pieces {
			if p != piece {
				kept = append(kept, p)
			}
		}
		o.pieces = kept
	}
	b.changes.Add(1)
}

// rewritesIDs reports whether some messages carry a Subscription Identifier that stands for others.
func (b *subscriptions) rewritesIDs() bool { return b.rewritten.Load() > 0 }

// rewriteSubscriptionIDs replaces the identifier of a piece that several subscriptions share by all of
// theirs [MQTT-3.3.4-4]. It reports whether the packet was changed.
func (s *session) rewriteSubscriptionIDs(publish *frames.Publish, topicName []byte) bool {
	s.subs.mu.Lock()
	defer s.subs.mu.Unlock()
	var ids, come []uint32
	var rest frames.Properties
	for p := range publish.Properties.All() {
		if p.ID == frames.PropSubscriptionIdentifier {
			come = append(come, p.Uint())
		} else {
			rest = append(rest, p.Encoded...)
		}
	}
	if len(come) == 0 {
		come = []uint32{0}
	}
	changed := false
	for _, id := range come {
		owners := s.subs.ownersOf(id, topicName)
		if owners == nil {
			if id != 0 {
				ids = append(ids, id)
			}
			continue
		}
		changed = true
		for _, o := range owners {
			if o.id != 0 {
				ids = append(ids, o.id)
			}
		}
	}
	if !changed {
		return false
	}
	for _, id := range ids {
		rest = rest.AppendUint(frames.PropSubscriptionIdentifier, id)
	}
	publish.Properties = rest
	return true
}

// ownersOf finds who shares the piece that brought a message with this identifier. b.mu is held.
func (b *subscriptions) ownersOf(id uint32, topicName []byte) []*subscription {
	for filter, h := range b.held {
		if h.clean || h.id != id || len(h.owners) == 0 {
			continue
		}
		if _, rest, shared := frames.SplitShare(filter); shared {
			filter = rest
		}
		if frames.Match(filter, topicName) {
			return h.owners
		}
	}
	return nil
}
