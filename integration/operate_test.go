package integration

import (
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"topicgate/frames"
)

func TestMetricsHealthAndReadiness(t *testing.T) {
	t.Parallel()
	s := newStack(t, "pattern readwrite mine/%u\n")
	for _, name := range []string{
		"topicgate_sessions", "topicgate_sessions_ended_total", "topicgate_packets_total", "topicgate_bytes_total", "topicgate_rejections_total",
		"topicgate_token_verifications_total", "topicgate_token_verification_duration_seconds_count", "topicgate_upstream_connects_total",
		"topicgate_policy_last_load_timestamp_seconds", "topicgate_policy_loads_total", "topicgate_policy_oldest_change_seconds", "topicgate_audit_dropped_total",
	} {
		if !strings.Contains(s.get(t, "/metrics"), "\n"+name) {
			t.Errorf("/metrics has no %s from the start", name)
		}
	}
	if status := s.status("/healthz"); status != http.StatusOK {
		t.Errorf("/healthz %d; want 200", status)
	}
	w := s.connect(t, frames.V5, "secret-client-id", s.issuer.token(t, "secret-user"))
	w.publish(message("mine/secret-user", "x", 1))
	w.publish(message("secret-topic", "x", 1))
	w.subscribe("secret-topic")
	eventually(t, "one live session of 5.0", func() bool { return s.metric(t, "topicgate_sessions", `version="5.0"`) == 1 })
	for operation, want := range map[string]float64{"publish": 1, "subscribe": 1, "connect": 0} {
		if got := s.metric(t, "topicgate_rejections_total", `operation="`+operation+`"`); got != want {
			t.Errorf("topicgate_rejections_total of %s is %v; want %v", operation, got, want)
		}
	}
	if page := s.get(t, "/metrics"); strings.Contains(page, "secret-") {
		t.Error("/metrics names a user, a client or a topic")
	}
	w.disconnect()
	eventually(t, "the session has ended", func() bool {
		return s.metric(t, "topicgate_sessions") == 0 && s.metric(t, "topicgate_sessions_ended_total") == 1
	})
}

func TestSigtermDrains(t *testing.T) {
	t.Parallel()
	s := newStack(t, openPolicy, settings{"DRAIN_TIMEOUT": "3s"})
	eye := s.broker.direct(t, frames.V311, "eye")
	eye.subscribed("wills/#")
	var all []*wire
	for _, v := range versions {
		all = append(all, s.connect(t, v, "c"+v.String(), s.issuer.token(t, "alice"), will("wills/x", 0)))
	}
	s.signal(syscall.SIGTERM)
	for _, w := range all {
		if w.version == frames.V5 {
			w.expectDisconnect(frames.ServerShuttingDown)
		}
		w.expectClose(1012)
	}
	if code := s.exitCode(t); code != 0 {
		t.Errorf("exit code %d; want 0", code)
	}
}

func TestWhileDrainingNobodyNewIsLetIn(t *testing.T) {
	t.Parallel()
	s := newStack(t, openPolicy, settings{"DRAIN_TIMEOUT": "10s"})
	var all []*wire
	for range 20 { // spread over the time: some of them are still there when the tests below ask
		all = append(all, s.connect(t, frames.V311, "", s.issuer.token(t, "alice")))
	}
	s.signal(syscall.SIGTERM)
	eventually(t, "/readyz says 503", func() bool { return s.status("/readyz") == http.StatusServiceUnavailable || !s.running() })
	if s.running() {
		ws, response, err := s.upgrade(t, dialOptions{})
		if ws != nil {
			_ = ws.Close()
		}
		if err == nil || response != nil && response.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("an upgrade while draining: %v; want none, or 503", err)
		}
	}
	for _, w := range all {
		w.expectClose(1012)
	}
	if code := s.exitCode(t); code != 0 {
		t.Errorf("exit code %d; want 0", code)
	}
}

func TestTheGatewayWaitsForNobodyToStart(t *testing.T) {
	t.Parallel()
	// Neither broker nor Redis nor issuer.
	g := launchGateway(t, settings{
		"UPSTREAM_URLS": "tcp://" + loopback(freePort(t)), "REDIS_URL": "redis://" + loopback(freePort(t)), "OIDC_ISSUER": "http://" + loopback(freePort(t)),
	})
	g.awaitAlive(t)
	if status := g.status("/readyz"); status != http.StatusServiceUnavailable {
		t.Errorf("/readyz %d; want 503 without Redis", status)
	}
	w, connack := g.connecting(t, frames.V5, "c", newIssuer(t).token(t, "alice"))
	if connack.Reason == frames.Success {
		t.Error("CONNACK 0 of a gateway that can decide nothing")
	}
	w.expectClosed()
}

func TestRedisAwayTooLongFailsClosedUntilItIsBack(t *testing.T) {
	t.Parallel()
	s := newStack(t, "pattern write file/%u\npattern write chat/room/{rooms}/#\n", settings{"POLICY_STALE_MAX": "1s", "AUDIT": "stdout"})
	s.redis.do(t, "SADD", "topicgate:user:alice:rooms", "lobby")
	token := s.issuer.token(t, "alice")
	w := s.connect(t, frames.V5, "c", token)
	w.settled("chat/room/lobby/x", true)
	s.redis.kill()
	w.settled("chat/room/lobby/x", false)
	w.settled("file/alice", false) // everything is denied
	eventually(t, "/readyz says 503", func() bool { return s.status("/readyz") == http.StatusServiceUnavailable })
	unserved(s.opening(t, frames.V5, "new", token))
	s.redis.restart(t)
	w.settled("file/alice", true)
	w.settled("chat/room/lobby/x", false) // the new Redis is empty
	s.redis.do(t, "SADD", "topicgate:user:alice:rooms", "lobby")
	w.settled("chat/room/lobby/x", true)
	s.awaitReady(t)
	s.connect(t, frames.V5, "new", token).ping()
}

func TestAHungRedisIsNoticed(t *testing.T) {
	t.Parallel()
	s := newStack(t, "pattern write chat/room/{rooms}/#\n", settings{"POLICY_STALE_MAX": "2s", "AUDIT": "stdout"})
	s.redis.do(t, "SADD", "topicgate:user:alice:rooms", "lobby")
	w := s.connect(t, frames.V5, "c", s.issuer.token(t, "alice"))
	w.settled("chat/room/lobby/x", true)
	s.redis.signal(syscall.SIGSTOP)
	w.settled("chat/room/lobby/x", false)
	s.redis.signal(syscall.SIGCONT)
	w.settled("chat/room/lobby/x", true)
}

func TestWithoutRedisTheRulesOfTheFileHoldAndSighupReadsThemAgain(t *testing.T) {
	t.Parallel()
	s := newStack(t, "pattern write old/%u\n", settings{"REDIS_URL": "none", "AUDIT": "stdout"})
	w := s.connect(t, frames.V5, "c", s.issuer.token(t, "alice"))
	w.settled("old/alice", true)
	replaceFile(t, s.policy, []byte("pattern write new/%u\n"))
	s.signal(syscall.SIGHUP)
	w.settled("new/alice", true)
	w.settled("old/alice", false)
	replaceFile(t, s.policy, []byte("pattern writ broken/%u\n"))
	s.signal(syscall.SIGHUP)
	s.stderr.await(t, s.policy+":1:")
	w.settled("new/alice", true)
}

func TestMistakesInTheSettingsAreAllNamedAtOnce(t *testing.T) {
	t.Parallel()
	policy := t.TempDir() + "/policy.acl"
	writeFile(t, policy, "pattern write ok/%u\npattern write x/%s\n")
	for _, test := range []struct {
		name string
		s    settings
		want []string
	}{
		{"several", settings{"OIDC_AUDIENCE": "", "LISTNE": "x", "CONNECT_TIMEOUT": "soon", "SUBSCRIBE_MODE": "lax"},
			[]string{"TOPICGATE_OIDC_ISSUER", "TOPICGATE_OIDC_AUDIENCE", "TOPICGATE_LISTNE", "TOPICGATE_CONNECT_TIMEOUT", "TOPICGATE_SUBSCRIBE_MODE"}},
		{"a policy that is invalid", settings{"OIDC_ISSUER": "http://127.0.0.1:1", "POLICY_FILE": policy, "REDIS_URL": "none"}, []string{policy + ":2:", "%c"}},
	} {
		g := launchGateway(t, test.s)
		if code := g.exitCode(t); code == 0 {
			t.Errorf("%s: exit code 0; want another", test.name)
		}
		for _, part := range test.want {
			if !strings.Contains(g.stderr.String(), part) {
				t.Errorf("%s: standard error does not name %s:\n%s", test.name, part, g.stderr)
			}
		}
	}
}

// What it does to others meanwhile: backpressure_test.go.
func TestAClientThatDoesNotReadIsClosed(t *testing.T) {
	t.Parallel()
	s := newStack(t, openPolicy, settings{"WRITE_TIMEOUT": "1s"})
	w, _ := s.connectingBy(t, dialOptions{readBuffer: 4096}, frames.V311, "lazy", s.issuer.token(t, "alice"))
	w.subscribe("flood")
	hand := s.broker.direct(t, frames.V311, "hand")
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		packet := encode(message("flood", strings.Repeat("x", 64<<10), 0), frames.V311)
		for {
			select {
			case <-stop:
				return
			default:
				_ = hand.conn.SetWriteDeadline(time.Now().Add(patience))
				if _, err := hand.conn.Write(packet); err != nil {
					return
				}
			}
		}
	}()
	eventually(t, "the lazy client is closed", func() bool {
		return s.metric(t, "topicgate_sessions_ended_total", `reason="client_slow"`) == 1
	})
	close(stop)
	<-done
}
