package integration

import (
	"fmt"
	"testing"

	"topicgate/frames"
)

const roomRules = "pattern readwrite chat/room/{rooms}/#\npattern readwrite mine/%u\n"

// settled publishes with QoS 1 until the gateway's answer shows that a change of the policy has arrived.
func (w *wire) settled(topic string, allowed bool) {
	w.t.Helper()
	eventually(w.t, fmt.Sprintf("%s: PUBLISH to %s allowed: %v", w.name, topic, allowed), func() bool {
		return (w.publish(message(topic, "probe", 1)) < 0x80) == allowed
	})
}

func TestARoomThatIsLeftFallsSilent(t *testing.T) {
	t.Parallel()
	s := newStack(t, roomRules)
	s.redis.do(t, "SADD", "topicgate:user:alice:rooms", "lobby", "den")
	hand := s.broker.direct(t, frames.V5, "hand")
	for _, qos := range []frames.QoS{0, 1, 2} {
		w := s.connect(t, frames.V5, fmt.Sprint("c", qos), s.issuer.token(t, "alice"))
		w.subscribed("chat/room/lobby/talk", "mine/alice")
		hand.publish(message("chat/room/lobby/talk", "before", qos))
		w.receives("chat/room/lobby/talk", "before")
		s.redis.do(t, "SREM", "topicgate:user:alice:rooms", "lobby")
		w.settled("chat/room/lobby/probe", false)
		w.settled("chat/room/den/probe", true)
		hand.publish(message("chat/room/lobby/talk", "too late", qos))
		hand.publish(message("mine/alice", "after", qos))
		w.receives("mine/alice", "after")
		s.redis.do(t, "SADD", "topicgate:user:alice:rooms", "lobby")
		w.settled("chat/room/lobby/probe", true)
		w.disconnect()
	}
}

func TestEveryWayOfChangingRedisTakesEffect(t *testing.T) {
	t.Parallel()
	s := newStack(t, roomRules)
	set := "topicgate:user:alice:rooms"
	w := s.connect(t, frames.V5, "c", s.issuer.token(t, "alice"))
	w.settled("chat/room/lobby/x", false)
	for _, step := range []struct {
		command []string
		allowed bool
	}{
		{[]string{"SADD", set, "lobby"}, true},
		{[]string{"SREM", set, "lobby"}, false},
		{[]string{"SADD", "elsewhere", "lobby", "den"}, false},
		{[]string{"SUNIONSTORE", set, "elsewhere"}, true},
		{[]string{"DEL", set}, false},
		{[]string{"RENAME", "elsewhere", set}, true},
		{[]string{"RENAME", set, "elsewhere"}, false},
		{[]string{"COPY", "elsewhere", set}, true},
		{[]string{"PEXPIRE", set, "20"}, false},
		{[]string{"EVAL", "return redis.call('SADD', KEYS[1], 'lobby')", "1", set}, true},
		{[]string{"SMOVE", set, "elsewhere", "lobby"}, false},
		{[]string{"SADD", set, "lobby"}, true},
		{[]string{"FLUSHALL"}, false},
		{[]string{"SADD", "topicgate:acl:user:alice", "write chat/room/lobby/#", "nonsense", "read news/#"}, true},
		{[]string{"DEL", "topicgate:acl:user:alice"}, false},
		{[]string{"SET", "topicgate:acl", "pattern write chat/room/lobby/+"}, true},
		{[]string{"SET", "topicgate:acl", "pattern write chat/room/lobby/+\npattern deny chat/room/lobby/x"}, false},
		{[]string{"SET", "topicgate:acl", "pattern write chat/room/lobby/x"}, true},
		{[]string{"SADD", set, "lobby"}, true},
		{[]string{"SET", "topicgate:acl", "user alice\ntopic write chat/room/lobby/#"}, true},
		{[]string{"SET", "topicgate:acl", "user alice\ntopic deny chat/room/lobby/#"}, false},
		{[]string{"FLUSHDB"}, false},
		{[]string{"SADD", "topicgate:user:alice:roles", "writer"}, false},
		{[]string{"SADD", "topicgate:acl:role:writer", "write chat/room/#"}, true},
		{[]string{"SREM", "topicgate:user:alice:roles", "writer"}, false},
	} {
		s.redis.do(t, step.command...)
		w.settled("chat/room/lobby/x", step.allowed)
	}
}

func TestAnInvalidRuleTextLeavesTheOldOneInForce(t *testing.T) {
	t.Parallel()
	s := newStack(t, "pattern write mine/%u\n")
	w := s.connect(t, frames.V5, "c", s.issuer.token(t, "alice"))
	s.redis.do(t, "SET", "topicgate:acl", "pattern write open/#")
	w.settled("open/x", true)
	s.redis.do(t, "SET", "topicgate:acl", "pattern write shut/#\npattern wriite open/#")
	s.stderr.await(t, "topicgate:acl", "2")
	w.settled("open/x", true)
	w.settled("shut/x", false)
	if s.metric(t, "topicgate_policy_loads_total", `result="invalid"`) == 0 {
		t.Error("topicgate_policy_loads_total{result=\"invalid\"} is 0; want it counted")
	}
}

func TestValuesThatCouldWidenARuleAreSkipped(t *testing.T) {
	t.Parallel()
	s := newStack(t, roomRules+"pattern write tenant/{claim.tenant}/x\n")
	s.redis.do(t, "SADD", "topicgate:user:alice:rooms", "#", "+", "a/b", "", "den")
	w := s.connect(t, frames.V5, "c", s.issuer.token(t, "alice", claims{"tenant": []string{"+", "acme", "a/b"}}))
	for topic, allowed := range map[string]bool{
		"chat/room/den/x": true, "chat/room/lobby/x": false, "chat/room/a/b/x": false, "chat/room//x": false,
		"tenant/acme/x": true, "tenant/other/x": false, "tenant/a/b/x": false,
	} {
		if got := w.publish(message(topic, "x", 1)) < 0x80; got != allowed {
			t.Errorf("PUBLISH to %s allowed: %v; want %v", topic, got, allowed)
		}
	}
}

// A deny within a granted filter: the subscription is there, and each delivery is judged.
func TestDroppedDeliveriesNeverStallTheOthers(t *testing.T) {
	t.Parallel()
	s := newStack(t, "pattern read room/#\npattern deny room/secret\n")
	hand := s.broker.direct(t, frames.V5, "hand")
	for _, v := range versions {
		t.Run(v.String(), func(t *testing.T) {
			w := s.connect(t, v, "c"+v.String(), s.issuer.token(t, "alice"))
			w.subscribed("room/#")
			for i := range 60 { // three times what mosquitto sends without an acknowledgement
				hand.publish(message("room/secret", fmt.Sprint(i), frames.QoS(1+i%2)))
			}
			hand.publish(message("room/open", "at last", 2))
			w.receives("room/open", "at last")
			w.ping()
			w.disconnect()
		})
	}
}

func TestAPersistentSessionLeaksNothingThatWasRevokedMeanwhile(t *testing.T) {
	t.Parallel()
	s := newStack(t, roomRules)
	hand := s.broker.direct(t, frames.V5, "hand")
	for _, v := range versions {
		t.Run(v.String(), func(t *testing.T) {
			s.redis.do(t, "SADD", "topicgate:user:alice:rooms", "lobby")
			persistent := func(c *frames.Connect) {
				c.CleanStart = false
				if v == frames.V5 {
					c.Properties = c.Properties.AppendUint(frames.PropSessionExpiryInterval, 600)
				}
			}
			token := s.issuer.token(t, "alice")
			w := s.connect(t, v, "sleeper"+v.String(), token, persistent)
			w.subscribed("chat/room/lobby/talk", "mine/alice")
			w.disconnect()
			hand.publish(message("mine/alice", "first", 1))
			hand.publish(message("chat/room/lobby/talk", "secret by now", 1))
			hand.publish(message("mine/alice", "last", 2))
			s.redis.do(t, "SREM", "topicgate:user:alice:rooms", "lobby")
			w, connack := s.connecting(t, v, "sleeper"+v.String(), token, persistent)
			if v != frames.V31 && !connack.SessionPresent { // 3.1 has no such flag
				t.Error("Session Present is 0; want 1")
			}
			w.receives("mine/alice", "first")
			w.receives("mine/alice", "last")
			w.ping()
			w.disconnect()
		})
	}
}

func TestABlockedUserAndARevokedTokenEndTheirSessionsAlone(t *testing.T) {
	t.Parallel()
	s := newStack(t, openPolicy)
	for _, v := range versions {
		t.Run(v.String(), func(t *testing.T) {
			alice := s.connect(t, v, "a", s.issuer.token(t, "alice"))
			other := s.connect(t, v, "o", s.issuer.token(t, "other"))
			s.redis.do(t, "SADD", "topicgate:blocked", "alice")
			if v == frames.V5 {
				alice.expectDisconnect(frames.AdministrativeAction)
			}
			alice.expectClose(4403)
			w, connack := s.connecting(t, v, "a", s.issuer.token(t, "alice"))
			if connack.Reason == frames.Success {
				t.Error("a blocked user was let in")
			}
			w.expectClose(4403)
			s.redis.do(t, "SREM", "topicgate:blocked", "alice")
			eventually(t, "alice may connect again", func() bool {
				w, connack := s.connecting(t, v, "a", s.issuer.token(t, "alice"))
				defer w.ws.Close()
				return connack.Reason == frames.Success
			})
			withID := s.connect(t, v, "r", s.issuer.token(t, "alice", claims{"jti": "lost-phone-" + v.String()}))
			s.redis.do(t, "SET", "topicgate:revoked:lost-phone-"+v.String(), "1", "EX", "600")
			if v == frames.V5 {
				withID.expectDisconnect(frames.NotAuthorized)
			}
			withID.expectClose(4401)
			other.ping()
		})
	}
}
