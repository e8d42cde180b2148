package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"topicgate/auth"
	"topicgate/frames"
	"topicgate/gateway/audit"
	"topicgate/policy/store"
)

// connectAs opens a session of user with a Client Identifier.
func (r *rig) connectAs(v frames.Version, user, clientID string) *conversation {
	r.t.Helper()
	connack := "20 02 00 00"
	if v == frames.V5 {
		connack = "20 06 00 00 03 22 00 0a"
	}
	return r.connectWith(frames.Connect{Version: v, CleanStart: true, ClientID: clientID, HasUsername: true, Username: "u", HasPassword: true, Password: []byte(user)}, connack)
}

// lives proves that nothing has ended the session, nor said anything.
func (c *conversation) lives() {
	c.t.Helper()
	c.say("c0 00")
	c.passes("c0 00")
	c.reply("d0 00")
	c.hears("d0 00")
}

// disconnected wants the session to have been ended by an operator, and the broker left to publish the Will.
func (c *conversation) disconnected() {
	c.t.Helper()
	if c.v == frames.V5 {
		d, err := frames.ParseDisconnect(c.expect(frames.TypeDisconnect), c.v)
		if err != nil || d.Reason != frames.AdministrativeAction {
			c.t.Errorf("DISCONNECT %v, %v; want 0x98", d.Reason, err)
		}
	}
	c.closes(closeForbidden)
	if p, err := c.broker.ReadPacket(); !errors.Is(err, io.EOF) {
		c.t.Errorf("the broker got % x, %v; want the end without a DISCONNECT", p.Raw, err)
	}
	_ = c.conn.Close()
}

// disconnect runs the operator's command, and wants it to end so many sessions.
func (r *redisServer) disconnect(user, clientID string, want int) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	gone, left, err := Disconnect(ctx, r.Client, "tg:", user, clientID)
	if err != nil || len(gone) != want || len(left) != 0 {
		r.t.Errorf("Disconnect(%s, %q) = %+v, %+v, %v; want %d gone and none left", user, clientID, gone, left, err, want)
	}
}

func TestDisconnectEndsSessionsOnAllInstances(t *testing.T) {
	r := startRedis(t)
	first, second := newRedisRig(t, r, "first"), newRedisRig(t, r, "second")
	alice := []*conversation{
		first.connectAs(frames.V5, "alice", "phone"),
		second.connectAs(frames.V5, "alice", "desk"),
		second.connectAs(frames.V311, "alice", "phone"),
	}
	bob := second.connectAs(frames.V5, "bob", "phone")
	r.awaitSessions(4)

	var leaving sync.WaitGroup
	leaving.Go(func() { r.disconnect("alice", "phone", 2) })
	alice[0].disconnected()
	alice[2].disconnected()
	leaving.Wait()
	alice[1].lives()
	bob.lives()

	back := first.connectAs(frames.V5, "alice", "phone") // nobody has blocked her
	r.awaitSessions(3)
	leaving.Go(func() { r.disconnect("alice", "", 2) })
	alice[1].disconnected()
	back.disconnected()
	leaving.Wait()
	bob.lives()

	r.disconnect("alice", "", 0)
	r.disconnect("bob", "desk", 0)
	bob.lives()
	eventually(t, "the ends are audited", func() bool {
		return strings.Count(first.audited.String(), `"action":"disconnect"`) == 2 && strings.Count(second.audited.String(), `"reason":"disconnected"`) == 2
	})
}

func TestSessionThatDoesNotEndIsTold(t *testing.T) {
	r := startRedis(t)
	g := newTestRegistry(t, r, "deaf")
	g.add(infoOf(1))
	runs(t, g)
	r.awaitSessions(1)
	ctx, cancel := context.WithTimeout(t.Context(), 3*disconnectPoll)
	defer cancel()
	gone, left, err := Disconnect(ctx, r.Client, "tg:", "alice", "")
	if err != nil || len(gone) != 0 || len(left) != 1 || left[0].Instance != "deaf" {
		t.Errorf("Disconnect() = %+v, %+v, %v; want one left", gone, left, err)
	}
}

// obeyed collects the orders that g hears until the test ends.
func obeyed(t *testing.T, g *registry) chan disconnectOrder {
	t.Helper()
	orders := make(chan disconnectOrder, 1000)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { g.listen(ctx, func(o disconnectOrder) { orders <- o }) })
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
	return orders
}

// orders publishes until something arrives, and returns that.
func (r *redisServer) orders(orders chan disconnectOrder, message string) (o disconnectOrder) {
	r.t.Helper()
	eventually(r.t, "an order is heard", func() bool {
		_ = r.Publish(context.Background(), "tg:ctl", message).Err()
		select {
		case o = <-orders:
			return true
		case <-time.After(10 * time.Millisecond):
			return false
		}
	})
	return o
}

func TestMalformedOrdersAreDropped(t *testing.T) {
	r := startRedis(t)
	g := newTestRegistry(t, r, "host")
	var log syncBuffer
	g.log = slog.New(slog.NewTextHandler(&log, nil))
	orders := obeyed(t, g)
	r.orders(orders, `{"disconnect":{"user":"first"}}`)
	bad := []string{"", "x", "[]", "null", "{}", `{"disconnect":{}}`, `{"disconnect":{"user":""}}`, `{"disconnect":{"user":1}}`,
		`{"disconnect":{"user":"a","sessions":"all"}}`, `{"restart":{}}`, "\xff", `{"disconnect":{"user":"a"}`}
	for _, message := range bad {
		r.do("PUBLISH", "tg:ctl", message)
	}
	r.do("PUBLISH", "tg:ctl", `{"disconnect":{"user":"last","client_id":"c","sessions":["1"]},"later":1}`)
	for {
		o := <-orders
		if o.User == "first" { // published more than once
			continue
		}
		if o.User != "last" || o.ClientID != "c" || len(o.Sessions) != 1 {
			t.Errorf("heard %+v; want none but the last", o)
		}
		break
	}
	if n := strings.Count(log.String(), "control message dropped"); n != len(bad) {
		t.Errorf("%d messages are logged as dropped; want %d", n, len(bad))
	}
}

func TestControlConnectionIsOpenedAnew(t *testing.T) {
	r := startRedis(t)
	orders := obeyed(t, newTestRegistry(t, r, "host"))
	const order = `{"disconnect":{"user":"alice"}}`
	r.orders(orders, order)
	for what, harm := range map[string]func(){
		"killed":    func() { r.do("CLIENT", "KILL", "TYPE", "pubsub") },
		"restarted": func() { r.kill(); r.start() },
	} {
		harm()
		for len(orders) > 0 {
			<-orders
		}
		if o := r.orders(orders, order); o.User != "alice" {
			t.Errorf("%s: heard %+v", what, o)
		}
	}
}

func TestControlConnectionThatIsHalfOpenIsNoticed(t *testing.T) {
	r := startRedis(t)
	g := newTestRegistry(t, r, "host")
	heard := make(chan disconnectOrder, 1000)
	ended := make(chan error, 1)
	go func() { ended <- g.hear(context.Background(), func(o disconnectOrder) { heard <- o }) }()
	r.orders(heard, `{"disconnect":{"user":"alice"}}`)
	// Idle for longer than the limit, it lives on by its pings.
	select {
	case err := <-ended:
		t.Fatalf("an idle connection was given up: %v", err)
	case <-time.After(2 * g.timing.silence):
	}
	r.hang()
	defer r.wake()
	select {
	case <-ended:
	case <-time.After(patience):
		t.Fatal("a server that says nothing was not noticed")
	}
}

func TestEndsByRightsAreAudited(t *testing.T) {
	r := startRedis(t)
	rig := newRedisRig(t, r, "host")
	expired := rig.connectAs(frames.V5, "alice@300ms", "1")
	blocked := rig.connectAs(frames.V311, "mallory", "2")
	leaving := rig.connectAs(frames.V311, "bob", "3")
	r.do("SADD", "tg:blocked", "mallory")
	blocked.closes(closeForbidden)
	expired.expect(frames.TypeDisconnect)
	expired.closes(closeNotAuthenticated)
	leaving.say("e0 00")
	leaving.passes("e0 00")
	leaving.closes(1000)
	for _, c := range []*conversation{expired, blocked, leaving} {
		_ = c.conn.Close()
	}
	// Each Client Identifier with the reason for which its end is recorded.
	want := map[string]string{"1": "token_expired", "2": "blocked"}
	got := map[string]string{}
	eventually(t, "two ends are audited", func() bool {
		for line := range strings.Lines(rig.audited.String()) {
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

func TestEveryEndReasonHasARow(t *testing.T) {
	seen := map[string]bool{}
	for reason := EndReason(0); reason < endReasons; reason++ {
		row := endTable[reason]
		if row.word == "" || row.status == 0 || seen[row.word] {
			t.Errorf("EndReason %d has the row %+v; want a word of its own and a close status", reason, row)
		}
		seen[row.word] = true
	}
}

// An order that is repeated names the sessions that are left: who has come back meanwhile stays.
func TestAnOrderThatNamesSessionsEndsNoOthers(t *testing.T) {
	r := newRig(t, nil)
	c := r.connect(frames.V5, "alice")
	c.lives()
	id := r.onlySession().id
	r.server.disconnect(disconnectOrder{User: "alice", Sessions: []string{"another"}})
	c.lives()
	r.server.disconnect(disconnectOrder{User: "alice", Sessions: []string{"another", id}})
	c.disconnected()
}

func TestARepeatedOrderNamesTheSessionsThatAreLeft(t *testing.T) {
	r := startRedis(t)
	g := newTestRegistry(t, r, "host") // hears no orders
	g.add(infoOf(1))
	runs(t, g)
	r.awaitSessions(1)
	ctx, stop := context.WithTimeout(t.Context(), patience)
	defer stop()
	sub := r.Subscribe(ctx, g.keys.control())
	defer sub.Close()
	if _, err := sub.Receive(ctx); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _, _ = Disconnect(ctx, r.Client, "tg:", "alice", "")
	}()
	for _, want := range [][]string{nil, {infoOf(1).Session}} {
		message, err := sub.ReceiveMessage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if order, err := parseControl(message.Payload); err != nil || order.User != "alice" || !slices.Equal(order.Sessions, want) {
			t.Errorf("order %+v, %v; want the sessions %q of alice", order, err, want)
		}
	}
	stop()
	<-done
}

// A token that is revoked ends its sessions, and no others of the same user; a fresh token is judged by itself.
func TestARevokedTokenEndsItsSessionsAlone(t *testing.T) {
	server := startRedis(t)
	r := newRedisRig(t, server, "first")
	identity := func(tokenID string) auth.Identity {
		return auth.Identity{Issuer: "https://one.example", Subject: "1", Username: "alice", TokenID: tokenID}
	}
	r.server.options.Verifier = tokens{"a": identity("a"), "b": identity("b"), "c": identity("c")}
	first, second := r.connectAs(frames.V5, "a", "1"), r.connectAs(frames.V311, "b", "2")
	first.say(publishHex(first.v, topicToken, 1, 7, "c"))
	first.hears(ackHex(frames.TypePuback, 7, frames.Success, first.v))
	server.do("SET", "tg:revoked:b", "", "EX", "100")
	second.closes(closeNotAuthenticated)
	_ = second.conn.Close()
	server.do("SET", "tg:revoked:a", "", "EX", "100") // is its token no more
	first.lives()
	server.do("SET", "tg:revoked:c", "", "EX", "100")
	first.hears("e0 01 87")
	first.closes(closeNotAuthenticated)
}

// Who is blocked, or whose token is revoked, while the broker is being asked is turned out at once.
func TestABlockDuringConnectHolds(t *testing.T) {
	server := startRedis(t)
	r := newRedisRig(t, server, "first")
	c := r.dial(frames.V5).opens(connectOf(frames.V5, "alice"))
	c.accept()
	c.fromGateway(frames.TypeConnect)
	s := r.onlySession()
	server.do("SADD", "tg:blocked", "alice")
	r.until("the block is seen", func() bool { return s.grant.Standing() == store.Blocked })
	c.reply(acceptedBy(c.v))
	c.expect(frames.TypeConnack)
	c.hears("e0 01 98")
	c.closes(closeForbidden)
}
