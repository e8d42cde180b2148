package wire

import (
	"context"
	"os"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"
)

// handshakesPerCPU is how many handshakes for each CPU are worked on at a time.
const handshakesPerCPU = 8

// Handshakes bounds how many connections that are no sessions yet are worked on at the same time: TLS, the HTTP
// request, the upgrade, the first packet. When thousands of clients come back at once, as many as the CPUs can
// serve soon are served and the others wait in order, so that live sessions, which need none of this, find a CPU
// as before.
//
// A connection has a turn from when bytes of the client have come until it next reads, writes or closes, which is
// computing and nothing else. So a turn is short, whatever the client does: one that is silent, that sends a byte
// at a time or does not read has none while it makes us wait, however many there are of its kind.
type Handshakes struct {
	turns   *semaphore.Weighted
	timeout time.Duration // of the wait for a turn
}

// HandshakeTurns is how many handshakes are worked on at a time.
func HandshakeTurns() int64 { return handshakesPerCPU * int64(runtime.GOMAXPROCS(0)) }

// NewHandshakes makes handshakes that share turns; who waits for one longer than timeout is given up.
func NewHandshakes(turns *semaphore.Weighted, timeout time.Duration) *Handshakes {
	return &Handshakes{turns, timeout}
}

func (h *Handshakes) begin() *handshake { return &handshake{of: h} }

// handshake is one of them. Its methods do nothing to a nil one.
type handshake struct {
	of   *Handshakes
	held atomic.Bool // it has a turn; net/http reads on another goroutine while it writes
}

// resume waits for a turn. The error is that of a read that took too long.
func (h *handshake) resume() error {
	if !h.of.turns.TryAcquire(1) {
		ctx, cancel := context.WithTimeout(context.Background(), h.of.timeout)
		defer cancel()
		if h.of.turns.Acquire(ctx, 1) != nil {
			return os.ErrDeadlineExceeded
		}
	}
	h.held.Store(true)
	return nil
}

// pause gives the turn back, if there is one.
func (h *handshake) pause() {
	if h != nil && h.held.CompareAndSwap(true, false) {
		h.of.turns.Release(1)
	}
}

// readInTurn is receive for a handshake.
func (s *Socket) readInTurn(p []byte) (int, error) {
	s.handshake.pause()
	n, err := s.receive(p)
	if n > 0 {
		if busy := s.handshake.resume(); busy != nil {
			return 0, busy
		}
	}
	return n, err
}

// EndHandshake lets the connection read and write without turns. Its reader calls it, when nobody else writes.
func (s *Socket) EndHandshake() {
	s.handshake.pause()
	s.handshake = nil
}
