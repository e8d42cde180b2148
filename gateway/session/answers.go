package session

import (
	"errors"
	"log/slog"

	"topicgate/frames"
)

var errNoPacketID = errors.New("no free Packet Identifier")

// subackDown puts the broker's answer together with what the gateway decided itself.
func (s *Session) subackDown(p frames.Packet) error {
	suback, err := frames.ParseSuback(p, s.version)
	if err != nil && !errors.Is(err, frames.ErrReasonCode) {
		return s.malformedDown(err)
	}
	return s.answerDown(p, suback.PacketID, suback.Reasons, err)
}

// unsubackDown does the same for UNSUBACK, which has no codes before 5.0.
func (s *Session) unsubackDown(p frames.Packet) error {
	unsuback, err := frames.ParseUnsuback(p, s.version)
	if err != nil && !errors.Is(err, frames.ErrReasonCode) {
		return s.malformedDown(err)
	}
	return s.answerDown(p, unsuback.PacketID, unsuback.Reasons, err)
}

// answerDown handles an answer of the broker's: to the client's exchange, or to a packet of the
// gateway's own, which the client never hears of.
func (s *Session) answerDown(p frames.Packet, id uint16, codes []frames.ReasonCode, illegal error) error {
	t := p.Type()
	// What the code for the i-th filter is, of a broker that may say less than it was asked.
	code := func(i int) frames.ReasonCode {
		switch {
		case t == frames.TypeUnsuback && s.version != frames.V5:
			return frames.Success
		case i >= len(codes) || !codes[i].Legal(t, s.version):
			return frames.UnspecifiedError
		}
		return codes[i]
	}
	b := &s.subs
	b.mu.Lock()
	answered := b.parts[id]
	if answered == nil || answered.answer != t {
		b.mu.Unlock()
		s.log(slog.LevelDebug, "answer to nothing", "packet", t.String())
		return nil // a broker that answers twice; the client has asked nothing
	}
	delete(b.parts, id)
	for i, entry := range answered.entries {
		if t == frames.TypeSuback {
			b.answer(entry.held, code(i))
		}
	}
	b.hush(answered.begins)
	b.unhush(answered.ends)
	e := answered.exchange
	whole := false
	if e != nil {
		for i, entry := range answered.entries {
			for _, slot := range entry.slots {
				if t == frames.TypeSuback || !e.decided[slot] {
					e.settle(slot, code(i))
				}
			}
		}
		e.parts--
		whole = e.parts == 0
	}
	refused := whole && b.conclude(e)
	b.mu.Unlock()
	s.remember()

	s.ids.releaseOwn(id)
	if refused {
		s.requestReview()
	}
	switch {
	case !whole:
		return nil
	case e.relay && illegal == nil && (len(codes) == len(e.reasons) || t == frames.TypeUnsuback && s.version != frames.V5):
		s.endExchange(e)
		return s.forwardDown(p.Raw)
	}
	return s.answer(e)
}

// answer notes what the broker says to a SUBSCRIBE for h. b.mu is held.
func (b *subscriptions) answer(h *heldFilter, code frames.ReasonCode) {
	h.waiting--
	switch {
	case !failed(code):
		h.granted = true
	case !h.granted && h.waiting == 0:
		b.release(h) // the next review tries again
	}
}

// conclude takes back the subscriptions that an exchange, all answered, was to make and did not. It reports
// whether there are any; they are removed by the next review. b.mu is held.
func (b *subscriptions) conclude(e *exchange) (refused bool) {
	for i, sub := range e.subs {
		if sub == nil || sub.asker != e {
			continue
		}
		sub.asker = nil
		if failed(e.reasons[i]) {
			sub.refused, refused = true, true
		}
	}
	return refused
}

// answer sends the SUBACK or UNSUBACK of an exchange in which all is decided.
func (s *Session) answer(e *exchange) error {
	s.endExchange(e)
	var packet []byte
	if e.answer == frames.TypeSuback {
		packet = frames.Suback{PacketID: e.packetID, Reasons: e.reasons}.Append(nil, s.version)
	} else {
		packet = frames.Unsuback{PacketID: e.packetID, Reasons: e.reasons}.Append(nil, s.version)
	}
	if err := s.client.Add(packet); err != nil {
		return s.clientWriteError(err)
	}
	return nil
}

func (s *Session) endExchange(e *exchange) {
	s.ids.release(e.packetID)
	s.subs.mu.Lock()
	s.subs.exchanges--
	s.subs.changed.Broadcast()
	s.subs.mu.Unlock()
}
