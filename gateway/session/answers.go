package session

import (
	"errors"
	"log/slog"

	"topicgate/frames"
)

// suback passes on what the broker's answer comes to with what the gateway decided itself.
func (dn *down) suback(p frames.Packet) error {
	suback, err := frames.ParseSuback(p, dn.version)
	if err != nil && !errors.Is(err, frames.ErrReasonCode) {
		return dn.malformed(err)
	}
	return dn.answered(p, suback.PacketID, suback.Reasons, err == nil)
}

// unsuback does the same for UNSUBACK, which has no codes before 5.0.
func (dn *down) unsuback(p frames.Packet) error {
	unsuback, err := frames.ParseUnsuback(p, dn.version)
	if err != nil && !errors.Is(err, frames.ErrReasonCode) {
		return dn.malformed(err)
	}
	return dn.answered(p, unsuback.PacketID, unsuback.Reasons, err == nil)
}

func (dn *down) answered(p frames.Packet, id uint16, codes []frames.ReasonCode, legal bool) error {
	heard := dn.table.Answer(p.Type(), id, codes, legal)
	if !heard.Known {
		dn.log(slog.LevelDebug, "answer to nothing", "packet", p.Type().String())
		return nil
	}
	dn.remember()
	dn.ids.ReleaseOwn(id)
	if heard.Review || dn.requested.postponed.Swap(false) {
		dn.requestReview()
	}
	switch {
	case !heard.Whole:
		return nil
	case heard.Relay:
		dn.endExchange(heard.PacketID)
		return dn.forward(p.Raw)
	}
	return dn.answer(heard.PacketID, heard.Packet)
}

// answer sends the SUBACK or UNSUBACK of an exchange of the client's, which ends with it.
func (s *Session) answer(packetID uint16, packet []byte) error {
	s.endExchange(packetID)
	if err := s.client.Add(packet); err != nil {
		return s.clientWriteError(err)
	}
	return nil
}

func (s *Session) endExchange(packetID uint16) {
	s.ids.Release(packetID)
	s.exchanges.end()
}
