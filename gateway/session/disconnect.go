package session

import (
	"fmt"

	"topicgate/frames"
)

// disconnect passes the client's farewell on, unless it would let a Will fire that may not any more.
func (u *up) disconnect(p frames.Packet) error {
	disconnect, err := frames.ParseDisconnect(p, u.version)
	if err != nil {
		return u.malformed(err)
	}
	if !disconnectsFromClient(disconnect) {
		return u.malformed(&frames.Error{Type: frames.TypeDisconnect, Code: frames.ProtocolError, Rule: "MQTT-3.14.2-1",
			Detail: "Reason Code or property that only servers send"})
	}
	u.expectLess(disconnect.Properties)
	turn := u.table.Turn() // a review that has begun is heard whole
	defer turn.End()
	u.left.Store(true)
	packet := p.Raw
	// Whatever the reason is, but the normal one, the broker may publish the Will [MQTT-3.14.4-3].
	if disconnect.Reason == frames.Success {
		u.will = nil
	} else if u.will != nil {
		if r := u.fireWill(); r != nil {
			u.rejectWill(r)
			u.will = nil
			packet = frames.Disconnect{Properties: disconnect.Properties}.Append(nil, u.version)
		}
	}
	if err := u.upstream.Add(packet); err != nil {
		return u.brokerWriteError(err)
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
