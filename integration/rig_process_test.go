package integration

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience bounds every wait in this package. It is not what anything is expected to take: only a test
// that has failed already gets there, on the slowest machine as well.
const patience = 30 * time.Second

// packages tells where a program comes from, for the message of a test that misses it.
var packages = map[string]string{
	"mosquitto":    "apt-get install mosquitto",
	"redis-server": "apt-get install redis-server",
	"redis-cli":    "apt-get install redis-tools",
	"node":         "apt-get install nodejs npm",
	"epmd":         "apt-get install erlang-base",
	"chromium":     "apt-get install chromium",
}

// required reports whether a missing server is a failure instead of a reason to skip.
func required() bool {
	return os.Getenv("CI") == "true" || os.Getenv("TEST_SERVERS") == "required"
}

// missing skips t, or fails it where servers are required.
func missing(t testing.TB, what, install string) {
	t.Helper()
	message := fmt.Sprintf("%s is not installed: %s (or run `make test`, which does)", what, install)
	if required() {
		t.Fatal(message)
	}
	t.Skip(message)
}

// program returns the path of an installed program.
func program(t testing.TB, name string) string {
	t.Helper()
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	if path := filepath.Join("/usr/sbin", name); isExecutable(path) { // where Debian keeps mosquitto; not in everybody's PATH
		return path
	}
	missing(t, name, packages[name])
	return ""
}

func isExecutable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode()&0o111 != 0
}

// output collects what a process writes and lets tests wait for a line.
type output struct {
	mu      sync.Mutex
	text    bytes.Buffer
	changed chan struct{} // closed and replaced at each Write
}

func newOutput() *output { return &output{changed: make(chan struct{})} }

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.text.Write(p)
	close(o.changed)
	o.changed = make(chan struct{})
	return len(p), nil
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// awaitLine waits for a complete line that accept takes and returns it.
func (o *output) awaitLine(t testing.TB, what string, accept func(line string) bool) string {
	t.Helper()
	deadline := time.After(patience)
	seen := 0
	for {
		o.mu.Lock()
		text, changed := o.text.String(), o.changed
		o.mu.Unlock()
		for {
			line, rest, complete := strings.Cut(text[seen:], "\n")
			if !complete {
				break
			}
			seen = len(text) - len(rest)
			if accept(line) {
				return line
			}
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("no line of output was %s", what)
		}
	}
}

// await waits for a line that holds every one of parts.
func (o *output) await(t testing.TB, parts ...string) string {
	t.Helper()
	return o.awaitLine(t, fmt.Sprintf("one with %q", parts), func(line string) bool {
		for _, part := range parts {
			if !strings.Contains(line, part) {
				return false
			}
		}
		return true
	})
}

// process is a child process. It ends with its test at the latest.
type process struct {
	name           string
	command        *exec.Cmd
	stdout, stderr *output
	ended          chan struct{} // closed when the process has been waited for
}

// start runs a program until the test ends. Its environment is env and nothing of the test's own but what
// programs need to find each other.
func start(t testing.TB, name, path string, args, env []string) *process {
	t.Helper()
	p := &process{name: name, stdout: newOutput(), stderr: newOutput(), ended: make(chan struct{})}
	p.command = exec.Command(path, args...)
	p.command.Stdout, p.command.Stderr = p.stdout, p.stderr
	p.command.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "TMPDIR=" + os.TempDir()}, env...)
	p.launch(t)
	return p
}

// launch starts the prepared command.
func (p *process) launch(t testing.TB) {
	t.Helper()
	p.command.SysProcAttr = dieWithParent()
	if err := p.command.Start(); err != nil {
		t.Fatalf("start %s: %v", p.name, err)
	}
	go func() {
		_ = p.command.Wait() // the exit code is read from ProcessState by who wants it
		close(p.ended)
	}()
	t.Cleanup(func() {
		p.stop(t)
		if t.Failed() {
			t.Logf("%s wrote:\n%s", p.name, tail(p.stdout.String()+p.stderr.String(), 16<<10))
		}
	})
}

// stop ends the process by SIGTERM, after a while by SIGKILL.
func (p *process) stop(t testing.TB) {
	t.Helper()
	p.signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(patience):
		t.Errorf("%s did not end within %v of SIGTERM", p.name, patience)
		p.kill()
	}
}

// kill ends the process at once and waits for its end.
func (p *process) kill() {
	p.signal(syscall.SIGKILL)
	<-p.ended
}

func (p *process) signal(s syscall.Signal) {
	if err := p.command.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		panic(fmt.Sprintf("BUG: signal %v to %s: %v", s, p.name, err))
	}
}

// signalAll signals the process and all that it has started: a browser's pages are processes of their own.
func (p *process) signalAll(t testing.TB, s syscall.Signal) {
	t.Helper()
	children := map[int][]int{}
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range stats {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // it has just ended
		}
		var pid, parent int
		var state string
		_, _ = fmt.Sscan(filepath.Base(filepath.Dir(name)), &pid)
		_, _ = fmt.Sscan(string(text[bytes.LastIndexByte(text, ')')+1:]), &state, &parent)
		children[parent] = append(children[parent], pid)
	}
	for family := []int{p.command.Process.Pid}; len(family) > 0; family = family[1:] {
		_ = syscall.Kill(family[0], s) // which may have ended
		family = append(family, children[family[0]]...)
	}
}

func (p *process) running() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// exitCode waits for the process to end by itself.
func (p *process) exitCode(t testing.TB) int {
	t.Helper()
	select {
	case <-p.ended:
		return p.command.ProcessState.ExitCode()
	case <-time.After(patience):
		t.Fatalf("%s is still running after %v", p.name, patience)
		return -1
	}
}

// tail returns the last bytes of a log, whole lines.
func tail(text string, size int) string {
	if len(text) <= size {
		return text
	}
	_, rest, _ := strings.Cut(text[len(text)-size:], "\n")
	return "...\n" + rest
}

var ports struct {
	mu    sync.Mutex
	given map[int]bool
	next  int
}

// freePort returns a loopback port that nobody listens on and that no other test was given. The range is
// below the one from which kernels take the ports of outgoing connections.
func freePort(t testing.TB) int {
	t.Helper()
	ports.mu.Lock()
	defer ports.mu.Unlock()
	if ports.given == nil {
		ports.given = map[int]bool{}
		ports.next = 12000 + rand.IntN(18000)
	}
	for range 1000 {
		port := ports.next
		if ports.next++; ports.next >= 32000 {
			ports.next = 12000
		}
		if ports.given[port] {
			continue
		}
		listener, err := net.Listen("tcp", loopback(port))
		if err != nil {
			continue
		}
		_ = listener.Close()
		ports.given[port] = true
		return port
	}
	t.Fatal("no free port")
	return 0
}

func loopback(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }

// awaitTCP waits until somebody accepts connections at address.
func awaitTCP(t testing.TB, p *process, address string) {
	t.Helper()
	eventually(t, p.name+" accepts connections", func() bool {
		if !p.running() {
			t.Fatalf("%s ended while starting (exit code %d)", p.name, p.exitCode(t))
		}
		conn, err := net.DialTimeout("tcp", address, patience)
		if err != nil {
			return false
		}
		_ = conn.Close()
		return true
	})
}

// eventually polls for what offers nothing to wait on.
func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for tick := time.NewTicker(5 * time.Millisecond); ; <-tick.C {
		if condition() {
			tick.Stop()
			return
		}
		if time.Now().After(deadline) {
			tick.Stop()
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}
