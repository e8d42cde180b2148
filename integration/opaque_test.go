package integration

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"topicgate/frames"
)

// introspection says what opaque tokens mean (RFC 7662).
type introspection struct {
	url string

	mu     sync.Mutex
	active map[string]claims // by token
	down   bool
	asked  int
}

func newIntrospection(t testing.TB) *introspection {
	n := &introspection{active: make(map[string]claims)}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.asked++
		id, secret, _ := r.BasicAuth()
		switch {
		case n.down:
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		case id != "gate" || secret != "s3cret" || !strings.HasPrefix(r.UserAgent(), "topicgate/"):
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		answer := claims{"active": false}
		if c, ok := n.active[r.PostFormValue("token")]; ok {
			answer = c
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(answer)
	}))
	t.Cleanup(server.Close)
	n.url = server.URL + "/introspect"
	return n
}

func (n *introspection) set(change func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	change()
}

func TestAnOpaqueTokenIsWhatItsIssuerSays(t *testing.T) {
	t.Parallel()
	s := prepareStack(t, openPolicy)
	n := newIntrospection(t)
	const token, other = "ory_at_kq5n8Vv3w1.Zp8xLOxBtZp8", "ory_at_another0000000000000"
	good := claims{"active": true, "iss": s.issuer.url, "aud": audience, "sub": "alice", "exp": time.Now().Add(time.Hour).Unix(), "token_type": "Bearer"}
	n.set(func() { n.active[token] = good })
	g := launchGateway(t, s.settings(settings{"OIDC_ISSUER": s.issuer.url + " introspection=" + n.url,
		"OIDC_INTROSPECTION_CLIENT_ID": "gate", "OIDC_INTROSPECTION_CLIENT_SECRET": "s3cret"}))
	eventually(t, "the gateway answers /healthz", func() bool { return g.status("/healthz") == 200 })
	for _, v := range versions {
		g.connect(t, v, "c", token).ping()
	}
	g.connect(t, frames.V5, "jwt", s.issuer.token(t, "alice")).ping() // which are good as ever
	w := g.opening(t, frames.V5, "unknown", "nobody-knows-this-token")
	w.refused(w.connack())
	n.set(func() {
		if n.asked != 2 {
			t.Errorf("the issuer was asked %d times about two tokens", n.asked)
		}
		n.down, n.active[other] = true, good
	})
	g.connect(t, frames.V5, "known", token).ping() // what is known stays so for a while
	held := g.opening(t, frames.V5, "held", other)
	g.stderr.await(t, "clients are held", "answered with status 503")
	n.set(func() { n.down = false })
	held.accepted().ping()
	if log := g.stderr.String() + g.stdout.String() + s.broker.stderr.String(); strings.Contains(log, token) || strings.Contains(log, other) || strings.Contains(log, "s3cret") {
		t.Error("a token or the secret stands in a log")
	}
}

// The same with a provider that is not ours: npm oidc-provider.
func TestOpaqueTokensOfACertifiedProvider(t *testing.T) {
	t.Parallel()
	s := prepareStack(t, "role moderator\ntopic write mod/only\n")
	p := startProviderOf(t, "opaque", map[string][]string{"alice": {"moderator"}})
	g := launchGateway(t, s.settings(settings{"OIDC_ISSUER": p.issuer + " introspection=" + p.issuer + "/token/introspection",
		"OIDC_INTROSPECTION_CLIENT_ID": "gate", "OIDC_INTROSPECTION_CLIENT_SECRET": "a secret: 100%"}))
	eventually(t, "the gateway answers /healthz", func() bool { return g.status("/healthz") == 200 })
	for name, allowed := range map[string]bool{"alice": true, "bob": false} {
		w := g.connect(t, frames.V5, "c", p.login(t, name))
		if got := w.publish(message("mod/only", "x", 1)) < 0x80; got != allowed {
			t.Errorf("%s's PUBLISH allowed: %v; want %v, by the role", name, got, allowed)
		}
		s.broker.stderr.await(t, "as "+name+":c ")
	}
}
