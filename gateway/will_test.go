package gateway

import (
	"testing"
	"testing/synctest"

	"topicgate/frames"
)

// withWill is connectOf with a Will.
func withWill(v frames.Version, topic string) frames.Connect {
	connect := connectOf(v, "alice")
	connect.Will = &frames.Will{TopicName: topic, Payload: []byte("gone"), QoS: 1, Retain: true}
	return connect
}

func TestAWillThatMayNotBePublishedIsRefused(t *testing.T) {
	eachVersion(t, func(t *testing.T, v frames.Version) {
		r := newRig(t, nil)
		for _, topic := range []string{"chat/status/bob", "$CONTROL/dynamic-security/v1", "$topicgate/token", "$topicgate", "chat/status/secret"} {
			r.dial(v).opens(withWill(v, topic)).wantRefused(5, 0x87, 4403)
			r.wantAudited(`"action":"will"`, `"topic":"`+topic+`"`)
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
	c := r.dial(frames.V5).opens(connect)
	c.accept()
	up, err := frames.ParseConnect(c.fromGateway(frames.TypeConnect))
	if err != nil {
		t.Fatal(err)
	}
	want := stamp(frames.Properties(nil).AppendUint(frames.PropWillDelayInterval, 5).
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
		end    func(c *conversation)
		broker string // what the broker gets before the end; empty: nothing, the Will fires
	}{
		{"lost, allowed", false, func(c *conversation) { _ = c.ws.Close() }, ""},
		{"lost, revoked", true, func(c *conversation) { _ = c.ws.Close() }, "e0 00"},
		{"protocol error, allowed", false, func(c *conversation) { c.say("d0 00") }, ""},
		{"protocol error, revoked", true, func(c *conversation) { c.say("d0 00") }, "e0 00"},
		{"drained, revoked", true, func(c *conversation) { go rigOf(c).server.Close() }, "e0 00"},
		{"DISCONNECT, allowed", false, func(c *conversation) { c.say("e0 00") }, "e0 00"},
		{"DISCONNECT, revoked", true, func(c *conversation) { c.say("e0 00") }, "e0 00"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			eachVersion(t, func(t *testing.T, v frames.Version) {
				r := newRig(t, nil)
				c := r.connectWith(withWill(v, "chat/status/alice"), acceptedBy(v))
				if tt.revoke {
					r.follow(revoked)
				}
				tt.end(c)
				if tt.broker != "" {
					c.passes(tt.broker)
				}
				c.brokerEnds()
				if tt.name == "lost, revoked" {
					r.wantAudited(`"action":"will"`, `"decision":"refused"`, `"topic":"chat/status/alice"`)
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
			c := r.connectWith(withWill(frames.V5, "chat/status/alice"), acceptedBy(frames.V5))
			c.say(tt.said)
			c.passes(tt.allowed)
			c.brokerEnds()

			c = r.connectWith(withWill(frames.V5, "chat/status/alice"), acceptedBy(frames.V5))
			r.follow("pattern read #")
			c.say(tt.said)
			c.passes(tt.revoked)
			c.brokerEnds()
			r.wantAudited(`"action":"will"`, `"decision":"refused"`, `"topic":"chat/status/alice"`)
		})
	}
}

func TestTheWillOfAClientThatWasNeverAcceptedDoesNotFire(t *testing.T) {
	eachVersion(t, func(t *testing.T, v frames.Version) {
		r := newRig(t, nil)
		c := r.dial(v).opens(withWill(v, "chat/status/alice"))
		c.accept()
		c.fromGateway(frames.TypeConnect)
		go r.server.Close()
		synctest.Wait()
		c.reply(acceptedBy(v))
		c.passes("e0 00")
		c.brokerEnds()
	})
}
