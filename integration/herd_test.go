package integration

import (
	"fmt"
	"testing"

	"topicgate/frames"
)

// A herd whose broker restarts comes back while it is still away: nobody is refused, nobody is sent away again, and who is
// at another broker feels nothing.
func TestAHerdComesBackAndNobodyIsRefused(t *testing.T) {
	t.Parallel()
	s := prepareStack(t, openPolicy)
	second := startMosquitto(t)
	g := startGateway(t, s.settings())
	other := startGateway(t, s.settings(settings{"UPSTREAM_URLS": "tcp://" + second.address}))
	token := s.issuer.token(t, "alice")
	live := other.connect(t, frames.V5, "live", token)
	const clients = 200
	open := func() (all []*wire) {
		for n := range clients {
			all = append(all, g.opening(t, versions[n%len(versions)], fmt.Sprint("c", n), token))
		}
		return all
	}
	herd := open()
	for _, w := range herd {
		w.accepted()
	}
	s.broker.kill()
	live.ping()
	for _, w := range herd {
		w.brokerLost()
	}
	herd = open() // and is held
	live.ping()
	s.broker.restart(t)
	for _, w := range herd {
		w.accepted().ping()
	}
	live.ping()
	if refused := g.metric(t, "topicgate_rejections_total", `operation="connect"`); refused != 0 {
		t.Errorf("%v refusals; want none", refused)
	}
	if held := g.metric(t, "topicgate_connects_held"); held != 0 {
		t.Errorf("%v clients are still held", held)
	}
}
