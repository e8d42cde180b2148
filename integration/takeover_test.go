package integration

import (
	"testing"

	"topicgate/frames"
)

// mosquitto 2.0 hangs up on a client whose Session is taken over, and says nothing. The gateway knows, also where the
// new connection is another instance's.
func TestATakeoverIsToldAcrossInstances(t *testing.T) {
	t.Parallel()
	s := newStack(t, openPolicy)
	other := startGateway(t, s.settings())
	token := s.issuer.token(t, "alice")
	for name, second := range map[string]*gateway{"the same instance": s.gateway, "another instance": other} {
		t.Run(name, func(t *testing.T) {
			eventually(t, "the old client is told", func() bool { // once the instances hear each other
				old := s.connect(t, frames.V5, "tab", token)
				defer old.ws.Close()
				fresh := second.connect(t, frames.V5, "tab", token)
				defer fresh.ws.Close()
				d, err := frames.ParseDisconnect(old.expect(frames.TypeDisconnect), frames.V5)
				if err != nil {
					t.Fatal(err)
				}
				fresh.ping()
				return d.Reason == frames.SessionTakenOver
			})
		})
	}
}
