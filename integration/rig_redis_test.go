package integration

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// startCluster runs a Redis Cluster of three masters, each with a third of the slots.
func startCluster(t testing.TB) (url string, masters []*redis) {
	t.Helper()
	const slots = 16384
	var addresses []string
	for i := range 3 {
		bus := strconv.Itoa(freePort(t)) // the usual one is not ours to take
		m := startRedis(t, "--cluster-enabled", "yes", "--cluster-port", bus, "--cluster-node-timeout", "1000", "--cluster-require-full-coverage", "no")
		m.cluster = true
		m.do(t, "CLUSTER", "ADDSLOTSRANGE", strconv.Itoa(i*slots/3), strconv.Itoa((i+1)*slots/3-1))
		if i > 0 {
			m.do(t, "CLUSTER", "MEET", "127.0.0.1", masters[0].port(), masters[0].extra[3])
		}
		masters = append(masters, m)
		addresses = append(addresses, m.address)
	}
	for _, m := range masters {
		eventually(t, "the Cluster is whole as "+m.address+" sees it", func() bool {
			return m.says("cluster_state:ok", "CLUSTER", "INFO") && m.says("cluster_slots_ok:"+strconv.Itoa(slots), "CLUSTER", "INFO")
		})
	}
	return "redis://" + strings.Join(addresses, ","), masters
}

// usersOnEach returns a username for each of the masters of a Cluster, who has the set of the user's rooms.
func usersOnEach(t testing.TB, masters []*redis) []string {
	t.Helper()
	users := make([]string, len(masters))
	for i, missing := 0, len(users); missing > 0; i++ {
		name := fmt.Sprint("u", i)
		slot, err := strconv.Atoi(masters[0].do(t, "CLUSTER", "KEYSLOT", roomsOf(name)))
		if err != nil {
			t.Fatal(err)
		}
		owner := len(users) - 1
		for owner > 0 && slot < owner*16384/len(users) {
			owner--
		}
		if users[owner] == "" {
			users[owner] = name
			missing--
		}
	}
	return users
}

// sentinels are a master, its replica, and three Sentinels who watch over them.
type sentinels struct {
	master, replica *redis // as they began
	watchers        []*redis
}

const sentinelMaster = "chat"

func startSentinels(t testing.TB) *sentinels {
	t.Helper()
	s := &sentinels{master: startRedis(t, "--repl-diskless-sync-delay", "0")}
	s.replica = startRedis(t, "--repl-diskless-sync-delay", "0", "--replicaof", "127.0.0.1", s.master.port())
	eventually(t, "the replica is in sync", func() bool { return s.replica.says("master_link_status:up", "INFO", "replication") })
	for range 3 {
		w := &redis{address: loopback(freePort(t)), cli: s.master.cli}
		directory := t.TempDir()
		file := filepath.Join(directory, "sentinel.conf")
		writeFile(t, file, strings.Join([]string{
			"port " + w.port(), "bind 127.0.0.1", "dir " + directory,
			"sentinel monitor " + sentinelMaster + " 127.0.0.1 " + s.master.port() + " 2",
			"sentinel down-after-milliseconds " + sentinelMaster + " 1000",
			"sentinel failover-timeout " + sentinelMaster + " 5000",
		}, "\n")+"\n")
		w.process = start(t, "redis-sentinel", program(t, "redis-server"), []string{file, "--sentinel"}, nil)
		awaitTCP(t, w.process, w.address)
		s.watchers = append(s.watchers, w)
	}
	for _, w := range s.watchers {
		eventually(t, "the Sentinels know each other and the replica", func() bool {
			return w.says("num-other-sentinels\n2", "SENTINEL", "MASTER", sentinelMaster) && w.says("num-slaves\n1", "SENTINEL", "MASTER", sentinelMaster)
		})
	}
	return s
}

// url is the setting TOPICGATE_REDIS_URL.
func (s *sentinels) url() string {
	var addresses []string
	for _, w := range s.watchers {
		addresses = append(addresses, w.address)
	}
	return "redis-sentinel://" + strings.Join(addresses, ",") + "#" + sentinelMaster
}

// replicated waits until the replica has all that was written to the master until now.
func (s *sentinels) replicated(t testing.TB) {
	t.Helper()
	want := s.master.offset(t, "master_repl_offset:")
	eventually(t, "the replica has it all", func() bool { return s.replica.offset(t, "slave_repl_offset:") >= want })
}

func (r *redis) offset(t testing.TB, name string) (offset int) {
	t.Helper()
	for line := range strings.Lines(r.do(t, "INFO", "replication")) {
		if number, ok := strings.CutPrefix(strings.TrimSpace(line), name); ok {
			offset, _ = strconv.Atoi(number)
		}
	}
	return offset
}

// promoted waits until the replica has become the master.
func (s *sentinels) promoted(t testing.TB) {
	t.Helper()
	eventually(t, "the replica is the master", func() bool { return s.replica.says("role:master", "INFO", "replication") })
}

// says reports whether the answer to a command holds a text.
func (r *redis) says(text string, command ...string) bool {
	answer, err := r.try(command...)
	return err == nil && strings.Contains(strings.ReplaceAll(answer, "\r", ""), text)
}

// hang stops the server without ending a connection, until wake.
func (r *redis) hang(t testing.TB) {
	t.Helper()
	t.Cleanup(r.wake) // or it would not hear that it shall end
	r.signal(syscall.SIGSTOP)
}

func (r *redis) wake() { r.signal(syscall.SIGCONT) }

// roomsOf is the key of a user's set of rooms.
func roomsOf(username string) string { return "topicgate:user:" + username + ":rooms" }

// remembered waits until Redis has what a persistent session is subscribed to. It is written beside the
// data path: who reconnects faster than that finds what was written before.
func (r *redis) remembered(t testing.TB, upstreamID, filter string) {
	t.Helper()
	eventually(t, upstreamID+" is remembered with "+filter, func() bool { return r.says(filter, "GET", "topicgate:session:"+upstreamID) })
}

// newStackOn is newStack with three gateways before an arrangement of Redis servers, of which one is known
// to the test as the stack's.
func newStackOn(t testing.TB, url string, one *redis, rules string, more ...settings) (*stack, []*gateway) {
	t.Helper()
	s := &stack{broker: startMosquitto(t), redis: one, issuer: newIssuer(t), policy: filepath.Join(t.TempDir(), "policy.acl")}
	writeFile(t, s.policy, rules)
	return s, s.three(t, append([]settings{{"REDIS_URL": url}}, more...)...)
}

// three starts three gateways with the same settings; the first becomes the stack's.
func (s *stack) three(t testing.TB, more ...settings) (gateways []*gateway) {
	t.Helper()
	for n := range 3 {
		all := s.settings(more...)
		if n == 1 { // one way or the other, the broker is the same
			all["UPSTREAM_URLS"] = "unix://" + s.broker.socket
		}
		gateways = append(gateways, launchGateway(t, all))
	}
	for _, g := range gateways {
		g.awaitReady(t)
	}
	s.gateway = gateways[0]
	return gateways
}
