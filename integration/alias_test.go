package integration

import (
	"testing"

	"topicgate/frames"
)

// aliased is a PUBLISH with a Topic Alias; an empty topic uses the alias alone.
func aliased(topic, payload string, alias uint32) frames.Publish {
	m := message(topic, payload, 1)
	m.Properties = m.Properties.AppendUint(frames.PropTopicAlias, alias)
	return m
}

func TestNoAliasTrickReachesATopicThatIsNotAllowed(t *testing.T) {
	t.Parallel()
	s := newStack(t, "pattern write mine/%u/#\n")
	eye := s.broker.direct(t, frames.V5, "eye")
	eye.subscribed("#")
	w := s.connect(t, frames.V5, "c", s.issuer.token(t, "alice"))
	for i, step := range []struct {
		topic   string
		alias   uint32
		arrives string // at this topic; empty: refused
	}{
		{"mine/bob", 1, ""},                 // refused, but it binds the alias for the client
		{"", 1, ""},                         // so this is for bob too
		{"mine/alice/a", 1, "mine/alice/a"}, // bound anew
		{"", 1, "mine/alice/a"},
		{"mine/bob", 1, ""}, // and again to what is forbidden: upstream it must not stay with alice's topic
		{"", 1, ""},
		{"mine/alice/b", 2, "mine/alice/b"},
		{"", 1, ""},
		{"", 2, "mine/alice/b"},
		{"mine/alice/a", 1, "mine/alice/a"},
		{"", 1, "mine/alice/a"},
		{"", 2, "mine/alice/b"},
	} {
		payload := string(rune('A' + i))
		refused := w.publish(aliased(step.topic, payload, step.alias)) == frames.NotAuthorized
		if refused != (step.arrives == "") {
			t.Errorf("step %s: PUBLISH to %q by alias %d refused: %v", payload, step.topic, step.alias, refused)
		}
		if step.arrives != "" && !refused {
			eye.receives(step.arrives, payload)
		}
	}
}

func TestAnAliasLearnsARightThatComesLater(t *testing.T) {
	t.Parallel()
	s := newStack(t, roomRules)
	eye := s.broker.direct(t, frames.V5, "eye")
	eye.subscribed("chat/#")
	w := s.connect(t, frames.V5, "c", s.issuer.token(t, "alice"))
	if code := w.publish(aliased("chat/room/lobby/talk", "early", 1)); code != frames.NotAuthorized {
		t.Errorf("PUBACK %#x; want %#x", uint8(code), uint8(frames.NotAuthorized))
	}
	s.redis.do(t, "SADD", "topicgate:user:alice:rooms", "lobby")
	w.settled("chat/room/lobby/probe", true)
	eye.receives("chat/room/lobby/probe", "probe")
	if code := w.publish(aliased("", "by the alias alone", 1)); code >= 0x80 {
		t.Errorf("PUBACK %#x; want it allowed", uint8(code))
	}
	eye.receives("chat/room/lobby/talk", "by the alias alone")
	s.redis.do(t, "SREM", "topicgate:user:alice:rooms", "lobby")
	w.settled("chat/room/lobby/probe", false)
	if code := w.publish(aliased("", "too late", 1)); code != frames.NotAuthorized {
		t.Errorf("PUBACK %#x; want %#x", uint8(code), uint8(frames.NotAuthorized))
	}
}

func TestAliasesThatNobodyBoundOrAllowedEndTheSession(t *testing.T) {
	t.Parallel()
	s := newStack(t, openPolicy)
	for _, test := range []struct {
		name  string
		topic string
		alias uint32
		want  frames.ReasonCode
	}{
		{"never bound", "", 3, frames.ProtocolError},                   // section 3.3.2.3.4
		{"zero", "room", 0, frames.TopicAliasInvalid},                  // [MQTT-3.3.2-8]
		{"above the maximum", "room", 65535, frames.TopicAliasInvalid}, // [MQTT-3.3.2-9]
	} {
		t.Run(test.name, func(t *testing.T) {
			w := s.connect(t, frames.V5, "c", s.issuer.token(t, "alice"))
			m := aliased(test.topic, "x", test.alias)
			m.PacketID = 1
			w.send(m.Append(nil, frames.V5))
			w.expectDisconnect(test.want)
			w.expectClose(1002)
		})
	}
}

func TestABrokersAliasesSurviveADroppedDelivery(t *testing.T) {
	t.Parallel()
	s := prepareStack(t, "pattern read room/#\npattern deny room/secret\n")
	d := newDouble(t)
	g := startGateway(t, s.settings(settings{"UPSTREAM_URLS": "tcp://" + d.address, "SUBSCRIBE_MODE": "strict"}))
	w := g.dial(t, "alice", dialOptions{})
	c := newConnect(frames.V5, "c", s.issuer.token(t, "alice"))
	c.Properties = c.Properties.AppendUint(frames.PropTopicAliasMaximum, 10)
	w.setVersion(frames.V5)
	w.send(c.Append(nil, frames.V5))
	up, connect := d.acceptConnect(t, connackOK(frames.V5))
	w.connack()
	allowed, _ := connect.Properties.Uint(frames.PropTopicAliasMaximum)
	if allowed != 10 {
		t.Fatalf("the broker may use %d aliases; want the client's 10", allowed)
	}
	for _, m := range []frames.Publish{
		aliased("room/secret", "1", 1), aliased("", "2", 1), // dropped, and the first binds
		aliased("room/open", "3", 2), aliased("", "4", 2),
		aliased("", "5", 1),
		aliased("room/open", "6", 1), aliased("", "7", 1), // bound anew
		aliased("room/secret", "8", 2), aliased("", "9", 2), aliased("", "10", 1),
	} {
		m.QoS = 0
		up.send(m.Append(nil, frames.V5))
	}
	names := map[uint32]string{} // as the client learned them
	for _, want := range []string{"3", "4", "6", "7", "10"} {
		m := w.receive()
		topic := string(m.TopicName)
		if alias, has := m.Properties.Uint(frames.PropTopicAlias); has {
			if topic == "" {
				topic = names[alias]
			}
			names[alias] = topic
		}
		if topic != "room/open" || string(m.Payload) != want {
			t.Errorf("received %q on %q; want %s on room/open", m.Payload, topic, want)
		}
	}
}
