package store

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"topicgate/policy"
)

// startSentinels runs a master, a replica and three Sentinels.
func startSentinels(t *testing.T) (url string, servers [2]*testRedis, sentinel *redis.SentinelClient) {
	t.Helper()
	servers[0] = startRedis(t, "--repl-diskless-sync-delay", "0")
	servers[1] = startRedis(t, "--repl-diskless-sync-delay", "0", "--replicaof", "127.0.0.1 "+strconv.Itoa(servers[0].port))
	eventually(t, "replica is in sync", func() bool {
		info, err := servers[1].Info(context.Background(), "replication").Result()
		return err == nil && strings.Contains(info, "master_link_status:up")
	})
	var addrs []string
	for range 3 {
		port := freePort(t)
		conf := writeFile(t, "sentinel.conf", fmt.Sprintf(`port %d
bind 127.0.0.1
dir %s
sentinel monitor chat 127.0.0.1 %d 2
sentinel down-after-milliseconds chat 1000
sentinel failover-timeout chat 5000
`, port, t.TempDir(), servers[0].port))
		cmd := exec.Command(redisBinary(t, "redis-server"), conf, "--sentinel")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
		addrs = append(addrs, "127.0.0.1:"+strconv.Itoa(port))
	}
	for i, addr := range addrs {
		c := redis.NewSentinelClient(&redis.Options{Addr: addr, MaxRetries: -1})
		t.Cleanup(func() { c.Close() })
		eventually(t, "Sentinel "+filepath.Base(addr)+" knows the others and the replica", func() bool {
			m, err := c.Master(context.Background(), "chat").Result()
			return err == nil && m["num-other-sentinels"] == "2" && m["num-slaves"] == "1"
		})
		if i == 0 {
			sentinel = c
		}
	}
	return "redis-sentinel://" + strings.Join(addrs, ",") + "#chat", servers, sentinel
}

func TestFailoverBySentinelIsFollowed(t *testing.T) {
	if testing.Short() {
		t.Skip("short: a failover takes some seconds")
	}
	t.Parallel()
	for _, c := range []struct {
		name string
		away func(*testing.T, *testRedis, *redis.SentinelClient)
	}{
		{"killed", func(_ *testing.T, master *testRedis, _ *redis.SentinelClient) { master.kill() }},
		{"asked", func(t *testing.T, _ *testRedis, sentinel *redis.SentinelClient) {
			// Sentinel may not have the replica's offset yet (NOGOODSLAVE).
			eventually(t, "failover begins", func() bool { return sentinel.Failover(t.Context(), "chat").Err() == nil })
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			url, servers, sentinel := startSentinels(t)
			servers[0].do("SET", "topicgate:acl", roomRules)
			servers[0].do("SADD", "topicgate:user:alice:rooms", "7")
			servers[0].do("WAIT", 1, 0)
			s := startStore(t, url)
			g := s.open(t, policy.Principal{Username: "alice"})
			if !reads(g, "chat/room/7/x") {
				t.Fatal("alice does not read her room")
			}
			c.away(t, servers[0], sentinel)
			eventually(t, "the replica is master", func() bool {
				info, err := servers[1].Info(context.Background(), "replication").Result()
				return err == nil && strings.Contains(info, "role:master")
			})
			// From the first write to the new master on, whatever the watcher hears.
			servers[1].do("SREM", "topicgate:user:alice:rooms", "7")
			eventually(t, "alice left", func() bool { return !reads(g, "chat/room/7/x") })
			servers[1].do("SADD", "topicgate:user:alice:rooms", "7")
			eventually(t, "alice joined", func() bool { return reads(g, "chat/room/7/x") && s.Status().Ready })
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			if bob, err := s.Open(ctx, policy.Principal{Username: "bob"}, nil); err != nil {
				t.Errorf("Open() after the failover = %v", err)
			} else {
				bob.Close()
			}
		})
	}
}
