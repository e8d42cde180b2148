package gateway

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"topicgate/frames"
)

// chunkBytes is what one read from a socket asks for at most. Many small packets that wait in the
// kernel cost one system call.
const chunkBytes = 32 << 10

var chunkPool = sync.Pool{New: func() any { return new([chunkBytes]byte) }}

// socket is a TCP connection that tells its reader when nothing more is ready to read, and that
// holds no read buffer while it waits. It lies below TLS and WebSocket, so the moment is known
// exactly, whatever those have buffered.
//
// One goroutine reads and, besides Close and the deadlines, any number write.
type socket struct {
	net.Conn
	raw syscall.RawConn // nil: not a socket of the operating system (tests), read plainly

	// idle is called by Read before it waits: everything that came is consumed, so what was put
	// off is due now. Its error ends the read. Set by the reading goroutine.
	idle func() error

	// Owned by the reading goroutine.
	chunk  *[chunkBytes]byte // nil while nothing is buffered
	begin  int
	end    int
	dst    []byte         // of the read that is under way; nil: into chunk
	into   *frames.Buffer // of the fill that is under way
	n      int
	err    error
	waited bool
	tryFn  func(fd uintptr) bool // s.try; kept so that a read does not allocate

	// writeTimeout bounds each write once it is set; the deadline is moved only now and then, so
	// a write that makes no progress fails after 7/8 to 8/8 of it.
	mu           sync.Mutex
	writeTimeout time.Duration
	deadline     time.Time
	wrote        time.Time // when the last write began
	sealed       bool      // the deadline is final
}

func newSocket(c net.Conn) *socket {
	s := &socket{Conn: c}
	s.tryFn = s.try
	if sc, ok := c.(syscall.Conn); ok {
		if raw, err := sc.SyscallConn(); err == nil {
			s.raw = raw
		}
	}
	return s
}

// Read reads what is there, first from what an earlier system call brought.
func (s *socket) Read(p []byte) (int, error) {
	if s.begin < s.end {
		return s.take(p), nil
	}
	if len(p) == 0 {
		return 0, nil
	}
	if s.raw == nil {
		if s.idle != nil {
			if err := s.idle(); err != nil {
				return 0, err
			}
		}
		return s.Conn.Read(p)
	}
	if len(p) >= chunkBytes/2 {
		s.dst = p
	} else {
		s.dst = nil
	}
	err := s.await()
	s.dst = nil
	switch {
	case err != nil:
		return 0, err
	case s.end > 0:
		return s.take(p), nil
	default:
		return s.n, nil
	}
}

// fillBytes is the least room that fill reads into. A buffer that is empty gets a whole chunk's.
const fillBytes = 4 << 10

// fill reads once into b, which holds no storage while fill waits if it is empty.
func (s *socket) fill(b *frames.Buffer) error {
	if s.raw == nil || s.begin < s.end {
		return fillFrom(s, b)
	}
	s.into = b
	err := s.await()
	s.into = nil
	if err == nil {
		b.Filled(s.n)
	}
	return err
}

// fillFrom reads once from r into b.
func fillFrom(r io.Reader, b *frames.Buffer) error {
	n, err := r.Read(roomFor(b))
	b.Filled(n)
	if n > 0 {
		return nil
	}
	return err
}

func roomFor(b *frames.Buffer) []byte {
	if b.Len() == 0 {
		return b.Space(chunkBytes)
	}
	return b.Space(fillBytes)
}

// take copies from the chunk and gives it back when it is used up.
func (s *socket) take(p []byte) int {
	n := copy(p, s.chunk[s.begin:s.end])
	if s.begin += n; s.begin == s.end {
		s.dropChunk()
	}
	return n
}

func (s *socket) dropChunk() {
	if s.chunk != nil {
		chunkPool.Put(s.chunk)
		s.chunk, s.begin, s.end = nil, 0, 0
	}
}

// await reads once, waiting for bytes if there are none yet. io.EOF at the end.
func (s *socket) await() error {
	s.n, s.err, s.waited = 0, nil, false
	if err := s.raw.Read(s.tryFn); err != nil {
		s.dropChunk()
		return err // closed, or the deadline has passed
	}
	if s.err == nil && s.n == 0 {
		s.err = io.EOF
	}
	if s.err != nil {
		s.dropChunk()
	}
	return s.err
}

// try is called by the runtime's poller; false: wait until the socket is readable, and try again.
func (s *socket) try(fd uintptr) bool {
	p := s.dst
	switch {
	case s.into != nil:
		p = roomFor(s.into)
	case p == nil:
		if s.chunk == nil {
			s.chunk = chunkPool.Get().(*[chunkBytes]byte)
		}
		p = s.chunk[:]
	}
	for {
		n, err := syscall.Read(int(fd), p)
		switch {
		case err == nil:
			s.n = n
			if s.dst == nil && s.into == nil {
				s.begin, s.end = 0, n
			}
			return true
		case err == syscall.EINTR:
			continue
		case err == syscall.EAGAIN:
			s.dropChunk()
			if !s.waited && s.idle != nil {
				s.waited = true
				if s.err = s.idle(); s.err != nil {
					return true
				}
			}
			if s.into != nil {
				s.into.Release()
			}
			return false
		default:
			s.err = &net.OpError{Op: "read", Net: "tcp", Source: s.LocalAddr(), Addr: s.RemoteAddr(), Err: os.NewSyscallError("read", err)}
			return true
		}
	}
}

// Write writes all of p under the write timeout.
func (s *socket) Write(p []byte) (int, error) {
	s.extend()
	return s.Conn.Write(p)
}

// limitWrites bounds every later write by d. From then on SetWriteDeadline is the socket's own
// affair: TLS and WebSocket above it set none.
func (s *socket) limitWrites(d time.Duration) {
	s.mu.Lock()
	s.writeTimeout = d
	s.mu.Unlock()
}

// extend moves the write deadline when a good part of it has passed. (Each move costs more than the
// clock does.)
func (s *socket) extend() {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	s.wrote = now
	if s.writeTimeout == 0 || s.sealed {
		return
	}
	if s.deadline.Sub(now) < s.writeTimeout-s.writeTimeout/8 {
		s.deadline = now.Add(s.writeTimeout)
		_ = s.Conn.SetWriteDeadline(s.deadline) // fails only on a closed connection; so will the write
	}
}

// lastWrite is when the last write began.
func (s *socket) lastWrite() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.wrote
}

// seal makes t the write deadline, also for a write that is under way; writes move it no more.
func (s *socket) seal(t time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sealed = true
	_ = s.Conn.SetWriteDeadline(t)
}

// SetWriteDeadline does nothing once limitWrites was called: the layers above set and clear
// deadlines for each frame.
func (s *socket) SetWriteDeadline(t time.Time) error {
	s.mu.Lock()
	own := s.writeTimeout != 0
	s.mu.Unlock()
	if own {
		return nil
	}
	return s.Conn.SetWriteDeadline(t)
}

// SetDeadline sets both, as far as SetWriteDeadline does.
func (s *socket) SetDeadline(t time.Time) error {
	if err := s.Conn.SetReadDeadline(t); err != nil {
		return err
	}
	return s.SetWriteDeadline(t)
}

// CloseWrite sends the end of the stream and leaves the other direction open.
func (s *socket) CloseWrite() error {
	if c, ok := s.Conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return s.Conn.Close()
}

// socketListener makes a socket of each accepted connection.
type socketListener struct{ net.Listener }

func (l socketListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return newSocket(c), nil
}
