package store

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"topicgate/policy"
)

// startCluster runs three masters, and a client that finds its way among them.
func startCluster(t *testing.T) (url string, masters []*testRedis, client *redis.ClusterClient) {
	t.Helper()
	var addrs []string
	for range 3 {
		m := startRedis(t, "--cluster-enabled", "yes", "--cluster-node-timeout", "1000", "--cluster-require-full-coverage", "no")
		masters = append(masters, m)
		addrs = append(addrs, m.addr)
	}
	args := append([]string{"--cluster", "create"}, addrs...)
	if out, err := exec.Command(redisBinary(t, "redis-cli"), append(args, "--cluster-yes")...).CombinedOutput(); err != nil {
		t.Fatalf("redis-cli --cluster create: %v\n%s", err, out)
	}
	for _, m := range masters {
		eventually(t, "cluster is up at "+m.addr, func() bool {
			info, err := m.ClusterInfo(context.Background()).Result()
			return err == nil && strings.Contains(info, "cluster_state:ok") && strings.Contains(info, "cluster_slots_ok:16384")
		})
	}
	client = redis.NewClusterClient(&redis.ClusterOptions{Addrs: addrs})
	t.Cleanup(func() { client.Close() })
	return "redis://" + strings.Join(addrs, ","), masters, client
}

func TestAllMastersOfAClusterAreWatched(t *testing.T) {
	if testing.Short() {
		t.Skip("short: making a Cluster takes some seconds")
	}
	t.Parallel()
	url, masters, client := startCluster(t)
	ctx := t.Context()
	if err := client.Set(ctx, "topicgate:acl", roomRules, 0).Err(); err != nil {
		t.Fatal(err)
	}
	s := startStore(t, url)
	// The users' keys lie all over the Cluster.
	const users = 30
	grants := make([]*Grant, users)
	for i := range grants {
		grants[i] = s.open(t, policy.Principal{Username: fmt.Sprint("u", i), TokenID: fmt.Sprint("t", i)})
	}
	change := func(command string, want bool) {
		t.Helper()
		for i, g := range grants {
			key := fmt.Sprintf("topicgate:user:u%d:rooms", i)
			eventually(t, command+" "+key, func() bool { return client.Do(ctx, command, key, "7").Err() == nil })
			eventually(t, fmt.Sprintf("after %s: u%d reads = %v", command, i, want), func() bool { return reads(g, "chat/room/7/x") == want })
		}
	}
	change("SADD", true)
	change("SREM", false)
	if err := client.SAdd(ctx, "topicgate:blocked", "u3").Err(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "u3 is blocked", func() bool { return grants[3].Standing() == Blocked })

	t.Run("slots that move are followed", func(t *testing.T) {
		key := "topicgate:user:u5:rooms"
		slot, err := client.ClusterKeySlot(ctx, key).Result()
		if err != nil {
			t.Fatal(err)
		}
		owner, err := client.MasterForKey(ctx, key)
		if err != nil {
			t.Fatal(err)
		}
		to := masters[0]
		if to.addr == owner.Options().Addr {
			to = masters[1]
		}
		id, err := to.ClusterMyID(ctx).Result()
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range masters { // the slot is empty: nothing to migrate
			m.do("CLUSTER", "SETSLOT", slot, "NODE", id)
		}
		eventually(t, "topology reset", func() bool { return s.count(resetFor(ResetTopology)) > 0 })
		change("SADD", true)
	})

	t.Run("a hung master is noticed", func(t *testing.T) {
		masters[2].hang()
		eventually(t, "not ready", func() bool { return !s.Status().Ready })
		masters[2].wake()
		eventually(t, "ready", func() bool { return s.Status().Ready })
		change("SREM", false)
	})

	t.Run("a master that restarts is found again", func(t *testing.T) {
		masters[1].kill()
		eventually(t, "not ready", func() bool { return !s.Status().Ready })
		masters[1].start()
		eventually(t, "ready", func() bool { return s.Status().Ready })
		// It comes back empty, and may have held the text.
		if err := client.Set(ctx, "topicgate:acl", roomRules, 0).Err(); err != nil {
			t.Fatal(err)
		}
		change("SADD", true)
	})
}

// With a hash tag in the prefix all keys lie on one master, and the others have
// nothing to tell.
func TestClusterWithAHashTagAsPrefix(t *testing.T) {
	if testing.Short() {
		t.Skip("short: making a Cluster takes some seconds")
	}
	t.Parallel()
	url, _, client := startCluster(t)
	prefix := func(_ *Store, o *Options) { o.Prefix = "{topicgate}:" }
	s := startStore(t, url, prefix)
	g := s.open(t, policy.Principal{Username: "alice"})
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := client.Set(ctx, "{topicgate}:acl", "pattern read a", 0).Err(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "text", func() bool { return reads(g, "a") })
}

// A Cluster whose masters refuse writes is watched, each of them.
func TestClusterThatRefusesWritesIsWatched(t *testing.T) {
	if testing.Short() {
		t.Skip("short: making a Cluster takes some seconds")
	}
	t.Parallel()
	url, masters, client := startCluster(t)
	ctx := t.Context()
	if err := client.Set(ctx, "topicgate:acl", roomRules, 0).Err(); err != nil {
		t.Fatal(err)
	}
	const users = 30
	for i := range users {
		if err := client.SAdd(ctx, fmt.Sprintf("topicgate:user:u%d:rooms", i), "7").Err(); err != nil {
			t.Fatal(err)
		}
	}
	for _, m := range masters {
		m.do("CONFIG", "SET", "maxmemory-policy", "noeviction")
		m.do("CONFIG", "SET", "maxmemory", "1")
	}
	s := startStore(t, url, quick)
	grants := make([]*Grant, users)
	for i := range grants {
		grants[i] = s.open(t, policy.Principal{Username: fmt.Sprint("u", i)})
		if !reads(grants[i], "chat/room/7/x") {
			t.Errorf("u%d does not read the room", i)
		}
	}
	for i, g := range grants {
		if err := client.SRem(ctx, fmt.Sprintf("topicgate:user:u%d:rooms", i), "7").Err(); err != nil {
			t.Fatal(err)
		}
		eventually(t, fmt.Sprintf("u%d left", i), func() bool { return !reads(g, "chat/room/7/x") })
	}
	if st := s.Status(); !st.Ready || !strings.Contains(st.Detail["redis_writes"], "OOM") {
		t.Errorf("Status() = %+v; want ready, with the error", st)
	}
}
