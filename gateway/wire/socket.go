package wire

import (
	"crypto/tls"
	"errors"
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

// ordinaryEvery: of the reads of a pump that always finds something, one in so many is an ordinary
// system call, so that the runtime sees it and lets others run (see lightRead).
const ordinaryEvery = 8

var chunkPool = sync.Pool{New: func() any { return new([chunkBytes]byte) }}

// LingerTimeout is how long who has ended waits for its peers to read the last words and close.
const LingerTimeout = 2 * time.Second

// Socket is a TCP or Unix connection that tells its reader when nothing more is ready to read, and that
// holds no read buffer while it waits. It lies below TLS and WebSocket, so the moment is known
// exactly, whatever those have buffered.
//
// One goroutine reads and, besides Close and the deadlines, any number write.
type Socket struct {
	net.Conn
	raw syscall.RawConn // nil: not a socket of the operating system (tests), read plainly

	// idle is called by Read before it waits: everything that came is consumed, so what was put
	// off is due now. Its error ends the read. Set by the reading goroutine.
	Idle func() error

	// Owned by the reading goroutine.
	chunk   *[chunkBytes]byte // nil while nothing is buffered
	begin   int32             // chunk[begin:end] is buffered
	end     int32
	dst     []byte         // of the read that is under way; nil: into chunk
	into    *frames.Buffer // of the fill that is under way
	n       int
	err     error
	waited  bool
	allowed bool                  // the read that is under way may return ErrPark
	streak  uint32                // reads since the last wait
	tryFn   func(fd uintptr) bool // s.try; kept so that a read does not allocate

	writing writing
	resting

	handshake *handshake // of a client that is no session yet; then nil
}

func NewSocket(c net.Conn) *Socket {
	s := &Socket{Conn: c}
	s.tryFn, s.writing.tryFn = s.try, s.writing.try
	if sc, ok := c.(syscall.Conn); ok {
		if raw, err := sc.SyscallConn(); err == nil {
			s.raw = raw
		}
	}
	return s
}

// Read reads what is there, first from what an earlier system call brought.
func (s *Socket) Read(p []byte) (int, error) {
	if s.begin < s.end {
		return s.take(p), nil
	}
	if len(p) == 0 {
		return 0, nil
	}
	if s.handshake != nil {
		return s.readInTurn(p)
	}
	return s.receive(p)
}

// receive reads what is there, when nothing is left of an earlier system call.
func (s *Socket) receive(p []byte) (int, error) {
	if s.raw == nil {
		if s.Idle != nil {
			if err := s.Idle(); err != nil {
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

// Fill reads once into b, which holds no storage while fill waits if it is empty.
func (s *Socket) Fill(b *frames.Buffer) error {
	if s.raw == nil || s.begin < s.end {
		return FillFrom(s, b)
	}
	s.into = b
	err := s.await()
	s.into = nil
	if err == nil {
		b.Filled(s.n)
	}
	return err
}

// FillFrom reads once from r into b.
func FillFrom(r io.Reader, b *frames.Buffer) error {
	n, err := r.Read(RoomFor(b))
	b.Filled(n)
	if n > 0 {
		return nil
	}
	return err
}

func RoomFor(b *frames.Buffer) []byte {
	if b.Len() == 0 {
		return b.Space(chunkBytes)
	}
	return b.Space(fillBytes)
}

// take copies from the chunk and gives it back when it is used up.
func (s *Socket) take(p []byte) int {
	n := copy(p, s.chunk[s.begin:s.end])
	if s.begin += int32(n); s.begin == s.end {
		s.dropChunk()
	}
	return n
}

func (s *Socket) dropChunk() {
	if s.chunk != nil {
		chunkPool.Put(s.chunk)
		s.chunk, s.begin, s.end = nil, 0, 0
	}
}

// await reads once, waiting for bytes if there are none yet. io.EOF at the end.
func (s *Socket) await() error {
	for {
		s.n, s.err, s.waited = 0, nil, false
		err := s.raw.Read(s.tryFn)
		if s.waited {
			s.waits.Add(1)
		}
		if err == nil {
			break
		}
		s.dropChunk()
		if !errors.Is(err, os.ErrDeadlineExceeded) || !s.asked.CompareAndSwap(true, false) {
			return err // closed, or the deadline has passed
		}
		s.keepWaiting(s)
		if s.allowed {
			return ErrPark
		}
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
func (s *Socket) try(fd uintptr) bool {
	p := s.dst
	switch {
	case s.into != nil:
		p = RoomFor(s.into)
	case p == nil:
		if s.chunk == nil {
			s.chunk = chunkPool.Get().(*[chunkBytes]byte)
		}
		p = s.chunk[:]
	}
	read := lightRead
	if s.streak++; s.streak%ordinaryEvery == 0 {
		read = func(fd uintptr, p []byte) (int, error) { return syscall.Read(int(fd), p) }
	}
	for {
		n, err := read(fd, p)
		switch {
		case err == nil:
			s.n = n
			if s.dst == nil && s.into == nil {
				s.begin, s.end = 0, int32(n)
			}
			return true
		case err == syscall.EINTR:
			continue
		case err == syscall.EAGAIN:
			s.streak = 0
			s.dropChunk()
			if !s.waited {
				s.waited = true
				s.waits.Add(1)
				if s.Idle != nil {
					if s.err = s.Idle(); s.err != nil {
						return true
					}
				}
			}
			if s.into != nil {
				s.into.Release()
			}
			return false
		default:
			s.err = s.opError("read", err)
			return true
		}
	}
}

// Look tells without waiting whether there is something to read. An error says that the peer has gone: io.EOF, or what
// the next read would return. Of what is no socket of the operating system it knows nothing. The reading goroutine
// calls it.
func (s *Socket) Look() (readable bool, err error) {
	if s.begin < s.end || s.raw == nil {
		return s.begin < s.end, nil
	}
	controlErr := s.raw.Control(func(fd uintptr) {
		var p [1]byte
		n, _, errno := syscall.Recvfrom(int(fd), p[:], syscall.MSG_PEEK)
		switch {
		case errno == syscall.EAGAIN, errno == syscall.EINTR:
		case errno != nil:
			err = s.opError("recvfrom", errno)
		case n == 0:
			err = io.EOF
		default:
			readable = true
		}
	})
	return readable, errors.Join(controlErr, err)
}

func (s *Socket) opError(op string, err error) error {
	return &net.OpError{Op: op, Net: s.LocalAddr().Network(), Source: s.LocalAddr(), Addr: s.RemoteAddr(), Err: os.NewSyscallError(op, err)}
}

// Close gives back what the connection holds of others.
func (s *Socket) Close() error {
	s.handshake.pause()
	return s.Conn.Close()
}

// Listen makes a socket of each connection that l accepts, which takes its turn among the handshakes. Those that enter
// does not let in are closed.
func Listen(l net.Listener, h *Handshakes, enter func(*Socket) bool) net.Listener {
	return socketListener{l, h, enter}
}

type socketListener struct {
	net.Listener
	handshakes *Handshakes
	enter      func(*Socket) bool
}

func (l socketListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		s := NewSocket(c)
		s.handshake = l.handshakes.begin()
		if l.enter(s) {
			return s, nil
		}
		_ = c.Close()
	}
}

// Below finds the socket under the layers of TLS and PROXY protocol.
func Below(c net.Conn) *Socket {
	for c != nil {
		switch layer := c.(type) {
		case *Socket:
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
