package session

import "time"

// A token ends when the wall clock says so. A timer runs by another clock, which stands still while the machine sleeps
// and knows nothing of steps of the wall clock. So each session has its timer, exact as long as nothing of that kind
// happens, and one look at both clocks for all of them tells when they are to be set anew.

const (
	// clockCheckInterval is how often the clocks are compared: a token outlives its end by no more after a step.
	clockCheckInterval = 30 * time.Second
	// clockTolerance is by how much the clocks may go apart. More is no matter of adjusting a clock's speed, and of that
	// what has gathered.
	clockTolerance = time.Second
)

// wallClock tells the time of day, which may be stepped at any moment.
type wallClock struct {
	now func() time.Time
}

// until returns how long the wall clock has to go to reach at.
func (w wallClock) until(at time.Time) time.Duration {
	return at.Round(0).Sub(w.now().Round(0)) // without monotonic readings
}

// watch calls stepped within clockCheckInterval after the wall clock and that of timers have gone apart, until closed.
func (w wallClock) watch(closed <-chan struct{}, stepped func()) {
	ticker := time.NewTicker(clockCheckInterval)
	defer ticker.Stop()
	wall, start := w.now(), time.Now()
	for {
		select {
		case <-closed:
			return
		case <-ticker.C:
		}
		apart := time.Since(start) + w.until(wall)
		if apart.Abs() <= clockTolerance {
			continue
		}
		wall, start = w.now(), time.Now()
		stepped()
	}
}

// WatchClock sets the timers of all live sessions anew when the wall clock was stepped or the machine has slept, until
// closed.
func (h *Host) WatchClock(closed <-chan struct{}, live func() []*Session) {
	h.wall.watch(closed, func() {
		h.Logger.Info("the clock was stepped, or the machine slept: ends of tokens are looked at anew")
		for _, session := range live() {
			session.resetExpiry()
		}
	})
}

// armExpiry ends the session when its token does, at the end that its identity has, and tells the client a minute before.
func (s *Session) armExpiry(at time.Time) {
	s.whose.mu.Lock()
	defer s.whose.mu.Unlock()
	s.startExpiry(at)
}

// resetExpiry arms anew what is armed.
func (s *Session) resetExpiry() {
	s.whose.mu.Lock()
	defer s.whose.mu.Unlock()
	if s.whose.expiry != nil {
		s.startExpiry(s.whose.identity.Expiry)
	}
}

func (s *Session) disarmExpiry() {
	s.whose.mu.Lock()
	defer s.whose.mu.Unlock()
	s.startExpiry(time.Time{})
}

// startExpiry replaces the timer by one for the notice or, if it is too late for that, for the end. s.whose.mu is held.
func (s *Session) startExpiry(at time.Time) {
	if s.whose.expiry != nil {
		s.whose.expiry.Stop()
		s.whose.expiry = nil
	}
	if at.IsZero() {
		return
	}
	left := s.host.wall.until(at)
	notice := left > expiryNotice
	if notice {
		left -= expiryNotice
	}
	s.whose.expiry = time.AfterFunc(left, func() { s.expiryDue(at, notice) })
}

// expiryDue is called by the timer, perhaps too early, if the wall clock was set back.
func (s *Session) expiryDue(at time.Time, notice bool) {
	s.whose.mu.Lock()
	if s.whose.expiry == nil || !s.whose.identity.Expiry.Equal(at) { // ended, or on with a fresh token
		s.whose.mu.Unlock()
		return
	}
	left := s.host.wall.until(at)
	if left > 0 {
		s.startExpiry(at)
	}
	s.whose.mu.Unlock()
	switch {
	case left <= 0:
		s.finish(ended(EndTokenExpired, nil))
	case notice && left <= expiryNotice:
		s.tellExpiring(at)
	}
}
