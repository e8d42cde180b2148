package session

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"log/slog"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
	"golang.org/x/time/rate"

	"topicgate/frames"
	"topicgate/gateway/audit"
	"topicgate/gateway/edge"
	"topicgate/gateway/registry"
	"topicgate/gateway/subs"
	"topicgate/gateway/upstream"
	"topicgate/gateway/will"
	"topicgate/gateway/wire"
	"topicgate/policy"
	"topicgate/policy/store"
)

// Session is one WebSocket connection and its connection to a broker.
//
// Two goroutines serve it while it is awake: up reads the client, down reads the broker. Everything else that
// happens to it (the policy changes, the token expires, the gateway drains) comes as a call of
// finish or review from outside.
type Session struct {
	// Immutable after Adopt.
	host          *Host
	id            string
	remote        netip.AddrPort
	requestTokens edge.RequestTokens // until CONNECT is answered
	certificate   *x509.Certificate  // likewise
	since         time.Duration      // when it began, on the process' own clock
	ws            *websocket.Conn
	reader        *bufio.Reader // what ws reads from
	clientSocket  *wire.Socket

	// Immutable after establish, which ends before down starts.
	clientID        string // as the client knows it
	upstreamID      string
	grant           *store.Grant
	broker          upstream.Conn
	keepAlive       time.Duration
	will            *will.Will // nil: none
	userProperty    []byte     // encoded, added to each PUBLISH; nil: none
	clientMaximum   int32      // Maximum Packet Size of the client
	brokerMaximum   int32      // Maximum Packet Size of the broker
	limiter         *rate.Limiter
	aliasesUp       uint16 // Topic Alias Maximum that the broker gave the client
	aliasesDown     uint16 // Topic Alias Maximum that the client gave the broker
	version         frames.Version
	reauthenticate  bool // the client connected with OAUTH2-JWT and may send AUTH
	resumed         bool // the broker had a Session present
	accepted        bool // the broker did, by its CONNACK
	dialed          bool // broker is set; under end
	withoutIDs      bool // the broker knows no Subscription Identifiers
	withoutRetained bool // it has no retained messages

	whose credentials

	client   wire.Outbound // towards the client
	upstream wire.Outbound // towards the broker

	info atomic.Pointer[registry.SessionInfo] // once CONNECT was accepted

	ids       subs.IDs
	table     subs.Table
	requested reviewRequest
	exchanges exchanges
	sleep     sleeping

	up up

	down down

	pings atomic.Int32 // PINGREQs of the client that wait for their PINGRESP
	pumps atomic.Int32 // that have not ended
	left  atomic.Bool  // the client has sent DISCONNECT, and the broker may have it
	begun atomic.Bool  // all that is set up by establish is: the policy store's goroutines may use it
	end   ending
}

// processStart is when sessions count from: a duration has a third of a time's bytes.
var processStart = time.Now()

func New(host *Host, remote netip.AddrPort, tokens edge.RequestTokens, certificate *x509.Certificate) *Session {
	var id [8]byte
	_, _ = rand.Read(id[:]) // never fails
	s := &Session{
		host:          host,
		id:            hex.EncodeToString(id[:]),
		remote:        remote,
		requestTokens: tokens,
		certificate:   certificate,
		since:         time.Since(processStart),
		end:           ending{done: make(chan struct{})},
	}
	s.up.Session, s.down.Session = s, s
	return s
}

// log writes one record about the session. (A Logger of each session's own would be kept through its long
// silence, with its attributes as text.)
func (s *Session) log(level slog.Level, message string, args ...any) {
	ctx := context.Background()
	if !s.host.Logger.Enabled(ctx, level) {
		return
	}
	username := s.whose.username()
	record := slog.NewRecord(time.Now(), level, message, 0) // nobody asks for the source, and a Logger walks the stack for it
	record.AddAttrs(slog.String("session_id", s.id), slog.String("remote", s.remote.String()))
	if username != "" {
		record.AddAttrs(slog.String("username", username), slog.String("client_id", audit.Bounded(s.clientID)))
	}
	record.Add(args...)
	_ = s.host.Logger.Handler().Handle(ctx, record)
}

// Adopt takes over the upgraded connection; false if it is of a kind that can't be served.
func (s *Session) Adopt(ws *websocket.Conn, reader *bufio.Reader) bool {
	s.ws, s.reader = ws, reader
	s.clientSocket = wire.Below(ws.NetConn())
	if s.clientSocket == nil {
		s.log(slog.LevelError, "no socket below the WebSocket")
		return false
	}
	s.clientSocket.LimitWrites(s.host.WriteTimeout)
	s.client.Write = func(p []byte) error { return ws.WriteMessage(websocket.BinaryMessage, p) }
	return true
}

// Socket is the client's.
func (s *Session) Socket() *wire.Socket { return s.clientSocket }

// Serve reads CONNECT and brings the client in. It is a job for the crew.
func (s *Session) Serve() {
	connect, err := s.readConnect()
	if err == nil {
		s.clientSocket.EndHandshake()
		err = s.prepare(connect)
	}
	if err != nil {
		s.conclude(err, false)
		return
	}
	s.enter(newEntry(connect, s.host.ConnectTimeout))
}

// start starts the pumps of a session whose client is in. They go on by themselves, each on a goroutine of its own:
// establishing grows a stack.
func (s *Session) start() {
	s.host.Metrics.SessionStarted(s.version.String())
	s.log(slog.LevelInfo, "session started", "version", s.version.String(), "broker", s.broker.Address)
	s.pumps.Store(2)
	go s.pump(wire.Down)
	go s.pump(wire.Up)
}

// pump pumps in one direction until it is parked or the session ends. Whichever ends last concludes.
func (s *Session) pump(d wire.Direction) {
	run := s.up.pump
	if d == wire.Down {
		run = s.down.pump
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
func (s *Session) conclude(err error, established bool) {
	defer s.host.Forget(s)
	s.finish(err) // a no-op if something else was first
	err = s.cause()
	var end EndReason
	if !errors.As(err, &end) {
		end = EndInternal
	}
	switch {
	case established && end == EndBrokerLost:
		err = s.whyLost(err)
		_ = errors.As(err, &end)
	case end == EndBrokerDisconnect:
		time.Sleep(s.host.lost.pause())
	}
	if established {
		s.auditEnd(err)
	}
	s.rememberLast(end)
	s.leave(err, established)
	if s.sleep.item != nil && !s.sleep.over {
		s.host.Slept(s.whose.username())
	}
	s.requested.await()
	s.down.latest.await()

	if established {
		s.host.Metrics.SessionEnded(s.version.String(), end.String())
	} else {
		s.host.Metrics.EndedEarly(end.String())
	}
	attributes := []any{"reason", end.String(), "duration_ms", (time.Since(processStart) - s.since).Milliseconds(),
		"packets_up", s.up.packets, "packets_down", s.down.packets, "bytes_up", s.up.bytes, "bytes_down", s.down.bytes}
	var detail *endError
	if errors.As(err, &detail) && detail.err != nil {
		attributes = append(attributes, "err", detail.err.Error())
	}
	s.log(endTable[end].level, "session ended", attributes...)
}

// finish ends the session because of err, if nothing has ended it yet: it wakes up both pumps, which
// return. It never blocks and may be called from any goroutine.
func (s *Session) finish(err error) {
	s.end.first(err, func() {
		now := time.Now()
		_ = s.clientSocket.SetReadDeadline(now) // up returns
		s.clientSocket.Seal(now.Add(wire.LingerTimeout))
		s.host.lot.Wake(s.clientSocket)
		if s.dialed {
			s.broker.Wake(now)
			s.host.lot.Wake(s.broker.Socket)
		}
		s.ids.Close()
		s.requested.closed.Store(true)
	})
}

// End ends the session for a reason of the gateway's own. It never blocks.
func (s *Session) End(reason EndReason) { s.finish(ended(reason, nil)) }

// Done is closed when something has ended the session. What it has started may go on for a moment.
func (s *Session) Done() <-chan struct{} { return s.end.done }

// waitFor lets finish abort what is about to be waited for. An error means that the session has ended already.
func (s *Session) waitFor(abort func()) error {
	return s.end.unlessEnded(func() { s.end.abort = abort })
}

// cause is why the session ended; nil while it has not.
func (s *Session) cause() error { return s.end.cause() }

// access is what the session may do now.
func (s *Session) access() *policy.Access { return s.grant.Access() }

// policyChanged is called by the policy store after each change that concerns the session. Before the
// session has begun there is nothing to change; begin looks for itself.
func (s *Session) policyChanged() {
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
