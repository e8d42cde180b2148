package gateway

import (
	"bytes"
	"context"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"topicgate/policy/store"
)

// eventually waits for condition, and fails with what it was.
func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !condition(); {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", patience, what)
		}
		time.Sleep(5 * time.Millisecond) // polls; the deadline decides
	}
}

// redisServer is a redis-server of one test.
type redisServer struct {
	t      testing.TB
	binary string
	addr   string
	args   []string
	*redis.Client
	cmd *exec.Cmd
}

// startRedis runs a redis-server on a free port of the loopback until the test ends.
func startRedis(t testing.TB, args ...string) *redisServer {
	t.Helper()
	binary, err := exec.LookPath("redis-server")
	if err != nil && (os.Getenv("CI") == "true" || os.Getenv("TEST_SERVERS") == "required") {
		t.Fatal("redis-server is missing: apt-get install redis-server")
	} else if err != nil {
		t.Skip("redis-server is missing: apt-get install redis-server")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &redisServer{t: t, binary: binary, addr: l.Addr().String()}
	_, port, _ := net.SplitHostPort(r.addr)
	r.args = append([]string{"--bind", "127.0.0.1", "--port", port, "--save", "", "--dir", t.TempDir()}, args...)
	l.Close()
	r.Client = redis.NewClient(&redis.Options{Addr: r.addr, MaxRetries: -1})
	t.Cleanup(func() {
		r.Client.Close()
		r.kill()
	})
	r.start()
	return r
}

// start starts the server, empty.
func (r *redisServer) start() {
	r.t.Helper()
	var out bytes.Buffer
	r.cmd = exec.Command(r.binary, r.args...)
	r.cmd.Stdout, r.cmd.Stderr = &out, &out
	if err := r.cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	eventually(r.t, "redis-server answers", func() bool { return r.Ping(context.Background()).Err() == nil })
}

// kill ends the server at once, hung or not.
func (r *redisServer) kill() {
	if r.cmd != nil {
		_ = r.cmd.Process.Kill()
		_ = r.cmd.Wait()
		r.cmd = nil
	}
}

// hang stops the process without ending a connection, until wake.
func (r *redisServer) hang() { r.signal(syscall.SIGSTOP) }
func (r *redisServer) wake() { r.signal(syscall.SIGCONT) }

func (r *redisServer) signal(s os.Signal) {
	r.t.Helper()
	if err := r.cmd.Process.Signal(s); err != nil {
		r.t.Fatal(err)
	}
}

// do runs one command, given as its words.
func (r *redisServer) do(words ...any) {
	r.t.Helper()
	if err := r.Do(context.Background(), words...).Err(); err != nil && err != redis.Nil {
		r.t.Fatalf("redis %v: %v", words, err)
	}
}

// calls returns how often a command was called since the server started.
func (r *redisServer) calls(command string) int {
	r.t.Helper()
	info, err := r.Info(context.Background(), "commandstats").Result()
	if err != nil {
		r.t.Fatal(err)
	}
	_, rest, _ := strings.Cut(info, "cmdstat_"+command+":calls=")
	text, _, _ := strings.Cut(rest, ",")
	n, _ := strconv.Atoi(text)
	return n
}

// sessions lists what is registered.
func (r *redisServer) sessions() []LiveSession {
	r.t.Helper()
	all, err := LiveSessions(context.Background(), r.Client, "tg:")
	if err != nil {
		r.t.Fatal(err)
	}
	return all
}

// awaitSessions waits until so many sessions are registered.
func (r *redisServer) awaitSessions(n int) []LiveSession {
	r.t.Helper()
	var all []LiveSession
	eventually(r.t, strconv.Itoa(n)+" sessions are registered", func() bool {
		all = r.sessions()
		return len(all) == n
	})
	return all
}

// newRedisRig is newRig for an instance that keeps its sessions, and reads its rules, in r.
func newRedisRig(t *testing.T, r *redisServer, instance string) *rig {
	t.Helper()
	r.do("SET", "tg:acl", chatRules)
	policies, err := store.New(store.Options{RedisURL: "redis://" + r.addr, Prefix: "tg:", StaleMax: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = policies.Run(ctx) })
	t.Cleanup(func() { // after newRig's
		stop()
		running.Wait()
		_ = policies.Close()
	})
	return newRig(t, func(o *Options) { o.Policy, o.RedisPrefix, o.Instance = policies, "tg:", instance })
}
