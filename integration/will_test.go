package integration

import (
	"testing"

	"topicgate/frames"
)

func TestAWillIsJudgedAsAPublish(t *testing.T) {
	t.Parallel()
	s := newStack(t, "pattern write mine/%u\npattern readwrite #\npattern deny mine/bob\n", settings{"AUDIT": "stdout"})
	eye := s.broker.direct(t, frames.V311, "eye")
	eye.subscribed("#")
	for _, v := range versions {
		t.Run(v.String(), func(t *testing.T) {
			for _, topic := range []string{"mine/bob", "$SYS/will", "$CONTROL/dynamic-security/v1", "$topicgate/rejected"} {
				w, connack := s.connecting(t, v, "c"+v.String(), s.issuer.token(t, "alice"), will(topic, 1))
				want := frames.V3NotAuthorized
				if v == frames.V5 {
					want = frames.NotAuthorized
				}
				if connack.Reason != want {
					t.Errorf("Will to %s: CONNACK %#x; want %#x", topic, uint8(connack.Reason), uint8(want))
				}
				w.expectClosed()
			}
			s.audited(t, record{"action": "will", "topic": "mine/bob", "user": "alice", "client_id": "c" + v.String()})
			s.audited(t, record{"action": "will", "topic": "$topicgate/rejected", "user": "alice", "client_id": "c" + v.String()})
			w := s.connect(t, v, "c"+v.String(), s.issuer.token(t, "alice"), will("mine/alice", 1))
			_ = w.conn.Close() // without DISCONNECT
			eye.receives("mine/alice", "gone")
			w = s.connect(t, v, "c"+v.String(), s.issuer.token(t, "alice"), will("mine/alice", 1))
			w.disconnect() // with it: no Will
			s.broker.direct(t, v, "hand").publish(message("after", "", 0))
			eye.receives("after", "")
		})
	}
}

func will(topic string, qos frames.QoS) func(*frames.Connect) {
	return func(c *frames.Connect) { c.Will = &frames.Will{TopicName: topic, Payload: []byte("gone"), QoS: qos} }
}

func TestAWillFiresWhenTheGatewayEndsTheSession(t *testing.T) {
	t.Parallel()
	s := newStack(t, openPolicy)
	eye := s.broker.direct(t, frames.V311, "eye")
	eye.subscribed("wills")
	for _, v := range versions {
		w := s.connect(t, v, "c", s.issuer.token(t, "alice"), will("wills", 0))
		w.sendHex("00 00") // a reserved packet type
		if v == frames.V5 {
			w.expectDisconnect(frames.MalformedPacket)
		}
		w.expectClose(1002)
		eye.receives("wills", "gone")
	}
}

func TestAFiveClientMayAskForItsWillWhenItDisconnects(t *testing.T) {
	t.Parallel()
	s := newStack(t, openPolicy)
	eye := s.broker.direct(t, frames.V311, "eye")
	eye.subscribed("wills")
	w := s.connect(t, frames.V5, "c", s.issuer.token(t, "alice"), will("wills", 0))
	w.send(frames.Disconnect{Reason: frames.DisconnectWithWill}.Append(nil, frames.V5))
	w.expectClosed()
	eye.receives("wills", "gone")
}
