package session

import (
	"testing"
	"testing/synctest"

	"topicgate/frames"
	"topicgate/gateway/internal/play"
)

// withWill is ConnectOf with a Will.
func withWill(v frames.Version, topic string) frames.Connect {
	connect := play.ConnectOf(v, "alice")
	connect.Will = &frames.Will{TopicName: topic, Payload: []byte("gone"), QoS: 1, Retain: true}
	return connect
}

func TestAWillThatMayNotBePublishedIsRefused(t *testing.T) {
	play.EachVersion(t, func(t *testing.T, v frames.Version) {
		r := newRig(t, nil)
		for _, topic := range []string{"chat/status/bob", "$CONTROL/dynamic-security/v1", "$topicgate/token", "$topicgate", "chat/status/secret"} {
			r.Dial(v).Opens(withWill(v, topic)).WantRefused(5, 0x87, 4403)
			r.WantAudited(`"action":"will"`, `"topic":"`+topic+`"`)
		}
	})
}

func TestAWillIsStamped(t *testing.T) {
	r := newRig(t, nil)
	connect := withWill(frames.V5, "chat/status/alice")
	connect.Will.Properties = connect.Will.Properties.
		AppendPair(frames.PropUserProperty, []byte("topicgate-user"), []byte("root")).
		AppendUint(frames.PropWillDelayInterval, 5).
		AppendPair(frames.PropUserProperty, []byte("TOPICGATE-USER"), []byte("root")).
		AppendPair(frames.PropUserProperty, []byte("topicgate-user2"), []byte("kept"))
	c := r.Dial(frames.V5).Opens(connect)
	c.Accept()
	up, err := frames.ParseConnect(c.FromGateway(frames.TypeConnect))
	if err != nil {
		t.Fatal(err)
	}
	want := play.Stamp(frames.Properties(nil).AppendUint(frames.PropWillDelayInterval, 5).
		AppendPair(frames.PropUserProperty, []byte("topicgate-user2"), []byte("kept")))
	if up.Will == nil || string(up.Will.Properties) != string(want) || up.Will.TopicName != "chat/status/alice" || up.Will.QoS != 1 || !up.Will.Retain {
		t.Errorf("upstream Will = %+v; want properties % x", up.Will, want)
	}
}

func TestAWillFiresWhenTheSessionEndsUnlessItMayNotAnyMore(t *testing.T) {
	const revoked = "pattern read chat/status/+"
	for _, tt := range []struct {
		name   string
		revoke bool
		end    func(c *play.Conversation)
		broker string // what the broker gets before the end; empty: nothing, the Will fires
	}{
		{"lost, allowed", false, func(c *play.Conversation) { _ = c.WS.Close() }, ""},
		{"lost, revoked", true, func(c *play.Conversation) { _ = c.WS.Close() }, "e0 00"},
		{"protocol error, allowed", false, func(c *play.Conversation) { c.Say("d0 00") }, ""},
		{"protocol error, revoked", true, func(c *play.Conversation) { c.Say("d0 00") }, "e0 00"},
		{"drained, revoked", true, func(c *play.Conversation) { go rigOf(c).server.Close() }, "e0 00"},
		{"DISCONNECT, allowed", false, func(c *play.Conversation) { c.Say("e0 00") }, "e0 00"},
		{"DISCONNECT, revoked", true, func(c *play.Conversation) { c.Say("e0 00") }, "e0 00"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			play.EachVersion(t, func(t *testing.T, v frames.Version) {
				r := newRig(t, nil)
				c := r.ConnectWith(withWill(v, "chat/status/alice"), play.AcceptedBy(v))
				if tt.revoke {
					r.Follow(revoked)
				}
				tt.end(c)
				if tt.broker != "" {
					c.Passes(tt.broker)
				}
				c.BrokerEnds()
				if tt.name == "lost, revoked" {
					r.WantAudited(`"action":"will"`, `"decision":"refused"`, `"topic":"chat/status/alice"`)
				}
			})
		})
	}
}

func TestADisconnectDoesNotFireAWillThatMayNotBePublished(t *testing.T) {
	for _, tt := range []struct {
		said, allowed, revoked string
	}{
		{"e0 01 04", "e0 01 04", "e0 00"},
		{"e0 01 80", "e0 01 80", "e0 00"}, // any but 0x00 may fire it [MQTT-3.14.4-3]
		{"e0 07 04 05 11 00 00 00 09", "e0 07 04 05 11 00 00 00 09", "e0 07 00 05 11 00 00 00 09"},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, nil)
			c := r.ConnectWith(withWill(frames.V5, "chat/status/alice"), play.AcceptedBy(frames.V5))
			c.Say(tt.said)
			c.Passes(tt.allowed)
			c.BrokerEnds()

			c = r.ConnectWith(withWill(frames.V5, "chat/status/alice"), play.AcceptedBy(frames.V5))
			r.Follow("pattern read #")
			c.Say(tt.said)
			c.Passes(tt.revoked)
			c.BrokerEnds()
			r.WantAudited(`"action":"will"`, `"decision":"refused"`, `"topic":"chat/status/alice"`)
		})
	}
}

func TestTheWillOfAClientThatWasNeverAcceptedDoesNotFire(t *testing.T) {
	play.EachVersion(t, func(t *testing.T, v frames.Version) {
		r := newRig(t, nil)
		c := r.Dial(v).Opens(withWill(v, "chat/status/alice"))
		c.Accept()
		c.FromGateway(frames.TypeConnect)
		go r.server.Close()
		synctest.Wait()
		c.Reply(play.AcceptedBy(v))
		c.Passes("e0 00")
		c.BrokerEnds()
	})
}
