package integration

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

const audience = "topicgate"

// claims are the payload of a token.
type claims map[string]any

// issuer is an OpenID Connect issuer as far as the gateway sees one (discovery and JWKS), that signs whatever
// token a test wants, also such as no provider would.
type issuer struct {
	url      string
	server   *httptest.Server
	jwksGets atomic.Int64

	mu   sync.Mutex
	key  jose.JSONWebKey // signs
	keys []jose.JSONWebKey
	down bool
}

var signingKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

// newIssuer serves an issuer until the test ends.
func newIssuer(t testing.TB) *issuer {
	t.Helper()
	i := newStoppedIssuer(t)
	i.start(t)
	return i
}

// newStoppedIssuer has an address at which nobody listens before start.
func newStoppedIssuer(t testing.TB) *issuer {
	t.Helper()
	i := &issuer{url: "http://" + loopback(freePort(t))}
	i.key = jose.JSONWebKey{Key: signingKey(), KeyID: "first", Algorithm: string(jose.RS256), Use: "sig"}
	i.keys = []jose.JSONWebKey{i.key.Public()}
	return i
}

func (i *issuer) start(t testing.TB) {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		i.answer(w, map[string]any{
			"issuer":                                i.url,
			"authorization_endpoint":                i.url + "/auth",
			"token_endpoint":                        i.url + "/token",
			"jwks_uri":                              i.url + "/jwks",
			"response_types_supported":              []string{"code"},
			"subject_types_supported":               []string{"public"},
			"id_token_signing_alg_values_supported": []string{"RS256", "ES256", "EdDSA"},
		})
	})
	mux.HandleFunc("GET /jwks", func(w http.ResponseWriter, _ *http.Request) {
		i.jwksGets.Add(1)
		i.mu.Lock()
		set := jose.JSONWebKeySet{Keys: i.keys}
		i.mu.Unlock()
		i.answer(w, set)
	})
	listener, err := net.Listen("tcp", i.url[len("http://"):])
	if err != nil {
		t.Fatal(err)
	}
	i.server = &httptest.Server{Listener: listener, Config: &http.Server{Handler: mux}}
	i.server.Start()
	t.Cleanup(i.server.Close)
}

func (i *issuer) answer(w http.ResponseWriter, v any) {
	i.mu.Lock()
	down := i.down
	i.mu.Unlock()
	if down {
		http.Error(w, "down", http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

// rotate lets the issuer sign with a new key of the kind; keep says whether the older keys stay published.
func (i *issuer) rotate(t testing.TB, id string, algorithm jose.SignatureAlgorithm, keep bool) {
	t.Helper()
	key := jose.JSONWebKey{Key: newKey(t, algorithm), KeyID: id, Algorithm: string(algorithm), Use: "sig"}
	i.mu.Lock()
	defer i.mu.Unlock()
	if !keep {
		i.keys = nil
	}
	i.key, i.keys = key, append(i.keys, key.Public())
}

func newKey(t testing.TB, algorithm jose.SignatureAlgorithm) (key crypto.Signer) {
	t.Helper()
	var err error
	switch algorithm {
	case jose.RS256, jose.PS256:
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	case jose.ES256:
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case jose.EdDSA:
		_, key, err = ed25519.GenerateKey(rand.Reader)
	default:
		err = fmt.Errorf("BUG: no key for %s", algorithm)
	}
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// token returns an access token for a user, good for an hour; more replaces or (nil) removes claims.
func (i *issuer) token(t testing.TB, username string, more ...claims) string {
	t.Helper()
	i.mu.Lock()
	key := i.key
	i.mu.Unlock()
	return sign(t, key.Key, jose.SignatureAlgorithm(key.Algorithm), key.KeyID, "at+jwt", i.claims(username, more...))
}

func (i *issuer) claims(username string, more ...claims) claims {
	now := time.Now()
	c := claims{
		"iss": i.url, "sub": username, "aud": audience, "jti": rand.Text(), "client_id": "chat",
		"iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
	}
	for _, m := range more {
		maps.Copy(c, m)
	}
	maps.DeleteFunc(c, func(_ string, v any) bool { return v == nil })
	return c
}

// sign makes a JWT of whatever it is given.
func sign(t testing.TB, key any, algorithm jose.SignatureAlgorithm, kid, typ string, c claims) string {
	t.Helper()
	options := &jose.SignerOptions{}
	if typ != "" {
		options.WithType(jose.ContentType(typ))
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithm, Key: jose.JSONWebKey{Key: key, KeyID: kid}}, options)
	if err != nil {
		t.Fatal(err)
	}
	payload, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	signature, err := signer.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	token, err := signature.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	keepSecret(token)
	return token
}
