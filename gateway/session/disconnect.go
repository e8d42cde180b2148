package session

import (
	"fmt"

	"topicgate/frames"
)

// disconnectUp passes the client's farewell on, unless it would let a Will fire that may not any more.
func (s *Session) disconnectUp(p frames.Packet) error {
	disconnect, err := frames.ParseDisconnect(p, s.version)
	if err != nil {
		return s.malformedUp(err)
	}
	if !disconnectsFromClient(disconnect) {
		return s.malformedUp(&frames.Error{Type: frames.TypeDisconnect, Code: frames.ProtocolError, Rule: "MQTT-3.14.2-1",
			Detail: "Reason Code or property that only servers send"})
	}
	s.subs.order.Lock() // a review that has begun is heard whole
	defer s.subs.order.Unlock()
	s.left.Store(true)
	packet := p.Raw
	// Whatever the reason is, but the normal one, the broker may publish the Will [MQTT-3.14.4-3].
	if disconnect.Reason != frames.Success && s.will != nil {
		if d := s.judgeWill(); !d.Allowed {
			s.rejectWill(d)
			packet = frames.Disconnect{Properties: disconnect.Properties}.Append(nil, s.version)
		}
	}
	if err := s.upstream.Add(packet); err != nil {
		return s.brokerWriteError(err)
	}
	if disconnect.Reason > frames.DisconnectWithWill {
		return ended(EndClientDisconnect, fmt.Errorf("DISCONNECT %s", disconnect.Reason))
	}
	return ended(EndClientDisconnect, nil)
}

// disconnectsFromClient reports whether a DISCONNECT is one that clients send: MQTT 5.0 table 3-10, and
// section 3.14.2.2.5 for the Server Reference.
func disconnectsFromClient(d frames.Disconnect) bool {
	if _, ok := d.Properties.Bytes(frames.PropServerReference); ok {
		return false
	}
	switch d.Reason {
	case frames.Success, frames.DisconnectWithWill, frames.UnspecifiedError, frames.MalformedPacket, frames.ProtocolError,
		frames.ImplementationSpecificError, frames.TopicNameInvalid, frames.ReceiveMaximumExceeded, frames.TopicAliasInvalid,
		frames.PacketTooLarge, frames.MessageRateTooHigh, frames.QuotaExceeded, frames.AdministrativeAction, frames.PayloadFormatInvalid:
		return true
	}
	return false
}
