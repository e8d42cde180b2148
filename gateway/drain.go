package gateway

import (
	"context"
	"time"

	"topicgate/gateway/registry"
	"topicgate/gateway/session"
)

// Draining reports whether Drain was called: the server takes no new sessions.
func (s *Server) Draining() bool { return s.draining.Load() }

// Drain takes no new sessions and ends those that live, evenly spread over most of the drain timeout, so
// that their clients do not all reconnect elsewhere at once. It returns when none is left.
func (s *Server) Drain(ctx context.Context) {
	s.draining.Store(true)
	live := s.live()
	if len(live) > 0 {
		s.log.Info("draining", "sessions", len(live))
	}
	spread(ctx, live, s.options.DrainTimeout*3/4)
	s.Close()
}

// mayDrain is a session, as far as spread knows it.
type mayDrain interface {
	Done() <-chan struct{}
	End(reason session.EndReason)
}

// spread ends all of live within a time, or at once when ctx ends. Each has a moment of its own, counted from the
// beginning, so that late timers don't add up; one that has ended by itself takes none.
func spread[S mayDrain](ctx context.Context, live []S, within time.Duration) {
	begin := time.Now()
	for i, one := range live {
		due := begin.Add(within / time.Duration(len(live)) * time.Duration(i))
		if wait := time.Until(due); wait > 0 {
			select {
			case <-time.After(wait):
			case <-one.Done():
			case <-ctx.Done():
			}
		}
		one.End(session.EndDraining)
	}
}

// Close ends all sessions and waits until they are gone.
func (s *Server) Close() {
	s.draining.Store(true)
	for _, one := range s.live() { // there will be no others
		one.End(session.EndDraining)
	}
	s.ended.Wait()
	s.closing.Do(func() { close(s.closed) })
	s.background.Wait()
	s.host.Close()
	s.crew.close()
	s.host.Index.Close() // whose last words are for the Sleepers
	s.host.Sleepers.Close()
	s.host.Registry.Close()
}

// disconnect ends the sessions that order names.
func (s *Server) disconnect(order registry.Order) {
	s.mu.Lock()
	var ending []*session.Session
	for one, of := range s.sessions {
		if of != nil && of.username == order.User && one.Named(order.ClientID, order.Sessions) {
			ending = append(ending, one)
		}
	}
	s.mu.Unlock()
	s.log.Info("disconnecting", "username", order.User, "client_id", order.ClientID, "sessions", len(ending))
	for _, one := range ending {
		one.End(session.EndDisconnected)
	}
}
