package integration

import (
	"fmt"
	"testing"
	"time"

	"topicgate/frames"
)

// sleepsFor is a client of 5.0 whose MQTT Session outlives its connection by so many seconds.
func sleepsFor(seconds uint32) func(*frames.Connect) {
	return func(c *frames.Connect) {
		c.CleanStart = false
		c.Properties = c.Properties.AppendUint(frames.PropSessionExpiryInterval, seconds)
	}
}

// resumes reports whether the broker has an MQTT Session of a Client Identifier. It ends by that.
func (b *mosquitto) resumes(t testing.TB, clientID string) bool {
	t.Helper()
	w := dialTCP(t, clientID, b.address)
	connack := w.handshake(&frames.Connect{Version: frames.V5, ClientID: clientID})
	w.disconnect()
	return connack.SessionPresent
}

// A block ends what sleeps at the broker, and the Will that waits there; what is another's goes on sleeping.
func TestABlockEndsWhatSleeps(t *testing.T) {
	t.Parallel()
	s := newStack(t, openPolicy)
	eye := s.broker.direct(t, frames.V5, "eye")
	eye.subscribed("will/+")
	asleep := func(user, id string, v frames.Version, alter func(*frames.Connect)) {
		t.Helper()
		w := s.connect(t, v, id, s.issuer.token(t, user), alter)
		w.subscribed("room")
		_ = w.conn.Close() // without DISCONNECT: the Will is due after its delay
	}
	willed := func(user string) func(*frames.Connect) {
		return func(c *frames.Connect) {
			sleepsFor(600)(c)
			c.Will = &frames.Will{TopicName: "will/" + user, Payload: []byte("gone"), Properties: frames.Properties(nil).AppendUint(frames.PropWillDelayInterval, 8)}
		}
	}
	asleep("alice", "phone", frames.V5, willed("alice"))
	asleep("alice", "old phone", frames.V311, func(c *frames.Connect) { c.CleanStart = false })
	asleep("bob", "phone", frames.V5, willed("bob"))
	live := s.connect(t, frames.V5, "tab", s.issuer.token(t, "alice"), sleepsFor(600))
	live.subscribed("room")
	eventually(t, "three of alice's are known", func() bool { return s.redis.do(t, "ZCARD", "topicgate:sleeping:alice") == "3" })
	s.redis.do(t, "SADD", "topicgate:blocked", "alice")
	eventually(t, "all are ended", func() bool { return s.redis.do(t, "EXISTS", "topicgate:sleeping:alice") == "0" })
	for _, id := range []string{"alice:phone", "alice:old phone", "alice:tab"} {
		if s.broker.resumes(t, id) {
			t.Errorf("the broker still has a session of %s", id)
		}
	}
	if !s.broker.resumes(t, "bob:phone") { // and his Will is called off by that
		t.Error("the broker has no session of bob's any more")
	}
	time.Sleep(9 * time.Second)
	eye.ping() // and nothing came before the answer
}

// Of one user's sleeping sessions only so many are kept; those that end soonest go first.
func TestSleepingSessionsOfAUserAreBounded(t *testing.T) {
	t.Parallel()
	s := newStack(t, openPolicy, settings{"MAX_SLEEPING_PER_USER": "3"})
	for n := range 5 {
		w := s.connect(t, frames.V5, fmt.Sprint("c", n), s.issuer.token(t, "alice"), sleepsFor(uint32(1000*(n+1))))
		w.subscribed("room")
		w.send(frames.Disconnect{Reason: frames.DisconnectWithWill}.Append(nil, frames.V5))
		w.expectClosed()
	}
	eventually(t, "three are left", func() bool {
		return s.redis.do(t, "ZRANGE", "topicgate:sleeping:alice", "0", "-1") == "alice:c2\nalice:c3\nalice:c4" &&
			s.redis.do(t, "EXISTS", "topicgate:session:alice:c0", "topicgate:session:alice:c1") == "0"
	})
	if _, connack := s.connecting(t, frames.V5, "c4", s.issuer.token(t, "alice"), sleepsFor(1000)); !connack.SessionPresent {
		t.Error("the session that ends last is not resumed")
	}
}

// Until a Will Delay is over a Will is judged again: who has lost the right has it called off, and sleeps on.
func TestAWillThatWaitsIsCalledOffWithItsRight(t *testing.T) {
	t.Parallel()
	s := newStack(t, "pattern write will/%u/{rooms}\npattern readwrite room\n")
	for _, user := range []string{"alice", "bob"} {
		s.redis.do(t, "SADD", roomsOf(user), "lobby")
	}
	eye := s.broker.direct(t, frames.V5, "eye")
	eye.subscribed("will/#")
	for _, user := range []string{"alice", "bob"} {
		w := s.connect(t, frames.V5, "phone", s.issuer.token(t, user), sleepsFor(600), func(c *frames.Connect) {
			c.Will = &frames.Will{TopicName: "will/" + user + "/lobby", Payload: []byte("gone"), Properties: frames.Properties(nil).AppendUint(frames.PropWillDelayInterval, 8)}
		})
		w.subscribed("room")
		_ = w.conn.Close()
	}
	eventually(t, "both are gone", func() bool { return s.metric(t, "topicgate_sessions") == 0 })
	s.redis.do(t, "SREM", roomsOf("alice"), "lobby")
	r := s.audited(t, record{"action": "will", "topic": "will/alice/lobby"})
	if r["decision"] != "refused" {
		t.Errorf("audited %v; want it refused", r)
	}
	eye.receives("will/bob/lobby", "gone") // when its delay is over, so alice's is over, too
	eye.ping()
	for _, user := range []string{"alice", "bob"} {
		if _, connack := s.connecting(t, frames.V5, "phone", s.issuer.token(t, user), sleepsFor(600)); !connack.SessionPresent {
			t.Errorf("%s's session is not resumed", user)
		}
	}
}
