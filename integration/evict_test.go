package integration

import (
	"fmt"
	"syscall"
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

// willed is one with a Will that is due 8 s after its end.
func willed(user string) func(*frames.Connect) {
	return func(c *frames.Connect) {
		sleepsFor(600)(c)
		c.Will = &frames.Will{TopicName: "will/" + user, Payload: []byte("gone"), Properties: frames.Properties(nil).AppendUint(frames.PropWillDelayInterval, 8)}
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
	eye.receives("will/bob", "gone") // when its delay is over, so alice's is over, too
	eye.ping()                       // and nothing came before the answer
	if !s.broker.resumes(t, "bob:phone") {
		t.Error("the broker has no session of bob's any more")
	}
}

// A token that is revoked while its session lives ends the session, and has the Will called off that would be due later.
func TestAWillThatWaitsIsCalledOffWithItsToken(t *testing.T) {
	t.Parallel()
	s := newStack(t, openPolicy)
	eye := s.broker.direct(t, frames.V5, "eye")
	eye.subscribed("will/+")
	for _, user := range []string{"alice", "bob"} {
		w := s.connect(t, frames.V5, "phone", s.issuer.token(t, user, claims{"jti": "token of " + user}), willed(user))
		w.subscribed("room")
		if user == "alice" {
			s.redis.do(t, "SET", "topicgate:revoked:token of alice", "1", "EX", "600")
			w.expect(frames.TypeDisconnect)
			w.expectClosed()
		} else {
			_ = w.conn.Close()
		}
	}
	eye.receives("will/bob", "gone")
	eye.ping()
}

// Two instances: a client that has come back through the other one is left alone when its right is lost, and what
// sleeps is ended by an instance that has never seen it.
func TestWhatSleepsIsEveryInstances(t *testing.T) {
	t.Parallel()
	s := newStack(t, "pattern write will/%u/{rooms}\npattern readwrite room\n")
	other := startGateway(t, s.settings())
	s.redis.do(t, "SADD", roomsOf("alice"), "lobby")
	eye := s.broker.direct(t, frames.V5, "eye")
	eye.subscribed("will/#")
	token := s.issuer.token(t, "alice")
	will := func(c *frames.Connect) {
		sleepsFor(600)(c)
		c.Will = &frames.Will{TopicName: "will/alice/lobby", Payload: []byte("gone"), Properties: frames.Properties(nil).AppendUint(frames.PropWillDelayInterval, 300)}
	}
	w := s.connect(t, frames.V5, "phone", token, will)
	w.subscribed("room")
	_ = w.conn.Close()
	left := s.connect(t, frames.V5, "desk", token, will)
	left.subscribed("room")
	_ = left.conn.Close()
	eventually(t, "both are gone", func() bool { return s.metric(t, "topicgate_sessions") == 0 })
	time.Sleep(6 * time.Second) // longer than the clocks of instances may differ
	back, connack := other.connecting(t, frames.V5, "phone", token, will)
	if !connack.SessionPresent {
		t.Fatal("the session is not resumed")
	}
	s.redis.do(t, "SREM", roomsOf("alice"), "lobby")
	s.audited(t, record{"action": "will", "topic": "will/alice/lobby", "client_id": "desk"})
	back.ping() // it is served on
	if n := s.metric(t, "topicgate_wills_called_off_total", `result="success"`); n != 1 {
		t.Errorf("%v Wills were called off; want that of the client alone that is not back", n)
	}

	s.gateway.stop(t) // what sleeps is in Redis
	s.redis.do(t, "SADD", "topicgate:blocked", "alice")
	back.expect(frames.TypeDisconnect)
	back.expectClosed()
	eventually(t, "all are ended", func() bool { return s.redis.do(t, "EXISTS", "topicgate:sleeping:alice") == "0" })
	for _, id := range []string{"alice:phone", "alice:desk"} {
		if s.broker.resumes(t, id) {
			t.Errorf("the broker still has a session of %s", id)
		}
	}
	eye.ping()
}

// A block while the broker is away ends what sleeps there when it is back.
func TestABlockWhileTheBrokerIsAwayEndsWhatSleeps(t *testing.T) {
	t.Parallel()
	s := newStack(t, openPolicy)
	w := s.connect(t, frames.V5, "phone", s.issuer.token(t, "alice"), sleepsFor(600))
	w.subscribed("room")
	_ = w.conn.Close()
	eventually(t, "it is known", func() bool { return s.redis.do(t, "ZCARD", "topicgate:sleeping:alice") == "1" })
	s.broker.signal(syscall.SIGSTOP)
	s.redis.do(t, "SADD", "topicgate:blocked", "alice")
	eventually(t, "it was tried", func() bool { return s.metric(t, "topicgate_sleepers_evicted_total", `result="failed"`) > 0 })
	s.broker.signal(syscall.SIGCONT)
	eventually(t, "it is ended", func() bool { return s.redis.do(t, "EXISTS", "topicgate:sleeping:alice") == "0" })
	if s.broker.resumes(t, "alice:phone") {
		t.Error("the broker still has the session")
	}
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
