package gateway

import (
	"bufio"
	"errors"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"topicgate/gateway/wire"
)

// A session that has been silent for a while is parked, each direction by itself: the pump's goroutine ends,
// and one goroutine waits, for all that are parked, until there is something to read. Most of an idle session's
// memory would be its two goroutines' stacks, which never become as small again as they were at first.
//
// Only sockets of the operating system can be parked, and only on Linux; others keep their goroutines.

// parkEvery is how often the server looks for pumps that have waited since it last looked.
const parkEvery = 2 * time.Second

// errPark is what a read returns that has been asked to give up its wait. Nothing is lost by it: crypto/tls
// remembers no error that is Temporary, bufio none at all.
var errPark net.Error = parkError{}

type parkError struct{}

func (parkError) Error() string   { return "the wait is given up" }
func (parkError) Timeout() bool   { return false }
func (parkError) Temporary() bool { return true }

// errParked is what a pump returns that has been parked. Its goroutine must not touch the session any more.
var errParked = errors.New("parked")

// parkIdle parks those who have waited since the last call, until stop is closed.
func (s *Server) parkIdle(stop <-chan struct{}) {
	ticker := time.NewTicker(parkEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			s.askIdle()
		case <-stop:
			return
		}
	}
}

// askIdle asks the pumps to park that have waited since it was last called.
func (s *Server) askIdle() {
	s.mu.Lock()
	sessions := make([]*session, 0, len(s.sessions))
	for session := range s.sessions {
		sessions = append(sessions, session)
	}
	s.mu.Unlock()
	for _, session := range sessions {
		session.askIdle()
	}
}

func (s *session) askIdle() {
	if !s.begun.Load() {
		return
	}
	s.endMu.Lock()
	defer s.endMu.Unlock()
	if s.endErr != nil {
		return // whose deadline is to stay
	}
	s.clientSocket.askIdle()
	s.broker.socket.askIdle()
}

// keepWaiting takes back the read deadline by which k was asked to park, but not that of finish.
func (s *session) keepWaiting(k *socket) {
	s.endMu.Lock()
	defer s.endMu.Unlock()
	if s.endErr == nil {
		_ = k.SetReadDeadline(time.Time{})
	}
}

// park ends the pump of d until there is something to read: errParked. It returns nil when the pump is to go
// on, and an error when what it had put off could not be written.
func (s *session) park(d wire.Direction) error {
	wait, k, inbox := s.upWaits, s.clientSocket, &s.up.inbox
	if d == wire.Down {
		wait, k, inbox = s.downWaits, s.broker.socket, &s.broker.inbox
	}
	if err := wait(); err != nil { // it may have been asked before it came to this
		return err
	}
	inbox.Release()
	s.endMu.Lock()
	defer s.endMu.Unlock()
	if s.endErr != nil || !s.server.lot.put(k, parked{s, d}) {
		return nil
	}
	return errParked
}

// parked is a pump without a goroutine.
type parked struct {
	session   *session // nil: none
	direction wire.Direction
}

func (p parked) socket() *socket {
	if p.direction == wire.Up {
		return p.session.clientSocket
	}
	return p.session.broker.socket
}

// resting is what of a socket belongs to parking.
type resting struct {
	session *session      // whose askIdle asks; set before it can
	waits   atomic.Uint32 // one more when a wait begins and when it ends; odd: the reader waits
	asked   atomic.Bool   // the read deadline that has passed means errPark
	parked  atomic.Bool

	seen uint32 // waits at the last look; guarded by session.endMu
}

// askIdle has the read that waits return errPark, if it has waited since the last call and allows it.
func (s *socket) askIdle() {
	if s.raw == nil || s.parked.Load() {
		return
	}
	waits := s.waits.Load()
	if idle := waits == s.seen && waits%2 == 1; idle {
		s.asked.Store(true)
		_ = s.SetReadDeadline(time.Unix(1, 0))
	}
	s.seen = waits
}

// hijacker hands the upgrader a read buffer of our own, whose reader can wait for a message before gorilla
// does: a read error that gorilla has seen stays.
type hijacker struct {
	http.ResponseWriter
	reader *bufio.Reader
}

// wsReadBytes is the size of the buffer. The socket below reads whole chunks; this need only hold a
// frame's header, and gorilla takes none that is smaller.
const wsReadBytes = 288

// Hijack implements http.Hijacker.
func (h *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	writer, ok := h.ResponseWriter.(http.Hijacker)
	if !ok {
		return nil, nil, http.ErrNotSupported
	}
	c, rw, err := writer.Hijack()
	if err != nil || rw.Reader.Buffered() > 0 { // which the upgrader refuses
		return c, rw, err
	}
	h.reader = bufio.NewReaderSize(c, wsReadBytes)
	rw.Reader = h.reader
	return c, rw, nil
}
