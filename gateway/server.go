package gateway

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"

	"topicgate/gateway/registry"
	"topicgate/gateway/sleep"
	"topicgate/gateway/upstream"
	"topicgate/gateway/wire"

	"github.com/gorilla/websocket"
	"golang.org/x/sync/semaphore"
)

// maxHeaderBytes bounds a request's header. A token in it may be as long as an MQTT password.
const maxHeaderBytes = 128 << 10

// Server accepts WebSocket connections and keeps one session for each.
type Server struct {
	options  Options
	log      *slog.Logger
	clientID clientIDTemplate
	upgrader websocket.Upgrader
	brokers  *upstream.Brokers
	crew     *crew
	sleepers *sleep.Store
	lot      *wire.Lot[parked]
	registry *registry.Registry // nil without Redis

	handshakeTurns *semaphore.Weighted
	reviewers      reviewers

	open     atomic.Int64 // upgraded connections, also those without a session yet
	draining atomic.Bool  // no new sessions

	mu       sync.Mutex
	sessions map[*session]struct{}
	clients  map[clientKey]int // connections of each
	users    map[string]int    // clients by username
	ended    sync.WaitGroup    // sessions' goroutines

	closing    sync.Once
	closed     chan struct{}  // by Close, when all sessions are gone
	background sync.WaitGroup // what ends then
}

// New checks options and makes a Server. Whoever calls it calls Drain or Close in the end.
func New(options Options) (*Server, error) {
	o, err := options.withDefaults()
	if err != nil {
		return nil, err
	}
	template, err := parseClientIDTemplate(o.ClientIDTemplate)
	if err != nil {
		return nil, err
	}
	s := &Server{
		options:  o,
		log:      o.Logger,
		clientID: template,
		brokers: upstream.New(upstream.Options{URLs: o.Upstreams, TLS: o.UpstreamTLS, ProxyProtocol: o.UpstreamProxyProtocol,
			Dial: o.Dial, Observe: o.Metrics.BrokerTried}),
		crew: newCrew(),
		lot:  wire.NewLot(resume),

		handshakeTurns: semaphore.NewWeighted(wire.HandshakeTurns()),

		sessions: map[*session]struct{}{},
		clients:  map[clientKey]int{},
		users:    map[string]int{},
		closed:   make(chan struct{}),
	}
	s.upgrader = websocket.Upgrader{
		HandshakeTimeout: o.ConnectTimeout,
		ReadBufferSize:   0, // that of hijacker
		WriteBufferSize:  wsWriteBytes,
		WriteBufferPool:  &sync.Pool{},
		Subprotocols:     subprotocols,
		CheckOrigin:      func(*http.Request) bool { return true }, // accept has looked
	}
	s.sleepers = sleep.New(cmp.Or(o.keeper, sleep.NewKeeper(o.Policy.Client(), o.RedisPrefix)), s.refreshSleepers)
	s.registry = registry.New(o.Policy.Client(), o.RedisPrefix, o.Instance, s.log)
	s.registry.Start(s.disconnect)
	s.background.Go(func() { s.parkIdle(s.closed) })
	return s, nil
}

// refreshSleepers has all that is stored of living sessions stored anew, where it is about to end.
func (s *Server) refreshSleepers() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for session := range s.sessions {
		if session.info.Load() != nil { // established: it is known whether it persists
			session.remember()
		}
	}
}

// Serve accepts connections of l until ctx ends, then closes l and returns; sessions go on until
// Drain or Close.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	l = s.options.TrustedProxies.Listener(wire.Listen(l, wire.NewHandshakes(s.handshakeTurns, s.options.ConnectTimeout)))
	if s.options.TLS != nil {
		l = tls.NewListener(l, s.options.TLS)
	}
	server := &http.Server{
		Handler:           s.Handler(),
		ReadHeaderTimeout: s.options.ConnectTimeout,
		IdleTimeout:       s.options.ConnectTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Sessions lists the live sessions of this instance that have been accepted, oldest first.
func (s *Server) Sessions() []registry.SessionInfo {
	s.mu.Lock()
	infos := make([]registry.SessionInfo, 0, len(s.sessions))
	for session := range s.sessions {
		if info := session.info.Load(); info != nil {
			infos = append(infos, *info)
		}
	}
	s.mu.Unlock()
	slices.SortFunc(infos, func(a, b registry.SessionInfo) int { return a.Since.Compare(b.Since) })
	return infos
}
