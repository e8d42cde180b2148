package wire

import (
	"net"
	"sync/atomic"
	"time"
)

// ErrPark is what a read returns that has been asked to give up its wait. Nothing is lost by it: crypto/tls
// remembers no error that is Temporary, bufio none at all.
var ErrPark net.Error = parkError{}

type parkError struct{}

func (parkError) Error() string   { return "the wait is given up" }
func (parkError) Timeout() bool   { return false }
func (parkError) Temporary() bool { return true }

// resting is what of a socket belongs to parking.
type resting struct {
	keepWaiting func(*Socket) // takes back the deadline of AskIdle; set before that can ask
	waits       atomic.Uint32 // one more when a wait begins and when it ends; odd: the reader waits
	asked       atomic.Bool   // the read deadline that has passed means ErrPark
	parked      atomic.Bool

	seen uint32 // waits at the last look; of AskIdle, which one at a time calls
}

// OnAsk tells the socket how the read deadline is taken back by which AskIdle has asked; it is called before that can
// be, once. keepWaiting must leave alone a deadline that somebody else has set meanwhile.
func (s *Socket) OnAsk(keepWaiting func(*Socket)) { s.keepWaiting = keepWaiting }

// AllowPark says whether the reads that follow may return ErrPark. The reading goroutine calls it.
func (s *Socket) AllowPark(yes bool) { s.allowed = yes }

// Parked reports whether the socket is in a lot.
func (s *Socket) Parked() bool { return s.parked.Load() }

// AskIdle has the read that waits return ErrPark, if it has waited since the last call and allows it. The caller sees
// to it that no deadline of somebody else's is overwritten.
func (s *Socket) AskIdle() {
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
