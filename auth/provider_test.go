package auth

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	testIssuer   = "https://issuer.example"
	testAudience = "topicgate"
	testSkew     = 30 * time.Second
)

// signer is a key of an issuer, both halves.
type signer struct {
	id, algorithm string
	private       crypto.Signer
}

func (s signer) public() jose.JSONWebKey {
	return jose.JSONWebKey{Key: s.private.Public(), KeyID: s.id, Algorithm: s.algorithm, Use: "sig"}
}

// RSA keys take long to make: two serve all tests. Ed25519 is for everything where the type is of no matter.
var (
	rsaKey      = sync.OnceValue(func() crypto.Signer { return must(rsa.GenerateKey(rand.Reader, 2048)) })
	otherRSAKey = sync.OnceValue(func() crypto.Signer { return must(rsa.GenerateKey(rand.Reader, 2048)) })
)

func newKey(id string) signer {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	return signer{id, "EdDSA", must(private, err)}
}

func newECKey(id, algorithm string, curve elliptic.Curve) signer {
	return signer{id, algorithm, must(ecdsa.GenerateKey(curve, rand.Reader))}
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

type claims = map[string]any

// goodClaims are those of a token that passes now, changed by edits; a nil value removes a claim.
func goodClaims(edits ...claims) claims {
	now := time.Now().Unix()
	c := claims{
		"iss": testIssuer, "aud": testAudience, "sub": "alice", "iat": now, "exp": now + 3600,
		"jti": "token-1", "roles": []string{"user"},
	}
	for _, edit := range edits {
		maps.Copy(c, edit)
	}
	maps.DeleteFunc(c, func(_ string, value any) bool { return value == nil })
	return c
}

func (s signer) token(edits ...claims) string {
	return s.tokenWithHeader(nil, edits...)
}

func (s signer) tokenWithHeader(header claims, edits ...claims) string {
	return s.sign(header, must(json.Marshal(goodClaims(edits...))))
}

func (s signer) sign(header claims, payload []byte) string {
	options := &jose.SignerOptions{}
	for name, value := range header {
		options.WithHeader(jose.HeaderKey(name), value)
	}
	key := jose.SigningKey{Algorithm: jose.SignatureAlgorithm(s.algorithm), Key: jose.JSONWebKey{Key: s.private, KeyID: s.id}}
	jws := must(must(jose.NewSigner(key, options)).Sign(payload))
	return must(jws.CompactSerialize())
}

// provider is an issuer in memory, an http.RoundTripper that works inside synctest bubbles, too.
type provider struct {
	name string

	mu          sync.Mutex
	jwksPath    string
	keys        []jose.JSONWebKey
	discoveries int // requests for the discovery document
	fetches     int // requests for the keys
	// fault answers instead of the issuer while it is set.
	fault func(*http.Request) (*http.Response, error)

	delay time.Duration // immutable; before each answer
}

func newProvider(name string, keys ...signer) *provider {
	p := &provider{name: name, jwksPath: "/jwks"}
	p.publish(keys...)
	return p
}

// publish replaces the issuer's keys.
func (p *provider) publish(keys ...signer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keys = []jose.JSONWebKey{}
	for _, k := range keys {
		p.keys = append(p.keys, k.public())
	}
}

func (p *provider) fail(fault func(*http.Request) (*http.Response, error)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault = fault
}

func (p *provider) counts() (discoveries, fetches int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.discoveries, p.fetches
}

func (p *provider) RoundTrip(req *http.Request) (*http.Response, error) {
	p.mu.Lock()
	path := req.URL.Path
	if strings.HasSuffix(path, "/.well-known/openid-configuration") {
		p.discoveries++
	} else {
		p.fetches++
	}
	fault := p.fault
	keys := jose.JSONWebKeySet{Keys: p.keys}
	jwksPath := p.jwksPath
	p.mu.Unlock()
	if p.delay > 0 { // on the clock of a bubble
		time.Sleep(p.delay)
	}
	if fault != nil {
		return fault(req)
	}
	switch path {
	case "/.well-known/openid-configuration":
		return answer(http.StatusOK, string(must(json.Marshal(claims{"issuer": p.name, "jwks_uri": p.name + jwksPath})))), nil
	case jwksPath:
		return answer(http.StatusOK, string(must(json.Marshal(keys)))), nil
	}
	return answer(http.StatusNotFound, "not here"), nil
}

func answer(status int, body string) *http.Response {
	recorder := httptest.NewRecorder()
	recorder.Header().Set("Content-Type", "application/json")
	recorder.WriteHeader(status)
	io.WriteString(recorder, body)
	return recorder.Result()
}

var errDown = errors.New("connection refused")

func down(*http.Request) (*http.Response, error) { return nil, errDown }

// silent takes the request and never answers.
func silent(req *http.Request) (*http.Response, error) {
	<-req.Context().Done()
	return nil, context.Cause(req.Context())
}

// network routes requests by host.
type network map[string]http.RoundTripper

func (n network) RoundTrip(req *http.Request) (*http.Response, error) {
	if to, ok := n[req.URL.Scheme+"://"+req.URL.Host]; ok {
		return to.RoundTrip(req)
	}
	return nil, errors.New("no such host: " + req.URL.Host)
}

// testbed is a verifier, its issuer, and what they said.
type testbed struct {
	*Verifier
	provider *provider

	mu      sync.Mutex
	log     bytes.Buffer
	results []string
}

// slow makes p answer each request half a second late.
func slow(p *provider) *provider {
	p.delay = 500 * time.Millisecond
	return p
}

func newTestbed(t testing.TB, p *provider, edits ...func(*Options)) *testbed {
	t.Helper()
	b := &testbed{provider: p}
	o := Options{
		Issuers: []Issuer{{Name: p.name}}, Audiences: []string{testAudience, "other"}, ClockSkew: testSkew,
		HTTPClient: &http.Client{Transport: network{p.name: p}},
		Logger:     slog.New(slog.NewTextHandler(b, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Observe: func(result string, _ time.Duration) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.results = append(b.results, result)
		},
	}
	for _, edit := range edits {
		edit(&o)
	}
	v, err := NewVerifier(o)
	if err != nil {
		t.Fatal(err)
	}
	b.Verifier = v
	return b
}

// Write takes log lines.
func (b *testbed) Write(line []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.log.Write(line)
}

func (b *testbed) logged() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.log.String()
}

func (b *testbed) lastResult() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.results[len(b.results)-1]
}

// start runs the verifier until the test ends.
func (b *testbed) start(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- b.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run() = %v; want nil", err)
		}
	})
}

// reason gives the outcome in one word: "ok", or the reason of the error.
func (b *testbed) reason(t testing.TB, token string) string {
	t.Helper()
	_, err := b.Verify(t.Context(), token)
	return reasonOf(t, err)
}

func reasonOf(t testing.TB, err error) string {
	t.Helper()
	if err == nil {
		return "ok"
	}
	if refused, ok := errors.AsType[*Refused](err); ok {
		return refused.Reason
	}
	if undecided, ok := errors.AsType[*Undecided](err); ok {
		return undecided.Reason
	}
	t.Fatalf("error %v is neither *Refused nor *Undecided", err)
	return ""
}

func (b *testbed) want(t testing.TB, what, token, want string) {
	t.Helper()
	if got := b.reason(t, token); got != want {
		t.Errorf("Verify(%s): %s; want %s", what, got, want)
	}
}
