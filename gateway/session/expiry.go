package session

import "time"

// armExpiry ends the session when its token does, and tells the client a minute before.
func (s *Session) armExpiry(at time.Time) {
	s.whose.mu.Lock()
	defer s.whose.mu.Unlock()
	if s.whose.expiry != nil {
		s.whose.expiry.Stop()
	}
	if at.IsZero() {
		return
	}
	end := func() { s.finish(ended(EndTokenExpired, nil)) }
	left := time.Until(at)
	if left <= expiryNotice {
		s.whose.expiry = time.AfterFunc(left, end)
		return
	}
	s.whose.expiry = time.AfterFunc(left-expiryNotice, func() {
		s.whose.mu.Lock()
		current := s.whose.identity.Expiry.Equal(at)
		if current {
			s.whose.expiry = time.AfterFunc(time.Until(at), end)
		}
		s.whose.mu.Unlock()
		if current {
			s.tellExpiring(at)
		}
	})
}

func (s *Session) disarmExpiry() {
	s.whose.mu.Lock()
	defer s.whose.mu.Unlock()
	if s.whose.expiry != nil {
		s.whose.expiry.Stop()
	}
}
