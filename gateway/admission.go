package gateway

// clientKey names what counts once among the connections of a user, however often it comes back.
type clientKey struct{ username, upstreamID string }

// register counts a session that is about to be served; false while draining.
func (s *Server) register(session *session) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining.Load() {
		return false
	}
	s.sessions[session] = struct{}{}
	s.ended.Add(1)
	return true
}

func (s *Server) forget(session *session) {
	s.registry.Remove(session.id)
	s.mu.Lock()
	delete(s.sessions, session)
	if session.counted {
		s.discharge(session.key())
	}
	s.mu.Unlock()
	s.open.Add(-1)
	s.ended.Done()
}

// admit counts a verified session for its user; false: the user has as many as allowed. A client
// that comes back is not held up by its own dead connection, which the broker is about to end.
func (s *Server) admit(session *session) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := session.key()
	if s.clients[c] == 0 {
		if limit := s.options.MaxConnectionsPerUser; limit > 0 && s.users[c.username] >= limit {
			return false
		}
		s.users[c.username]++
	}
	s.clients[c]++
	session.counted = true
	return true
}

// discharge takes back what admit counted. s.mu is held.
func (s *Server) discharge(c clientKey) {
	if s.clients[c]--; s.clients[c] > 0 {
		return
	}
	delete(s.clients, c)
	if s.users[c.username]--; s.users[c.username] <= 0 {
		delete(s.users, c.username)
	}
}

func (s *session) key() clientKey { return clientKey{s.identity.Username, s.upstreamID} }
