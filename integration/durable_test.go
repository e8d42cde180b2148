package integration

import (
	"fmt"
	"testing"

	"topicgate/frames"
)

// TestNothingThatWasAcknowledgedIsLostWhenTheGatewayDies publishes without pause and kills the gateway in the middle.
func TestNothingThatWasAcknowledgedIsLostWhenTheGatewayDies(t *testing.T) {
	t.Parallel()
	s := newStack(t, openPolicy)
	eye := s.broker.direct(t, frames.V5, "eye")
	eye.subscribed("room", "end")
	w := s.connect(t, frames.V5, "c", s.issuer.token(t, "alice"))
	sent := make(chan struct{})
	go func() { // one goroutine writes, this one reads: as a WebSocket allows
		defer close(sent)
		for i := 1; ; i = i%60000 + 1 {
			m := message("room", fmt.Sprint(i), 1)
			m.PacketID = uint16(i)
			if w.trySend(encode(m, frames.V5)) != nil {
				return
			}
		}
	}()
	acknowledged := map[string]bool{}
	for {
		p, err := w.next()
		if err != nil {
			break
		}
		if a, err := frames.ParseAck(p, frames.V5); err == nil && a.Type == frames.TypePuback && a.Reason < 0x80 {
			acknowledged[fmt.Sprint(a.PacketID)] = true
		}
		if len(acknowledged) == 300 {
			s.kill()
		}
	}
	<-sent
	s.broker.direct(t, frames.V311, "hand").publish(message("end", "", 1))
	for m := eye.receive(); string(m.TopicName) != "end"; m = eye.receive() {
		delete(acknowledged, string(m.Payload))
	}
	if len(acknowledged) > 0 {
		t.Errorf("%d messages were acknowledged and did not arrive", len(acknowledged))
	}
}

// TestADeliveryThatWasNotAcknowledgedComesAgain reconnects a persistent session with an unanswered message.
func TestADeliveryThatWasNotAcknowledgedComesAgain(t *testing.T) {
	t.Parallel()
	s := newStack(t, openPolicy)
	hand := s.broker.direct(t, frames.V5, "hand")
	for _, v := range versions {
		for qos := frames.QoS(1); qos <= 2; qos++ {
			t.Run(fmt.Sprintf("%s QoS %d", v, qos), func(t *testing.T) {
				persistent := func(c *frames.Connect) {
					c.CleanStart = false
					if v == frames.V5 {
						c.Properties = c.Properties.AppendUint(frames.PropSessionExpiryInterval, 600)
					}
				}
				id, topic := fmt.Sprintf("c%s-%d", v, qos), fmt.Sprintf("room/%d/%d", v, qos)
				w := s.connect(t, v, id, s.issuer.token(t, "alice"), persistent)
				w.subscribed(topic)
				hand.publish(message(topic, "once more", qos))
				first := w.receiveUnacknowledged()
				_ = w.conn.Close()
				w = s.connect(t, v, id, s.issuer.token(t, "alice"), persistent)
				again := w.receives(topic, "once more")
				if !again.Dup || again.PacketID != first.PacketID {
					t.Errorf("DUP %v, Packet Identifier %d; want true, %d", again.Dup, again.PacketID, first.PacketID)
				}
				w.ping()
			})
		}
	}
}

// TestManySessionsComeAndGo leaves nothing behind: neither sessions nor connections to the broker.
func TestManySessionsComeAndGo(t *testing.T) {
	t.Parallel()
	s := newStack(t, openPolicy)
	token := s.issuer.token(t, "alice")
	for i := range 100 {
		w := s.connect(t, versions[i%3], fmt.Sprint("c", i), token)
		switch i % 4 {
		case 0:
			w.disconnect()
		case 1:
			_ = w.conn.Close()
		case 2:
			w.sendHex("00 00")
		case 3: // left open
			defer w.ws.Close()
		}
	}
	eventually(t, "75 sessions have ended and 25 live", func() bool {
		return s.metric(t, "topicgate_sessions") == 25 && s.metric(t, "topicgate_sessions_ended_total") == 75
	})
	clients := s.broker.direct(t, frames.V311, "probe")
	clients.subscribed("$SYS/broker/clients/connected")
	for string(clients.receive().Payload) != "26" { // and so does the broker see it, in its next report
	}
}
