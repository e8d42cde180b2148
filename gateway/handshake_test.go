package gateway

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/url"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"topicgate/frames"
	"topicgate/gateway/wire"
)

// occupy takes all turns of handshakes, until the function that it returns is called.
func (r *rig) occupy() (leave func()) {
	if err := r.server.handshakeTurns.Acquire(r.t.Context(), wire.HandshakeTurns()); err != nil {
		r.t.Fatal(err)
	}
	return func() { r.server.handshakeTurns.Release(wire.HandshakeTurns()) }
}

func TestHandshakesWaitForTheirTurnAndSessionsDoNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		live := r.connect(frames.V311, "alice")
		leave := r.occupy()
		later := make(chan *conversation)
		go func() { later <- r.dial(frames.V311) }()
		synctest.Wait()
		select {
		case <-later:
			t.Fatal("upgraded without a turn")
		default:
		}
		live.say(publishHex(frames.V311, "chat/status/alice", 0, 0, "here"))
		live.passes(publishHex(frames.V311, "chat/status/alice", 0, 0, "here"))
		leave()
		c := <-later
		leave = r.occupy()
		connect := connectOf(frames.V311, "bob")
		c.send(connect.Append(nil, frames.V311))
		synctest.Wait()
		select {
		case <-r.brokers:
			t.Fatal("CONNECT was read without a turn")
		default:
		}
		leave()
		c.accept()
		c.fromGateway(frames.TypeConnect)
		c.reply("20 02 00 00")
		c.hears("20 02 00 00")
		if !r.server.handshakeTurns.TryAcquire(wire.HandshakeTurns()) {
			t.Error("a turn is held when nobody connects")
		}
	})
}

func TestTheWaitForATurnHasAnEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		defer r.occupy()()
		conn, err := r.listen.dial()
		if err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		if _, err := io.WriteString(conn, "GET /mqtt HTTP/1.1\r\n"); err != nil {
			t.Fatal(err)
		}
		if n, err := conn.Read(make([]byte, 1)); n != 0 || err != io.EOF || time.Since(begin) != 10*time.Second {
			t.Errorf("Read() = %d, %v after %v; want EOF after 10s", n, err, time.Since(begin))
		}
	})
}

// However many clients are slow, they hold no turn that others need.
func TestSlowClientsHoldUpNobodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		for range wire.HandshakeTurns() + 1 {
			for _, said := range []string{"", "GET /mqtt HTTP/1.1\r\nHost:", "GET /nothing-here HTTP/1.1\r\nHost: gateway.test\r\n\r\n"} {
				conn, err := r.listen.dial() // nobody reads the answer of the last
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = conn.Close() })
				if _, err := io.WriteString(conn, said); err != nil {
					t.Fatal(err)
				}
			}
			r.dial(frames.V311)
			r.dial(frames.V311).say("10 0d 00 04 4d")
		}
		synctest.Wait()
		r.connect(frames.V311, "alice")
	})
}

// silentBrokers are brokers that take connections and say nothing.
type silentBrokers struct {
	mu    sync.Mutex
	conns map[string][]net.Conn
}

// dialed is the connections to one of them.
func (b *silentBrokers) dialed(address string) []net.Conn {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.conns[address]
}

func (b *silentBrokers) dial(_ context.Context, _, address string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.conns[address] = append(b.conns[address], theirs)
	go func() { _, _ = io.Copy(io.Discard, theirs) }()
	return ours, nil
}

// ask has n clients send CONNECT, each of whom prefers the broker at address.
func (r *rig) ask(address string, n int) (clients []*conversation) {
	for i := 0; len(clients) < n; i++ {
		connect := connectOf(frames.V311, "alice")
		connect.ClientID = fmt.Sprint(address, i)
		if r.server.brokers.order("alice:" + connect.ClientID)[0].address == address {
			c := r.dial(frames.V311).patient()
			c.send(connect.Append(nil, frames.V311))
			clients = append(clients, c)
			synctest.Wait() // they come in order
		}
	}
	return clients
}

func TestClientsWaitForTheirTurnAtABroker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		brokers := &silentBrokers{conns: map[string][]net.Conn{}}
		r := newRig(t, func(o *Options) {
			o.Upstreams = []*url.URL{{Scheme: "tcp", Host: "a"}, {Scheme: "tcp", Host: "b"}}
			o.Dial = brokers.dial
		})
		clients := r.ask("a:1883", brokerTurns+2)
		if a, b := len(brokers.dialed("a:1883")), len(brokers.dialed("b:1883")); a != brokerTurns || b != 0 {
			t.Fatalf("%d and %d connections; want %d and none", a, b, brokerTurns)
		}
		r.ask("b:1883", 1)
		if b := len(brokers.dialed("b:1883")); b != 1 {
			t.Errorf("%d connections to the other broker; want 1", b)
		}
		if _, err := brokers.dialed("a:1883")[0].Write(unhex(t, acceptedBy(frames.V311))); err != nil {
			t.Fatal(err)
		}
		clients[0].hears("20 02 00 00")
		synctest.Wait()
		if a := len(brokers.dialed("a:1883")); a != brokerTurns+1 {
			t.Errorf("%d connections after the first was accepted; want %d", a, brokerTurns+1)
		}
		// The last waits for half of its time, and is then tried elsewhere.
		begin := time.Now()
		for len(brokers.dialed("b:1883")) == 1 {
			time.Sleep(time.Second)
			synctest.Wait()
		}
		if d := time.Since(begin); d != 5*time.Second {
			t.Errorf("went to the other broker after %v; want 5s", d)
		}
	})
}
