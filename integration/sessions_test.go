package integration

import (
	"encoding/json"
	"os/exec"
	"strings"
	"testing"
	"time"

	"topicgate/frames"
)

// topicgate runs the program as an operator does who has the gateway's settings.
func (g *gateway) topicgate(t testing.TB, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	var out, err strings.Builder
	c := exec.Command(gatewayBinary(t), args...)
	for name, value := range g.env {
		c.Env = append(c.Env, "TOPICGATE_"+name+"="+value)
	}
	c.Stdout, c.Stderr = &out, &err
	if failure := c.Run(); failure != nil && c.ProcessState == nil {
		t.Errorf("topicgate %s: %v", strings.Join(args, " "), failure)
		return "", failure.Error(), -1
	}
	return out.String(), err.String(), c.ProcessState.ExitCode()
}

// listedSession is what "topicgate sessions --json" tells of one.
type listedSession struct {
	Instance, Session, User, Remote, Version string
	ClientID                                 string `json:"client_id"`
}

// listed waits until so many sessions are listed, and returns them.
func (g *gateway) listed(t testing.TB, want int, args ...string) (sessions []listedSession) {
	t.Helper()
	// Each look is a process: they are not made as fast as can be.
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	eventually(t, "the sessions are listed", func() bool {
		<-ticker.C
		stdout, stderr, status := g.topicgate(t, append([]string{"sessions", "--json"}, args...)...)
		if status != 0 || json.Unmarshal([]byte(stdout), &sessions) != nil {
			t.Fatalf("topicgate sessions: exit code %d: %s%s", status, stdout, stderr)
		}
		return len(sessions) == want
	})
	return sessions
}

func TestSessionsOfAllInstancesAreListedAndDisconnected(t *testing.T) {
	t.Parallel()
	s := newStack(t, openPolicy)
	other := startGateway(t, s.settings())
	eye := s.broker.direct(t, frames.V311, "eye")
	eye.subscribed("wills/#")
	alice, bob := s.issuer.token(t, "alice"), s.issuer.token(t, "bob")

	phone := s.connect(t, frames.V5, "phone", alice, will("wills/phone", 1))
	s.listed(t, 1)
	desk := other.connect(t, frames.V311, "desk", alice, will("wills/desk", 1))
	s.listed(t, 2)
	stays := other.connect(t, frames.V5, "phone", bob, will("wills/bob", 1))
	all := s.listed(t, 3)
	if all[0].ClientID != "phone" || all[0].User != "alice" || all[0].Version != "5.0" || all[1].ClientID != "desk" || all[2].User != "bob" ||
		all[0].Instance == all[1].Instance || all[1].Instance != all[2].Instance {
		t.Errorf("listed %+v; want phone and desk of alice, then bob, on two instances", all)
	}
	if own := other.listed(t, 1, "--user", "bob"); own[0].User != "bob" {
		t.Errorf("listed %+v; want bob", own)
	}
	if table, _, status := s.topicgate(t, "sessions"); status != 0 || strings.Count(table, "\n") != 4 || !strings.Contains(table, "desk") {
		t.Errorf("topicgate sessions: exit code %d:\n%s; want a table of three", status, table)
	}

	if stdout, stderr, status := s.topicgate(t, "disconnect", "alice", "--client-id", "tablet"); status != 1 || stdout != "" || stderr == "" {
		t.Errorf("disconnect of what is not there: exit code %d: %s%s; want 1", status, stdout, stderr)
	}
	// The command waits for the ends, these for their last words.
	type outcome struct {
		stdout, stderr string
		status         int
	}
	done := make(chan outcome, 1)
	go func() {
		stdout, stderr, status := s.topicgate(t, "disconnect", "alice")
		done <- outcome{stdout, stderr, status}
	}()
	phone.expectDisconnect(frames.AdministrativeAction)
	phone.expectClose(4403)
	desk.expectClose(4403)
	if o := await(t, "topicgate disconnect", done); o.status != 0 || !strings.Contains(o.stdout, "desk") || !strings.Contains(o.stdout, "phone") || o.stderr != "" {
		t.Errorf("disconnect: exit code %d: %s%s; want phone and desk", o.status, o.stdout, o.stderr)
	}
	wills := map[string]bool{string(eye.receive().TopicName): true, string(eye.receive().TopicName): true}
	if !wills["wills/phone"] || !wills["wills/desk"] {
		t.Errorf("the Wills %v were published; want phone's and desk's", wills)
	}
	for _, g := range []*gateway{s.gateway, other} {
		g.audited(t, record{"action": "disconnect", "user": "alice", "decision": "refused", "reason": "disconnected"})
	}
	stays.ping()
	s.connect(t, frames.V5, "phone", alice).ping() // nobody has blocked her
}

func TestEndsByBlockAndRevocationAreAudited(t *testing.T) {
	t.Parallel()
	s := newStack(t, openPolicy)
	alice := s.connect(t, frames.V5, "a", s.issuer.token(t, "alice"))
	bob := s.connect(t, frames.V5, "b", s.issuer.token(t, "bob", claims{"jti": "lost"}))
	s.redis.do(t, "SADD", "topicgate:blocked", "alice")
	alice.expectDisconnect(frames.AdministrativeAction)
	alice.expectClose(4403)
	s.redis.do(t, "SET", "topicgate:revoked:lost", "", "EX", "3600")
	bob.expectDisconnect(frames.NotAuthorized)
	bob.expectClose(4401)
	s.audited(t, record{"action": "disconnect", "user": "alice", "client_id": "a", "reason": "blocked"})
	s.audited(t, record{"action": "disconnect", "user": "bob", "client_id": "b", "reason": "token_revoked"})
}

func TestSessionsOfAKilledInstanceAreListedNoMore(t *testing.T) {
	t.Parallel()
	s := newStack(t, openPolicy)
	other := startGateway(t, s.settings())
	token := s.issuer.token(t, "alice")
	s.connect(t, frames.V5, "lives", token)
	other.connect(t, frames.V5, "dies", token)
	s.listed(t, 2)
	other.kill()
	if left := s.listed(t, 1); left[0].ClientID != "lives" {
		t.Errorf("listed %+v; want the one that lives", left)
	}
	if n := s.redis.do(t, "SCARD", "topicgate:instances"); n != "1" {
		t.Errorf("%s instances are registered; want 1", n)
	}
}

func TestSessionsAreListedAgainAfterRedisWasEmptied(t *testing.T) {
	t.Parallel()
	s := newStack(t, openPolicy)
	s.connect(t, frames.V5, "c", s.issuer.token(t, "alice"))
	s.listed(t, 1)
	s.redis.do(t, "FLUSHALL")
	s.listed(t, 1)
	s.redis.kill()
	s.redis.restart(t)
	s.listed(t, 1)
	s.gateway.stop(t)
	if keys := s.redis.do(t, "KEYS", "topicgate:*inst*"); keys != "" {
		t.Errorf("a gateway that has stopped leaves %s", keys)
	}
}
