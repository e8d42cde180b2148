package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// The test binary plays other programs when one of these variables is set.
const (
	asGateway = "DEMO_TEST_GATEWAY" // "serve": answers /readyz; anything else: says that and fails
	asParent  = "DEMO_TEST_PARENT"  // starts a child that holds this pipe open
	asStarter = "DEMO_TEST_STARTER" // starts a mosquitto: its path, port and folder, with colons between them
)

const patience = 30 * time.Second // for what takes a moment; only a failing test gets there

func TestMain(m *testing.M) {
	switch {
	case os.Getenv(asParent) != "":
		_, err := startChild("child", "/bin/sh", []string{"-c", "exec sleep 600 >" + os.Getenv(asParent)}, nil, "/", nil)
		if err != nil {
			panic(err)
		}
		select {}
	case os.Getenv(asStarter) != "":
		broker := strings.SplitN(os.Getenv(asStarter), ":", 3)
		if _, err := startMosquitto(broker[0], broker[1], broker[2], nil); err != nil {
			panic(err)
		}
		select {}
	case os.Getenv(asGateway) == "serve":
		playGateway()
	case os.Getenv(asGateway) != "":
		fmt.Fprintln(os.Stderr, os.Getenv(asGateway))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// playGateway answers as ready, tells at / what it was told, and dies at /die.
func playGateway() {
	http.HandleFunc("/readyz", func(http.ResponseWriter, *http.Request) {})
	http.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, os.Environ()) })
	http.HandleFunc("/die", func(http.ResponseWriter, *http.Request) {
		fmt.Fprintln(os.Stderr, "dying as asked")
		os.Exit(3)
	})
	panic(http.ListenAndServe(os.Getenv("TOPICGATE_ADMIN_LISTEN"), nil))
}

// output is a stream whose text can be waited for.
type output struct {
	mu      sync.Mutex
	text    bytes.Buffer
	changed chan struct{}
}

func newOutput() *output { return &output{changed: make(chan struct{}, 1)} }

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	select {
	case o.changed <- struct{}{}:
	default:
	}
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// running is a demo that runs.
type running struct {
	stdout, stderr *output
	cancel         context.CancelFunc
	status         chan int
}

// missing skips t, or fails it where servers are required.
func missing(t *testing.T, message string) {
	t.Helper()
	if os.Getenv("TEST_SERVERS") == "required" {
		t.Fatal(message)
	}
	t.Skip(message)
}

// startDouble runs the demo with the real servers and this binary in the gateway's place.
func startDouble(t *testing.T, gateway string) *running {
	t.Helper()
	library := filepath.Join(t.TempDir(), "mqtt.min.js")
	if err := os.WriteFile(library, []byte("// MQTT.js"), 0o600); err != nil {
		t.Fatal(err)
	}
	return startDemo(t, programs{topicgate: os.Args[0]}, library, []string{asGateway + "=" + gateway})
}

// startDemo runs the demo with the real servers, as a visitor would.
func startDemo(t *testing.T, given programs, library string, environ []string) *running {
	t.Helper()
	given, err := findPrograms(given)
	if err != nil {
		missing(t, err.Error())
	}
	t.Setenv("TMPDIR", t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	r := &running{stdout: newOutput(), stderr: newOutput(), cancel: cancel, status: make(chan int, 1)}
	args := []string{"--topicgate", given.topicgate, "--mosquitto", given.mosquitto, "--redis-server", given.redis, "--mqttjs", library}
	environ = append(append(os.Environ(), "TOPICGATE_MISSPELT=yes"), environ...)
	go func() { r.status <- run(ctx, args, environ, r.stdout, r.stderr) }()
	t.Cleanup(cancel)
	return r
}

var pageURL = regexp.MustCompile(`http://127\.0\.0\.1:\d+/\n`)

// url waits for the page's address.
func (r *running) url(t *testing.T) string {
	t.Helper()
	deadline := time.After(patience)
	for {
		if found := pageURL.FindString(r.stdout.String()); found != "" {
			return strings.TrimSpace(found)
		}
		select {
		case <-r.stdout.changed:
		case status := <-r.status:
			t.Fatalf("the demo ended with %d:\n%s%s", status, r.stdout, r.stderr)
		case <-deadline:
			t.Fatalf("no address was printed:\n%s%s", r.stdout, r.stderr)
		}
	}
}

var metricsURL = regexp.MustCompile(`metrics at (http://\S+)/metrics`)

// admin is the address of the gateway's own HTTP server, once the demo is up.
func (r *running) admin(t *testing.T) string {
	t.Helper()
	found := metricsURL.FindStringSubmatch(r.stdout.String())
	if found == nil {
		t.Fatalf("no metrics address in\n%s", r.stdout)
	}
	return found[1]
}

func (r *running) end(t *testing.T) int {
	t.Helper()
	select {
	case status := <-r.status:
		return status
	case <-time.After(patience):
		t.Fatal("the demo does not end")
		return 0
	}
}

func TestDemoComesUpServesAndLeavesNothingBehind(t *testing.T) {
	r := startDouble(t, "serve")
	page := r.url(t)

	var config struct{ Issuer, Gateway, RedirectURI string }
	getJSON(t, page+"config.json", &config)
	var discovery struct{ Issuer string }
	getJSON(t, config.Issuer+"/.well-known/openid-configuration", &discovery)
	if discovery.Issuer != config.Issuer {
		t.Errorf("issuer = %q; want %q", discovery.Issuer, config.Issuer)
	}

	for _, path := range []string{"", "app.js", "chat.js", "dom.js", "oidc.js", "panel.js", "style.css", "mqtt.min.js"} {
		response := get(t, page+path)
		if response.StatusCode != http.StatusOK || response.ContentLength == 0 {
			t.Errorf("GET /%s = %s, %d bytes; want 200 and some", path, response.Status, response.ContentLength)
		}
	}
	policy := get(t, page).Header.Get("Content-Security-Policy")
	if !strings.Contains(policy, "script-src 'self';") || !strings.Contains(policy, config.Issuer) || strings.Contains(policy, "unsafe") {
		t.Errorf("Content-Security-Policy = %q; want own scripts only, and the provider to connect to", policy)
	}

	var environ []string
	getJSON(t, r.admin(t)+"/", &environ)
	told := strings.Join(environ, "\n")
	if !strings.Contains(told, "TOPICGATE_OIDC_ISSUER="+config.Issuer) || strings.Contains(told, "TOPICGATE_MISSPELT") {
		t.Errorf("the gateway was told\n%s\nwant the demo's issuer and nothing of the visitor's own settings", told)
	}

	testBackEnd(t, page)

	r.cancel()
	if status := r.end(t); status != 0 {
		t.Errorf("the demo ended with %d; want 0\n%s", status, r.stderr)
	}
	for _, address := range regexp.MustCompile(`127\.0\.0\.1:\d+`).FindAllString(r.stdout.String(), -1) {
		if conn, err := net.Dial("tcp", address); err == nil {
			conn.Close()
			t.Errorf("something still listens on %s", address)
		}
	}
	if left, err := os.ReadDir(os.TempDir()); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v; want nothing", left, err)
	}
}

func TestDemoSaysWhichChildFailedAndWhy(t *testing.T) {
	r := startDouble(t, "the settings are wrong")
	if status := r.end(t); status != 1 {
		t.Errorf("the demo ended with %d; want 1", status)
	}
	if got := r.stderr.String(); !strings.Contains(got, "topicgate ended by itself (exit status 1)") || !strings.Contains(got, "topicgate | the settings are wrong") {
		t.Errorf("standard error = %q; want the child and its last line", got)
	}
}

// A child that dies is started again; one that goes on dying ends the demo, which shows its last words.
func TestDemoStartsAChildThatDiesAgain(t *testing.T) {
	r := startDouble(t, "serve")
	page := r.url(t)
	for range 2 {
		if response, err := client.Get(r.admin(t) + "/die"); err == nil {
			response.Body.Close()
		}
		isBack(t, r.admin(t)+"/readyz")
	}
	for _, what := range []string{"broker", "redis", "gateway"} {
		response, err := client.Post(page+"backend/trouble", "application/json", strings.NewReader(`{"what":"`+what+`"}`))
		if err != nil || response.StatusCode != http.StatusOK {
			t.Fatalf("trouble with the %s: %v, %v", what, response, err)
		}
		response.Body.Close()
	}
	isBack(t, r.admin(t)+"/readyz")
	getJSON(t, page+"backend/state", &struct{}{}) // which asks Redis
	r.cancel()
	if status := r.end(t); status != 0 {
		t.Errorf("the demo ended with %d; want 0\n%s", status, r.stderr)
	}
	if left, err := os.ReadDir(os.TempDir()); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v; want nothing", left, err)
	}
}

// isBack waits until url is answered with 200 after it was not.
func isBack(t *testing.T, url string) {
	t.Helper()
	away := false
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		response, err := client.Get(url)
		ok := err == nil && response.StatusCode == http.StatusOK
		if err == nil {
			response.Body.Close()
		}
		if away = away || !ok; away && ok {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: away %v, and not back: %v", url, away, err)
		}
	}
}

func TestAChildThatGoesOnDyingIsGivenUp(t *testing.T) {
	k, now := &kept{}, time.Now()
	for n := range mostEnds {
		if k.tooMany(now.Add(time.Duration(n) * time.Second)) {
			t.Fatalf("given up after %d ends", n+1)
		}
	}
	if k.tooMany(now.Add(endsWithin)) {
		t.Error("given up though the ends are far apart")
	}
	if !k.tooMany(now.Add(endsWithin)) {
		t.Error("not given up after too many ends in a minute")
	}
}

func TestDemoNamesEverythingThatIsMissing(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	t.Chdir(t.TempDir())
	stderr := newOutput()
	if status := run(t.Context(), []string{"--mosquitto", os.Args[0]}, nil, io.Discard, stderr); status != 1 {
		t.Errorf("run = %d; want 1", status)
	}
	for _, want := range []string{"redis-server is not here: apt-get install redis-server", "topicgate is not here", "npm ci"} {
		if !strings.Contains(stderr.String(), want) {
			t.Errorf("standard error = %q; want %q in it", stderr, want)
		}
	}
}

func TestWrongUsage(t *testing.T) {
	for _, args := range [][]string{{"--prot", "1"}, {"extra"}, {"--token-lifetime", "1s"}} {
		stderr := newOutput()
		if status := run(t.Context(), args, nil, io.Discard, stderr); status != 2 || stderr.String() == "" {
			t.Errorf("run(%q) = %d, %q; want 2 and a reason", args, status, stderr)
		}
	}
}

func get(t *testing.T, url string) *http.Response {
	t.Helper()
	response, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(response.Body)
	response.Body.Close()
	if err != nil {
		t.Fatal(err)
	}
	response.Body = io.NopCloser(bytes.NewReader(body))
	return response
}

func getJSON(t *testing.T, url string, into any) {
	t.Helper()
	response := get(t, url)
	if err := json.NewDecoder(response.Body).Decode(into); response.StatusCode != http.StatusOK || err != nil {
		t.Fatalf("GET %s = %s, %v; want 200 and JSON", url, response.Status, errors.Join(err))
	}
}
