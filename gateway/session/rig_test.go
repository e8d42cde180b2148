package session

import (
	"context"
	"crypto/tls"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"golang.org/x/sync/semaphore"

	"topicgate/auth"
	"topicgate/gateway/edge"
	"topicgate/gateway/internal/play"
	"topicgate/gateway/metrics"
	"topicgate/gateway/registry"
	"topicgate/gateway/sleep"
	"topicgate/gateway/upstream"
	"topicgate/gateway/will"
	"topicgate/gateway/wire"
)

// rig is sessions on a stage, in a house.
type rig struct {
	*play.Stage
	server *house
}

// rigOf is the rig that c was dialed on.
func rigOf(c *play.Conversation) *rig { return c.Owner.(*rig) }

// rigOptions are what a test may change of a rig.
type rigOptions struct {
	Settings
	Upstreams   []*url.URL
	UpstreamTLS *tls.Config
	TLS         *tls.Config
	Dial        func(ctx context.Context, network, address string) (net.Conn, error)
	Keeper      sleep.Keeper
}

// newRig makes a house with ChatRules; change may alter its options.
func newRig(t testing.TB, change func(*rigOptions)) *rig {
	t.Helper()
	r := &rig{Stage: play.NewStage(t)}
	r.Owner = r
	o := rigOptions{
		Upstreams: []*url.URL{{Scheme: "tcp", Host: "broker.test:1883"}},
		Dial:      r.DialBroker,
		Keeper:    sleep.NewKeeper(nil, ""),
		Settings: Settings{
			TokenSources: []edge.TokenSource{{Kind: edge.TokenPassword}}, UserProperty: "topicgate-user",
			UpstreamUsername: "{username}", SubscribeMode: SubscribeStrict, Verifier: play.Names{Begin: time.Now()}, Policy: r.Policy, Audit: r.Audit,
			Metrics: newMetrics(),
		},
	}
	if change != nil {
		change(&o)
	}
	r.server = newHouse(t, o)
	r.Run(r.server.Serve, r.server.Close)
	return r
}

// newMetrics makes metrics with all labels.
func newMetrics() *metrics.Metrics {
	return metrics.New(metrics.Labels{Ends: EndReasons(), Rejections: RejectReasons(), Tokens: auth.Results(), Connects: upstream.Results()})
}

// house is as little of a gateway as sessions can live in.
type house struct {
	*Host
	tls *tls.Config

	writeBuffers sync.Pool

	mu       sync.Mutex
	closed   bool
	sessions map[*Session]struct{}
	newest   map[string]*Session // by upstream Client Identifier
	ended    sync.WaitGroup
}

func (h *house) asks(s *Session, upstreamID string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.newest[upstreamID] = s
}

func (h *house) takenOver(s *Session, upstreamID string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	newest := h.newest[upstreamID]
	return newest != nil && newest != s
}

func newHouse(t testing.TB, o rigOptions) *house {
	t.Helper()
	host, err := NewHost(o.Settings)
	if err != nil {
		t.Fatal(err)
	}
	h := &house{Host: host, tls: o.TLS, sessions: map[*Session]struct{}{}, newest: map[string]*Session{}}
	host.Brokers = upstream.New(upstream.Options{URLs: o.Upstreams, TLS: o.UpstreamTLS, Dial: o.Dial, Observe: host.Metrics.BrokerTried})
	host.Sleepers = sleep.New(o.Keeper, h.refresh)
	host.Work = func(job func()) { go job() }
	host.Asks, host.TakenOver = h.asks, h.takenOver
	host.Slept = func(string) {}
	host.Wills = will.NewVigils(will.Options{Policy: host.Policy, Brokers: host.Brokers, Live: func(registry.Client) bool { return false },
		Credentials: host.UpstreamCredentials, CalledOff: host.Metrics.WillCalledOff, Audit: host.Audit, Logger: host.Logger})
	host.Admit = func(*Session, string, string) bool { return true }
	host.Forget = func(s *Session) {
		h.mu.Lock()
		delete(h.sessions, s)
		h.mu.Unlock()
		h.ended.Done()
	}
	closed := make(chan struct{})
	t.Cleanup(func() { close(closed) }) // before the end of a bubble
	go host.WatchClock(closed, h.live)
	return h
}

// Serve makes a session of each WebSocket that is dialed, until ctx ends.
func (h *house) Serve(ctx context.Context, l net.Listener) error {
	l = wire.Listen(l, wire.NewHandshakes(semaphore.NewWeighted(wire.HandshakeTurns()), play.Patience), func(*wire.Socket) bool { return true })
	if h.tls != nil {
		l = tls.NewListener(l, h.tls)
	}
	server := &http.Server{Handler: h, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)}
	defer context.AfterFunc(ctx, func() { _ = server.Close() })()
	return server.Serve(l)
}

func (h *house) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	hijacker := &wire.Hijacker{ResponseWriter: w}
	upgrader := websocket.Upgrader{Subprotocols: []string{"mqtt"}, WriteBufferSize: wire.BatchBytes + 16, WriteBufferPool: &h.writeBuffers}
	ws, err := upgrader.Upgrade(hijacker, r, nil)
	if err != nil {
		return
	}
	s := New(h.Host, netip.MustParseAddrPort("192.0.2.1:4711"), edge.TokensOf(r, h.TokenSources), edge.CertificateOf(r))
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed || !s.Adopt(ws, hijacker.Reader()) {
		_ = ws.Close()
		return
	}
	h.sessions[s] = struct{}{}
	h.ended.Add(1)
	go s.Serve()
}

// live is the sessions that have not ended.
func (h *house) live() []*Session {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Collect(maps.Keys(h.sessions))
}

// Sessions describes those that were accepted.
func (h *house) Sessions() (infos []registry.SessionInfo) {
	for _, s := range h.live() {
		if info := s.Info(); info != nil {
			infos = append(infos, *info)
		}
	}
	return infos
}

func (h *house) askIdle() {
	for _, s := range h.live() {
		s.AskIdle()
	}
}

func (h *house) refresh() {
	for _, s := range h.live() {
		s.Refresh()
	}
}

// Close ends all sessions and waits until they are gone.
func (h *house) Close() {
	h.mu.Lock()
	h.closed = true
	h.mu.Unlock()
	for _, s := range h.live() {
		s.End(EndDraining)
	}
	h.ended.Wait()
	h.Host.Close()
	h.Sleepers.Close()
}
