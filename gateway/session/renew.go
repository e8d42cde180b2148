package session

import (
	"errors"

	"topicgate/auth"
)

// renew puts the identity of a fresh token in place of the old one. The same user must have it.
func (s *Session) renew(fresh auth.Identity) error {
	if !s.whose.replace(fresh) {
		return errOtherSubject
	}
	s.armExpiry(fresh.Expiry)
	s.grant.Renew(principalOf(fresh, s.clientID))
	if info := s.info.Load(); info != nil {
		changed := *info
		changed.Expires = fresh.Expiry
		s.announce(changed)
	}
	return nil
}

var errOtherSubject = errors.New("the token is another subject's")
