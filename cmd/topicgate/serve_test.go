package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must happen some time.
const patience = 20 * time.Second

// gatewayProcess is "topicgate serve", running in this process.
type gatewayProcess struct {
	t      *testing.T
	log    chan map[string]any // its lines on standard error
	status chan int
	stop   context.CancelFunc
	seen   []map[string]any // lines that await has read

	public, admin string // addresses
}

// startGateway runs serve on free ports of the loopback until the test ends.
func startGateway(t *testing.T, more ...string) *gatewayProcess {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	g := &gatewayProcess{t: t, log: make(chan map[string]any, 1000), status: make(chan int, 1), stop: stop}
	environ := append(settings("TOPICGATE_LISTEN=127.0.0.1:0", "TOPICGATE_ADMIN_LISTEN=127.0.0.1:0",
		"TOPICGATE_OIDC_ISSUER=http://127.0.0.1:1", "TOPICGATE_REDIS_URL=none"), more...)
	reader, writer := io.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for lines := bufio.NewScanner(reader); lines.Scan(); {
			line := make(map[string]any)
			if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
				line["msg"] = lines.Text()
			}
			g.log <- line
		}
	}()
	go func() {
		g.status <- run(ctx, []string{"serve"}, environ, io.Discard, writer)
		writer.Close()
	}()
	t.Cleanup(func() {
		stop()
		<-done
	})
	started := g.await("started")
	g.public, g.admin = started["listen"].(string), started["admin"].(string)
	return g
}

// await returns the next log line with that message.
func (g *gatewayProcess) await(message string) map[string]any {
	g.t.Helper()
	for deadline := time.After(patience); ; {
		select {
		case line := <-g.log:
			if g.seen = append(g.seen, line); line["msg"] == message {
				return line
			}
		case <-deadline:
			g.t.Fatalf("no log line %q within %v, but %v", message, patience, g.seen)
		}
	}
}

func (g *gatewayProcess) exit() int {
	g.t.Helper()
	select {
	case status := <-g.status:
		return status
	case <-time.After(patience):
		g.t.Fatalf("still running after %v", patience)
		return -1
	}
}

func get(t *testing.T, url string) (status int, body string) {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}
	response, err := (&http.Client{Transport: transport, Timeout: patience}).Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

func TestServeAnswersOnBothListeners(t *testing.T) {
	g := startGateway(t, "TOPICGATE_POLICY_FILE="+writeFile(t, "acl", "pattern read a\n"))
	for _, test := range []struct {
		address, path string
		status        int
		body          string
	}{
		{g.public, "/mqtt", http.StatusUpgradeRequired, ""},
		{g.public, "/metrics", http.StatusNotFound, ""},
		{g.admin, "/mqtt", http.StatusNotFound, ""},
		{g.admin, "/healthz", http.StatusOK, "ok"},
		{g.admin, "/readyz", http.StatusServiceUnavailable, `"issuer http://127.0.0.1:1":`},
		{g.admin, "/readyz", http.StatusServiceUnavailable, `"broker 127.0.0.1:1883":`},
		{g.admin, "/sessions", http.StatusOK, "[]"},
		{g.admin, "/metrics", http.StatusOK, `topicgate_policy_loads_total{result="success"} 1`},
	} {
		if status, body := get(t, "http://"+test.address+test.path); status != test.status || !strings.Contains(body, test.body) {
			t.Errorf("GET %s = %d %s; want %d, %q", test.path, status, body, test.status, test.body)
		}
	}
	g.stop()
	if status := g.exit(); status != exitDone {
		t.Errorf("serve ended with %d; want %d", status, exitDone)
	}
}

func TestServeObeysSignals(t *testing.T) {
	rules := writeFile(t, "acl", "pattern read a\n")
	g := startGateway(t, "TOPICGATE_POLICY_FILE="+rules, "TOPICGATE_DRAIN_TIMEOUT=1s")
	signal := func(s syscall.Signal) {
		if err := syscall.Kill(os.Getpid(), s); err != nil {
			t.Fatal(err)
		}
	}
	signal(syscall.SIGHUP)
	g.await("policy loaded")
	if err := os.WriteFile(rules, []byte("patern read a\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	signal(syscall.SIGHUP)
	if line := g.await("not reread, the last good one stays"); !strings.Contains(line["err"].(string), "patern") {
		t.Errorf("logged %v; want the mistake in the rules", line)
	}
	if status, body := get(t, "http://"+g.admin+"/readyz"); !strings.Contains(body, "patern") {
		t.Errorf("/readyz = %d %s; want it to name the mistake", status, body)
	}
	signal(syscall.SIGTERM)
	g.await("stopped")
	if status := g.exit(); status != exitDone {
		t.Errorf("serve ended with %d; want %d", status, exitDone)
	}
}

func TestServeOverTLSRereadsItsCertificate(t *testing.T) {
	cert, key := writeCertificate(t, "one")
	g := startGateway(t, "TOPICGATE_POLICY_FILE="+writeFile(t, "acl", "pattern read a\n"),
		"TOPICGATE_TLS_CERT_FILE="+cert, "TOPICGATE_TLS_KEY_FILE="+key)
	if status, _ := get(t, "https://"+g.public+"/mqtt"); status != http.StatusUpgradeRequired {
		t.Errorf("GET over TLS = %d; want %d", status, http.StatusUpgradeRequired)
	}
	replaceCertificate(t, cert, key, "two")
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	if line := g.await("TLS certificate loaded"); line["subject"] != "CN=two" {
		t.Errorf("loaded %v; want CN=two", line)
	}
}

func TestServeWarnsOfWhatIsAllowedButRisky(t *testing.T) {
	g := startGateway(t, "TOPICGATE_POLICY_FILE="+writeFile(t, "acl", "pattern read a\n"), "TOPICGATE_TRUSTED_PROXIES=0.0.0.0/0",
		"TOPICGATE_AUDIT=none")
	var warned []any
	for _, line := range g.seen {
		if line["msg"] == "setting" && line["level"] == "WARN" {
			warned = append(warned, line["variable"])
		}
	}
	if want := []any{"TOPICGATE_TRUSTED_PROXIES"}; !slices.Equal(warned, want) {
		t.Errorf("warned of %v; want %v", warned, want)
	}
	g.stop()
	if status := g.exit(); status != exitDone {
		t.Errorf("serve ended with %d; want %d", status, exitDone)
	}
}

func TestServeDoesNotStartWithWrongSettings(t *testing.T) {
	got := topicgate(t, settings("TOPICGATE_LISTNE=:1", "TOPICGATE_POLICY_FILE=/no/such/file"), "", "serve")
	want := "topicgate: TOPICGATE_LISTNE: unknown setting; did you mean TOPICGATE_LISTEN?\n"
	if got != (result{exitUsage, "", want}) {
		t.Errorf("serve = %+v; want status 2 and %q", got, want)
	}
	got = topicgate(t, settings("TOPICGATE_POLICY_FILE=/no/such/file"), "", "serve")
	if got.status != exitUsage || !strings.HasPrefix(got.stderr, "topicgate: TOPICGATE_POLICY_FILE: open /no/such/file: ") {
		t.Errorf("serve = %+v; want status 2 and the file", got)
	}
}

func TestServeNamesAnAddressThatIsTaken(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	rules := writeFile(t, "acl", "pattern read a\n")
	for variable, other := range map[string]string{"LISTEN": "ADMIN_LISTEN", "ADMIN_LISTEN": "LISTEN"} {
		var stderr bytes.Buffer
		environ := settings("TOPICGATE_REDIS_URL=none", "TOPICGATE_POLICY_FILE="+rules, "TOPICGATE_LOG_LEVEL=error",
			"TOPICGATE_"+variable+"="+l.Addr().String(), "TOPICGATE_"+other+"=127.0.0.1:0")
		status := run(t.Context(), []string{"serve"}, environ, io.Discard, &stderr)
		if want := "topicgate: TOPICGATE_" + variable + ": listen tcp "; status != exitFailed || !strings.HasPrefix(stderr.String(), want) {
			t.Errorf("serve = %d, %s; want 1 and %q", status, stderr.String(), want)
		}
	}
}
