package integration

import (
	"net/http"
	"sync"
	"testing"

	"topicgate/frames"
)

// arrangement is three gateways before Redis servers in some arrangement, and users with a session on each.
type arrangement struct {
	*stack
	t        *testing.T
	gateways []*gateway
	hand     *wire
	users    []string
	sessions map[string][]*wire // of a user, one on each gateway
}

func arrange(t *testing.T, url string, one *redis, users []string, more ...settings) *arrangement {
	t.Helper()
	a := &arrangement{t: t, users: users, sessions: map[string][]*wire{}}
	a.stack, a.gateways = newStackOn(t, url, one, roomRules+"pattern write file/%u\n", more...)
	a.hand = a.broker.direct(t, frames.V5, "hand")
	for _, room := range []string{"lobby", "den"} {
		a.hand.publish(kept("chat/room/"+room+"/talk", "kept"))
	}
	for _, user := range users {
		for i, g := range a.gateways {
			w := g.connect(t, frames.V5, "on-"+string(rune('A'+i)), a.issuer.token(t, user))
			w.subscribed(talk, "mine/"+user)
			a.sessions[user] = append(a.sessions[user], w)
		}
	}
	return a
}

// changesArrive lets every user join a room and leave it, by a back end at one server, and wants every
// session of the user to begin to speak and to fall silent.
func (a *arrangement) changesArrive(backEnd *redis) {
	a.t.Helper()
	for _, user := range a.users {
		backEnd.do(a.t, "SADD", roomsOf(user), "den")
		for _, w := range a.sessions[user] {
			w.receives("chat/room/den/talk", "kept")
			w.settled("chat/room/den/x", true)
		}
		backEnd.do(a.t, "SREM", roomsOf(user), "den")
		for _, w := range a.sessions[user] {
			w.settled("chat/room/den/x", false)
		}
		a.hand.publish(message("chat/room/den/talk", "too late", 1))
		a.hand.publish(message("mine/"+user, "after", 1))
		for _, w := range a.sessions[user] {
			w.receives("mine/"+user, "after")
			w.ping()
		}
	}
}

// everybodyIsListedAndTurnedOut uses the registry and the channel of orders.
func (a *arrangement) everybodyIsListedAndTurnedOut() {
	a.t.Helper()
	for _, g := range a.gateways {
		g.listed(a.t, len(a.users)*len(a.gateways))
	}
	var command sync.WaitGroup
	defer command.Wait()
	for i, user := range a.users {
		command.Go(func() { // it waits for the ends, these for their last words
			if stdout, stderr, status := a.gateways[i%len(a.gateways)].topicgate(a.t, "disconnect", user); status != 0 {
				a.t.Errorf("topicgate disconnect %s: exit code %d: %s%s", user, status, stdout, stderr)
			}
		})
		for _, w := range a.sessions[user] {
			w.expectDisconnect(frames.AdministrativeAction)
			w.expectClose(4403)
		}
	}
}

// fallsAsleep leaves a persistent session of a user who is in the lobby, with a message queued for it.
func (a *arrangement) fallsAsleep(backEnd *redis, user string) {
	a.t.Helper()
	backEnd.do(a.t, "SADD", roomsOf(user), "lobby")
	w := a.gateways[0].connect(a.t, frames.V5, "sleeper", a.issuer.token(a.t, user), persistent)
	w.settled("chat/room/lobby/x", true)
	w.subscribed(talk, "mine/"+user)
	awake := a.sessions[user]
	for _, w := range append([]*wire{w}, awake...) {
		w.receives("chat/room/lobby/talk", "kept")
	}
	backEnd.remembered(a.t, user+":sleeper", talk)
	w.disconnect()
	a.hand.publish(message("chat/room/lobby/talk", "secret by now", 1))
	for _, w := range awake {
		w.receives("chat/room/lobby/talk", "secret by now")
	}
}

// wakesUp wants that session right on another gateway, after the lobby was left and the den joined.
func (a *arrangement) wakesUp(backEnd *redis, user string) {
	a.t.Helper()
	backEnd.do(a.t, "SREM", roomsOf(user), "lobby")
	a.sessions[user][1].settled("chat/room/lobby/x", false)
	backEnd.do(a.t, "SADD", roomsOf(user), "den")
	for _, w := range a.sessions[user] {
		w.receives("chat/room/den/talk", "kept")
	}
	w := a.gateways[1].connect(a.t, frames.V5, "sleeper", a.issuer.token(a.t, user), persistent)
	w.receives("chat/room/den/talk", "kept")
	a.hand.publish(message("chat/room/lobby/talk", "later", 1))
	a.hand.publish(message("mine/"+user, "awake", 1))
	for _, w := range append([]*wire{w}, a.sessions[user]...) {
		w.receives("mine/"+user, "awake")
		w.ping()
	}
	w.disconnect()
	backEnd.do(a.t, "SREM", roomsOf(user), "den")
}

func TestGatewaysFollowAFailoverBySentinel(t *testing.T) {
	if testing.Short() {
		t.Skip("short: a failover takes some seconds")
	}
	t.Parallel()
	for _, way := range []struct {
		name string
		away func(*testing.T, *sentinels)
	}{
		{"killed", func(_ *testing.T, s *sentinels) { s.master.kill() }},
		{"hung", func(t *testing.T, s *sentinels) { s.master.hang(t) }},
		{"asked", func(t *testing.T, s *sentinels) { // a Sentinel may not have the replica's offset yet
			eventually(t, "the failover begins", func() bool { return s.watchers[0].says("OK", "SENTINEL", "FAILOVER", sentinelMaster) })
		}},
	} {
		t.Run(way.name, func(t *testing.T) {
			t.Parallel()
			servers := startSentinels(t)
			a := arrange(t, servers.url(), servers.master, []string{"alice", "bob"})
			a.changesArrive(servers.master)
			a.fallsAsleep(servers.master, "alice")
			servers.replicated(t)
			way.away(t, servers)
			servers.promoted(t)
			// From the first write to the new master on, whatever the gateways hear.
			a.wakesUp(servers.replica, "alice")
			a.changesArrive(servers.replica)
			for _, g := range a.gateways {
				g.awaitReady(t)
			}
			a.everybodyIsListedAndTurnedOut()
		})
	}
}

func TestGatewaysFollowAllMastersOfACluster(t *testing.T) {
	if testing.Short() {
		t.Skip("short: making a Cluster takes some seconds")
	}
	t.Parallel()
	url, masters := startCluster(t)
	a := arrange(t, url, masters[0], usersOnEach(t, masters))
	a.changesArrive(masters[0])
	for _, user := range a.users {
		a.fallsAsleep(masters[1], user)
		a.wakesUp(masters[2], user)
	}
	masters[0].do(t, "SADD", "topicgate:blocked", a.users[0])
	for _, w := range a.sessions[a.users[0]] {
		w.expectDisconnect(frames.AdministrativeAction)
		w.expectClose(4403)
	}
	a.users = a.users[1:]
	a.everybodyIsListedAndTurnedOut()
}

// A server that hangs keeps its connections: nothing but its silence tells.
func TestAHungRedisFailsClosedOnEveryInstanceAndRecoversByItself(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		start func(t *testing.T) (url string, servers []*redis, users []string)
	}{
		{"one server", func(t *testing.T) (string, []*redis, []string) {
			r := startRedis(t)
			return r.url(), []*redis{r}, []string{"alice"}
		}},
		{"one master of three", func(t *testing.T) (string, []*redis, []string) {
			url, masters := startCluster(t)
			return url, masters, usersOnEach(t, masters)
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			url, servers, users := test.start(t)
			a := arrange(t, url, servers[0], users, settings{"POLICY_STALE_MAX": "1s", "AUDIT": "stdout"})
			a.changesArrive(servers[0])
			hung := servers[len(servers)-1]
			hung.hang(t)
			for _, g := range a.gateways {
				eventually(t, "/readyz says 503", func() bool { return g.status("/readyz") == http.StatusServiceUnavailable })
			}
			for _, user := range users {
				for _, w := range a.sessions[user] {
					w.settled("file/"+user, false) // everything is denied, what the file allows to everybody as well
				}
			}
			var newcomers []*wire
			for _, g := range a.gateways {
				newcomers = append(newcomers, g.opening(t, frames.V5, "newcomer", a.issuer.token(t, users[0])))
			}
			unserved(newcomers...)
			hung.wake()
			for _, g := range a.gateways {
				g.awaitReady(t)
			}
			for _, server := range servers { // a Cluster takes a moment to count on the master again
				eventually(t, "the servers serve", func() bool {
					_, err := server.try("GET", "topicgate:acl")
					return err == nil && (!server.cluster || server.says("cluster_slots_ok:16384", "CLUSTER", "INFO"))
				})
			}
			for _, user := range users {
				for _, w := range a.sessions[user] {
					w.settled("file/"+user, true)
				}
			}
			a.changesArrive(servers[0])
			a.everybodyIsListedAndTurnedOut()
		})
	}
}
