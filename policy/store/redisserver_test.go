package store

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// patience is how long a test waits for what must happen some time.
const patience = 20 * time.Second

// eventually waits for condition, and fails with what it was.
func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !condition(); {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", patience, what)
		}
		time.Sleep(2 * time.Millisecond) // polls; the deadline decides
	}
}

// testRedis is a redis-server of one test.
type testRedis struct {
	t    testing.TB
	port int
	addr string
	args []string
	*redis.Client

	mu  sync.Mutex
	cmd *exec.Cmd
	out *strings.Builder
}

// startRedis runs a redis-server on a free port of the loopback, without a file
// on disk but its directory's.
func startRedis(t testing.TB, args ...string) *testRedis {
	t.Helper()
	port := freePort(t)
	r := &testRedis{t: t, port: port, addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(port))}
	r.args = append([]string{"--bind", "127.0.0.1", "--port", strconv.Itoa(port), "--save", "", "--dir", t.TempDir(),
		"--appendonly", "no", "--enable-debug-command", "yes"}, args...)
	r.Client = redis.NewClient(&redis.Options{Addr: r.addr, MaxRetries: -1, ContextTimeoutEnabled: true})
	t.Cleanup(func() {
		r.Client.Close()
		r.kill()
		if t.Failed() && r.out != nil {
			t.Logf("redis-server %s said:\n%s", r.addr, r.out)
		}
	})
	r.start()
	return r
}

func redisBinary(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err == nil {
		return path
	}
	if os.Getenv("TEST_SERVERS") == "required" {
		t.Fatalf("%s is missing: apt-get install redis-server", name)
	}
	t.Skipf("%s is missing: apt-get install redis-server", name)
	return ""
}

func freePort(t testing.TB) int {
	t.Helper()
	for range 100 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		port := l.Addr().(*net.TCPAddr).Port
		l.Close()
		if port < 55000 { // a Cluster's bus is at port+10000
			return port
		}
	}
	t.Fatal("no free port below 55000")
	return 0
}

func (r *testRedis) start() {
	r.t.Helper()
	out := &strings.Builder{}
	cmd := exec.Command(redisBinary(r.t, "redis-server"), r.args...)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	r.mu.Lock()
	r.cmd, r.out = cmd, out
	r.mu.Unlock()
	eventually(r.t, "redis-server answers", func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		err := r.Ping(ctx).Err()
		return err == nil || strings.Contains(err.Error(), "NOAUTH")
	})
}

// kill ends the server at once, hung or not.
func (r *testRedis) kill() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.cmd == nil {
		return
	}
	_ = r.cmd.Process.Kill()
	_ = r.cmd.Wait()
	r.cmd = nil
}

// hang stops the process without ending a connection, until wake.
func (r *testRedis) hang() { r.signal(syscall.SIGSTOP) }
func (r *testRedis) wake() { r.signal(syscall.SIGCONT) }

func (r *testRedis) signal(s os.Signal) {
	r.t.Helper()
	if err := r.cmd.Process.Signal(s); err != nil {
		r.t.Fatal(err)
	}
}

// do runs one command, given as its words.
func (r *testRedis) do(words ...any) {
	r.t.Helper()
	if err := r.Do(context.Background(), words...).Err(); err != nil && err != redis.Nil {
		r.t.Fatalf("redis %v: %v", words, err)
	}
}

// calls returns how often each command was called since the server started.
func (r *testRedis) calls() map[string]int {
	r.t.Helper()
	info, err := r.Info(context.Background(), "commandstats").Result()
	if err != nil {
		r.t.Fatal(err)
	}
	calls := make(map[string]int)
	for line := range strings.Lines(info) {
		name, rest, ok := strings.Cut(strings.TrimPrefix(line, "cmdstat_"), ":calls=")
		if ok {
			n, _, _ := strings.Cut(rest, ",")
			calls[name], _ = strconv.Atoi(n)
		}
	}
	return calls
}

func writeFile(t testing.TB, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
