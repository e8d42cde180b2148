package integration

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	"topicgate/frames"
)

// talk is what every session of these tests asks for, once: the gateway makes it the rooms of the user.
const talk = "chat/room/+/talk"

func kept(topic, payload string) frames.Publish {
	m := message(topic, payload, 1)
	m.Retain = true
	return m
}

func TestARoomJoinedOrLeftReachesTheLiveSessionsOfEveryInstance(t *testing.T) {
	t.Parallel()
	s := prepareStack(t, roomRules)
	gateways := s.three(t)
	hand := s.broker.direct(t, frames.V5, "hand")
	hand.publish(kept("chat/room/den/talk", "kept"))
	hand.publish(kept("chat/room/attic/talk", "nobody's business"))
	s.redis.do(t, "SADD", roomsOf("alice"), "lobby")
	s.redis.do(t, "SADD", roomsOf("bob"), "lobby")

	open := func(g *gateway, v frames.Version, user string) *wire {
		w := g.connect(t, v, "of-"+user+"-"+v.String(), s.issuer.token(t, user))
		w.subscribed(topicAccess, topicRejected, "mine/"+user)
		w.subscribed(talk)
		w.covers(talk, "chat/room/lobby/talk")
		return w
	}
	var alices []*wire
	for i, g := range gateways {
		alices = append(alices, open(g, versions[i], "alice"))
	}
	bob := open(gateways[1], frames.V5, "bob")
	everybody := append([]*wire{bob}, alices...)

	hand.publish(message("chat/room/lobby/talk", "before", 1))
	for _, w := range everybody {
		w.receives("chat/room/lobby/talk", "before")
	}
	for _, w := range alices {
		if w.mayPublish("chat/room/den/x") {
			t.Errorf("%s: PUBLISH to a room not joined is allowed", w.name)
		}
	}

	s.redis.do(t, "SADD", roomsOf("alice"), "den")
	for _, w := range alices {
		w.covers(talk, "chat/room/den/talk", "chat/room/lobby/talk")
		if m := w.receives("chat/room/den/talk", "kept"); !m.Retain {
			t.Errorf("%s: RETAIN is 0 on what a new subscription brought; want 1", w.name)
		}
		if !w.mayPublish("chat/room/den/x") {
			t.Errorf("%s: PUBLISH to the room joined is refused", w.name)
		}
	}
	hand.publish(message("chat/room/den/talk", "welcome", 2))
	for _, w := range alices {
		w.receives("chat/room/den/talk", "welcome")
	}

	s.redis.do(t, "SREM", roomsOf("alice"), "lobby")
	for _, w := range alices {
		w.covers(talk, "chat/room/den/talk")
		if w.mayPublish("chat/room/lobby/x") {
			t.Errorf("%s: PUBLISH to the room left is allowed", w.name)
		}
	}
	for qos := range frames.QoS(3) {
		hand.publish(message("chat/room/lobby/talk", fmt.Sprint("too late ", qos), qos))
		bob.receives("chat/room/lobby/talk", fmt.Sprint("too late ", qos)) // he is still there
	}
	hand.publish(message("chat/room/den/talk", "after", 1))
	for _, w := range alices {
		w.receives("chat/room/den/talk", "after")
		w.ping()
	}
	bob.ping() // nothing of all that concerned him
}

func TestWhoIsTurnedOutIsTurnedOutOfEveryInstance(t *testing.T) {
	t.Parallel()
	s := prepareStack(t, openPolicy)
	gateways := s.three(t)
	stays := gateways[2].connect(t, frames.V311, "stays", s.issuer.token(t, "bob"))
	var command sync.WaitGroup
	defer command.Wait()
	for _, way := range []struct {
		name   string
		out    func() // turns out alice, whose token has the id "lost"
		code   frames.ReasonCode
		status int
		again  func() // lets her in again; nil: she never was kept out
	}{
		{"blocked", func() { s.redis.do(t, "SADD", "topicgate:blocked", "alice") }, frames.AdministrativeAction, 4403,
			func() { s.redis.do(t, "SREM", "topicgate:blocked", "alice") }},
		{"token revoked", func() { s.redis.do(t, "SET", "topicgate:revoked:lost", "1", "EX", "600") }, frames.NotAuthorized, 4401,
			func() { s.redis.do(t, "DEL", "topicgate:revoked:lost") }},
		{"disconnected", func() {
			s.listed(t, 4)
			command.Go(func() { s.topicgate(t, "disconnect", "alice") }) // waits for the ends, these for their last words
		}, frames.AdministrativeAction, 4403, nil},
	} {
		t.Run(way.name, func(t *testing.T) {
			token := s.issuer.token(t, "alice", claims{"jti": "lost"})
			var sessions []*wire
			for i, g := range gateways {
				sessions = append(sessions, g.connect(t, versions[i], fmt.Sprint("c", i), token))
			}
			way.out()
			for _, w := range sessions {
				if w.version == frames.V5 {
					w.expectDisconnect(way.code)
				}
				w.expectClose(way.status)
			}
			for _, g := range gateways {
				if way.again != nil {
					w, connack := g.connecting(t, frames.V5, "c", token)
					if connack.Reason == frames.Success {
						t.Error("CONNACK 0 of one who was turned out")
					}
					w.expectClose(way.status)
				}
			}
			if way.again != nil {
				way.again()
			}
			for _, g := range gateways {
				eventually(t, "alice may connect again", func() bool {
					w, connack := g.connecting(t, frames.V5, "c", token)
					defer w.ws.Close()
					return connack.Reason == frames.Success
				})
			}
			stays.ping()
		})
	}
}

func TestTheSessionsOfThreeInstancesAreListedByEach(t *testing.T) {
	t.Parallel()
	s := prepareStack(t, openPolicy)
	gateways := s.three(t)
	for i, g := range gateways {
		g.connect(t, versions[i], fmt.Sprint("c", i), s.issuer.token(t, "alice"))
		s.listed(t, i+1) // one after the other, or their order is not told
	}
	for _, g := range gateways {
		instances := map[string]bool{}
		for i, l := range g.listed(t, 3) {
			if l.ClientID != fmt.Sprint("c", i) || l.User != "alice" || l.Version != versions[i].String() {
				t.Errorf("session %d is listed as %+v", i, l)
			}
			instances[l.Instance] = true
		}
		if len(instances) != 3 {
			t.Errorf("the sessions are listed on %d instances; want 3", len(instances))
		}
	}
}

// A Will is in the broker from CONNECT on: what may not be published any more when the session ends, the
// gateway has to take back.
func TestAWillOfARoomLeftMeanwhileDoesNotFire(t *testing.T) {
	t.Parallel()
	s := prepareStack(t, roomRules)
	gateways := s.three(t)
	eye := s.broker.direct(t, frames.V311, "eye")
	eye.subscribed("#")
	for i, v := range versions {
		t.Run(v.String(), func(t *testing.T) {
			s.redis.do(t, "SADD", roomsOf("alice"), "lobby", "den")
			var sessions []*wire
			for _, room := range []string{"lobby", "den"} {
				w := gateways[i].connect(t, v, room+v.String(), s.issuer.token(t, "alice"), will("chat/room/"+room+"/will", 1))
				w.subscribed(topicRejected)
				sessions = append(sessions, w)
			}
			s.redis.do(t, "SREM", roomsOf("alice"), "lobby")
			for _, w := range sessions {
				w.judged("chat/room/lobby/x", false)
				_ = w.conn.Close() // without DISCONNECT
				s.broker.stderr.await(t, "Client alice:"+w.name+" ")
			}
			if slices.Contains(eye.receivesUntil("chat/room/den/will", "gone"), "chat/room/lobby/will gone") {
				t.Error("the Will of a room left was published")
			}
			gateways[i].audited(t, record{"action": "will", "topic": "chat/room/lobby/will", "user": "alice", "client_id": "lobby" + v.String()})
		})
	}
}
