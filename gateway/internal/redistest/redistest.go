// Package redistest runs a Redis for one test.
package redistest

import (
	"bytes"
	"context"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// patience is how long what has to happen may take.
const patience = 10 * time.Second

// Eventually waits for condition, and fails with what it was.
func Eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !condition(); {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", patience, what)
		}
		time.Sleep(5 * time.Millisecond) // polls; the deadline decides
	}
}

// Server is a redis-server of one test.
type Server struct {
	t      testing.TB
	binary string
	Addr   string // host:port
	args   []string
	*redis.Client
	cmd *exec.Cmd
}

// Start runs a redis-server on a free port of the loopback until the test ends.
func Start(t testing.TB, args ...string) *Server {
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
	r := &Server{t: t, binary: binary, Addr: l.Addr().String()}
	_, port, _ := net.SplitHostPort(r.Addr)
	r.args = append([]string{"--bind", "127.0.0.1", "--port", port, "--save", "", "--dir", t.TempDir()}, args...)
	l.Close()
	r.Client = redis.NewClient(&redis.Options{Addr: r.Addr, MaxRetries: -1})
	t.Cleanup(func() {
		r.Client.Close()
		r.Kill()
	})
	r.Start()
	return r
}

// Start starts the server, empty.
func (r *Server) Start() {
	r.t.Helper()
	var out bytes.Buffer
	r.cmd = exec.Command(r.binary, r.args...)
	r.cmd.Stdout, r.cmd.Stderr = &out, &out
	if err := r.cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	Eventually(r.t, "redis-server answers", func() bool { return r.Ping(context.Background()).Err() == nil })
}

// Kill ends the server at once, hung or not.
func (r *Server) Kill() {
	if r.cmd != nil {
		_ = r.cmd.Process.Kill()
		_ = r.cmd.Wait()
		r.cmd = nil
	}
}

// Hang stops the process without ending a connection, until Wake.
func (r *Server) Hang() { r.signal(syscall.SIGSTOP) }
func (r *Server) Wake() { r.signal(syscall.SIGCONT) }

func (r *Server) signal(s os.Signal) {
	r.t.Helper()
	if err := r.cmd.Process.Signal(s); err != nil {
		r.t.Fatal(err)
	}
}

// Run runs one command, given as its words.
func (r *Server) Run(words ...any) {
	r.t.Helper()
	if err := r.Do(context.Background(), words...).Err(); err != nil && err != redis.Nil {
		r.t.Fatalf("redis %v: %v", words, err)
	}
}

// Calls returns how often a command was called since the server started.
func (r *Server) Calls(command string) int {
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
