package integration

import (
	"slices"
	"strings"
	"testing"

	"topicgate/frames"
)

// persistent asks for an MQTT Session that outlives the connection.
func persistent(c *frames.Connect) {
	c.CleanStart = false
	if c.Version == frames.V5 {
		c.Properties = c.Properties.AppendUint(frames.PropSessionExpiryInterval, 600)
	}
}

func TestASessionThatSleptOnOneInstanceIsRightWhenItWakesOnAnother(t *testing.T) {
	t.Parallel()
	s := prepareStack(t, roomRules)
	gateways := s.three(t)
	hand := s.broker.direct(t, frames.V5, "hand")
	for _, room := range []string{"hall", "attic"} {
		hand.publish(kept("chat/room/"+room+"/talk", "kept"))
	}
	for _, v := range []frames.Version{frames.V311, frames.V5} {
		t.Run(v.String(), func(t *testing.T) {
			s.redis.do(t, "DEL", roomsOf("alice"))
			s.redis.do(t, "SADD", roomsOf("alice"), "lobby", "den")
			token, id := s.issuer.token(t, "alice"), "sleeper"+v.String()

			a := gateways[0].connect(t, v, id, token, persistent)
			a.subscribed("mine/alice", topicRejected)
			a.judged("chat/room/lobby/x", true)
			a.judged("chat/room/hall/x", false)
			a.subscribed(talk)
			s.redis.remembered(t, "alice:"+id, talk)
			a.disconnect()
			hand.publish(message("chat/room/lobby/talk", "secret by now", 1))
			hand.publish(message("chat/room/den/talk", "queued", 1))
			hand.publish(message("chat/room/lobby/talk", "secret too", 2))
			hand.publish(message("mine/alice", "queued", 2))
			s.redis.do(t, "SREM", roomsOf("alice"), "lobby")
			s.redis.do(t, "SADD", roomsOf("alice"), "hall")

			b, connack := gateways[1].connecting(t, v, id, token, persistent)
			if connack.Reason != frames.Success || !connack.SessionPresent {
				t.Fatalf("CONNACK %#x, Session Present %v; want 0, 1", uint8(connack.Reason), connack.SessionPresent)
			}
			got := b.receivesUntil("chat/room/hall/talk", "kept")
			for _, room := range []string{"lobby", "hall", "den"} {
				hand.publish(message("chat/room/"+room+"/talk", "live", 1))
			}
			hand.publish(message("mine/alice", "end", 1))
			got = append(got, b.receivesUntil("mine/alice", "end")...)
			slices.Sort(got)
			want := []string{"chat/room/den/talk live", "chat/room/den/talk queued", "chat/room/hall/talk live", "mine/alice queued"}
			if !slices.Equal(got, want) {
				t.Errorf("received %q; want %q", got, want)
			}

			// What was asked for on one instance is taken back on another: all of it, for ever.
			b.send(frames.Unsubscribe{PacketID: b.id(), TopicFilters: []string{talk}}.Append(nil, v))
			if u, err := frames.ParseUnsuback(b.expect(frames.TypeUnsuback), v); err != nil || v == frames.V5 && !slices.Equal(u.Reasons, []frames.ReasonCode{frames.Success}) {
				t.Errorf("UNSUBACK %+v, %v; want Success", u, err)
			}
			s.redis.do(t, "SADD", roomsOf("alice"), "attic")
			b.judged("chat/room/attic/x", true)
			for _, room := range []string{"attic", "hall", "den"} {
				hand.publish(message("chat/room/"+room+"/talk", "unasked", 1))
			}
			hand.publish(message("mine/alice", "silence", 1))
			b.receives("mine/alice", "silence")
			b.disconnect()
			for _, room := range []string{"attic", "hall", "den"} {
				hand.publish(message("chat/room/"+room+"/talk", "unasked, asleep", 1))
			}
			hand.publish(message("mine/alice", "still asked for", 1))
			c := gateways[2].connect(t, v, id, token, persistent)
			c.receives("mine/alice", "still asked for")
			c.ping()
			c.disconnect()
		})
	}
}

// While its client is still connected to one instance, a Session is taken over by another.
func TestASessionThatIsTakenOverByAnotherInstanceKeepsFollowing(t *testing.T) {
	t.Parallel()
	s := prepareStack(t, roomRules)
	gateways := s.three(t)
	hand := s.broker.direct(t, frames.V5, "hand")
	s.redis.do(t, "SADD", roomsOf("alice"), "lobby")
	token := s.issuer.token(t, "alice")
	old := gateways[0].connect(t, frames.V5, "phone", token, persistent)
	old.subscribed("mine/alice", topicRejected)
	old.subscribed(talk)
	s.redis.remembered(t, "alice:phone", talk)
	w := gateways[1].connect(t, frames.V5, "phone", token, persistent)
	old.ends()
	s.redis.do(t, "SADD", roomsOf("alice"), "den")
	s.redis.do(t, "SREM", roomsOf("alice"), "lobby")
	w.judged("chat/room/lobby/x", false)
	w.judged("chat/room/den/x", true)
	hand.publish(message("chat/room/lobby/talk", "too late", 1))
	hand.publish(message("mine/alice", "after", 1))
	w.receives("mine/alice", "after")
	// The SUBSCRIBE for the room joined may still be on its way to the broker.
	eventually(t, "the room joined is heard", func() bool {
		hand.publish(message("chat/room/den/talk", "hello", 1))
		hand.publish(message("mine/alice", "next", 1))
		return slices.Contains(w.receivesUntil("mine/alice", "next"), "chat/room/den/talk hello")
	})
}

// Of such a Session nobody knows what it is subscribed to: the check at delivery holds.
func TestASessionFromBeforeTheGatewayLeaksNothing(t *testing.T) {
	t.Parallel()
	s := prepareStack(t, roomRules)
	s.redis.do(t, "SADD", roomsOf("alice"), "lobby")
	before := map[frames.Version]string{}
	hand := s.broker.direct(t, frames.V5, "hand")
	for _, v := range versions {
		before[v] = "old" + v.String()
		w := s.broker.direct(t, v, "alice:"+before[v], persistent)
		w.subscribed("#", "secret/1", "chat/room/+/talk")
		w.send(frames.Disconnect{}.Append(nil, v))
		w.expectClosed()
	}
	for qos := range frames.QoS(3) {
		hand.publish(message("secret/1", "asleep", qos))
		hand.publish(message("chat/room/den/talk", "asleep", qos))
	}
	hand.publish(message("mine/alice", "asleep", 1))
	for i, g := range s.three(t) {
		v := versions[i]
		w, connack := g.connecting(t, v, before[v], s.issuer.token(t, "alice"), persistent)
		if connack.SessionPresent {
			t.Errorf("%s: Session Present is 1; want 0, so that the client asks for its subscriptions anew", v)
		}
		for qos := range frames.QoS(3) {
			hand.publish(message("secret/1", "awake", qos))
			hand.publish(message("chat/room/den/talk", "awake", qos))
		}
		hand.publish(message("mine/alice", "end "+v.String(), 1))
		got := slices.Compact(w.receivesUntil("mine/alice", "end "+v.String()))
		got = slices.DeleteFunc(got, func(m string) bool { return strings.HasPrefix(m, "mine/alice end ") }) // of the others
		if want := []string{"mine/alice asleep"}; !slices.Equal(got, want) {
			t.Errorf("%s: received %q; want %q", v, got, want)
		}
		w.ping()
		w.disconnect()
	}
}
