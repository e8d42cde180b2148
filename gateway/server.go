package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"topicgate/gateway/evict"
	"topicgate/gateway/registry"
	"topicgate/gateway/session"
	"topicgate/gateway/sleep"
	"topicgate/gateway/upstream"
	"topicgate/gateway/will"
	"topicgate/gateway/wire"

	"github.com/gorilla/websocket"
	"golang.org/x/sync/semaphore"
)

// maxHeaderBytes bounds a request's header. A token in it may be as long as an MQTT password.
const maxHeaderBytes = 128 << 10

// Server accepts WebSocket connections and keeps one session for each.
type Server struct {
	options        Options
	host           *session.Host
	log            *slog.Logger
	upgrader       websocket.Upgrader
	crew           *crew
	handshakeTurns *semaphore.Weighted
	origins        originLog

	doors    *doors
	draining atomic.Bool // no new sessions

	mu       sync.Mutex
	sessions map[*session.Session]*owner // nil: nobody knows yet whose it is
	clients  map[string]client           // by upstream Client Identifier
	users    map[string]int              // clients by username
	ended    sync.WaitGroup              // sessions' goroutines

	closing    sync.Once
	closed     chan struct{}  // by Close, when all sessions are gone
	background sync.WaitGroup // what ends then
}

// New checks options and makes a Server. Whoever calls it calls Drain or Close in the end.
func New(options Options) (*Server, error) {
	o, err := options.withDefaults()
	host, hostErr := session.NewHost(o.Settings)
	if err := errors.Join(err, hostErr); err != nil {
		return nil, err
	}
	o.Settings = host.Settings
	s := &Server{
		options:        o,
		host:           host,
		log:            o.Logger,
		crew:           newCrew(),
		doors:          newDoors(o.MaxConnections, o.Metrics, o.Logger),
		handshakeTurns: semaphore.NewWeighted(wire.HandshakeTurns()),
		sessions:       map[*session.Session]*owner{},
		clients:        map[string]client{},
		users:          map[string]int{},
		closed:         make(chan struct{}),
	}
	s.upgrader = websocket.Upgrader{
		HandshakeTimeout: o.ConnectTimeout,
		ReadBufferSize:   0, // that of wire.Hijacker
		WriteBufferSize:  wsWriteBytes,
		WriteBufferPool:  &sync.Pool{},
		Subprotocols:     subprotocols,
		CheckOrigin:      func(*http.Request) bool { return true }, // accept has looked
	}
	redis := o.Policy.Client()
	host.Brokers = upstream.New(upstream.Options{URLs: o.Upstreams, TLS: o.UpstreamTLS, ProxyProtocol: o.UpstreamProxyProtocol,
		Dial: o.Dial, Observe: o.Metrics.BrokerTried, Away: func(address string) { host.Sleepers.Lost(address) }})
	host.Registry = registry.New(redis, o.RedisPrefix, o.Instance, s.log)
	host.Work, host.Admit, host.Forget = s.crew.do, s.admit, s.forget
	host.Sleepers = sleep.New(sleep.NewKeeper(redis, o.RedisPrefix), s.refreshSleepers)
	host.Slept = func(string) {}
	host.Index = sleep.NewIndex(redis, o.RedisPrefix, o.MaxSleepingPerUser, host.Sleepers.ForgetSoon)
	if redis != nil {
		s.evict()
	}
	host.Asks, host.TakenOver = s.asks, s.takenOver
	host.Wills = will.NewVigils(will.Options{
		Policy: o.Policy, Brokers: host.Brokers, Registry: host.Registry, Live: s.serves, Credentials: host.UpstreamCredentials,
		CalledOff: o.Metrics.WillCalledOff, Audit: o.Audit, Instance: o.Instance, Logger: s.log,
	})
	host.Registry.Start(registry.Host{Obey: s.disconnect, Has: s.has})
	s.background.Go(func() { s.parkIdle(s.closed) })
	s.background.Go(func() { host.WatchClock(s.closed, s.live) })
	return s, nil
}

// evict has the sleeping MQTT Sessions of blocked users ended, until the server is closed.
func (s *Server) evict() {
	evictor := evict.New(evict.Options{
		Policy: s.options.Policy, Index: s.host.Index, Brokers: s.host.Brokers, Logger: s.log,
		Forget: s.host.Sleepers.ForgetSoon, Credentials: s.host.UpstreamCredentials, Ended: s.options.Metrics.SleeperEvicted,
	})
	s.host.Slept = evictor.Slept
	ctx, stop := context.WithCancel(context.Background())
	s.background.Go(func() { <-s.closed; stop() })
	s.background.Go(func() { evictor.Run(ctx) })
}

// live is the sessions that have not ended.
func (s *Server) live() []*session.Session {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.sessions))
}

// refreshSleepers has all that is stored of living sessions stored anew, where it is about to end.
func (s *Server) refreshSleepers() {
	for _, one := range s.live() {
		one.Refresh()
	}
}

// parkEvery is how often the server looks for sessions that have waited since it last looked.
const parkEvery = 2 * time.Second

// parkIdle parks those who have waited since the last call, until stop is closed.
func (s *Server) parkIdle(stop <-chan struct{}) {
	ticker := time.NewTicker(parkEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			for _, one := range s.live() {
				one.AskIdle()
			}
		case <-stop:
			return
		}
	}
}

// Serve accepts connections of l until ctx ends, then closes l and returns; sessions go on until
// Drain or Close.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	l = s.options.TrustedProxies.Listener(wire.Listen(l, wire.NewHandshakes(s.handshakeTurns, s.options.ConnectTimeout), s.doors.enter))
	if s.options.TLS != nil {
		l = tls.NewListener(l, s.options.TLS)
	}
	server := &http.Server{
		Handler:           s.Handler(),
		ConnContext:       withSocket,
		ConnState:         s.doors.follow,
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

// Brokers tells of each broker, by its address, what keeps clients from it; nil: nothing.
func (s *Server) Brokers(ctx context.Context) map[string]error { return s.host.Brokers.Probe(ctx) }

// Sessions lists the live sessions of this instance that have been accepted, oldest first.
func (s *Server) Sessions() []registry.SessionInfo {
	live := s.live()
	infos := make([]registry.SessionInfo, 0, len(live))
	for _, one := range live {
		if info := one.Info(); info != nil {
			infos = append(infos, *info)
		}
	}
	slices.SortFunc(infos, func(a, b registry.SessionInfo) int { return a.Since.Compare(b.Since) })
	return infos
}
