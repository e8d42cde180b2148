package gateway

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
	"golang.org/x/time/rate"

	"topicgate/auth"
	"topicgate/frames"
	"topicgate/policy"
	"topicgate/policy/store"
)

// lingerTimeout is how long an ended session waits for its peers to read the last words and close.
const lingerTimeout = 2 * time.Second

// session is one WebSocket connection and its connection to a broker.
//
// Two goroutines serve it while it is awake: up reads the client, down reads the broker. Everything else that
// happens to it (the policy changes, the token expires, the gateway drains) comes as a call of
// finish or review from outside.
type session struct {
	// Immutable after adopt.
	server        *Server
	id            string
	remote        netip.AddrPort
	requestTokens requestTokens     // until CONNECT is answered
	certificate   *x509.Certificate // likewise
	since         time.Time
	ws            *websocket.Conn
	reader        *bufio.Reader // what ws reads from
	clientSocket  *socket

	// Immutable after establish, which ends before down starts.
	version        frames.Version
	clientID       string // as the client knows it
	upstreamID     string
	counted        bool // guarded by server.mu
	grant          *store.Grant
	broker         brokerConn
	keepAlive      time.Duration
	will           *will  // nil: none
	userProperty   []byte // encoded, added to each PUBLISH; nil: none
	clientMaximum  int    // Maximum Packet Size of the client
	brokerMaximum  int    // Maximum Packet Size of the broker
	aliasesUp      uint16 // Topic Alias Maximum that the broker gave the client
	aliasesDown    uint16 // Topic Alias Maximum that the client gave the broker
	reauthenticate bool   // the client connected with OAUTH2-JWT and may send AUTH
	resumed        bool   // the broker had a Session present
	limiter        *rate.Limiter

	// Written under identityMu, on re-authentication.
	identityMu sync.Mutex
	identity   auth.Identity
	expiry     *time.Timer

	client   outbound // towards the client
	upstream outbound // towards the broker

	info atomic.Pointer[SessionInfo] // once CONNECT was accepted

	ids   packetIDs
	subs  subscriptions
	sleep sleeping

	// Owned by up.
	up upState

	// Owned by down.
	down downState

	pings atomic.Int32 // PINGREQs of the client that wait for their PINGRESP

	left   atomic.Bool   // the client has sent DISCONNECT, and the broker may have it
	done   chan struct{} // closed by finish
	endMu  sync.Mutex
	endErr error              // the first cause
	abort  context.CancelFunc // of what establish waits for; nil: for nothing that could be aborted
	dialed bool               // broker is set

	accepted bool         // the broker did, by its CONNACK
	pumps    atomic.Int32 // that have not ended
	begun    atomic.Bool  // all that is set up by establish is: the policy store's goroutines may use it
}

func newSession(server *Server, remote netip.AddrPort, tokens requestTokens, certificate *x509.Certificate) *session {
	var id [8]byte
	_, _ = rand.Read(id[:]) // never fails
	return &session{
		server:        server,
		id:            hex.EncodeToString(id[:]),
		remote:        remote,
		requestTokens: tokens,
		certificate:   certificate,
		since:         time.Now(),
		done:          make(chan struct{}),
	}
}

// log writes one record about the session. (A Logger of each session's own would be kept through its long
// silence, with its attributes as text.)
func (s *session) log(level slog.Level, message string, args ...any) {
	ctx := context.Background()
	if !s.server.log.Enabled(ctx, level) {
		return
	}
	s.identityMu.Lock()
	username := s.identity.Username
	s.identityMu.Unlock()
	record := slog.NewRecord(time.Now(), level, message, 0) // nobody asks for the source, and a Logger walks the stack for it
	record.AddAttrs(slog.String("session_id", s.id), slog.String("remote", s.remote.String()))
	if username != "" {
		record.AddAttrs(slog.String("username", username), slog.String("client_id", s.clientID))
	}
	record.Add(args...)
	_ = s.server.log.Handler().Handle(ctx, record)
}

// adopt takes over the upgraded connection; false if it is of a kind that can't be served.
func (s *session) adopt(ws *websocket.Conn, reader *bufio.Reader) bool {
	s.ws, s.reader = ws, reader
	s.clientSocket = socketBelow(ws.NetConn())
	if s.clientSocket == nil {
		s.log(slog.LevelError, "no socket below the WebSocket")
		return false
	}
	s.clientSocket.limitWrites(s.server.options.WriteTimeout)
	s.client.write = func(p []byte) error { return ws.WriteMessage(websocket.BinaryMessage, p) }
	return true
}

// socketBelow finds the socket under the layers of TLS and PROXY protocol.
func socketBelow(c net.Conn) *socket {
	for c != nil {
		switch layer := c.(type) {
		case *socket:
			return layer
		case *tls.Conn:
			c = layer.NetConn()
		case interface{ Raw() net.Conn }:
			c = layer.Raw()
		default:
			return nil
		}
	}
	return nil
}

// serve takes the session from the upgrade to its pumps, which go on by themselves, each on a goroutine of its
// own: establishing grows a stack. It is a job for the crew.
func (s *session) serve() {
	connect, err := s.readConnect()
	if err == nil {
		s.clientSocket.endHandshake()
		err = s.establish(connect)
	}
	if err != nil {
		s.conclude(err, false)
		return
	}
	s.server.options.Metrics.sessionStarted(s.version.String())
	s.log(slog.LevelInfo, "session started", "version", s.version.String(), "broker", s.broker.address)
	s.pumps.Store(2)
	go s.pump(dirDown)
	go s.pump(dirUp)
}

// pump pumps in one direction until it is parked or the session ends. Whichever ends last concludes.
func (s *session) pump(d direction) {
	run := s.pumpUp
	if d == dirDown {
		run = s.pumpDown
	}
	err := run()
	if err == errParked {
		return
	}
	s.finish(err)
	if s.pumps.Add(-1) == 0 {
		s.conclude(err, true)
	}
}

// conclude ends the session. When it returns, everything that the session started has ended, and both
// connections are closed.
func (s *session) conclude(err error, established bool) {
	defer s.server.forget(s)
	s.finish(err) // a no-op if something else was first
	err = s.cause()
	if established {
		s.auditEnd(err)
	}
	var end EndReason
	if !errors.As(err, &end) {
		end = EndInternal
	}
	s.rememberLast(end)
	s.leave(err, established)
	s.subs.awaitReviews()

	if established {
		s.server.options.Metrics.sessionEnded(s.version.String(), end.String())
	} else {
		s.server.options.Metrics.sessionsEnded.add(end.String(), 1)
	}
	attributes := []any{"reason", end.String(), "duration_ms", time.Since(s.since).Milliseconds(),
		"packets_up", s.up.packets, "packets_down", s.down.packets, "bytes_up", s.up.bytes, "bytes_down", s.down.bytes}
	var detail *endError
	if errors.As(err, &detail) && detail.err != nil {
		attributes = append(attributes, "err", detail.err.Error())
	}
	s.log(endTable[end].level, "session ended", attributes...)
}

// finish ends the session because of err, if nothing has ended it yet: it wakes up both pumps, which
// return. It never blocks and may be called from any goroutine.
func (s *session) finish(err error) {
	if err == nil {
		err = ended(EndInternal, errors.New("BUG: ended without a cause"))
	}
	s.endMu.Lock()
	defer s.endMu.Unlock()
	if s.endErr != nil {
		return
	}
	s.endErr = err
	close(s.done)
	if s.abort != nil {
		s.abort()
	}
	now := time.Now()
	_ = s.clientSocket.SetReadDeadline(now) // up returns
	s.clientSocket.seal(now.Add(lingerTimeout))
	s.server.lot.wake(s.clientSocket)
	if s.dialed {
		s.broker.wake(now)
		s.server.lot.wake(s.broker.socket)
	}
	s.ids.close()
	s.subs.close()
}

// waitFor lets finish abort what establish is about to wait for. The client may take its time from here on;
// an error means that the session has ended already.
func (s *session) waitFor(abort context.CancelFunc) error {
	s.endMu.Lock()
	defer s.endMu.Unlock()
	if s.endErr == nil {
		s.abort = abort
		_ = s.clientSocket.SetReadDeadline(time.Time{})
	}
	return s.endErr
}

// cause is why the session ended; nil while it has not.
func (s *session) cause() error {
	s.endMu.Lock()
	defer s.endMu.Unlock()
	return s.endErr
}

// leave says goodbye to both sides and closes them.
func (s *session) leave(err error, established bool) {
	s.disarmExpiry()
	if s.accepted {
		s.leaveBroker(established)
	}
	if s.grant != nil {
		s.grant.Close()
	}
	end := EndInternal
	_ = errors.As(err, &end)
	row := endTable[end]
	code := row.code
	var detail *endError
	if errors.As(err, &detail) && detail.code != 0 {
		code = detail.code
	}
	var last []byte
	if established && code != 0 && s.version == frames.V5 && end != EndClientLost {
		last = frames.Disconnect{Reason: code}.Append(nil, frames.V5)
	}
	deadline := time.Now().Add(lingerTimeout)
	s.clientSocket.seal(deadline) // anew: the broker may have taken its time
	_ = s.client.close(last)
	_ = s.ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(row.status, ""), deadline)
	s.halfCloseClient()
	if s.accepted {
		s.broker.drain(deadline)
	}
	s.broker.close()
	s.linger(deadline)
	_ = s.ws.Close()
	s.up.inbox.Skip(s.up.inbox.Len())
	s.up.inbox.Release()
}

// leaveBroker sends what was forwarded last and ends our stream. Without a DISCONNECT before the end
// the broker publishes the Will; one that is not allowed any more must not fire, nor that of a client
// which has never heard that it is connected.
func (s *session) leaveBroker(established bool) {
	quiet := !established
	if established && s.will != nil && !s.left.Load() {
		if d := s.judgeWill(); !d.Allowed {
			s.rejectWill(d)
			quiet = true
		}
	}
	var last []byte
	if quiet {
		last = frames.Disconnect{}.Append(nil, s.version)
	}
	_ = s.upstream.close(last)
	s.broker.halfClose()
}

// halfCloseClient ends our stream: after the Close frame the client waits for that (RFC 6455 section 7.1.1).
func (s *session) halfCloseClient() {
	if t, ok := s.ws.NetConn().(*tls.Conn); ok {
		_ = t.CloseWrite()
	}
	_ = s.clientSocket.CloseWrite()
}

// linger drops what the client still sends until it has closed too. Closing at once, with bytes of the
// client's unread, would reset the connection, and our last words might be lost: the CONNACK that
// tells it not to come back, the close status.
func (s *session) linger(deadline time.Time) {
	s.clientSocket.idle = nil
	_ = s.clientSocket.SetReadDeadline(deadline)
	var drop [512]byte
	const most = 1 << 20 // of a client that won't stop talking
	c := s.ws.NetConn()
	for total := 0; total < most; {
		n, err := c.Read(drop[:])
		if err != nil {
			return
		}
		total += n
	}
}

// access is what the session may do now.
func (s *session) access() *policy.Access { return s.grant.Access() }

// policyChanged is called by the policy store after each change that concerns the session. Before the
// session has begun there is nothing to change; begin looks for itself.
func (s *session) policyChanged() {
	if !s.begun.Load() {
		return
	}
	switch s.grant.Standing() {
	case store.Blocked:
		s.finish(ended(EndBlocked, nil))
	case store.Revoked:
		s.finish(ended(EndTokenRevoked, nil))
	default:
		s.requestReview()
	}
}
