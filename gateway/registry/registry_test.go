package registry

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"topicgate/gateway/internal/redistest"

	"github.com/redis/go-redis/v9"
)

// quick is a timing that tests can wait for.
var quick = registryTiming{
	gather: 10 * time.Millisecond, beat: 50 * time.Millisecond, ttl: 400 * time.Millisecond, retry: 20 * time.Millisecond,
	check: time.Hour, ping: 50 * time.Millisecond, silence: 300 * time.Millisecond,
}

// newTestRegistry makes a registry that nothing runs yet.
func newTestRegistry(t *testing.T, r *redisServer, name string) *Registry {
	t.Helper()
	client := redis.NewClient(&redis.Options{Addr: r.Addr, MaxRetries: -1, ReadTimeout: 200 * time.Millisecond})
	t.Cleanup(func() { _ = client.Close() })
	g := New(client, "tg:", name, slog.New(slog.DiscardHandler))
	g.timing = quick
	return g
}

// runs runs g until the test or what is returned ends it, which leaves Redis as it is.
func runs(t *testing.T, g *Registry) (die func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { g.run(ctx) })
	die = func() {
		cancel()
		running.Wait()
	}
	t.Cleanup(die)
	return die
}

func infoOf(n int) *SessionInfo {
	return &SessionInfo{Session: fmt.Sprintf("%016x", n), User: "alice", ClientID: fmt.Sprint("c", n), Since: time.Unix(int64(n), 0).UTC()}
}

func TestInstanceThatDiesLeavesTheRegistry(t *testing.T) {
	r := startRedis(t)
	lives, dies := newTestRegistry(t, r, "host"), newTestRegistry(t, r, "host")
	lives.Add(infoOf(1))
	dies.Add(infoOf(2))
	runs(t, lives)
	die := runs(t, dies)
	r.awaitSessions(2)
	die()
	if all := r.awaitSessions(1); all[0].ClientID != "c1" {
		t.Errorf("LiveSessions() = %+v; want that of the instance that lives", all)
	}
	keys := strings.Join(r.Keys(t.Context(), "*").Val(), " ")
	members := r.SMembers(t.Context(), "tg:instances").Val()
	if strings.Contains(keys, dies.id) || len(members) != 1 || members[0] != lives.id {
		t.Errorf("Redis has the keys %s and the instances %v; want %s alone", keys, members, lives.id)
	}
}

func TestWhatRedisHasLostIsWrittenAgain(t *testing.T) {
	r := startRedis(t)
	g := newTestRegistry(t, r, "host")
	for n := range 250 {
		g.Add(infoOf(n))
	}
	runs(t, g)
	r.awaitSessions(250)
	for what, harm := range map[string]func(){
		"emptied":       func() { r.Run("FLUSHALL") },
		"restarted":     func() { r.Kill(); r.Start() },
		"a field lost":  func() { r.Run("HDEL", "tg:sessions:"+g.id, infoOf(7).Session) },
		"a ghost":       func() { r.Run("HSET", "tg:sessions:"+g.id, infoOf(900).Session, `{"session":"0000000000000384"}`) },
		"another kind":  func() { r.Run("DEL", "tg:sessions:"+g.id); r.Run("SET", "tg:sessions:"+g.id, "x", "PX", "100") },
		"taken for one": func() { forgetInstance(context.Background(), r.Client, g.keys, g.id) },
	} {
		harm()
		redistest.Eventually(t, what+": 250 sessions are registered", func() bool {
			all, err := LiveSessions(context.Background(), r.Client, "tg:")
			return err == nil && len(all) == 250
		})
	}
}

// An instance may die at any moment: all that it has in Redis ends by itself, whoever looks for it or not.
func TestWhatAnInstanceHasInRedisEndsByItself(t *testing.T) {
	r := startRedis(t)
	g := newTestRegistry(t, r, "host")
	g.Add(infoOf(1))
	die := runs(t, g)
	r.awaitSessions(1)
	die()
	for _, key := range []string{g.keys.instance(g.id), g.keys.sessions(g.id)} {
		redistest.Eventually(t, key+" has ended", func() bool { return r.Exists(t.Context(), key).Val() == 0 })
	}
}

// What is wrong though the number of sessions is right is found when all is written, now and then.
func TestASessionThatWasReplacedInRedisIsWrittenAgain(t *testing.T) {
	r := startRedis(t)
	g := newTestRegistry(t, r, "host")
	g.timing.check = 2 * g.timing.beat
	g.Add(infoOf(1))
	runs(t, g)
	r.awaitSessions(1)
	if _, err := r.TxPipelined(t.Context(), func(p redis.Pipeliner) error {
		p.HDel(t.Context(), g.keys.sessions(g.id), infoOf(1).Session)
		p.HSet(t.Context(), g.keys.sessions(g.id), infoOf(2).Session, "{}")
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	redistest.Eventually(t, "the session is back, alone", func() bool {
		all := r.sessions()
		return len(all) == 1 && all[0].ClientID == "c1" && r.HLen(t.Context(), g.keys.sessions(g.id)).Val() == 1
	})
}

func TestChangesWhileRedisIsAwayArriveWhenItIsBack(t *testing.T) {
	r := startRedis(t)
	g := newTestRegistry(t, r, "host")
	for n := range 3 {
		g.Add(infoOf(n))
	}
	runs(t, g)
	r.awaitSessions(3)
	r.Hang()
	g.Remove(infoOf(0).Session)
	g.Add(infoOf(3))
	changed := infoOf(1)
	changed.Expires = time.Unix(9, 0).UTC()
	g.Replace(changed)
	gone := infoOf(0)
	gone.User = "eve"
	g.Replace(gone) // has ended: stays out
	r.Wake()
	redistest.Eventually(t, "what has changed is registered", func() bool {
		all := r.sessions()
		return len(all) == 3 && all[0].ClientID == "c1" && all[0].Expires.Equal(changed.Expires) && all[2].ClientID == "c3"
	})
}

func TestStormOfSessionsIsAFewRoundTrips(t *testing.T) {
	r := startRedis(t)
	g := newTestRegistry(t, r, "host")
	g.timing = usualRegistryTiming
	runs(t, g)
	var all sync.WaitGroup
	for worker := range 4 {
		all.Go(func() {
			for n := range 500 {
				g.Add(infoOf(worker*500 + n))
			}
		})
	}
	all.Wait()
	r.awaitSessions(2000)
	for n := range 2000 {
		g.Remove(infoOf(n).Session)
	}
	r.awaitSessions(0)
	if n := r.Calls("set"); n > 20 { // one in each pipeline
		t.Errorf("2000 sessions that came and went took %d round trips; want a handful", n)
	}
}

// One node is a Cluster too: it refuses whatever joins keys of several slots.
func TestRegistryInACluster(t *testing.T) {
	bus, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(bus.Addr().String())
	bus.Close()
	r := startRedis(t, "--cluster-enabled", "yes", "--cluster-port", port)
	r.Run("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
	client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{r.Addr}})
	defer client.Close()
	redistest.Eventually(t, "the Cluster is whole", func() bool { return client.Set(t.Context(), "x", "", 0).Err() == nil })

	registered := func(want int) {
		t.Helper()
		redistest.Eventually(t, fmt.Sprint(want, " sessions are registered"), func() bool {
			all, err := LiveSessions(t.Context(), client, "tg:")
			return err == nil && len(all) == want
		})
	}
	g, dies := newTestRegistry(t, r, "host"), newTestRegistry(t, r, "dies")
	g.client, dies.client = client, client
	dies.Add(infoOf(900))
	die := runs(t, dies)
	registered(1)
	die()
	registered(0)
	orders := obeyed(t, g)
	for n := range 300 {
		g.Add(infoOf(n))
	}
	runs(t, g)
	registered(300)
	if o := r.orders(orders, `{"disconnect":{"user":"alice"}}`); o.User != "alice" {
		t.Errorf("heard %+v; want an order about alice", o)
	}
	g.Remove(infoOf(0).Session)
	gone, left, err := Disconnect(t.Context(), client, "tg:", "eve", "")
	if err != nil || len(gone)+len(left) != 0 {
		t.Errorf("Disconnect() = %v, %v, %v; want nobody", gone, left, err)
	}
	registered(299)
}

func TestRegistryIsBoundedWhileRedisIsAway(t *testing.T) {
	client := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1"})
	defer client.Close()
	g := New(client, "tg:", "host", slog.New(slog.DiscardHandler))
	for n := range 3 * registryMarks {
		g.Add(infoOf(n))
		g.Remove(infoOf(n).Session)
		if len(g.live)+len(g.changed) > registryMarks+1 {
			t.Fatalf("%d sessions that are gone have left %d marks; want at most %d", n+1, len(g.changed), registryMarks)
		}
	}
}

func TestNoRegistryWithoutRedis(t *testing.T) {
	g := New(nil, "tg:", "host", slog.New(slog.DiscardHandler))
	g.Start(Host{})
	g.Add(infoOf(1))
	g.Replace(infoOf(1))
	g.Remove(infoOf(1).Session)
	g.Close()
}
