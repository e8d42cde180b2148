package auth

import (
	"crypto/elliptic"
	"encoding/json"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestTokenOfEveryAcceptedAlgorithmGivesItsIdentity(t *testing.T) {
	keys := []signer{
		{"rs256", "RS256", rsaKey()}, {"rs384", "RS384", rsaKey()}, {"rs512", "RS512", rsaKey()},
		{"ps256", "PS256", rsaKey()}, {"ps384", "PS384", rsaKey()}, {"ps512", "PS512", rsaKey()},
		newECKey("es256", "ES256", elliptic.P256()),
		newECKey("es384", "ES384", elliptic.P384()),
		newECKey("es512", "ES512", elliptic.P521()),
		newKey("eddsa"),
	}
	b := newTestbed(t, newProvider(testIssuer, keys...))
	for _, key := range keys {
		t.Run(key.algorithm, func(t *testing.T) {
			exp := time.Now().Add(time.Hour).Unix()
			payload := must(json.Marshal(goodClaims(claims{"exp": exp, "level": 9007199254740993})))
			id, err := b.Verify(t.Context(), key.sign(nil, payload))
			if err != nil {
				t.Fatal(err)
			}
			want := Identity{
				Issuer: testIssuer, Subject: "alice", Username: "alice", Roles: []string{"user"},
				Claims: string(payload), TokenID: "token-1", Expiry: time.Unix(exp, 0).Add(testSkew),
			}
			if !reflect.DeepEqual(id, want) {
				t.Errorf("Verify() = %+v; want %+v", id, want)
			}
		})
	}
}

func TestIssuersAreKeptApart(t *testing.T) {
	const otherIssuer = "https://other.example"
	keyA, keyB := newKey("same-kid"), newKey("same-kid")
	a, other := newProvider(testIssuer, keyA), newProvider(otherIssuer, keyB)
	b := newTestbed(t, a, func(o *Options) {
		o.Issuers = []Issuer{{Name: testIssuer}, {Name: otherIssuer}}
		o.HTTPClient = &http.Client{Transport: network{testIssuer: a, otherIssuer: other}}
	})
	fromOther := claims{"iss": otherIssuer}
	b.want(t, "the first issuer's", keyA.token(), "ok")
	b.want(t, "the second issuer's", keyB.token(fromOther), "ok")
	b.want(t, "the first, signed by the second", keyB.token(), ReasonBadSignature)
	b.want(t, "the second, signed by the first", keyA.token(fromOther), ReasonBadSignature)
}

func TestOneIssuerDownLeavesTheOthersAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const otherIssuer = "https://other.example"
		key, otherKey := newKey("a"), newKey("b")
		p, other := newProvider(testIssuer, key), newProvider(otherIssuer, otherKey)
		other.fail(silent)
		b := newTestbed(t, p, func(o *Options) {
			o.Issuers = []Issuer{{Name: testIssuer}, {Name: otherIssuer}}
			o.HTTPClient = &http.Client{Transport: network{testIssuer: p, otherIssuer: other}}
		})
		b.start(t)
		synctest.Wait()
		start := time.Now()
		b.want(t, "of the issuer that is up", key.token(), "ok")
		if waited := time.Since(start); waited != 0 {
			t.Errorf("waited %v for the issuer that is down", waited)
		}
		b.want(t, "of the issuer that is down", otherKey.token(claims{"iss": otherIssuer}), ReasonIssuerDown)
		status := b.Status()
		if status[testIssuer] != "ok" || !strings.HasPrefix(status[otherIssuer], "discovery failed: ") {
			t.Errorf("Status() = %q", status)
		}
	})
}

func TestBadOptionsAreRefused(t *testing.T) {
	good := func() Options { return Options{Issuers: []Issuer{{Name: testIssuer}}, Audiences: []string{"a"}} }
	for name, edit := range map[string]func(*Options){
		"no issuer":       func(o *Options) { o.Issuers = nil },
		"empty issuer":    func(o *Options) { o.Issuers = []Issuer{{Name: ""}} },
		"relative issuer": func(o *Options) { o.Issuers = []Issuer{{Name: "issuer.example"}} },
		"other scheme":    func(o *Options) { o.Issuers = []Issuer{{Name: "ftp://issuer.example"}} },
		"query":           func(o *Options) { o.Issuers = []Issuer{{Name: testIssuer + "?a=b"}} },
		"fragment":        func(o *Options) { o.Issuers = []Issuer{{Name: testIssuer + "#a"}} },
		"password":        func(o *Options) { o.Issuers = []Issuer{{Name: "https://a:b@issuer.example"}} },
		"issuer twice":    func(o *Options) { o.Issuers = []Issuer{{Name: testIssuer}, {Name: testIssuer}} },
		"odd prefix":      func(o *Options) { o.Issuers[0].UsernamePrefix = "a/" },
		"foreign prefix":  func(o *Options) { o.Issuers[0].UsernamePrefix = "é" },
		"no discovery":    func(o *Options) { o.Issuers[0].DiscoveryURL = "inside" },
		"no keys":         func(o *Options) { o.Issuers[0].KeysURL = "/keys" },
		"no audience":     func(o *Options) { o.Audiences = nil },
		"empty audience":  func(o *Options) { o.Audiences = []string{"a", ""} },
		"negative skew":   func(o *Options) { o.ClockSkew = -1 },
	} {
		o := good()
		edit(&o)
		if _, err := NewVerifier(o); err == nil {
			t.Errorf("NewVerifier with %s succeeded; want an error", name)
		}
	}
	if _, err := NewVerifier(good()); err != nil {
		t.Errorf("NewVerifier() = %v; want none", err)
	}
}

func TestIssuerWithoutTLSIsWarnedOfUnlessItIsThisMachine(t *testing.T) {
	for issuer, warned := range map[string]bool{
		"http://issuer.example": true, "https://issuer.example": false,
		"http://127.0.0.1:3000": false, "http://localhost:3000/realms/a": false, "http://[::1]:3000": false,
	} {
		b := newTestbed(t, newProvider(issuer))
		if got := strings.Contains(b.logged(), "without TLS"); got != warned {
			t.Errorf("NewVerifier for %s warned: %v; want %v", issuer, got, warned)
		}
	}
}

func TestResultsAreAllThatIsObserved(t *testing.T) {
	key := newKey("a")
	b := newTestbed(t, newProvider(testIssuer, key))
	token := key.token()
	b.want(t, "good", token, "ok")
	b.want(t, "good again", token, "ok")
	b.want(t, "expired", key.token(claims{"exp": 1}), ReasonExpired)
	want := []string{"ok", "cached", "expired"}
	if !slices.Equal(b.results, want) {
		t.Errorf("observed %q; want %q", b.results, want)
	}
	seen := map[string]bool{}
	for _, result := range Results() {
		if seen[result] {
			t.Errorf("Results() holds %q twice", result)
		}
		seen[result] = true
	}
}
