package upstream

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"topicgate/frames"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// played are brokers that the test plays: it gets their ends of the connections.
type played struct {
	*Brokers
	t       *testing.T
	results []string

	mu    sync.Mutex
	conns map[string][]net.Conn // by address
}

func play(t *testing.T, hosts ...string) *played {
	t.Helper()
	p := &played{t: t, conns: map[string][]net.Conn{}}
	o := Options{Observe: func(result string) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.results = append(p.results, result)
	}, Dial: func(_ context.Context, _, address string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		p.mu.Lock()
		defer p.mu.Unlock()
		p.conns[address] = append(p.conns[address], theirs)
		return ours, nil
	}}
	for _, host := range hosts {
		o.URLs = append(o.URLs, &url.URL{Scheme: "tcp", Host: host})
	}
	p.Brokers = New(o)
	return p
}

// dialed is the connections to one of them.
func (p *played) dialed(address string) []net.Conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.conns[address]
}

// told is the results so far, sorted.
func (p *played) told() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Sorted(slices.Values(p.results))
}

// preferring is the n-th Client Identifier whose first broker is the one at address.
func (p *played) preferring(address string, n int) (upstreamID string) {
	for i := 0; ; i++ {
		upstreamID = fmt.Sprint("alice:", address, i)
		if p.order(upstreamID)[0].address != address {
			continue
		}
		if n--; n < 0 {
			return upstreamID
		}
	}
}

// connect connects one client, for ten seconds at most, and says how that ended.
func (p *played) connect(upstreamID string) <-chan error {
	ended := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		d := p.Dial(upstreamID, netip.AddrPort{}, nil)
		d.Start(ctx)
		defer d.Abandon()
		packet := (&frames.Connect{Version: frames.V311, CleanStart: true, ClientID: upstreamID}).Append(nil, frames.V311)
		conn, _, err := d.Connect(ctx, packet, frames.V311, 1<<20)
		conn.Close()
		ended <- err
	}()
	return ended
}

func TestClientsWaitForTheirTurnAtABroker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := play(t, "a", "b")
		begin := time.Now()
		first := p.connect(p.preferring("a:1883", 0))
		synctest.Wait()
		var others []<-chan error
		for n := range Turns + 1 { // they come in order
			others = append(others, p.connect(p.preferring("a:1883", n+1)))
			synctest.Wait()
		}
		if a, b := len(p.dialed("a:1883")), len(p.dialed("b:1883")); a != Turns || b != 0 {
			t.Fatalf("%d and %d connections; want %d and none", a, b, Turns)
		}
		others = append(others, p.connect(p.preferring("b:1883", 0)))
		synctest.Wait()
		if b := len(p.dialed("b:1883")); b != 1 {
			t.Errorf("%d connections to the other broker; want 1", b)
		}
		broker := p.dialed("a:1883")[0]
		if _, err := frames.NewReader(broker, frames.V311, 0).ReadPacket(); err != nil {
			t.Fatal(err)
		}
		if _, err := broker.Write([]byte{0x20, 2, 0, 0}); err != nil {
			t.Fatal(err)
		}
		if err := <-first; err != nil {
			t.Errorf("Connect() = %v", err)
		}
		synctest.Wait()
		if a := len(p.dialed("a:1883")); a != Turns+1 {
			t.Errorf("%d connections after the first was accepted; want %d", a, Turns+1)
		}
		// The last waits for half of its time, and is then tried elsewhere.
		for len(p.dialed("b:1883")) == 1 {
			time.Sleep(time.Second)
			synctest.Wait()
		}
		if d := time.Since(begin); d != 5*time.Second {
			t.Errorf("went to the other broker after %v; want 5s", d)
		}
		for _, ended := range others {
			if err := <-ended; err == nil {
				t.Error("a broker that said nothing has accepted")
			}
		}
	})
}

// Who asks whether a broker is there costs it no more than a dial a second, and none while clients show it.
func TestProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := play(t, "a", "b")
		asked := func(want ...int) {
			t.Helper()
			for range 10 {
				for address, err := range p.Probe(t.Context()) {
					if err != nil {
						t.Errorf("%s: %v", address, err)
					}
				}
			}
			if a, b := len(p.dialed("a:1883")), len(p.dialed("b:1883")); a != want[0] || b != want[1] {
				t.Errorf("%d and %d dials; want %v", a, b, want)
			}
		}
		asked(1, 1)
		time.Sleep(probeEvery)
		asked(1, 1)
		ended := p.connect(p.preferring("a:1883", 0)) // by the connection that there is
		synctest.Wait()
		if _, err := frames.NewReader(p.dialed("a:1883")[0], frames.V311, 0).ReadPacket(); err != nil {
			t.Fatal(err)
		}
		_, _ = p.dialed("a:1883")[0].Write([]byte{0x20, 2, 0, 0})
		<-ended
		asked(1, 1)
		time.Sleep(probeFresh)
		synctest.Wait()
		if _, err := p.dialed("b:1883")[0].Read(make([]byte, 1)); err == nil {
			t.Error("a connection that nobody used is still open")
		}
		asked(2, 2)
		time.Sleep(probeFresh + probeEvery)
		p.Brokers.dial = func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("no route") }
		for address, err := range p.Probe(t.Context()) {
			if err == nil {
				t.Errorf("%s is there; want it away", address)
			}
		}
	})
}

func TestABrokerThatHangsUpOnOneClientDoesNotRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := play(t, "a", "b")
		ended := p.connect(p.preferring("a:1883", 0))
		for _, address := range []string{"a:1883", "b:1883"} {
			synctest.Wait()
			broker := p.dialed(address)[0]
			if _, err := frames.NewReader(broker, frames.V311, 0).ReadPacket(); err != nil {
				t.Fatal(err)
			}
			_ = broker.Close()
		}
		if err := <-ended; err == nil {
			t.Error("Connect() = nil; want an error")
		}
		for _, b := range p.all {
			if b.downUntil.Load() != 0 {
				t.Errorf("broker %s rests; want it to be there for the others", b.address)
			}
		}
		if got := p.told(); !slices.Equal(got, []string{protocolError, protocolError}) {
			t.Errorf("observed %q; want two protocol errors", got)
		}
	})
}

func TestAUnixSocketWithoutRoomIsTriedUntilItHasSome(t *testing.T) {
	full := &net.OpError{Op: "dial", Net: "unix", Err: os.NewSyscallError("connect", syscall.EAGAIN)}
	for _, c := range []struct {
		name    string
		refused int // tries
		want    error
	}{{"has room", 0, nil}, {"has some soon", 9, nil}, {"never has any", 1 << 20, syscall.EAGAIN}} {
		synctest.Test(t, func(t *testing.T) {
			ours, theirs := net.Pipe()
			defer theirs.Close()
			tries := 0
			upstream := &url.URL{Scheme: "unix", Path: "/run/broker.sock"}
			b := New(Options{URLs: []*url.URL{upstream}, Dial: func(_ context.Context, network, address string) (net.Conn, error) {
				if network != "unix" || address != upstream.Path {
					t.Errorf("%s: dials %s %s", c.name, network, address)
				}
				if tries++; tries <= c.refused {
					return nil, full
				}
				return ours, nil
			}, Observe: func(string) {}})
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			d := b.Dial("alice:c", netip.AddrPort{}, nil)
			d.Start(ctx)
			if !errors.Is(d.first.err, c.want) {
				t.Errorf("%s: %v; want %v", c.name, d.first.err, c.want)
			}
			if c.want == nil && tries != c.refused+1 || tries > 300 {
				t.Errorf("%s: %d tries", c.name, tries)
			}
			d.Abandon()
		})
	}
}
