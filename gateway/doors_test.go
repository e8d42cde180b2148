package gateway

import (
	"log/slog"
	"net"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"

	"topicgate/gateway/wire"
)

// hall is doors with connections that the test opens.
type hall struct {
	*doors
	t *testing.T
}

func newHall(t *testing.T, limit, extras int) hall {
	d := newDoors(limit, NewMetrics(), slog.New(slog.DiscardHandler))
	d.extras, d.logged = extras, rate.NewLimiter(rate.Inf, 1)
	return hall{d, t}
}

// comes is one more connection; nil: it was closed at once.
func (h hall) comes() *visitor {
	ours, theirs := net.Pipe()
	h.t.Cleanup(func() { _ = theirs.Close() })
	v := &visitor{theirs: theirs}
	l := wire.Listen(&one{ours}, wire.NewHandshakes(nil, 0), h.enter)
	c, err := l.Accept()
	if err != nil {
		return nil
	}
	v.Socket = c.(*wire.Socket)
	return v
}

// one is a listener that accepts one connection.
type one struct{ net.Conn }

func (o *one) Accept() (net.Conn, error) {
	if o.Conn == nil {
		return nil, net.ErrClosed
	}
	c := o.Conn
	o.Conn = nil
	return c, nil
}
func (o *one) Addr() net.Addr { return nil }
func (o *one) Close() error   { return nil }

type visitor struct {
	*wire.Socket
	theirs net.Conn
}

// gone reports whether the gateway has closed.
func (v *visitor) gone() bool {
	synctest.Wait()
	_ = v.theirs.SetReadDeadline(time.Now())
	_, err := v.theirs.Read(make([]byte, 1))
	late, ok := err.(net.Error)
	return !ok || !late.Timeout()
}

// closes is the end of a connection, as whoever serves it tells it.
func (h hall) closes(v *visitor) {
	_ = v.Close()
	h.follow(v.Socket, http.StateClosed)
}

// users are n connections that have shown a good token.
func (h hall) users(n int) (all []*visitor) {
	for range n {
		v := h.comes()
		if v == nil || !h.upgrade(v.Socket) {
			h.t.Fatalf("no room for user %d", len(all))
		}
		h.verify(v.Socket)
		all = append(all, v)
	}
	return all
}

func (h hall) want(open, guests int) {
	h.t.Helper()
	synctest.Wait()
	h.mu.Lock()
	defer h.mu.Unlock()
	if n := h.silent.Len() + h.begun.Len(); h.open != open || n != guests {
		h.t.Errorf("%d open, %d of them without a token; want %d and %d", h.open, n, open, guests)
	}
}

// Connections that say nothing keep no user out: the oldest goes for a new one, and the last tenth is never theirs.
func TestSilentConnectionsKeepNobodyOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, 20, 2)
		var silent []*visitor
		for range 100 {
			silent = append(silent, h.comes())
		}
		h.want(18, 18)
		for i, v := range silent {
			if v.gone() != (i < 82) {
				t.Errorf("silent connection %d: gone %v; want the oldest gone", i, v.gone())
			}
		}
		users := h.users(20)
		h.want(20, 0)
		if v := h.comes(); v == nil || h.upgrade(v.Socket) {
			t.Error("one more than the limit is not told so")
		}
		for _, v := range users {
			if v.gone() {
				t.Error("a user has to go for somebody else")
			}
		}
		for _, v := range slices.Concat(users, silent) {
			if v != nil {
				h.closes(v)
			}
		}
		h.want(0, 0)
		if n := len(h.guests); n != 1 {
			t.Errorf("%d guests are left; want the extra", n)
		}
	})
}

// Who was upgraded has a moment to send CONNECT, and has to go after that.
func TestAnUpgradedConnectionHasAMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHall(t, 2, 1)
		first, second := h.comes(), h.comes()
		for _, v := range []*visitor{first, second} {
			if !h.upgrade(v.Socket) {
				t.Fatal("no room")
			}
		}
		extra := h.comes()
		if h.upgrade(extra.Socket) {
			t.Error("the third one was let in")
		}
		if h.comes() != nil {
			t.Error("one more extra than there is room for was let in")
		}
		time.Sleep(upgradeGrace)
		late := h.comes()
		if !h.upgrade(late.Socket) || !first.gone() || second.gone() {
			t.Error("the oldest one was not ended for a new one")
		}
		h.verify(first.Socket) // too late
		h.want(2, 2)
		for _, v := range []*visitor{first, second, extra, late} {
			h.closes(v)
		}
		h.want(0, 0)
		if h.extra != 0 {
			t.Errorf("%d extras; want none", h.extra)
		}
	})
}

func TestWhatTheDescriptorsBear(t *testing.T) {
	for _, tt := range []struct {
		descriptors         uint64
		cpus                int
		connections, extras int
	}{
		{256, 2, 96, 16}, {1024, 2, 452, 30}, {20_000, 64, 9568, 32}, {1 << 63, 2, 1073741763, 30}, {4, 2, 1, 1},
	} {
		connections, extras := bearable(tt.descriptors, tt.cpus)
		if connections != tt.connections || extras != tt.extras {
			t.Errorf("%d descriptors bear %d connections and %d extras; want %d and %d", tt.descriptors, connections, extras, tt.connections, tt.extras)
		}
	}
}
