package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// signingKey is that of all issuers that tests play.
var signingKey = sync.OnceValue(func() jose.JSONWebKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return jose.JSONWebKey{Key: key, KeyID: "first", Algorithm: "ES256", Use: "sig"}
})

func publicKeys() jose.JSONWebKeySet {
	key := signingKey()
	return jose.JSONWebKeySet{Keys: []jose.JSONWebKey{key.Public()}}
}

func sign(t *testing.T, claims map[string]any) string {
	t.Helper()
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: signingKey()}, nil)
	if err != nil {
		t.Fatal(err)
	}
	jws, err := signer.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	token, err := jws.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// startIssuer serves discovery document and keys until the test ends, and counts requests that do not say who asks.
func startIssuer(t *testing.T) (url string, nameless *atomic.Int64) {
	t.Helper()
	nameless = new(atomic.Int64)
	server := httptest.NewUnstartedServer(nil)
	url = "http://" + server.Listener.Addr().String()
	server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.UserAgent(), "topicgate/") {
			nameless.Add(1)
		}
		switch r.URL.Path {
		case "/.well-known/openid-configuration":
			_ = json.NewEncoder(w).Encode(map[string]any{"issuer": url, "jwks_uri": url + "/jwks"})
		case "/jwks":
			_ = json.NewEncoder(w).Encode(publicKeys())
		default:
			http.NotFound(w, r)
		}
	})
	server.Start()
	t.Cleanup(server.Close)
	return url, nameless
}

func TestTokenCheckSaysWhatTheGatewayWouldSay(t *testing.T) {
	issuer, _ := startIssuer(t)
	environ := []string{"TOPICGATE_OIDC_ISSUER=" + issuer, "TOPICGATE_OIDC_AUDIENCE=topicgate"}
	claims := func(name string, value any) map[string]any {
		c := map[string]any{"iss": issuer, "aud": "topicgate", "sub": "alice", "roles": []string{"moderator"}, "exp": time.Now().Add(time.Hour).Unix()}
		c[name] = value
		return c
	}
	good := sign(t, claims("nonce", "n"))
	for name, test := range map[string]struct {
		token          string
		status         int
		stdout, stderr string
	}{
		"good":             {good, exitDone, "accepted: the user is \"alice\" until ", ""},
		"good in a file":   {good + "\r\n", exitDone, "accepted: ", ""},
		"other issuer":     {sign(t, claims("iss", issuer+"/")), exitFailed, `issuer        refused`, "unknown_issuer: iss is \"" + issuer + "/\"; accepted: \"" + issuer + "\""},
		"other audience":   {sign(t, claims("aud", "web")), exitFailed, `audience      refused`, `wrong_audience: aud is "web"; accepted: "topicgate"`},
		"past":             {sign(t, claims("exp", 1)), exitFailed, "exp is 1970-01-01T00:00:01Z", "expired"},
		"roles of no kind": {sign(t, claims("roles", 1)), exitFailed, "username      ok", "bad_roles"},
		"forged":           {good[:len(good)-8] + "AAAAAAAA", exitFailed, "signature     refused", "bad_signature"},
		"opaque":           {"ory_at_3xkJ1", exitFailed, "form  refused", "an opaque token"},
		"none":             {"", exitFailed, "form  refused", "there is no token"},
	} {
		for from, got := range map[string]result{
			"standard input": topicgate(t, environ, test.token, "token", "check"),
			"a file":         topicgate(t, environ, "", "token", "check", writeFile(t, "token", test.token)),
		} {
			if got.status != test.status || !strings.Contains(got.stdout, test.stdout) || !strings.Contains(got.stderr, test.stderr) {
				t.Errorf("%s: token check of %s = %+v; want %d, %q, %q", name, from, got, test.status, test.stdout, test.stderr)
			}
			if parts := strings.Split(test.token, "."); len(parts) == 3 && strings.Contains(got.stdout+got.stderr, parts[2]) {
				t.Errorf("%s: token check prints the signature", name)
			}
		}
	}
	away := []string{"TOPICGATE_OIDC_ISSUER=http://127.0.0.1:1", "TOPICGATE_OIDC_AUDIENCE=topicgate"}
	if got := topicgate(t, away, sign(t, claims("iss", "http://127.0.0.1:1")), "token", "check"); got.status != exitFailed ||
		!strings.Contains(got.stdout, "signature     undecided") || !strings.Contains(got.stderr, "issuer_unreachable") {
		t.Errorf("token check without its issuer = %+v; want it to be undecided", got)
	}
	if got := topicgate(t, nil, good, "token", "check"); got.status != exitUsage {
		t.Errorf("token check without settings = %+v; want status 2", got)
	}
	if got := topicgate(t, environ, "", "token", "check", "/no/such/file"); got.status != exitUsage {
		t.Errorf("token check of no file = %+v; want status 2", got)
	}
}
