package wire

import (
	"io"
	"sync"
	"syscall"
	"time"
)

// lightBytes is what one system call writes at most where it is a light one.
const lightBytes = 64 << 10

// writing is the write half of a socket.
type writing struct {
	// Owned by who holds turn: one Write after the other.
	turn  sync.Mutex
	rest  []byte // not written yet
	err   error
	tryFn func(fd uintptr) bool // try; kept so that a write does not allocate

	// timeout bounds each write once it is set; the deadline is moved only now and then, so
	// a write that makes no progress fails after 7/8 to 8/8 of it.
	mu       sync.Mutex
	timeout  time.Duration
	deadline time.Time
	began    time.Time // when the last write did
	sealed   bool      // the deadline is final
}

// Write writes all of p under the write timeout. Any number of goroutines may call it.
func (s *Socket) Write(p []byte) (int, error) {
	s.handshake.pause()
	s.extend()
	if s.raw == nil || len(p) == 0 {
		return s.Conn.Write(p)
	}
	w := &s.writing
	w.turn.Lock()
	defer w.turn.Unlock()
	w.rest, w.err = p, nil
	err := s.raw.Write(w.tryFn) // its own error: closed, or the deadline has passed
	n := len(p) - len(w.rest)
	w.rest = nil
	if err == nil && w.err != nil {
		err = s.opError("write", w.err)
	}
	return n, err
}

// try is called by the runtime's poller; false: wait until the socket is writable, and try again.
func (w *writing) try(fd uintptr) bool {
	for len(w.rest) > 0 {
		n, err := lightWrite(fd, w.rest)
		switch {
		case err == syscall.EINTR:
		case err == syscall.EAGAIN:
			return false
		case err == nil && n == 0:
			w.err = io.ErrUnexpectedEOF
			return true
		case err != nil:
			w.err = err
			return true
		}
		w.rest = w.rest[n:]
	}
	return true
}

// LimitWrites bounds every later write by d. From then on SetWriteDeadline is the socket's own
// affair: TLS and WebSocket above it set none.
func (s *Socket) LimitWrites(d time.Duration) {
	s.writing.mu.Lock()
	s.writing.timeout = d
	s.writing.mu.Unlock()
}

// extend moves the write deadline when a good part of it has passed. (Each move costs more than the
// clock does.)
func (s *Socket) extend() {
	w := &s.writing
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	w.began = now
	if w.timeout == 0 || w.sealed {
		return
	}
	if w.deadline.Sub(now) < w.timeout-w.timeout/8 {
		w.deadline = now.Add(w.timeout)
		_ = s.Conn.SetWriteDeadline(w.deadline) // fails only on a closed connection; so will the write
	}
}

// LastWrite is when the last write began.
func (s *Socket) LastWrite() time.Time {
	s.writing.mu.Lock()
	defer s.writing.mu.Unlock()
	return s.writing.began
}

// Seal makes t the write deadline, also for a write that is under way; writes move it no more.
func (s *Socket) Seal(t time.Time) {
	s.writing.mu.Lock()
	defer s.writing.mu.Unlock()
	s.writing.sealed = true
	_ = s.Conn.SetWriteDeadline(t)
}

// SetWriteDeadline does nothing once LimitWrites was called: the layers above set and clear
// deadlines for each frame.
func (s *Socket) SetWriteDeadline(t time.Time) error {
	s.writing.mu.Lock()
	own := s.writing.timeout != 0
	s.writing.mu.Unlock()
	if own {
		return nil
	}
	return s.Conn.SetWriteDeadline(t)
}

// SetDeadline sets both, as far as SetWriteDeadline does.
func (s *Socket) SetDeadline(t time.Time) error {
	if err := s.Conn.SetReadDeadline(t); err != nil {
		return err
	}
	return s.SetWriteDeadline(t)
}

// CloseWrite sends the end of the stream and leaves the other direction open.
func (s *Socket) CloseWrite() error {
	if c, ok := s.Conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return s.Conn.Close()
}
