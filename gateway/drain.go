package gateway

import (
	"context"
	"time"

	"topicgate/gateway/registry"
)

// Draining reports whether Drain was called: the server takes no new sessions.
func (s *Server) Draining() bool { return s.draining.Load() }

// Drain takes no new sessions and ends those that live, evenly spread over most of the drain timeout, so
// that their clients do not all reconnect elsewhere at once. It returns when none is left.
func (s *Server) Drain(ctx context.Context) {
	s.draining.Store(true)
	s.mu.Lock()
	live := make([]*session, 0, len(s.sessions))
	for session := range s.sessions {
		live = append(live, session)
	}
	s.mu.Unlock()
	if len(live) > 0 {
		s.log.Info("draining", "sessions", len(live))
	}
	pause := max(s.options.DrainTimeout*3/4/time.Duration(max(len(live), 1)), time.Millisecond)
	for i, session := range live {
		if i > 0 {
			select {
			case <-time.After(pause):
			case <-session.done: // it needs no time of its own
			case <-ctx.Done():
			}
		}
		session.finish(ended(EndDraining, nil))
	}
	s.Close()
}

// Close ends all sessions and waits until they are gone.
func (s *Server) Close() {
	s.draining.Store(true)
	s.mu.Lock()
	for session := range s.sessions {
		session.finish(ended(EndDraining, nil))
	}
	s.mu.Unlock()
	s.ended.Wait()
	s.closing.Do(func() { close(s.closed) })
	s.background.Wait()
	s.lot.Close()
	s.crew.close()
	s.sleepers.Close()
	s.registry.Close()
}

// disconnect ends the sessions that order names.
func (s *Server) disconnect(order registry.Order) {
	s.mu.Lock()
	var ending []*session
	for session := range s.sessions {
		if session.named(order) {
			ending = append(ending, session)
		}
	}
	s.mu.Unlock()
	s.log.Info("disconnecting", "username", order.User, "client_id", order.ClientID, "sessions", len(ending))
	for _, session := range ending {
		session.finish(ended(EndDisconnected, nil))
	}
}
