package subs

import "topicgate/frames"

// exchange is a SUBSCRIBE or UNSUBSCRIBE of the client's that is being answered. Guarded by Table.mu from Commit on.
type exchange struct {
	answer   frames.Type // TypeSuback or TypeUnsuback
	packetID uint16
	slots    []slot // the filters of the packet
	asks     []ask  // the different ones of these
	made     []made // subscriptions that nobody had granted before
	parts    int    // still to be answered
	relay    bool   // the broker's answer is the client's, byte for byte
}

type slot struct {
	ask int32
	qos frames.QoS // asked for here
}

type ask struct {
	code    frames.ReasonCode
	decided bool // the code
}

type made struct {
	ask int32
	s   *subscription
}

func newExchange(answer frames.Type, packetID uint16, filters int) *exchange {
	return &exchange{answer: answer, packetID: packetID, slots: make([]slot, filters), asks: make([]ask, filters)}
}

func failed(code frames.ReasonCode) bool { return code >= frames.UnspecifiedError }

func (e *exchange) slot(i int, ask int32, qos frames.QoS) { e.slots[i] = slot{ask, qos} }

// makes notes that the ask makes a subscription, which ends with it if the broker refuses.
func (e *exchange) makes(ask int32, s *subscription) { e.made = append(e.made, made{ask, s}) }

// settle notes a code for a filter. One that became several is as good as the best of them.
func (e *exchange) settle(i int32, code frames.ReasonCode) {
	a := &e.asks[i]
	if !a.decided || failed(a.code) && !failed(code) || !failed(code) && code > a.code {
		a.code = code
	}
	a.decided = true
}

// packet is the SUBACK or UNSUBACK when all is decided. A filter that is held for others too is granted no better
// than it was asked for.
func (e *exchange) packet(v frames.Version) []byte {
	reasons := make([]frames.ReasonCode, len(e.slots))
	for i, slot := range e.slots {
		reasons[i] = e.asks[slot.ask].code
		if e.answer == frames.TypeSuback && !failed(reasons[i]) {
			reasons[i] = min(reasons[i], frames.ReasonCode(slot.qos))
		}
	}
	if e.answer == frames.TypeSuback {
		return frames.Suback{PacketID: e.packetID, Reasons: reasons}.Append(nil, v)
	}
	return frames.Unsuback{PacketID: e.packetID, Reasons: reasons}.Append(nil, v)
}
