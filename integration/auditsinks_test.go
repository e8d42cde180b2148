package integration

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"topicgate/frames"
)

// recordIn reports whether a text of JSON lines holds a record with all of want; every line must be a record.
func recordIn(t testing.TB, text []byte, want record) bool {
	t.Helper()
	found := false
	for line := range bytes.Lines(text) {
		r := record{}
		if err := json.Unmarshal(line, &r); err != nil || r["type"] != "audit" {
			t.Errorf("%q is no audit record: %v", line, err)
		}
		found = found || r.has(want)
	}
	return found
}

func TestAnAuditFileMayBeMovedAwayAndItsDirectoryComeLater(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "later", "audit.jsonl")
	s := newStack(t, "pattern write mine/%u\n", settings{"AUDIT": "stdout,file:" + path})
	w := s.connect(t, frames.V5, "c", s.issuer.token(t, "alice"))
	refused := func(topic string) {
		w.publish(message(topic, "x", 1))
		s.audited(t, record{"topic": topic, "decision": "refused"}) // whatever becomes of the file
	}
	holds := func(path, topic string) {
		t.Helper()
		eventually(t, path+" holds the refusal of "+topic, func() bool {
			text, err := os.ReadFile(path)
			return err == nil && recordIn(t, text, record{"topic": topic, "decision": "refused", "user": "alice"})
		})
	}
	refused("first")
	if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	holds(path, "first")
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	refused("second")
	holds(path, "second")
	if err := os.Rename(path, path+".2"); err != nil {
		t.Fatal(err)
	}
	s.gateway.signal(syscall.SIGHUP)
	s.gateway.stderr.await(t, "rereading certificates and policy file")
	refused("third")
	holds(path, "third")
	holds(path+".1", "first")
	holds(path+".2", "second")
	if lost := s.metric(t, "topicgate_audit_dropped_total"); lost != 0 {
		t.Errorf("topicgate_audit_dropped_total is %v; want 0", lost)
	}
}

func TestAWebhookHearsOfRefusalsOnceItCan(t *testing.T) {
	t.Parallel()
	const secret = "a key that nobody guesses"
	var mu sync.Mutex
	var got []byte
	requests := 0
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		if requests++; requests == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		seconds, signature, _ := strings.Cut(strings.TrimPrefix(r.Header.Get("Topicgate-Signature"), "t="), ",v1=")
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write([]byte(seconds + "." + string(body)))
		if want := hex.EncodeToString(mac.Sum(nil)); signature != want {
			t.Errorf("signature %s; want %s", signature, want)
		}
		got = append(got, body...)
	}))
	defer hook.Close()
	s := newStack(t, "pattern write mine/%u\n", settings{"AUDIT": "redis,webhook:" + hook.URL + "/hunter2", "AUDIT_WEBHOOK_SECRET": secret})
	w := s.connect(t, frames.V5, "c", s.issuer.token(t, "alice"))
	w.publish(message("mine/bob", "x", 1))
	eventually(t, "the webhook has the refusal", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return recordIn(t, got, record{"topic": "mine/bob", "decision": "refused", "user": "alice"})
	})
	if text := s.gateway.stderr.String(); strings.Contains(text, "hunter2") || strings.Contains(text, secret) || !strings.Contains(text, "status 503") {
		t.Errorf("the log shows the URL or the secret, or not the status: %s", text)
	}
}

// Alice may read all but the records, so the broker sends these to her session too, where they are refused: that must
// make no records that make records.
func TestRecordsGoToTheBrokerAndDoNotBreed(t *testing.T) {
	t.Parallel()
	s := newStack(t, "pattern readwrite #\npattern deny ops/#\n", settings{"AUDIT": "stdout,mqtt:ops/audit"})
	hand := s.broker.direct(t, frames.V5, "hand")
	hand.subscribed("ops/audit")
	w := s.connect(t, frames.V5, "c", s.issuer.token(t, "alice"))
	w.subscribed("#")
	heard := func(topic string) {
		t.Helper()
		m := hand.receive()
		r := record{}
		if err := json.Unmarshal(m.Payload, &r); err != nil || m.Retain || m.QoS != 1 && m.QoS != 0 ||
			!r.has(record{"type": "audit", "action": "publish", "topic": topic, "user": "alice"}) {
			t.Errorf("%s came, %v; want the refusal of %s", m.Payload, err, topic)
		}
	}
	w.publish(message("ops/x", "x", 1))
	heard("ops/x")
	s.audited(t, record{"action": "deliver", "topic": "ops/audit", "decision": "refused"})
	w.publish(message("ops/y", "x", 1))
	heard("ops/y")
	s.broker.stop(t)
	s.broker.restart(t)
	s.awaitReady(t)
	hand = s.broker.direct(t, frames.V5, "hand")
	hand.subscribed("ops/audit")
	w = s.connect(t, frames.V5, "c", s.issuer.token(t, "alice"))
	w.publish(message("ops/z", "x", 1))
	heard("ops/z")
}

func TestTheAuditIsReadFromAnyArrangementOfRedis(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		start func(t *testing.T) (url string, one *redis)
	}{
		{"Cluster", func(t *testing.T) (string, *redis) { url, masters := startCluster(t); return url, masters[0] }},
		{"Sentinel", func(t *testing.T) (string, *redis) { s := startSentinels(t); return s.url(), s.master }},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			url, one := test.start(t)
			s := prepareStack(t, "pattern write mine/%u\n")
			s.redis = one
			s.gateway = startGateway(t, s.settings(settings{"REDIS_URL": url}))
			w := s.connect(t, frames.V5, "c", s.issuer.token(t, "alice"))
			w.publish(message("mine/bob", "x", 1))
			s.audited(t, record{"topic": "mine/bob"})
			eventually(t, "topicgate audit shows it", func() bool {
				stdout, stderr, status := s.topicgate(t, "audit", "--json", "--user", "alice", "--topic", "mine/+")
				return status == 0 && stderr == "" && recordIn(t, []byte(stdout), record{"topic": "mine/bob", "action": "publish"})
			})
		})
	}
}

func TestTheAuditIsFollowedOverARestartOfRedis(t *testing.T) {
	t.Parallel()
	s := newStack(t, "pattern write mine/%u\n")
	w := s.connect(t, frames.V5, "c", s.issuer.token(t, "alice"))
	var env []string
	for name, value := range s.env {
		env = append(env, "TOPICGATE_"+name+"="+value)
	}
	follower := start(t, "topicgate audit", gatewayBinary(t), []string{"audit", "--follow"}, env)
	w.publish(message("mine/before", "x", 1))
	follower.stdout.await(t, "alice", "publish", "mine/before")
	s.redis.kill()
	follower.stderr.await(t, "Redis cannot be read")
	s.redis.restart(t)
	follower.stderr.await(t, "Redis is read again")
	s.awaitReady(t)
	w = s.connect(t, frames.V5, "c2", s.issuer.token(t, "alice"))
	w.publish(message("mine/after", "x", 1))
	follower.stdout.await(t, "alice", "publish", "mine/after")
	if strings.Contains(follower.stdout.String(), "\x1b") {
		t.Errorf("escape sequences in what is no terminal: %q", follower.stdout)
	}
}
