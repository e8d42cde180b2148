package gateway

import (
	"context"
	"encoding/json"
	"maps"
	"strings"
	"sync"
	"testing"

	"topicgate/frames"
	"topicgate/gateway/audit"
	"topicgate/gateway/internal/play"
	"topicgate/gateway/internal/redistest"
	"topicgate/gateway/registry"
)

// disconnect runs the operator's command, and wants it to end so many sessions.
func (r *redisServer) disconnect(user, clientID string, want int) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), play.Patience)
	defer cancel()
	gone, left, err := registry.Disconnect(ctx, r.Client, "tg:", user, clientID)
	if err != nil || len(gone) != want || len(left) != 0 {
		r.t.Errorf("Disconnect(%s, %q) = %+v, %+v, %v; want %d gone and none left", user, clientID, gone, left, err, want)
	}
}

func TestDisconnectEndsSessionsOnAllInstances(t *testing.T) {
	r := startRedis(t)
	first, second := newRedisGate(t, r, "first"), newRedisGate(t, r, "second")
	alice := []*play.Conversation{
		first.ConnectAs(frames.V5, "alice", "phone"),
		second.ConnectAs(frames.V5, "alice", "desk"),
		second.ConnectAs(frames.V311, "alice", "phone"),
	}
	bob := second.ConnectAs(frames.V5, "bob", "phone")
	r.awaitSessions(4)

	var leaving sync.WaitGroup
	leaving.Go(func() { r.disconnect("alice", "phone", 2) })
	alice[0].Disconnected()
	alice[2].Disconnected()
	leaving.Wait()
	alice[1].Lives()
	bob.Lives()

	back := first.ConnectAs(frames.V5, "alice", "phone") // nobody has blocked her
	r.awaitSessions(3)
	leaving.Go(func() { r.disconnect("alice", "", 2) })
	alice[1].Disconnected()
	back.Disconnected()
	leaving.Wait()
	bob.Lives()

	r.disconnect("alice", "", 0)
	r.disconnect("bob", "desk", 0)
	bob.Lives()
	redistest.Eventually(t, "the ends are audited", func() bool {
		return strings.Count(first.Audited.String(), `"action":"disconnect"`) == 2 && strings.Count(second.Audited.String(), `"reason":"disconnected"`) == 2
	})
}

func TestEndsByRightsAreAudited(t *testing.T) {
	r := startRedis(t)
	rig := newRedisGate(t, r, "host")
	expired := rig.ConnectAs(frames.V5, "alice@300ms", "1")
	blocked := rig.ConnectAs(frames.V311, "mallory", "2")
	leaving := rig.ConnectAs(frames.V311, "bob", "3")
	r.Run("SADD", "tg:blocked", "mallory")
	blocked.Closes(4403)
	expired.Expect(frames.TypeDisconnect)
	expired.Closes(4401)
	leaving.Say("e0 00")
	leaving.Passes("e0 00")
	leaving.Closes(1000)
	for _, c := range []*play.Conversation{expired, blocked, leaving} {
		_ = c.Conn.Close()
	}
	// Each Client Identifier with the reason for which its end is recorded.
	want := map[string]string{"1": "token_expired", "2": "blocked"}
	got := map[string]string{}
	redistest.Eventually(t, "two ends are audited", func() bool {
		for line := range strings.Lines(rig.Audited.String()) {
			var e audit.Event
			if json.Unmarshal([]byte(line), &e) == nil && e.Action == audit.Disconnect {
				got[e.ClientID] = e.Reason
			}
		}
		return len(got) >= len(want)
	})
	rig.server.Close()
	if !maps.Equal(got, want) {
		t.Errorf("audited %v; want %v", got, want)
	}
}

// An order that is repeated names the sessions that are left: who has come back meanwhile stays.
func TestAnOrderThatNamesSessionsEndsNoOthers(t *testing.T) {
	r := newGate(t, nil)
	c := r.Connect(frames.V5, "alice")
	c.Lives()
	id := r.server.Sessions()[0].Session
	r.server.disconnect(registry.Order{User: "alice", Sessions: []string{"another"}})
	c.Lives()
	r.server.disconnect(registry.Order{User: "alice", Sessions: []string{"another", id}})
	c.Disconnected()
}

func TestSessionsOfAllInstancesAreListed(t *testing.T) {
	r := startRedis(t)
	first, second := newRedisGate(t, r, "first"), newRedisGate(t, r, "second")
	a := first.Connect(frames.V5, "alice")
	r.awaitSessions(1)
	b := second.Connect(frames.V311, "bob")
	all := r.awaitSessions(2)
	if all[0].Instance != "first" || all[0].User != "alice" || all[0].ClientID != "c1" || all[0].Version != "5.0" ||
		all[1].Instance != "second" || all[1].User != "bob" || all[1].Version != "3.1.1" {
		t.Errorf("LiveSessions() = %+v; want alice on first, then bob on second", all)
	}
	a.Say("e0 00")
	a.Passes("e0 00")
	_ = a.Conn.Close()
	if all := r.awaitSessions(1); all[0].User != "bob" {
		t.Errorf("LiveSessions() = %+v; want bob", all)
	}
	_ = b.Conn.Close()
	r.awaitSessions(0)

	second.server.Close()
	if n := r.SCard(t.Context(), "tg:instances").Val(); n != 1 {
		t.Errorf("%d instances are registered after one of two has ended; want 1", n)
	}
}
