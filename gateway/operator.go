package gateway

import (
	"errors"
	"slices"
	"time"

	"topicgate/gateway/audit"
	"topicgate/gateway/registry"
)

// named reports whether order concerns the session. server.mu is held.
func (s *session) named(order registry.Order) bool {
	if !s.counted { // nobody knows yet whose it is
		return false
	}
	s.identityMu.Lock()
	user := s.identity.Username
	s.identityMu.Unlock()
	return user == order.User && (order.ClientID == "" || s.clientID == order.ClientID) &&
		(len(order.Sessions) == 0 || slices.Contains(order.Sessions, s.id))
}

// announce makes an accepted session known to operators, or what has changed of it.
func (s *session) announce(info registry.SessionInfo) {
	if info.Expires.Year() > 9999 {
		info.Expires = time.Time{} // JSON knows no such year
	}
	if s.info.Swap(&info) == nil {
		s.server.registry.Add(&info)
	} else {
		s.server.registry.Replace(&info)
	}
}

// auditEnd records the end of a session with which its client would have gone on.
func (s *session) auditEnd(err error) {
	var end EndReason
	if !errors.As(err, &end) {
		return
	}
	switch end {
	case EndBlocked, EndDisconnected, EndTokenRevoked, EndTokenExpired:
		s.audit(audit.Event{Action: audit.Disconnect, Decision: audit.Refused, Reason: end.String()})
	}
}
