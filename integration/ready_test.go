package integration

import (
	"net/http"
	"testing"

	"topicgate/frames"
)

// /readyz is 503 while nobody could connect: it tries what a CONNECT needs.
func TestReadyIsWhoCanServe(t *testing.T) {
	t.Parallel()
	s := newStack(t, openPolicy)
	ready := func(why string, want int) {
		t.Helper()
		eventually(t, why, func() bool { return s.status("/readyz") == want })
	}
	ready("all is there", http.StatusOK)
	s.broker.kill()
	ready("no broker", http.StatusServiceUnavailable)
	s.broker.restart(t)
	ready("the broker is back", http.StatusOK)
	s.redis.kill()
	ready("no Redis", http.StatusServiceUnavailable)
	s.redis.restart(t)
	ready("Redis is back", http.StatusOK)
	s.issuer.mu.Lock()
	s.issuer.down = true
	s.issuer.mu.Unlock()
	s.connect(t, frames.V5, "c", s.issuer.token(t, "alice")).ping()
	ready("the keys are known", http.StatusOK)
}

func TestAGatewayWithoutKeysIsNotReady(t *testing.T) {
	t.Parallel()
	s := prepareStack(t, openPolicy)
	late, other := newStoppedIssuer(t), newStoppedIssuer(t)
	g := launchGateway(t, s.settings(settings{"OIDC_ISSUER": other.url + ", " + late.url, "SHARED_USERS": "true"}))
	g.awaitAlive(t)
	if status := g.status("/readyz"); status != http.StatusServiceUnavailable {
		t.Errorf("/readyz %d without any key; want 503", status)
	}
	late.start(t)
	eventually(t, "one issuer's keys are enough", func() bool { return g.status("/readyz") == http.StatusOK })
}
