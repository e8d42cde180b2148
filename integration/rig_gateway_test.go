package integration

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// chatPolicy is the rules of the chat that topicgate is first of all for.
const chatPolicy = `pattern write chat/status/%u
pattern read chat/status/+
pattern read chat/messages/%u/+
pattern write chat/messages/+/%u
user admin
topic read chat/messages/+/+
`

// openPolicy lets everybody do everything that is not about rules in a test.
const openPolicy = "pattern readwrite #\n"

// binary builds the gateway once for all tests.
var binary = sync.OnceValues(func() (string, error) {
	path := filepath.Join(buildDir, "topicgate")
	if err := readSources(); err != nil {
		return "", err
	}
	out, err := exec.Command("go", slices.Concat([]string{"build"}, buildFlags, []string{"-o", path, "topicgate/cmd/topicgate"})...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
})

// readSources lists every folder of the module. `go test` keeps the result of a test as long as nothing changed
// that it imports or opened; the sources of the program under test belong to that.
func readSources() error {
	return filepath.WalkDir("..", func(_ string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() && (entry.Name() == "node_modules" || entry.Name() == ".git" || entry.Name() == "bin") {
			return fs.SkipDir
		}
		return err
	})
}

// buildDir is set by TestMain.
var buildDir string

func gatewayBinary(t testing.TB) string {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// gateway is the program under test, as an operator starts it.
type gateway struct {
	*process
	address string // of the WebSocket listener
	admin   string // of the administration listener
	secure  bool   // serves WSS
	env     map[string]string
}

// settings are TOPICGATE_* variables without their prefix.
type settings map[string]string

// launchGateway starts the gateway without waiting for anything, by way of a command that is to end in running it, if one
// is given.
func launchGateway(t testing.TB, s settings, by ...string) *gateway {
	t.Helper()
	path := gatewayBinary(t)
	g := &gateway{address: loopback(freePort(t)), admin: loopback(freePort(t))}
	g.env = map[string]string{
		"LISTEN": g.address, "ADMIN_LISTEN": g.admin, "OIDC_AUDIENCE": audience,
		"DRAIN_TIMEOUT": "1s", // a test that failed leaves sessions behind
	}
	maps.Copy(g.env, s)
	g.address, g.admin = g.env["LISTEN"], g.env["ADMIN_LISTEN"] // those of one that is gone, perhaps
	g.secure = g.env["TLS_CERT_FILE"] != ""
	var env []string
	for name, value := range g.env {
		env = append(env, "TOPICGATE_"+name+"="+value)
	}
	env = append(env, "GORACE=halt_on_error=1 exitcode=66 atexit_sleep_ms=0")
	command := append(by, path, "serve")
	g.process = start(t, "topicgate", command[0], command[1:], env)
	t.Cleanup(func() {
		if strings.Contains(g.stderr.String(), "WARNING: DATA RACE") {
			t.Errorf("the gateway raced:\n%s", g.stderr)
		}
		if strings.Contains(g.stderr.String(), "panic: ") {
			t.Errorf("the gateway panicked:\n%s", g.stderr)
		}
		leaksNoToken(t, "the gateway's output", g.stdout.String()+g.stderr.String())
	})
	return g
}

// startGateway starts the gateway and waits until it says that it is ready.
func startGateway(t testing.TB, s settings) *gateway {
	t.Helper()
	g := launchGateway(t, s)
	g.awaitReady(t)
	return g
}

// awaitAlive waits until the gateway answers, ready or not.
func (g *gateway) awaitAlive(t testing.TB) {
	t.Helper()
	eventually(t, "/healthz answers", func() bool { return g.status("/healthz") == http.StatusOK })
}

func (g *gateway) awaitReady(t testing.TB) {
	t.Helper()
	eventually(t, "the gateway is ready", func() bool {
		if !g.running() {
			t.Fatalf("the gateway ended while starting (exit code %d)", g.exitCode(t))
		}
		return g.status("/readyz") == http.StatusOK
	})
}

// oneShot keeps no connection: the leak check at the end of all tests would find it.
var oneShot = &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}

// status asks the administration listener; 0 when nobody answers.
func (g *gateway) status(path string) int {
	response, err := oneShot.Get("http://" + g.admin + path)
	if err != nil {
		return 0
	}
	_, _ = io.Copy(io.Discard, response.Body)
	_ = response.Body.Close()
	return response.StatusCode
}

func (g *gateway) get(t testing.TB, path string) string {
	t.Helper()
	response, err := oneShot.Get("http://" + g.admin + path)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// metric returns the sum of the series of a metric that carry all the given labels (`reason="x"`).
func (g *gateway) metric(t testing.TB, name string, labels ...string) (sum float64) {
	t.Helper()
	for line := range strings.Lines(g.get(t, "/metrics")) {
		series, value, ok := strings.Cut(strings.TrimSpace(line), " ")
		if family, _, _ := strings.Cut(series, "{"); !ok || family != name {
			continue
		}
		if slices.ContainsFunc(labels, func(l string) bool { return !strings.Contains(series, l) }) {
			continue
		}
		var v float64
		if _, err := fmt.Sscan(value, &v); err != nil {
			t.Fatalf("metric %s has the value %q", series, value)
		}
		sum += v
	}
	return sum
}

func (g *gateway) url(path string) string {
	if g.secure {
		return "wss://" + g.address + path
	}
	return "ws://" + g.address + path
}

// rss returns the resident memory of the gateway in bytes.
func (g *gateway) rss(t testing.TB) int {
	t.Helper()
	file, err := os.Open(fmt.Sprintf("/proc/%d/status", g.command.Process.Pid))
	if err != nil {
		t.Skipf("no /proc to read the gateway's memory from: %v", err)
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		var kib int
		if n, _ := fmt.Sscanf(lines.Text(), "VmRSS: %d kB", &kib); n == 1 {
			return kib << 10
		}
	}
	t.Fatal("no VmRSS in /proc/PID/status")
	return 0
}

// record is one line of the audit on standard output, or one entry of the stream.
type record map[string]any

// audited waits for an audit record on standard output that holds all of want.
func (g *gateway) audited(t testing.TB, want record) record {
	t.Helper()
	var found record
	g.stdout.awaitLine(t, fmt.Sprintf("an audit record with %v", want), func(line string) bool {
		r := record{}
		if json.Unmarshal([]byte(line), &r) != nil || !r.has(want) {
			return false
		}
		found = r
		return true
	})
	return found
}

func (r record) has(want record) bool {
	for name, value := range want {
		if fmt.Sprint(r[name]) != fmt.Sprint(value) {
			return false
		}
	}
	return true
}

// stack is a gateway with everything around it.
type stack struct {
	broker *mosquitto
	redis  *redis
	issuer *issuer
	policy string // the policy file
	*gateway
}

// newStack starts mosquitto, Redis, an issuer and, with the rules in a file, the gateway before them.
func newStack(t testing.TB, rules string, more ...settings) *stack {
	t.Helper()
	s := prepareStack(t, rules)
	s.gateway = startGateway(t, s.settings(more...))
	return s
}

// prepareStack starts all of it but the gateway.
func prepareStack(t testing.TB, rules string) *stack {
	t.Helper()
	return prepareStackBefore(t, startMosquitto(t), rules)
}

// prepareStackBefore starts all of it but the gateway and the broker.
func prepareStackBefore(t testing.TB, broker *mosquitto, rules string) *stack {
	t.Helper()
	s := &stack{broker: broker, redis: startRedis(t), issuer: newIssuer(t), policy: filepath.Join(t.TempDir(), "policy.acl")}
	writeFile(t, s.policy, rules)
	t.Cleanup(func() { // runs before Redis is stopped
		leaksNoToken(t, "the broker's log", s.broker.stderr.String())
		if s.redis.running() {
			everything := s.redis.do(t, "EVAL", dumpScript, "0")
			leaksNoToken(t, "Redis", everything)
		}
	})
	return s
}

// dumpScript returns the audit stream and the names and texts of all keys.
const dumpScript = `local all = {}
for _, key in ipairs(redis.call('KEYS', '*')) do
  local kind = redis.call('TYPE', key).ok
  all[#all+1] = key
  if kind == 'string' then all[#all+1] = redis.call('GET', key)
  elseif kind == 'set' then all[#all+1] = redis.call('SMEMBERS', key)
  elseif kind == 'hash' then all[#all+1] = redis.call('HGETALL', key)
  elseif kind == 'stream' then all[#all+1] = redis.call('XRANGE', key, '-', '+') end
end
return all`

func (s *stack) settings(more ...settings) settings {
	all := settings{
		"UPSTREAM_URLS": "tcp://" + s.broker.address,
		"REDIS_URL":     s.redis.url(),
		"OIDC_ISSUER":   s.issuer.url,
		"POLICY_FILE":   s.policy,
	}
	for _, m := range more {
		maps.Copy(all, m)
	}
	return all
}
