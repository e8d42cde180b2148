package integration

import (
	"syscall"
	"testing"
	"time"

	"topicgate/frames"
)

// outage is a whole stack with clients that are to survive what happens to it, by themselves.
type outage struct {
	*stack
	*crowd
}

func newOutage(t *testing.T, more settings) outage {
	t.Helper()
	s := newStack(t, openPolicy, settings{"ALLOWED_ORIGINS": "*"}, more)
	o := outage{s, newCrowd(t, s.url("/mqtt"), s.issuer.token(t, "alice"))}
	o.hears(s.broker)
	return o
}

// A broker that restarts, at once and after longer than a CONNECT is held.
func TestClientsComeBackAfterABrokerRestart(t *testing.T) {
	t.Parallel()
	o := newOutage(t, settings{"CONNECT_TIMEOUT": "2s"})
	for _, away := range []time.Duration{500 * time.Millisecond, 5 * time.Second} {
		o.broker.kill()
		o.gone()
		time.Sleep(away)
		o.broker.restart(t)
		o.hears(o.broker)
	}
}

func TestClientsComeBackAfterABrokerHung(t *testing.T) {
	t.Parallel()
	o := newOutage(t, settings{"CONNECT_TIMEOUT": "2s"})
	o.broker.signal(syscall.SIGSTOP)
	time.Sleep(8 * time.Second)
	o.broker.signal(syscall.SIGCONT)
	o.hears(o.broker)
}

// Redis away for longer than rules may be stale: who is on stays, who comes is held, and all hear again what they may.
func TestClientsSurviveARedisThatIsAway(t *testing.T) {
	t.Parallel()
	o := newOutage(t, settings{"POLICY_STALE_MAX": "1s"})
	o.redis.kill()
	late := newCrowd(t, o.url("/mqtt"), o.issuer.token(t, "bob"))
	time.Sleep(6 * time.Second)
	o.redis.restart(t)
	o.hears(o.broker)
	late.hears(o.broker)
}

// An issuer that is away when clients come, and one that changes its keys just before.
func TestClientsComeInWhenTheirIssuerIsBack(t *testing.T) {
	t.Parallel()
	s := prepareStack(t, openPolicy)
	late := newStoppedIssuer(t)
	g := launchGateway(t, s.settings(settings{"OIDC_ISSUER": late.url, "ALLOWED_ORIGINS": "*", "CONNECT_TIMEOUT": "25s"}))
	g.awaitAlive(t)
	c := newCrowd(t, g.url("/mqtt"), late.token(t, "alice"))
	time.Sleep(3 * time.Second)
	late.start(t)
	c.hears(s.broker)
	late.rotate(t, "second", "ES256", true)
	newCrowd(t, g.url("/mqtt"), late.token(t, "bob")).hears(s.broker)
}

// A gateway that is rolled out anew, and one that is killed behind a balancer. The persistent ones miss nothing.
func TestClientsComeBackAfterAGatewayWentAway(t *testing.T) {
	t.Parallel()
	s := newStack(t, openPolicy, settings{"ALLOWED_ORIGINS": "*"})
	second := startGateway(t, s.settings(settings{"ALLOWED_ORIGINS": "*"}))
	f := newForwarder(t, s.address, second.address)
	c := newSleepers(t, f.url(), s.issuer.token(t, "alice"))
	c.hears(s.broker)
	hand := s.broker.direct(t, frames.V311, "hand while away")
	s.kill()
	hand.publish(message("room", "while the gateway was killed", 1))
	c.heard("while the gateway was killed")
	c.hears(s.broker)
	s.gateway = startGateway(t, s.settings(settings{"LISTEN": s.address, "ADMIN_LISTEN": s.admin, "ALLOWED_ORIGINS": "*"}))
	second.stop(t)
	hand.publish(message("room", "while the gateway was rolled out", 1))
	c.heard("while the gateway was rolled out")
	c.hears(s.broker)
}

// A machine that sleeps for longer than its Keep Alive, and a network that is gone without a word.
func TestClientsComeBackFromSleepAndSilence(t *testing.T) {
	t.Parallel()
	s := newStack(t, openPolicy, settings{"ALLOWED_ORIGINS": "*"})
	f := newForwarder(t, s.address)
	c := newSleepers(t, f.url(), s.issuer.token(t, "alice"))
	c.hears(s.broker)
	hand := s.broker.direct(t, frames.V311, "hand while away")
	var asleep []lasting
	for _, one := range c.clients {
		if p := one.process(); p != nil {
			p.signalAll(t, syscall.SIGSTOP)
			asleep = append(asleep, one)
		}
	}
	time.Sleep(3 * shortKeepAlive * time.Second)
	hand.publish(message("room", "while they slept", 1))
	for _, one := range asleep {
		one.process().signalAll(t, syscall.SIGCONT)
	}
	c.heard("while they slept")
	c.hears(s.broker)
	f.cut()
	hand.publish(message("room", "while there was no network", 1))
	c.heard("while there was no network")
	c.hears(s.broker)
}

// Who is refused stops: a token that has ended or is bad, a user who is blocked. (paho.mqtt.golang tries again after
// every refusal, after a second, two, four: three times in ten seconds. MQTT.js 2 does so each second, without end.)
func TestClientsThatAreRefusedStop(t *testing.T) {
	t.Parallel()
	s := newStack(t, openPolicy, settings{"OIDC_CLOCK_SKEW": "0s", "ALLOWED_ORIGINS": "*"})
	stops := func(why string, c *crowd) {
		t.Helper()
		c.gone()
		before := s.metric(t, "topicgate_rejections_total", `operation="connect"`)
		time.Sleep(10 * time.Second)
		if n := s.metric(t, "topicgate_rejections_total", `operation="connect"`) - before; n > 3*float64(len(c.clients)) {
			t.Errorf("%s: %v tries of %d clients in 10s; want at most 3 of each", why, n, len(c.clients))
		}
		for _, one := range c.clients {
			if state := one.state(""); state.Connected {
				t.Errorf("%s: %s is connected", why, one.name())
			}
		}
	}
	stops("a bad token", newSensibleCrowd(t, s.url("/mqtt"), s.issuer.token(t, "alice", claims{"aud": "another"})))
	bob := newSensibleCrowd(t, s.url("/mqtt"), s.issuer.token(t, "bob"))
	bob.hears(s.broker)
	s.redis.do(t, "SADD", "topicgate:blocked", "bob")
	stops("a blocked user", bob)
	carol := newSensibleCrowd(t, s.url("/mqtt"), s.issuer.token(t, "carol", claims{"exp": time.Now().Add(30 * time.Second).Unix()}))
	carol.hears(s.broker)
	stops("a token that has ended", carol)
}
