package session

import (
	"errors"
	"slices"
	"time"

	"topicgate/gateway/audit"
	"topicgate/gateway/registry"
)

// ID names the session in logs, audit records and the registry.
func (s *Session) ID() string { return s.id }

// Info describes the session to operators; nil before CONNECT was accepted.
func (s *Session) Info() *registry.SessionInfo { return s.info.Load() }

// Ended reports whether the session has begun to end.
func (s *Session) Ended() bool { return s.cause() != nil }

// Named reports whether an admitted session is one with this Client Identifier (empty: any), among these ids
// (none: any).
func (s *Session) Named(clientID string, ids []string) bool {
	return (clientID == "" || s.clientID == clientID) && (len(ids) == 0 || slices.Contains(ids, s.id))
}

// Refresh has what is stored of the session stored anew, if that is about to end.
func (s *Session) Refresh() {
	if s.info.Load() != nil { // established: it is known whether it persists
		s.remember()
	}
}

// announce makes an accepted session known to operators, or what has changed of it.
func (s *Session) announce(info registry.SessionInfo) {
	if info.Expires.Year() > 9999 {
		info.Expires = time.Time{} // JSON knows no such year
	}
	if s.info.Swap(&info) == nil {
		s.host.Registry.Add(&info)
	} else {
		s.host.Registry.Replace(&info)
	}
}

// auditEnd records the end of a session with which its client would have gone on.
func (s *Session) auditEnd(err error) {
	var end EndReason
	if !errors.As(err, &end) {
		return
	}
	switch end {
	case EndBlocked, EndDisconnected, EndTokenRevoked, EndTokenExpired:
		s.audit(audit.Event{Action: audit.Disconnect, Decision: audit.Refused, Reason: end.String()})
	}
}
