package session

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"
	"golang.org/x/sync/semaphore"

	"topicgate/frames"
)

// An outage is no refusal. When nobody can decide or serve now (no broker, no Redis, no keys of an issuer), the client
// is held: what failed is tried again, until its time is over. Most clients give up for ever after a CONNACK that is
// no success, and one that was closed comes back at once; held, it is in as soon as there is somebody to serve it.
//
// A held client has no goroutine and no turn anywhere, only a timer. Before each try it is looked whether it is still
// there.

const (
	// heldFirst, doubled up to heldMost, is the pause before the next try, with jitter.
	heldFirst = 100 * time.Millisecond
	heldMost  = time.Second
	// heldLast is how long a try may take that begins at the end of the client's time, as the last one does: after as long
	// as that (10 s by default) keys may be fetched again.
	heldLast = time.Second
	// heldFree is how many bytes of a client's CONNECT, its tokens and what came with them are held without a question. More take of heldBytes,
	// which is for all of them; who finds nothing left is not held.
	heldFree  = 4 << 10
	heldBytes = 32 << 20
	// heldRead is how much is read of what a client sends before its CONNACK, while it is held.
	heldRead = 4 << 10
)

// entry is a client on its way in: from its CONNECT to the CONNACK, or the end.
type entry struct {
	connect  *frames.Connect
	until    time.Time // when its time is over
	pauses   backoff.ExponentialBackOff
	tries    int
	admitted bool  // it counts among the connections of its user
	bytes    int64 // taken of heldBytes
}

func newEntry(connect *frames.Connect, timeout time.Duration) *entry {
	return &entry{connect: connect, until: time.Now().Add(timeout),
		pauses: backoff.ExponentialBackOff{InitialInterval: heldFirst, Multiplier: 2, RandomizationFactor: 0.5, MaxInterval: heldMost}}
}

// prepare takes from CONNECT what no try changes. An error is the end; the client has been answered.
func (s *Session) prepare(connect *frames.Connect) error {
	if err := s.end.unlessEnded(func() { _ = s.clientSocket.SetReadDeadline(time.Time{}) }); err != nil { // readConnect's
		return err
	}
	s.version = connect.Version
	s.up.maximum = s.host.MaxPacketBytes
	s.readClientProperties(connect)
	if r := s.chooseClientID(connect); r != nil {
		return s.refuse(r)
	}
	return nil
}

// enter tries to bring the client in, holds it if nobody can say now, and concludes the session if it is not to be. It
// is a job for the crew.
func (s *Session) enter(e *entry) {
	e.tries++
	r, err := s.try(e)
	if err == nil && r == nil {
		s.release(e)
		s.start()
		return
	}
	if err == nil && r.outage && s.hold(e, r) {
		return
	}
	if err == nil {
		err = s.refuse(r)
	}
	s.release(e)
	s.conclude(err, false)
}

// try is establish for as long as there is time, or until the session ends.
func (s *Session) try(e *entry) (*refusal, error) {
	end := e.until
	if last := time.Now().Add(heldLast); e.tries > 1 && last.After(end) {
		end = last
	}
	ctx, cancel := context.WithDeadline(context.Background(), end)
	defer cancel()
	if err := s.waitFor(cancel); err != nil {
		return nil, err
	}
	if e.tries > 1 {
		if err := s.look(e); err != nil {
			return nil, err
		}
	}
	return s.establish(ctx, e)
}

// hold has enter called again after a pause; false: there is no more time, or no room. The answer is r then.
func (s *Session) hold(e *entry, r *refusal) bool {
	left := time.Until(e.until)
	if left <= 0 || e.tries == 1 && !s.keepHeld(e) {
		return false
	}
	if e.tries == 1 {
		s.host.held.begin(s.host, r)
	}
	again := func() { s.host.Work(func() { s.enter(e) }) }
	pause := min(e.pauses.NextBackOff(), left)
	err := s.end.unlessEnded(func() {
		timer := time.AfterFunc(pause, again)
		s.end.abort = func() {
			if timer.Stop() {
				again()
			}
		}
	})
	if err != nil {
		again() // to its end
	}
	return true
}

// keepHeld makes what is held independent of the packet, and gives the buffer back that it lies in. False: it is too
// much beside what others hold.
func (s *Session) keepHeld(e *entry) bool {
	bytes := int64(e.connect.Bytes() + s.up.inbox.Len())
	for _, token := range s.requestTokens {
		bytes += int64(len(token))
	}
	if bytes > heldFree {
		if !s.host.held.bytes.TryAcquire(bytes) {
			return false
		}
		e.bytes = bytes
	}
	connect := e.connect.Clone()
	e.connect = &connect
	s.up.inbox.Shrink() // nobody reads into it now
	return true
}

// release gives back what the client held while it was.
func (s *Session) release(e *entry) {
	if e.bytes > 0 {
		s.host.held.bytes.Release(e.bytes)
	}
	if e.tries > 1 {
		s.host.held.end(s.host)
	}
}

// look reads what a held client has sent meanwhile, up to heldRead, to know whether it is still there.
func (s *Session) look(e *entry) error {
	for s.up.inbox.Len() < heldRead {
		readable, err := s.clientSocket.Look()
		if err == nil && !readable && s.reader.Buffered() == 0 {
			return nil
		}
		if err == nil {
			_ = s.end.unlessEnded(func() { _ = s.clientSocket.SetReadDeadline(e.until) })
			err = s.up.receiveSome(heldRead - s.up.inbox.Len()) // which may wait for the rest of a frame
			_ = s.end.unlessEnded(func() { _ = s.clientSocket.SetReadDeadline(time.Time{}) })
		}
		if err != nil {
			return s.clientReadError(err, EndCannotDecide)
		}
	}
	return nil
}

// held is all clients that are held.
type held struct {
	bytes *semaphore.Weighted // heldBytes
	count atomic.Int64
}

// begin counts one more. An outage is logged when it holds the first.
func (h *held) begin(host *Host, r *refusal) {
	host.Metrics.ConnectsHeld(1)
	if h.count.Add(1) > 1 {
		return
	}
	attributes := []any{"reason", r.reason}
	if r.err != nil {
		attributes = append(attributes, "err", r.err.Error())
	}
	host.Logger.Warn("clients are held: nobody can decide or serve now", attributes...)
}

// end counts one less.
func (h *held) end(host *Host) {
	host.Metrics.ConnectsHeld(-1)
	if h.count.Add(-1) == 0 {
		host.Logger.Info("no client is held any more")
	}
}
