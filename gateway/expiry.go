package gateway

import "time"

// armExpiry ends the session when its token does, and tells the client a minute before.
func (s *session) armExpiry(at time.Time) {
	s.identityMu.Lock()
	defer s.identityMu.Unlock()
	if s.expiry != nil {
		s.expiry.Stop()
	}
	if at.IsZero() {
		return
	}
	end := func() { s.finish(ended(EndTokenExpired, nil)) }
	left := time.Until(at)
	if left <= expiryNotice {
		s.expiry = time.AfterFunc(left, end)
		return
	}
	s.expiry = time.AfterFunc(left-expiryNotice, func() {
		s.identityMu.Lock()
		current := s.identity.Expiry.Equal(at)
		if current {
			s.expiry = time.AfterFunc(time.Until(at), end)
		}
		s.identityMu.Unlock()
		if current {
			s.tellExpiring(at)
		}
	})
}

func (s *session) disarmExpiry() {
	s.identityMu.Lock()
	defer s.identityMu.Unlock()
	if s.expiry != nil {
		s.expiry.Stop()
	}
}
