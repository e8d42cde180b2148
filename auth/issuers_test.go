package auth

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
)

func TestOneNameOfTwoIssuersIsTwoUsers(t *testing.T) {
	const otherIssuer = "https://other.example"
	keyA, keyB := newKey("a"), newKey("b")
	a, other := newProvider(testIssuer, keyA), newProvider(otherIssuer, keyB)
	b := newTestbed(t, a, func(o *Options) {
		o.Issuers = []Issuer{{Name: testIssuer, UsernamePrefix: "a:"}, {Name: otherIssuer, UsernamePrefix: "b:"}}
		o.HTTPClient = &http.Client{Transport: network{testIssuer: a, otherIssuer: other}}
	})
	username := func(token string) string {
		id, err := b.Verify(t.Context(), token)
		if err != nil {
			t.Error(err)
		}
		return id.Username
	}
	if got := username(keyA.token()); got != "a:alice" {
		t.Errorf("the first issuer's alice is %q; want a:alice", got)
	}
	if got := username(keyB.token(claims{"iss": otherIssuer})); got != "b:alice" {
		t.Errorf("the second issuer's alice is %q; want b:alice", got)
	}
	if got := username(keyB.token(claims{"iss": otherIssuer, "sub": "דוד"})); got != "b:דוד" {
		t.Errorf("a name that is written from right to left gives %q; want it behind the prefix", got)
	}
	id, err := FromCertificate(&x509.Certificate{Subject: pkix.Name{CommonName: "alice"}}, "cert:")
	if err != nil || id.Username != "cert:alice" {
		t.Errorf("FromCertificate() = %q, %v; want cert:alice", id.Username, err)
	}
	b.want(t, "too long with its prefix", keyB.token(claims{"iss": otherIssuer, "sub": strings.Repeat("a", 1023)}), ReasonBadUsername)
	b.want(t, "empty behind its prefix", keyA.token(claims{"sub": ""}), ReasonNoSubject)
}

func TestDiscoveryDocumentAtAnotherAddress(t *testing.T) {
	const inside = "http://inside.example:8080"
	for _, address := range []string{inside + "/adfs", inside + "/adfs/", inside + "/adfs/.well-known/openid-configuration"} {
		key := newKey("a")
		p := newProvider("https://another.example/name", key)
		p.fail(func(req *http.Request) (*http.Response, error) {
			switch req.URL.Path {
			case "/adfs/.well-known/openid-configuration":
				return answer(200, string(must(json.Marshal(claims{"issuer": p.name, "jwks_uri": inside + "/keys"})))), nil
			case "/keys":
				return answer(200, string(must(json.Marshal(claims{"keys": []json.RawMessage{edited(key, nil)}})))), nil
			}
			return answer(404, ""), nil
		})
		b := newTestbed(t, p, func(o *Options) {
			o.Issuers = []Issuer{{Name: testIssuer, DiscoveryURL: address}}
			o.HTTPClient = &http.Client{Transport: network{inside: p}}
		})
		b.want(t, "with discovery at "+address, key.token(), "ok")
		b.want(t, "of the name in the document", key.token(claims{"iss": p.name}), ReasonUnknownIssuer)
		if log := b.logged(); !strings.Contains(log, "without TLS") || strings.Count(log, "another.example/name") != 1 {
			t.Errorf("the log does not say that keys come without TLS and that the issuer has another name: %s", log)
		}
	}
}

func TestKeysWithoutDiscovery(t *testing.T) {
	const inside = "https://inside.example"
	key, later := newKey("a"), newKey("b")
	p := newProvider("", key)
	bubbleWith(t, p, func(o *Options) {
		o.Issuers = []Issuer{{Name: testIssuer, KeysURL: inside + "/jwks"}}
		o.HTTPClient = &http.Client{Transport: network{inside: p}}
	}, func(t *testing.T, b *testbed) {
		b.want(t, "good", key.token(), "ok")
		p.publish(later)
		pass(renewInterval)
		b.want(t, "of a key that came later", later.token(), "ok")
		if discoveries, fetches := p.counts(); discoveries != 0 || fetches != 2 {
			t.Errorf("%d requests for the discovery document, %d for keys; want none, 2", discoveries, fetches)
		}
	})
}

func TestIssuerIsWarnedOfByWhereItsKeysComeFrom(t *testing.T) {
	for issuer, warned := range map[Issuer]bool{
		{Name: "http://adfs.example/adfs/services/trust", DiscoveryURL: "https://adfs.example/adfs"}: false,
		{Name: "http://a.example", KeysURL: "https://a.example/keys"}:                                false,
		{Name: "https://a.example", KeysURL: "http://inside.example/keys"}:                           true,
		{Name: "https://a.example", DiscoveryURL: "http://127.0.0.1:8080"}:                           false,
	} {
		b := newTestbed(t, newProvider(""), func(o *Options) { o.Issuers = []Issuer{issuer} })
		if got := strings.Contains(b.logged(), "without TLS"); got != warned {
			t.Errorf("NewVerifier for %+v warned: %v; want %v", issuer, got, warned)
		}
	}
}

func TestHTTPSDiscoveryKeepsItsKeysOnHTTPS(t *testing.T) {
	const inside = "https://inside.example"
	key := newKey("a")
	p := newProvider("", key)
	p.fail(func(*http.Request) (*http.Response, error) {
		return answer(200, `{"issuer":"`+testIssuer+`","jwks_uri":"http://inside.example/jwks"}`), nil
	})
	b := newTestbed(t, p, func(o *Options) {
		o.Issuers = []Issuer{{Name: testIssuer, DiscoveryURL: inside}}
		o.HTTPClient = &http.Client{Transport: network{inside: p, "http://inside.example": p}}
	})
	b.want(t, "good", key.token(), ReasonIssuerDown)
}
