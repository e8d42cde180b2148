package registry

import (
	"topicgate/gateway/internal/play"

	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"topicgate/gateway/internal/redistest"
)

func TestSessionThatDoesNotEndIsTold(t *testing.T) {
	r := startRedis(t)
	g := newTestRegistry(t, r, "deaf")
	g.Add(infoOf(1))
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
func obeyed(t *testing.T, g *Registry) chan Order {
	t.Helper()
	orders := make(chan Order, 1000)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { g.listen(ctx, Host{Obey: func(o Order) { orders <- o }}) })
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
	return orders
}

// orders publishes until something arrives, and returns that.
func (r *redisServer) orders(orders chan Order, message string) (o Order) {
	r.t.Helper()
	redistest.Eventually(r.t, "an order is heard", func() bool {
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
	var log play.Buffer
	g.log = slog.New(slog.NewTextHandler(&log, nil))
	orders := obeyed(t, g)
	r.orders(orders, `{"disconnect":{"user":"first"}}`)
	bad := []string{"", "x", "[]", "null", "{}", `{"disconnect":{}}`, `{"disconnect":{"user":""}}`, `{"disconnect":{"user":1}}`,
		`{"disconnect":{"user":"a","sessions":"all"}}`, `{"restart":{}}`, "\xff", `{"disconnect":{"user":"a"}`}
	for _, message := range bad {
		r.Run("PUBLISH", "tg:ctl", message)
	}
	r.Run("PUBLISH", "tg:ctl", `{"disconnect":{"user":"last","client_id":"c","sessions":["1"]},"later":1}`)
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
		"killed":    func() { r.Run("CLIENT", "KILL", "TYPE", "pubsub") },
		"restarted": func() { r.Kill(); r.Start() },
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
	g.timing.silence = 3 * time.Second // a machine that is busy may be late with a ping
	heard := make(chan Order, 1000)
	ended := make(chan error, 1)
	go func() { ended <- g.hear(context.Background(), Host{Obey: func(o Order) { heard <- o }}) }()
	r.orders(heard, `{"disconnect":{"user":"alice"}}`)
	// Idle for longer than the limit, it lives on by its pings.
	select {
	case err := <-ended:
		t.Fatalf("an idle connection was given up: %v", err)
	case <-time.After(2 * g.timing.silence):
	}
	r.Hang()
	defer r.Wake()
	select {
	case <-ended:
	case <-time.After(30 * time.Second):
		t.Fatal("a server that says nothing was not noticed")
	}
}

func TestARepeatedOrderNamesTheSessionsThatAreLeft(t *testing.T) {
	r := startRedis(t)
	g := newTestRegistry(t, r, "host") // hears no orders
	g.Add(infoOf(1))
	runs(t, g)
	r.awaitSessions(1)
	ctx, stop := context.WithTimeout(t.Context(), 10*time.Second)
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
		if order, err := parseControl(message.Payload); err != nil || order.Disconnect.User != "alice" || !slices.Equal(order.Disconnect.Sessions, want) {
			t.Errorf("order %+v, %v; want the sessions %q of alice", order, err, want)
		}
	}
	stop()
	<-done
}

// The rights that deploy/README.md names are enough for the registry and for orders.
func TestRedisRightsAreEnough(t *testing.T) {
	r := startRedis(t)
	client, check := r.Limited("../../deploy/README.md")
	g := newTestRegistry(t, r, "host")
	g.client, g.keys = client, registryKeys{"topicgate:"}
	g.Start(Host{Obey: func(Order) { g.Remove(infoOf(1).Session) }})
	g.Add(infoOf(1))
	redistest.Eventually(t, "the session is registered", func() bool {
		all, err := LiveSessions(context.Background(), client, "topicgate:")
		return err == nil && len(all) == 1
	})
	if gone, _, err := Disconnect(t.Context(), client, "topicgate:", "alice", ""); err != nil || len(gone) != 1 {
		t.Errorf("Disconnect() = %+v, %v; want one gone", gone, err)
	}
	g.Close()
	check()
}
