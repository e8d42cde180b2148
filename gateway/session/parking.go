package session

import (
	"errors"
	"time"

	"topicgate/gateway/wire"
)

// A session that has been silent for a while is parked, each direction by itself: the pump's goroutine ends,
// and one goroutine waits, for all that are parked, until there is something to read. Most of an idle session's
// memory would be its two goroutines' stacks, which never become as small again as they were at first.
//
// Only sockets of the operating system can be parked, and only on Linux; others keep their goroutines.

// errParked is what a pump returns that has been parked. Its goroutine must not touch the session any more.
var errParked = errors.New("parked")

// AskIdle asks the pumps to park that have waited since it was last called. One at a time calls it.
func (s *Session) AskIdle() {
	if !s.begun.Load() {
		return
	}
	_ = s.end.unlessEnded(func() { // whose deadline is to stay
		s.clientSocket.AskIdle()
		s.broker.Socket.AskIdle()
	})
}

// keepWaiting takes back the read deadline by which k was asked to park, but not that of finish.
func (s *Session) keepWaiting(k *wire.Socket) {
	_ = s.end.unlessEnded(func() { _ = k.SetReadDeadline(time.Time{}) })
}

// park ends the pump of d until there is something to read: errParked. It returns nil when the pump is to go
// on, and an error when what it had put off could not be written.
func (s *Session) park(d wire.Direction) error {
	wait, k, inbox := s.upWaits, s.clientSocket, &s.up.inbox
	if d == wire.Down {
		wait, k, inbox = s.downWaits, s.broker.Socket, &s.broker.Inbox
	}
	if err := wait(); err != nil { // it may have been asked before it came to this
		return err
	}
	inbox.Release()
	isParked := false
	_ = s.end.unlessEnded(func() { isParked = s.host.lot.Put(k, parked{s, d}) })
	if !isParked {
		return nil
	}
	return errParked
}

// parked is a pump without a goroutine.
type parked struct {
	session   *Session
	direction wire.Direction
}

// resume has a pump go on that was parked.
func resume(p parked) { p.session.pump(p.direction) }
