package integration

import (
	"fmt"
	"testing"

	"topicgate/frames"
)

// refusal is what a client of each version is told of a refused PUBLISH.
func refusal(v frames.Version) frames.ReasonCode {
	if v == frames.V5 {
		return frames.NotAuthorized
	}
	return frames.Success // 3.x has no other word
}

func TestARefusedPublishIsAnsweredByTheGatewayAndReachesNobody(t *testing.T) {
	t.Parallel()
	s := newStack(t, "pattern write mine/%u\n")
	eye := s.broker.direct(t, frames.V5, "eye")
	eye.subscribed("#")
	for _, v := range versions {
		t.Run(v.String(), func(t *testing.T) {
			w := s.connect(t, v, "c", s.issuer.token(t, "alice"))
			for qos := range frames.QoS(3) {
				m := message("mine/bob", "forbidden", qos)
				want := refusal(v)
				if qos == 0 {
					want = frames.Success
				} else {
					m.PacketID = 77
				}
				if code := w.publish(m); code != want {
					t.Errorf("QoS %d answered %#x; want %#x", qos, uint8(code), uint8(want))
				}
				w.ping()
				// The Packet Identifier is free again.
				m = message("mine/alice", fmt.Sprint("allowed ", qos), max(qos, 1))
				m.PacketID = 77
				if code := w.publish(m); code >= 0x80 {
					t.Errorf("an allowed PUBLISH answered %#x", uint8(code))
				}
				eye.receives("mine/alice", fmt.Sprint("allowed ", qos))
			}
			w.disconnect()
		})
	}
}

func TestTheQoS2HandshakeOfARefusedPublishIsKeptByTheGateway(t *testing.T) {
	t.Parallel()
	s := newStack(t, "pattern write mine/%u\n")
	eye := s.broker.direct(t, frames.V5, "eye")
	eye.subscribed("#")
	for _, v := range []frames.Version{frames.V31, frames.V311} {
		t.Run(v.String(), func(t *testing.T) {
			w := s.connect(t, v, "c", s.issuer.token(t, "alice"))
			// PUBLISH QoS 2 "a", again with DUP, PUBREL, PUBREL again; 3.1.1 section 4.3.3.
			w.sendHex("34 06 00 01 61 12 34 78")
			w.expectHex("50 02 12 34")
			w.sendHex("3c 06 00 01 61 12 34 78")
			w.expectHex("50 02 12 34")
			w.sendHex("62 02 12 34")
			w.expectHex("70 02 12 34")
			w.sendHex("62 02 12 34")
			w.expectHex("70 02 12 34")
			w.ping()
			w.publish(message("mine/alice", "after", 2))
			eye.receives("mine/alice", "after")
		})
	}
	t.Run("5.0 ends it at PUBREC", func(t *testing.T) {
		w := s.connect(t, frames.V5, "c5", s.issuer.token(t, "alice"))
		m := message("mine/bob", "x", 2)
		m.PacketID = 9
		if code := w.publish(m); code != frames.NotAuthorized {
			t.Errorf("PUBREC %#x; want %#x", uint8(code), uint8(frames.NotAuthorized))
		}
		w.sendHex("62 02 00 09")     // PUBREL of an exchange that has ended:
		w.ack(frames.TypePubcomp, 9) // answered, by whatever the broker makes of it (mosquitto 2.0 says 0x00 to all)
		m = message("mine/alice", "after", 2)
		m.PacketID = 9
		w.publish(m)
		eye.receives("mine/alice", "after")
	})
}

func TestManyRefusedAndAllowedInOneMessageAreAnsweredInTheirOrder(t *testing.T) {
	t.Parallel()
	s := newStack(t, "pattern write mine/%u\n")
	eye := s.broker.direct(t, frames.V5, "eye")
	eye.subscribed("#")
	w := s.connect(t, frames.V5, "c", s.issuer.token(t, "alice"))
	const n = 100
	var all []byte
	for i := range n {
		topic := "mine/alice"
		if i%2 == 1 {
			topic = "mine/bob"
		}
		m := message(topic, fmt.Sprint(i), 1)
		m.PacketID = uint16(i + 1)
		all = m.Append(all, frames.V5)
	}
	w.send(all)
	answered := map[uint16]frames.ReasonCode{}
	for range n {
		a, err := frames.ParseAck(w.expect(frames.TypePuback), frames.V5)
		if err != nil {
			t.Fatal(err)
		}
		answered[a.PacketID] = a.Reason
	}
	for i := range n {
		if refused := answered[uint16(i+1)] == frames.NotAuthorized; refused != (i%2 == 1) {
			t.Errorf("PUBLISH %d refused: %v; want %v", i, refused, i%2 == 1)
		}
		if i%2 == 0 {
			eye.receives("mine/alice", fmt.Sprint(i))
		}
	}
}

func TestDenyPublishDisconnectEndsOnlyProtocolsWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	s := newStack(t, "pattern write mine/%u\n", settings{"DENY_PUBLISH": "disconnect"})
	for _, v := range versions {
		w := s.connect(t, v, "c", s.issuer.token(t, "alice"))
		if v == frames.V5 {
			if code := w.publish(message("mine/bob", "x", 1)); code != frames.NotAuthorized {
				t.Errorf("5.0: PUBACK %#x; want %#x", uint8(code), uint8(frames.NotAuthorized))
			}
			w.ping()
			continue
		}
		m := message("mine/bob", "x", 1)
		m.PacketID = 1
		w.send(m.Append(nil, v))
		w.expectClosed()
	}
}

func TestARefusedPublishNeitherSetsNorClearsARetainedMessage(t *testing.T) {
	t.Parallel()
	s := newStack(t, "pattern write mine/%u\n")
	hand := s.broker.direct(t, frames.V5, "hand")
	kept := message("mine/bob", "kept", 1)
	kept.Retain = true
	hand.publish(kept)
	w := s.connect(t, frames.V5, "c", s.issuer.token(t, "alice"))
	for _, payload := range []string{"", "planted"} {
		m := message("mine/bob", payload, 1)
		m.Retain = true
		if code := w.publish(m); code != frames.NotAuthorized {
			t.Errorf("PUBACK %#x; want %#x", uint8(code), uint8(frames.NotAuthorized))
		}
	}
	own := message("mine/alice", "own", 1)
	own.Retain = true
	w.publish(own)
	eye := s.broker.direct(t, frames.V5, "eye")
	eye.subscribed("mine/bob")
	if m := eye.receives("mine/bob", "kept"); !m.Retain {
		t.Error("RETAIN is 0; want 1")
	}
	eye.subscribed("mine/alice")
	if m := eye.receives("mine/alice", "own"); !m.Retain {
		t.Error("RETAIN is 0; want 1")
	}
}

func TestNoRuleWithAWildcardReachesTopicsThatBeginWithADollar(t *testing.T) {
	t.Parallel()
	s := newStack(t, "pattern readwrite #\npattern readwrite +/+\npattern write $own/%u\n")
	eye := s.broker.direct(t, frames.V5, "eye")
	eye.subscribed("#", "$CONTROL/#", "$own/#", "$topicgate/#")
	w := s.connect(t, frames.V5, "c", s.issuer.token(t, "alice"))
	for _, topic := range []string{"$SYS/broker/load", "$CONTROL/dynamic-security/v1", "$own/bob", "$own", "$", "$share/g/x", "$topicgate/rejected", "$queue/x"} {
		if code := w.publish(message(topic, "x", 1)); code < 0x80 {
			t.Errorf("PUBLISH to %s answered %#x; want it refused", topic, uint8(code))
		}
	}
	w.publish(message("$own/alice", "allowed", 1))
	eye.receives("$own/alice", "allowed")
}
