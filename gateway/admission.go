package gateway

import "topicgate/gateway/session"

// client names what counts once among the connections of a user, however often it comes back.
type client struct{ username, upstreamID string }

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
	if c := s.sessions[one]; c != nil {
		s.discharge(*c)
	}
	delete(s.sessions, one)
	s.mu.Unlock()
	s.open.Add(-1)
	s.ended.Done()
}

// admit counts a verified session for its user; false: the user has as many as allowed. A client
// that comes back is not held up by its own dead connection, which the broker is about to end.
func (s *Server) admit(one *session.Session, username, upstreamID string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := client{username, upstreamID}
	if s.clients[c] == 0 {
		if limit := s.options.MaxConnectionsPerUser; limit > 0 && s.users[username] >= limit {
			return false
		}
		s.users[username]++
	}
	s.clients[c]++
	s.sessions[one] = &c
	return true
}

// discharge takes back what admit counted. s.mu is held.
func (s *Server) discharge(c client) {
	if s.clients[c]--; s.clients[c] > 0 {
		return
	}
	delete(s.clients, c)
	if s.users[c.username]--; s.users[c.username] <= 0 {
		delete(s.users, c.username)
	}
}
