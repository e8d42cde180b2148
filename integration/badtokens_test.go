package integration

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"topicgate/frames"

	"github.com/go-jose/go-jose/v4"
)

// unsigned makes a token with algorithm "none" (RFC 7519 section 6).
func unsigned(t testing.TB, c claims) string {
	t.Helper()
	payload, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"at+jwt"}`)) + "." + base64.RawURLEncoding.EncodeToString(payload) + "."
}

func TestNoOddTokenLetsAnybodyIn(t *testing.T) {
	t.Parallel()
	s := newStack(t, openPolicy)
	i := s.issuer
	stranger := newKey(t, jose.RS256)
	public, err := x509.MarshalPKIXPublicKey(signingKey().Public())
	if err != nil {
		t.Fatal(err)
	}
	later := func(d time.Duration) int64 { return time.Now().Add(d).Unix() }
	good := i.token(t, "alice")
	for _, test := range []struct{ name, token string }{
		{"not a JWT", "rubbish"},
		{"three parts of rubbish", "a.b.c"},
		{"dots", ".."},
		{"a NUL", good + "\x00"},
		{"cut", good[:len(good)-20]},
		{"another payload under the signature", strings.Replace(good, ".", ".e30", 1)},
		{"expired", i.token(t, "alice", claims{"exp": later(-time.Hour)})},
		{"expired just beyond the skew", i.token(t, "alice", claims{"exp": later(-40 * time.Second)})},
		{"without exp", i.token(t, "alice", claims{"exp": nil})},
		{"exp is a string", i.token(t, "alice", claims{"exp": "tomorrow"})},
		{"not yet", i.token(t, "alice", claims{"nbf": later(time.Hour)})},
		{"issued in the future", i.token(t, "alice", claims{"iat": later(time.Hour)})},
		{"for another audience", i.token(t, "alice", claims{"aud": "elsewhere"})},
		{"for other audiences", i.token(t, "alice", claims{"aud": []string{"else", "where"}})},
		{"without audience", i.token(t, "alice", claims{"aud": nil})},
		{"of another issuer", i.token(t, "alice", claims{"iss": "https://issuer.invalid"})},
		{"of the issuer with a slash", i.token(t, "alice", claims{"iss": i.url + "/"})},
		{"without issuer", i.token(t, "alice", claims{"iss": nil})},
		{"without subject", i.token(t, "", claims{"sub": nil})},
		{"the subject is a fraction", i.token(t, "", claims{"sub": 7.5})},
		{"the subject is a list", i.token(t, "", claims{"sub": []string{"alice"}})},
		{"a logout token", sign(t, signingKey(), jose.RS256, "first", "logout+jwt", i.claims("alice"))},
		{"not signed", unsigned(t, i.claims("alice"))},
		{"HMAC with the public key", sign(t, public, jose.HS256, "first", "at+jwt", i.claims("alice"))},
		{"a stranger's key under a known key id", sign(t, stranger, jose.RS256, "first", "at+jwt", i.claims("alice"))},
		{"as long as a password can be", strings.Repeat("x", 65535)},
	} {
		for _, v := range versions {
			t.Run(test.name+" "+v.String(), func(t *testing.T) {
				w, connack := s.connecting(t, v, "c", test.token)
				w.refused(connack)
			})
		}
	}
	s.connect(t, frames.V5, "c", good).ping()
}

func TestAUsernameThatCouldWidenARuleIsRefused(t *testing.T) {
	t.Parallel()
	s := newStack(t, "pattern read room/%u/+\n")
	for _, name := range []string{"", "+", "#", "a/b", "a+", "a#b", "a\x00b", "a\nb", "a\u0085b"} {
		t.Run(fmt.Sprintf("%q", name), func(t *testing.T) {
			w, connack := s.connecting(t, frames.V5, "c", s.issuer.token(t, name))
			w.refused(connack)
		})
	}
}

func TestEveryAsymmetricAlgorithmAndTypeOfAnAccessTokenIsGood(t *testing.T) {
	t.Parallel()
	s := prepareStack(t, openPolicy)
	tokens := map[string]string{}
	for _, algorithm := range []jose.SignatureAlgorithm{jose.PS256, jose.ES256, jose.EdDSA} {
		s.issuer.rotate(t, string(algorithm), algorithm, true)
		tokens[string(algorithm)] = s.issuer.token(t, "alice")
	}
	for _, typ := range []string{"", "JWT", "at+jwt", "application/at+jwt"} {
		tokens["typ "+typ] = sign(t, signingKey(), jose.RS256, "first", typ, s.issuer.claims("alice"))
	}
	tokens["several audiences"] = s.issuer.token(t, "alice", claims{"aud": []string{"other", audience}})
	tokens["expired within the skew"] = s.issuer.token(t, "alice", claims{"exp": time.Now().Add(-2 * time.Second).Unix()})
	g := startGateway(t, s.settings())
	for name, token := range tokens {
		if _, connack := g.connecting(t, frames.V5, "c", token); connack.Reason != frames.Success {
			t.Errorf("%s: CONNACK %#x; want 0", name, uint8(connack.Reason))
		}
	}
}

// The log of a refused CONNECT has the words of "topicgate token check".
func TestTheLogOfARefusedConnectTellsWhatWasFound(t *testing.T) {
	t.Parallel()
	s := newStack(t, openPolicy)
	for _, test := range []struct {
		token string
		words []string
	}{
		{s.issuer.token(t, "alice", claims{"iss": s.issuer.url + "/"}), []string{"unknown_issuer", `iss is \"` + s.issuer.url + `/\"; accepted: \"` + s.issuer.url + `\"`, "slash"}},
		{s.issuer.token(t, "alice", claims{"aud": []string{"web", "account"}}), []string{"wrong_audience", `aud is \"web\", \"account\"; accepted: \"topicgate\"`}},
		{"ya29.a0AfH6SMBx", []string{"malformed", "an opaque token"}},
		{"", []string{"not_authenticated", "no token in any of: password, header"}},
	} {
		w := s.opening(t, frames.V5, "c", test.token)
		w.refused(w.connack())
		s.gateway.stderr.await(t, test.words...)
	}
}

func TestRotatedKeysAreFoundAndAnIssuerThatIsDownStopsNobodyWhoseKeyIsKnown(t *testing.T) {
	t.Parallel()
	s := newStack(t, openPolicy)
	old := s.issuer.token(t, "alice")
	s.issuer.rotate(t, "second", jose.ES256, true)
	// An unknown key id is a reason to fetch, at most once in 10 s; until then the client is held.
	s.opening(t, frames.V5, "new", s.issuer.token(t, "alice")).accepted().ping()
	s.connect(t, frames.V5, "old", old).ping()
	s.issuer.mu.Lock()
	s.issuer.down = true
	s.issuer.mu.Unlock()
	s.connect(t, frames.V5, "known", s.issuer.token(t, "alice")).ping()
	// A key that the gateway cannot know: not refused, but not decided.
	unknown := sign(t, newKey(t, jose.ES256), jose.ES256, "unknown", "at+jwt", s.issuer.claims("alice"))
	var waiting []*wire
	for _, v := range versions {
		waiting = append(waiting, s.opening(t, v, "c", unknown))
	}
	unserved(waiting...)
}

func TestBadTokensDoNotHammerTheIssuer(t *testing.T) {
	t.Parallel()
	s := newStack(t, openPolicy)
	before := s.issuer.jwksGets.Load()
	key := newKey(t, jose.ES256)
	var waiting []*wire
	for range 300 {
		token := sign(t, key, jose.ES256, rand.Text(), "at+jwt", s.issuer.claims("mallory"))
		waiting = append(waiting, s.opening(t, frames.V5, "c", token))
	}
	for _, w := range waiting { // once the keys have been fetched again
		w.refused(w.connack())
	}
	// One fetch at once, then one in ten seconds: a minute of tries makes seven.
	if fetches := s.issuer.jwksGets.Load() - before; fetches > 7 {
		t.Errorf("300 tokens with unknown key ids made %d fetches of the key set; want a handful", fetches)
	}
	s.connect(t, frames.V5, "c", s.issuer.token(t, "alice")).ping()
}

func TestAnIssuerThatComesLateIsNotMissedForEver(t *testing.T) {
	t.Parallel()
	s := prepareStack(t, openPolicy)
	late := newStoppedIssuer(t)
	g := launchGateway(t, s.settings(settings{"OIDC_ISSUER": s.issuer.url + ", " + late.url, "SHARED_USERS": "true"}))
	eventually(t, "the gateway answers /healthz", func() bool { return g.status("/healthz") == 200 })
	unserved(g.opening(t, frames.V5, "early", late.token(t, "alice")))
	g.connect(t, frames.V5, "other", s.issuer.token(t, "alice")).ping() // of the issuer that is up
	late.start(t)
	eventually(t, "a token of the late issuer is good", func() bool {
		w := g.opening(t, frames.V5, "late", late.token(t, "alice"))
		defer w.ws.Close()
		p, err := w.next()
		return err == nil && p.Type() == frames.TypeConnack
	})
}

func TestTheFirstConnectAfterTheStartIsAnswered(t *testing.T) {
	t.Parallel()
	s := newStack(t, openPolicy)
	eventually(t, "the keys are fetched before anybody needs them", func() bool { return s.issuer.jwksGets.Load() > 0 })
	s.connect(t, frames.V5, "first", s.issuer.token(t, "alice")).ping()
	if n := s.issuer.jwksGets.Load(); n != 1 {
		t.Errorf("%d fetches of the key set after the first CONNECT; want the one from before it", n)
	}
}

func TestRolesAndNamesComeFromTheClaimsThatTheOperatorNames(t *testing.T) {
	t.Parallel()
	s := newStack(t, "role moderator\ntopic write mod/only\n", settings{
		"OIDC_USERNAME_CLAIM": "profile.login", "OIDC_ROLES_CLAIM": "realm_access.roles",
	})
	for _, test := range []struct {
		name    string
		roles   any
		allowed bool
	}{
		{"a list", []string{"guest", "moderator"}, true},
		{"one string split at spaces", "guest moderator", true},
		{"another role", []string{"guest"}, false},
		{"no role", nil, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			token := s.issuer.token(t, "opaque-subject", claims{
				"profile": claims{"login": "alice"}, "realm_access": claims{"roles": test.roles}, "roles": []string{"moderator"},
			})
			w := s.connect(t, frames.V5, "c", token)
			if allowed := w.publish(message("mod/only", "x", 1)) < 0x80; allowed != test.allowed {
				t.Errorf("PUBLISH allowed: %v; want %v", allowed, test.allowed)
			}
			s.broker.stderr.await(t, "as alice:c ")
		})
	}
}

func TestOneNameOfTwoIssuersIsTwoUsers(t *testing.T) {
	t.Parallel()
	s := prepareStack(t, "pattern readwrite mine/%u\n")
	other := newStoppedIssuer(t)
	other.start(t)
	g := launchGateway(t, s.settings(settings{"OIDC_ISSUER": s.issuer.url + " prefix=one:, " + other.url + " prefix=two:"}))
	eventually(t, "the gateway answers /healthz", func() bool { return g.status("/healthz") == 200 })
	first := g.connect(t, frames.V5, "c", s.issuer.token(t, "alice"))
	first.subscribed("mine/one:alice")
	second := g.connect(t, frames.V5, "c", other.token(t, "alice")) // takes over nobody's session
	if code := second.publish(message("mine/one:alice", "not hers", 1)); code < 0x80 {
		t.Errorf("PUBLISH to the topic of the other issuer's alice answered %#x; want a refusal", uint8(code))
	}
	first.publish(message("mine/one:alice", "hers", 1))
	first.receives("mine/one:alice", "hers")
	second.subscribed("mine/two:alice")
}
