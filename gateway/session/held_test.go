package session

import (
	"context"
	"errors"
	"io"
	"net"
	"net/url"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"topicgate/auth"
	"topicgate/frames"
	"topicgate/gateway/internal/play"
	"topicgate/gateway/sleep"
)

// outages is what a gateway stands on, which is away until it comes back. It plays broker and issuer.
type outages struct {
	*rig
	mu       sync.Mutex
	away     bool
	dials    []time.Time
	verified []time.Time
	verify   func() error // what the issuer says while it is away; nil: it is there
}

func newOutages(t *testing.T, change func(*rigOptions)) *outages {
	t.Helper()
	w := &outages{away: true}
	w.rig = newRig(t, func(o *rigOptions) {
		o.Dial = w.dial
		o.Verifier = w
		if change != nil {
			change(o)
		}
	})
	return w
}

func (w *outages) dial(ctx context.Context, network, address string) (net.Conn, error) {
	w.mu.Lock()
	w.dials = append(w.dials, time.Now())
	away := w.away && w.verify == nil
	w.mu.Unlock()
	if away {
		return nil, errors.New("connection refused")
	}
	return w.DialBroker(ctx, network, address)
}

// Verify implements Verifier.
func (w *outages) Verify(ctx context.Context, token string) (auth.Identity, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.verified = append(w.verified, time.Now())
	if w.away && w.verify != nil {
		return auth.Identity{}, w.verify()
	}
	return play.Names{}.Verify(ctx, token)
}

func (w *outages) comeBack() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.away = false
}

// tries is when the gateway tried, since begin.
func (w *outages) tries(begin time.Time) (at []time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, d := range w.dials {
		at = append(at, d.Sub(begin))
	}
	return at
}

// A broker that is away for a while is no refusal: the client is in when it is back, and has heard nothing before.
func TestAClientIsHeldUntilABrokerIsThere(t *testing.T) {
	play.EachVersion(t, func(t *testing.T, v frames.Version) {
		w := newOutages(t, nil)
		begin := time.Now()
		c := w.Dial(v).Opens(play.ConnectOf(v, "alice"))
		time.Sleep(6 * time.Second)
		w.comeBack()
		c.Accept()
		c.FromGateway(frames.TypeConnect)
		c.Reply(play.AcceptedBy(v))
		c.Expect(frames.TypeConnack)
		c.Lives()

		// 100 ms, doubled up to a second, each give or take a half.
		tries := w.tries(begin)
		pause := 100 * time.Millisecond
		for i := 1; i < len(tries); i++ {
			if d := tries[i] - tries[i-1]; d < pause/2 || d > pause*3/2 {
				t.Errorf("tried again after %v; want %v, give or take a half", d, pause)
			}
			pause = min(2*pause, time.Second)
		}
		if len(tries) < 7 {
			t.Errorf("%d tries; want one a second at least", len(tries))
		}
	})
}

// When the time is over the WebSocket is closed without a CONNACK, after a last try at the end.
func TestAHeldClientIsClosedWithoutAConnack(t *testing.T) {
	play.EachVersion(t, func(t *testing.T, v frames.Version) {
		w := newOutages(t, nil)
		begin := time.Now()
		w.Dial(v).Patient().Opens(play.ConnectOf(v, "alice")).Closes(1013)
		tries := w.tries(begin)
		if last := tries[len(tries)-1]; last != 10*time.Second {
			t.Errorf("the last try was after %v; want one at the end", last)
		}
		w.WantAudited(`"reason":"broker_unavailable"`)
	})
}

func TestAnOperatorMayWantAConnackInAnOutage(t *testing.T) {
	play.EachVersion(t, func(t *testing.T, v frames.Version) {
		w := newOutages(t, func(o *rigOptions) { o.Unavailable = UnavailableConnack })
		w.Dial(v).Patient().Opens(play.ConnectOf(v, "alice")).WantRefused(3, 0x88, 1013)
	})
}

// What a broker says to CONNECT may be an outage, too: another one is asked, and the same one later.
func TestABrokerThatCannotServeNowIsAskedAgain(t *testing.T) {
	for name, tt := range map[string]struct {
		v       frames.Version
		connack string
	}{
		"3.1.1 server unavailable":      {frames.V311, "20 02 00 03"},
		"3.1.1 bad credentials":         {frames.V311, "20 02 00 04"},
		"3.1.1 not authorized":          {frames.V311, "20 02 00 05"},
		"3.1.1 hangs up":                {frames.V311, ""},
		"3.1.1 something else":          {frames.V311, "d0 00"},
		"5.0 server unavailable":        {frames.V5, "20 03 00 88 00"},
		"5.0 server busy":               {frames.V5, "20 03 00 89 00"},
		"5.0 rate exceeded":             {frames.V5, "20 03 00 9f 00"},
		"5.0 bad user name or password": {frames.V5, "20 03 00 86 00"},
		"5.0 not authorized":            {frames.V5, "20 03 00 87 00"},
		"5.0 hangs up":                  {frames.V5, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, func(o *rigOptions) { o.Upstreams = append(o.Upstreams, &url.URL{Scheme: "tcp", Host: "second.test"}) })
				c := r.Dial(tt.v).Opens(play.ConnectOf(tt.v, "alice"))
				for range 4 { // both brokers, twice
					c.Accept()
					c.FromGateway(frames.TypeConnect)
					if tt.connack != "" {
						c.Reply(tt.connack)
					}
					_ = c.Conn.Close()
				}
				c.Accept()
				c.FromGateway(frames.TypeConnect)
				c.Reply(play.AcceptedBy(tt.v))
				c.Expect(frames.TypeConnack)
				c.Lives()
			})
		})
	}
}

// A CONNECT that a broker has not answered in time is called off: when it wakes up, there is no Will to be published.
func TestAnUnansweredConnectIsCalledOff(t *testing.T) {
	play.EachVersion(t, func(t *testing.T, v frames.Version) {
		r := newRig(t, nil)
		c := r.Dial(v).Opens(withWill(v, "chat/status/alice"))
		c.Accept()
		c.Patient()
		c.FromGateway(frames.TypeConnect)
		c.FromGateway(frames.TypeDisconnect)
		c.BrokerEnds()
		c.Closes(1013)
	})
}

// An issuer that is away is asked again, and a refusal that comes of that is one.
func TestATokenThatCannotBeJudgedIsHeld(t *testing.T) {
	play.EachVersion(t, func(t *testing.T, v frames.Version) {
		w := newOutages(t, nil)
		w.verify = func() error { return &auth.Undecided{Reason: auth.ReasonIssuerDown, Err: errors.New("no route")} }
		good := w.Dial(v).Opens(play.ConnectOf(v, "alice"))
		bad := w.Dial(v).Opens(play.ConnectOf(v, "bad"))
		time.Sleep(3 * time.Second)
		if len(w.dials) > 0 {
			t.Error("a broker was dialed for a client that nobody knows")
		}
		w.comeBack()
		bad.WantRefused(5, 0x87, 4401)
		good.Accept()
		good.FromGateway(frames.TypeConnect)
		good.Reply(play.AcceptedBy(v))
		good.Expect(frames.TypeConnack)
	})
}

// moodyStore is a Redis that is away for a while.
type moodyStore struct {
	sleep.Keeper
	mu   sync.Mutex
	away bool
}

func (m *moodyStore) Load(ctx context.Context, id string) (sleep.Stored, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.away {
		return sleep.Stored{}, errors.New("away")
	}
	return m.Keeper.Load(ctx, id)
}

func TestASleeperIsHeldUntilItsSubscriptionsAreKnown(t *testing.T) {
	play.EachVersion(t, func(t *testing.T, v frames.Version) {
		keeper := &moodyStore{Keeper: sleep.NewKeeper(nil, ""), away: true}
		r := newRig(t, func(o *rigOptions) { o.Keeper = keeper })
		c := r.Dial(v).Opens(play.SleeperConnect(v))
		time.Sleep(3 * time.Second)
		keeper.mu.Lock()
		keeper.away = false
		keeper.mu.Unlock()
		for { // the first one was dialed early, and given up
			c.Accept()
			p, err := c.Broker.ReadPacket()
			if err == nil && p.Type() == frames.TypeConnect {
				break
			}
			if !errors.Is(err, io.EOF) {
				t.Fatalf("broker got %v, %v", p.Type(), err)
			}
		}
		c.Reply(play.AcceptedBy(v))
		c.Expect(frames.TypeConnack)
	})
}

// The drain does not wait for those who are held, nor are they told more than that the gateway goes.
func TestAHeldClientIsDrainedAtOnce(t *testing.T) {
	play.EachVersion(t, func(t *testing.T, v frames.Version) {
		w := newOutages(t, nil)
		c := w.Dial(v).Opens(play.ConnectOf(v, "alice"))
		time.Sleep(3 * time.Second)
		begin := time.Now()
		w.onlySession().End(EndDraining)
		c.Closes(1012)
		if d := time.Since(begin); d != 0 {
			t.Errorf("closed after %v; want at once", d)
		}
	})
}

// Of large CONNECTs no more are held than there is room for; a small one always is.
func TestWhatIsHeldIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newOutages(t, nil)
		if !w.server.held.bytes.TryAcquire(heldBytes - 10_000) {
			t.Fatal("somebody holds something")
		}
		large := withWill(frames.V311, "chat/status/alice")
		large.Will.Payload = make([]byte, 6_000)
		first := w.Dial(frames.V311).Patient().Opens(large)
		synctest.Wait()
		begin := time.Now()
		w.Dial(frames.V311).Opens(large).Closes(1013)
		if d := time.Since(begin); d != 0 {
			t.Errorf("closed after %v; want at once: there is no room", d)
		}
		small := w.Dial(frames.V311).Patient().Opens(play.ConnectOf(frames.V311, "alice"))
		time.Sleep(time.Second)
		w.comeBack()
		for _, c := range []*play.Conversation{first, small} {
			c.Accept()
			c.FromGateway(frames.TypeConnect)
			c.Reply(play.AcceptedBy(frames.V311))
		}
		first.Expect(frames.TypeConnack)
		small.Expect(frames.TypeConnack)
		synctest.Wait()
		if !w.server.held.bytes.TryAcquire(10_000) {
			t.Error("what was held is not given back")
		}
	})
}

// What came with the CONNECT counts, too, and lies in storage that is no larger than it must be.
func TestWhatCameWithAHeldConnectIsBounded(t *testing.T) {
	r := newRig(t, nil)
	connect := play.ConnectOf(frames.V311, "alice")
	held := func(bytes int) (s *Session, ok bool) {
		s = &Session{host: r.server.Host}
		s.up.inbox.Filled(copy(s.up.inbox.Space(32<<10), make([]byte, bytes)))
		return s, s.keepHeld(newEntry(&connect, play.Patience))
	}
	s, ok := held(1000)
	if n := s.up.inbox.Len() + len(s.up.inbox.Space(1)); !ok || n > 1024 {
		t.Errorf("held: %t, with storage for %d bytes; want 1024", ok, n)
	}
	if !r.server.held.bytes.TryAcquire(heldBytes) {
		t.Error("what is small takes of what is for all")
	}
	if _, ok := held(20_000); ok {
		t.Error("held though there is no room")
	}
	r.server.held.bytes.Release(30_000)
	if _, ok := held(20_000); !ok || r.server.held.bytes.TryAcquire(20_000) {
		t.Errorf("held: %t; want it to take of what is for all", ok)
	}
}

// Over sockets it is known whether a held client is still there, and what it says meanwhile is kept for later.
func TestAHeldClientMayGoOrGoOn(t *testing.T) {
	var mu sync.Mutex
	away, dials := true, 0
	brokers, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer brokers.Close()
	r := newRig(t, func(o *rigOptions) {
		o.Dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
			mu.Lock()
			defer mu.Unlock()
			if dials++; away {
				return nil, errors.New("connection refused")
			}
			return net.Dial("tcp", brokers.Addr().String())
		}
	})
	address := serveTCP(t, r)
	enter := func(more ...byte) *websocket.Conn {
		dialer := websocket.Dialer{Subprotocols: []string{"mqtt"}}
		ws, _, err := dialer.Dial("ws://"+address+"/mqtt", nil)
		if err != nil {
			t.Fatal(err)
		}
		_ = ws.SetReadDeadline(time.Now().Add(play.Patience))
		connect := play.ConnectOf(frames.V311, "alice")
		for _, message := range [][]byte{connect.Append(nil, frames.V311), more} {
			if err := ws.WriteMessage(websocket.BinaryMessage, message); err != nil {
				t.Fatal(err)
			}
		}
		return ws
	}
	tried := func(n int) {
		r.Until("it was tried", func() bool { mu.Lock(); defer mu.Unlock(); return dials >= n })
	}
	live := func(n int) {
		r.Until("sessions are as many as there should be", func() bool { return len(r.server.live()) == n })
	}

	gone := enter()
	tried(1)
	_ = gone.Close()
	live(0)
	closed := enter()
	live(1)
	_ = closed.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(1000, ""), time.Now().Add(play.Patience))
	live(0)
	if _, _, err := closed.ReadMessage(); !websocket.IsCloseError(err, 1000) {
		t.Errorf("the client that closed read %v; want its close answered", err)
	}

	mu.Lock()
	before := dials
	mu.Unlock()
	subscribe := (&frames.Subscribe{PacketID: 1, Filters: []frames.Subscription{play.At(0, "chat/status/+")}}).Append(nil, frames.V311)
	ws := enter(slices.Concat([]byte{0xc0, 0}, subscribe)...)
	defer ws.Close()
	tried(before + 3)
	mu.Lock()
	away = false
	mu.Unlock()
	conn, err := brokers.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetReadDeadline(time.Now().Add(play.Patience))
	broker := frames.NewReader(conn, frames.V311, 0)
	want := func(kind frames.Type) {
		t.Helper()
		if p, err := broker.ReadPacket(); err != nil || p.Type() != kind {
			t.Fatalf("broker got %v, %v; want %v", p.Type(), err, kind)
		}
	}
	want(frames.TypeConnect)
	_, _ = conn.Write(play.Unhex(t, play.AcceptedBy(frames.V311)))
	want(frames.TypePingreq)
	want(frames.TypeSubscribe)
}
