package integration

import "testing"

// A DISCONNECT reaches the broker, which closes; that is no broken broker.
func TestADisconnectIsNeverTakenForALostBroker(t *testing.T) {
	t.Parallel()
	s := newStack(t, openPolicy)
	token := s.issuer.token(t, "alice")
	for _, v := range versions {
		for range 30 {
			s.connect(t, v, "c", token).disconnect()
		}
	}
	if lost := s.metric(t, "topicgate_sessions_ended_total", `reason="broker_lost"`); lost != 0 {
		t.Errorf("%v sessions ended as broker_lost; want none", lost)
	}
}
