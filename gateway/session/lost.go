package session

import (
	"context"
	"log/slog"
	"time"

	"topicgate/auth"
	"topicgate/gateway/audit"
	"topicgate/gateway/registry"
)

// A broker that hangs up says nothing, or, in 5.0, not always something. What the gateway can know of the reason decides
// what the client is told, and whom the end is counted for.

// whyLost looks for the reason why the broker has hung up: another connection has the MQTT Session now, or the client has
// been silent for longer than its Keep Alive [MQTT-3.1.2-22]. Else it has the session wait, so that not all end at once,
// and err stands.
func (s *Session) whyLost(err error) error {
	switch {
	case s.host.TakenOver(s, s.upstreamID):
		return ended(EndTakenOver, nil)
	case s.isSilent():
		return ended(EndClientSilent, nil)
	}
	pause := time.After(s.host.lost.pause())
	if s.host.Registry.Elsewhere(context.Background(), registry.Client{ID: s.upstreamID}) {
		return ended(EndTakenOver, nil)
	}
	s.tellUnanswered()
	s.host.Sleepers.Lost(s.broker.Address)
	<-pause
	return err
}

// mostTold is how many Topic Filters one line of the log names.
const mostTold = 8

// tellUnanswered names what the broker was asked for and hung up on without an answer.
func (s *Session) tellUnanswered() {
	filters := s.table.Unanswered(mostTold)
	if len(filters) == 0 {
		return
	}
	for i, filter := range filters {
		filters[i] = audit.Bounded(auth.Mask(filter))
	}
	s.log(slog.LevelWarn, "the broker hung up before it answered a SUBSCRIBE: it may allow less than the rules do", "filters", filters)
}

// isSilent reports whether nothing has come of the client for longer than it has promised.
func (s *Session) isSilent() bool {
	silence, known := s.clientSocket.Silence()
	return known && s.keepAlive > 0 && silence > s.keepAlive
}
