package gateway

import (
	"topicgate/gateway/registry"
	"topicgate/gateway/session"
)

// owner is whose a session is.
type owner struct{ username, upstreamID string }

// client is what connects with one upstream Client Identifier. It counts once among the connections of its user, however
// often it comes back.
type client struct {
	sessions int
	newest   *session.Session // the last one for which a broker was asked; nil: none
}

// register counts a session that is about to be served; false while draining.
func (s *Server) register(one *session.Session) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining.Load() {
		return false
	}
	s.sessions[one] = nil
	s.ended.Add(1)
	return true
}

// forget is a session's last word.
func (s *Server) forget(one *session.Session) {
	s.host.Registry.Remove(one.ID())
	s.mu.Lock()
	if of := s.sessions[one]; of != nil {
		s.discharge(one, *of)
	}
	delete(s.sessions, one)
	s.mu.Unlock()
	s.doors.leave(one.Socket())
	s.ended.Done()
}

// admit counts a verified session for its user; false: the user has as many as allowed. A client
// that comes back is not held up by its own dead connection, which the broker is about to end.
func (s *Server) admit(one *session.Session, username, upstreamID string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.clients[upstreamID]
	if c.sessions == 0 {
		if limit := s.options.MaxConnectionsPerUser; limit > 0 && s.users[username] >= limit {
			return false
		}
		s.users[username]++
	}
	c.sessions++
	s.clients[upstreamID] = c
	s.sessions[one] = &owner{username, upstreamID}
	s.doors.verify(one.Socket())
	return true
}

// discharge takes back what admit counted. s.mu is held.
func (s *Server) discharge(one *session.Session, of owner) {
	c := s.clients[of.upstreamID]
	if c.newest == one {
		c.newest = nil
	}
	if c.sessions--; c.sessions > 0 {
		s.clients[of.upstreamID] = c
		return
	}
	delete(s.clients, of.upstreamID)
	if s.users[of.username]--; s.users[of.username] <= 0 {
		delete(s.users, of.username)
	}
}

// asks notes that a session which was admitted is about to ask a broker for its MQTT Session: whoever of this gateway has
// it loses it.
func (s *Server) asks(one *session.Session, upstreamID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.clients[upstreamID]
	c.newest = one
	s.clients[upstreamID] = c
}

// takenOver reports whether a newer session than one has asked a broker for the same MQTT Session.
func (s *Server) takenOver(one *session.Session, upstreamID string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	newest := s.clients[upstreamID].newest
	return newest != nil && newest != one
}

// serves reports whether a client is served that the broker named has accepted after the time named.
func (s *Server) serves(c registry.Client) bool {
	s.mu.Lock()
	newest := s.clients[c.ID].newest
	s.mu.Unlock()
	if newest == nil || newest.Ended() {
		return false
	}
	info := newest.Info()
	return info != nil && info.Upstream == c.Broker && info.Since.After(c.Since)
}

// has answers another instance's question.
func (s *Server) has(c registry.Client) bool {
	if c.Broker == "" {
		return s.takenOver(nil, c.ID)
	}
	return s.serves(c) || s.host.Wills.Has(c)
}
