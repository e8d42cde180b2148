package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
)

// maxHeaderBytes bounds a request's header. A token in it may be as long as an MQTT password.
const maxHeaderBytes = 128 << 10

// Server accepts WebSocket connections and keeps one session for each.
type Server struct {
	options  Options
	log      *slog.Logger
	clientID clientIDTemplate
	upgrader websocket.Upgrader
	brokers  *brokers
	crew     *crew
	sleepers *sleepers
	lot      parkingLot
	registry *registry // nil without Redis

	handshakes *handshakes
	reviewers  reviewers
	origins    originLog
	wall       wallClock

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

// clientKey names what counts once among the connections of a user, however often it comes back.
type clientKey struct{ username, upstreamID string }

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
		brokers:  newBrokers(o),
		crew:     newCrew(),

		handshakes: newHandshakes(o.ConnectTimeout),
		wall:       wallClock{o.Now},

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
	s.sleepers = newSleepers(o.Policy.Client(), o.RedisPrefix, s.refreshSleepers)
	s.registry = newRegistry(o.Policy.Client(), o.RedisPrefix, o.Instance, s.log)
	s.registry.start(s.disconnect)
	s.background.Go(func() { s.parkIdle(s.closed) })
	s.background.Go(func() { s.wall.watch(s.closed, s.resetExpiries) })
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
	l = s.options.TrustedProxies.Listener(socketListener{l, s.handshakes})
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

// Draining reports whether Drain was called: the server takes no new sessions.
func (s *Server) Draining() bool { return s.draining.Load() }

// Drain takes no new sessions and ends those that live, evenly spread over most of the drain timeout, so
// that their clients do not all reconnect elsewhere at once. It returns when none is left.
func (s *Server) Drain(ctx context.Context) {
	s.draining.Store(true)
	s.mu.Lock()
	live := make([]*session, 0, len(s.sessions))
	for session := range s.sessions {
		live = append(live, session)
	}
	s.mu.Unlock()
	if len(live) > 0 {
		s.log.Info("draining", "sessions", len(live))
	}
	pause := max(s.options.DrainTimeout*3/4/time.Duration(max(len(live), 1)), time.Millisecond)
	for i, session := range live {
		if i > 0 {
			select {
			case <-time.After(pause):
			case <-session.done: // it needs no time of its own
			case <-ctx.Done():
			}
		}
		session.finish(ended(EndDraining, nil))
	}
	s.Close()
}

// Close ends all sessions and waits until they are gone.
func (s *Server) Close() {
	s.draining.Store(true)
	s.mu.Lock()
	for session := range s.sessions {
		session.finish(ended(EndDraining, nil))
	}
	s.mu.Unlock()
	s.ended.Wait()
	s.closing.Do(func() { close(s.closed) })
	s.background.Wait()
	s.lot.close()
	s.crew.close()
	s.sleepers.close()
	s.registry.close()
}

// register counts a session that is about to be served; false while draining.
func (s *Server) register(session *session) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining.Load() {
		return false
	}
	s.sessions[session] = struct{}{}
	s.ended.Add(1)
	return true
}

func (s *Server) forget(session *session) {
	s.registry.remove(session.id)
	s.mu.Lock()
	delete(s.sessions, session)
	if session.counted {
		s.discharge(session.key())
	}
	s.mu.Unlock()
	s.open.Add(-1)
	s.ended.Done()
}

// admit counts a verified session for its user; false: the user has as many as allowed. A client
// that comes back is not held up by its own dead connection, which the broker is about to end.
func (s *Server) admit(session *session) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := session.key()
	if s.clients[c] == 0 {
		if limit := s.options.MaxConnectionsPerUser; limit > 0 && s.users[c.username] >= limit {
			return false
		}
		s.users[c.username]++
	}
	s.clients[c]++
	session.counted = true
	return true
}

// discharge takes back what admit counted. s.mu is held.
func (s *Server) discharge(c clientKey) {
	if s.clients[c]--; s.clients[c] > 0 {
		return
	}
	delete(s.clients, c)
	if s.users[c.username]--; s.users[c.username] <= 0 {
		delete(s.users, c.username)
	}
}

func (s *session) key() clientKey { return clientKey{s.identity.Username, s.upstreamID} }

// SessionInfo describes a live session, for the admin listener.
type SessionInfo struct {
	Session  string    `json:"session"`
	User     string    `json:"user"`
	Issuer   string    `json:"issuer,omitempty"`
	ClientID string    `json:"client_id"`
	Version  string    `json:"version"`
	Remote   string    `json:"remote"`
	Upstream string    `json:"upstream"`
	Since    time.Time `json:"since"`
	Expires  time.Time `json:"expires,omitzero"`
}

// Sessions lists the live sessions of this instance that have been accepted, oldest first.
func (s *Server) Sessions() []SessionInfo {
	s.mu.Lock()
	infos := make([]SessionInfo, 0, len(s.sessions))
	for session := range s.sessions {
		if info := session.info.Load(); info != nil {
			infos = append(infos, *info)
		}
	}
	s.mu.Unlock()
	slices.SortFunc(infos, func(a, b SessionInfo) int { return a.Since.Compare(b.Since) })
	return infos
}
