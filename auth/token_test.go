package auth

import (
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// compact joins a JWS from its parts, for what no library would sign.
func compact(header, payload string, signature []byte) string {
	encode := base64.RawURLEncoding.EncodeToString
	return encode([]byte(header)) + "." + encode([]byte(payload)) + "." + encode(signature)
}

func hs256(header, payload string, secret []byte) string {
	unsigned := strings.TrimSuffix(compact(header, payload, nil), ".")
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(unsigned))
	return unsigned + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

const logoutEvent = "http://schemas.openid.net/event/backchannel-logout"

// refusal is a token and why it is refused.
type refusal struct{ what, token, reason string }

// refusals needs an issuer that publishes key and rsa.
func refusals(key, rsa signer) []refusal {
	payload := string(must(json.Marshal(goodClaims())))
	good := key.token()
	parts := strings.Split(good, ".")
	der := must(x509.MarshalPKIXPublicKey(rsa.private.Public()))
	publicPEM := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	jwk := must(json.Marshal(rsa.public()))
	hs := `{"alg":"HS256","typ":"JWT","kid":"` + rsa.id + `"}`
	claim := func(name string, value any) string { return key.token(claims{name: value}) }
	header := func(name string, value any) string { return key.tokenWithHeader(claims{name: value}) }
	now := time.Now().Unix()
	return []refusal{
		{"nothing", "", ReasonMalformed},
		{"no JWS", "opaque-token-0123456789", ReasonMalformed},
		{"two parts", parts[0] + "." + parts[1], ReasonMalformed},
		{"four parts", good + ".", ReasonMalformed},
		{"JSON serialization", `{"payload":"` + parts[1] + `","protected":"` + parts[0] + `","signature":"` + parts[2] + `"}`, ReasonMalformed},
		{"line break inside", parts[0] + ".\n" + parts[1] + "." + parts[2], ReasonMalformed},
		{"blank before", " " + good, ReasonMalformed},
		{"padding", good + "=", ReasonMalformed},
		{"U+0000 after", good + "\x00", ReasonMalformed},
		{"Bearer before", "Bearer " + good, ReasonMalformed},
		{"too large", strings.Repeat("A", maxTokenBytes+1), ReasonTooLarge},
		{"header no JSON", compact("{", payload, []byte("x")), ReasonMalformed},
		{"payload no JSON", key.sign(nil, []byte("{")), ReasonMalformed},
		{"payload a list", key.sign(nil, []byte(`["iss"]`)), ReasonMalformed},
		{"payload null", key.sign(nil, []byte(`null`)), ReasonUnknownIssuer},
		{"payload with invalid UTF-8", key.sign(nil, []byte(strings.Replace(payload, "alice", "al\xffce", 1))), ReasonMalformed},
		{"payload too deep", key.sign(nil, []byte(strings.Repeat(`{"a":`, 8000)+"1")), ReasonMalformed},

		{"alg none", compact(`{"alg":"none"}`, payload, nil), ReasonWrongAlgorithm},
		{"alg None", compact(`{"alg":"None"}`, payload, nil), ReasonWrongAlgorithm},
		{"no alg", compact(`{"typ":"JWT"}`, payload, nil), ReasonWrongAlgorithm},
		{"HS256 keyed with the public RSA key, PEM", hs256(hs, payload, publicPEM), ReasonWrongAlgorithm},
		{"HS256 keyed with the public RSA key, DER", hs256(hs, payload, der), ReasonWrongAlgorithm},
		{"HS256 keyed with the JWK", hs256(hs, payload, jwk), ReasonWrongAlgorithm},
		{"ES256K", compact(`{"alg":"ES256K"}`, payload, []byte("x")), ReasonWrongAlgorithm},
		{"RSA key of RS256 used for PS256", signer{rsa.id, "PS256", rsa.private}.token(), ReasonBadSignature},
		{"Ed25519 key named by an RS256 token", signer{key.id, "RS256", otherRSAKey()}.token(), ReasonBadSignature},
		{"empty signature", parts[0] + "." + parts[1] + ".", ReasonBadSignature},
		{"other payload", parts[0] + "." + strings.Split(claim("sub", "admin"), ".")[1] + "." + parts[2], ReasonBadSignature},
		{"another's key under this name", newKey(key.id).token(), ReasonBadSignature},
		{"unknown key", newKey("stranger").token(), ReasonNoSuchKey},

		{"alg twice", compact(`{"alg":"EdDSA","alg":"EdDSA","kid":"a"}`, payload, []byte("x")), ReasonMalformed},
		{"crit exp", header("crit", []string{"exp"}), ReasonCriticalHeader},
		{"crit b64", compact(`{"alg":"EdDSA","crit":["b64"],"b64":false}`, payload, []byte("x")), ReasonCriticalHeader},
		{"b64 without crit", compact(`{"alg":"EdDSA","b64":false}`, payload, []byte("x")), ReasonCriticalHeader},
		{"own key in jwk", newKey("mine").withJWK(), ReasonNoSuchKey},
		{"own key at jku", newKey("mine").tokenWithHeader(claims{"jku": "https://evil.example/jwks"}), ReasonNoSuchKey},
		{"typ logout+jwt", header("typ", "logout+jwt"), ReasonWrongType},
		{"typ secevent+jwt", header("typ", "secevent+jwt"), ReasonWrongType},
		{"typ dpop+jwt", header("typ", "dpop+jwt"), ReasonWrongType},
		{"typ application/logout+jwt", header("typ", "application/logout+jwt"), ReasonWrongType},
		{"typ application/ twice", header("typ", "application/application/jwt"), ReasonWrongType},
		{"typ text/jwt", header("typ", "text/jwt"), ReasonWrongType},
		{"logout token that says JWT", key.tokenWithHeader(claims{"typ": "JWT"}, claims{"events": claims{logoutEvent: claims{}}}), ReasonWrongType},
		{"logout token without typ", claim("events", claims{logoutEvent: claims{}}), ReasonWrongType},
		{"events empty", claim("events", claims{}), ReasonWrongType},
		{"events null", key.sign(nil, []byte(strings.Replace(payload, "{", `{"events":null,`, 1))), ReasonWrongType},
		{"typ empty", header("typ", ""), ReasonWrongType},
		{"typ a number", header("typ", 1), ReasonWrongType},

		{"no iss", claim("iss", nil), ReasonUnknownIssuer},
		{"iss a number", claim("iss", 1), ReasonMalformed},
		{"iss with a slash", claim("iss", testIssuer+"/"), ReasonUnknownIssuer},
		{"iss in capitals", claim("iss", strings.ToUpper(testIssuer)), ReasonUnknownIssuer},
		{"iss of somebody else", claim("iss", "https://evil.example"), ReasonUnknownIssuer},
		{"no aud", claim("aud", nil), ReasonWrongAudience},
		{"aud empty", claim("aud", ""), ReasonWrongAudience},
		{"aud an empty list", claim("aud", []string{}), ReasonWrongAudience},
		{"other aud", claim("aud", []string{"web", "Topicgate", "topicgate "}), ReasonWrongAudience},
		{"aud a number", claim("aud", 1), ReasonMalformed},
		{"aud a list of numbers", claim("aud", []any{testAudience, 1}), ReasonMalformed},
		{"no sub", claim("sub", nil), ReasonNoSubject},
		{"sub empty", claim("sub", ""), ReasonNoSubject},
		{"sub a fraction", claim("sub", 1.5), ReasonMalformed},
		{"sub a list", claim("sub", []string{"alice"}), ReasonMalformed},
		{"sub half a surrogate pair", key.sign(nil, []byte(strings.Replace(payload, "alice", `al\ud800ce`, 1))), ReasonMalformed},
		{"sub too long", claim("sub", strings.Repeat("a", 1025)), ReasonMalformed},
		{"jti a number", claim("jti", 1), ReasonMalformed},
		{"no exp", claim("exp", nil), ReasonNoExpiry},
		{"exp null", key.sign(nil, []byte(`{"iss":"`+testIssuer+`","aud":"topicgate","sub":"a","exp":null}`)), ReasonNoExpiry},
		{"exp under another case only", key.token(claims{"exp": nil, "EXP": now + 60}), ReasonNoExpiry},
		{"exp past, EXP ahead", key.token(claims{"exp": now - 60, "EXP": now + 60}), ReasonExpired},
		{"exp text", claim("exp", "tomorrow"), ReasonMalformed},
		{"exp in milliseconds", claim("exp", now*1000), ReasonMalformed},
		{"exp infinite", key.sign(nil, []byte(`{"iss":"`+testIssuer+`","aud":"topicgate","sub":"a","exp":1e999}`)), ReasonMalformed},
		{"exp past", claim("exp", now-3600), ReasonExpired},
		{"exp negative", claim("exp", -1), ReasonExpired},
		{"nbf ahead", claim("nbf", now+3600), ReasonNotYetValid},
		{"nbf text", claim("nbf", "now"), ReasonMalformed},
		{"iat ahead", claim("iat", now+3600), ReasonIssuedInFuture},
		{"iat text", claim("iat", "now"), ReasonMalformed},
		{"nonce a number", claim("nonce", 1), ReasonMalformed},
		{"at_hash a list", claim("at_hash", []string{"a"}), ReasonMalformed},
		{"_claim_names a list", claim("_claim_names", []string{"roles"}), ReasonMalformed},
		{"_claim_sources a string", claim("_claim_sources", "src1"), ReasonMalformed},
		{"_claim_names without its source", claim("_claim_names", claims{"roles": "src1"}), ReasonMalformed},

		{"roles twice", key.sign(nil, []byte(strings.Replace(payload, "{", `{"roles":["banned"],`, 1))), ReasonMalformed},
		{"roles twice, once escaped", key.sign(nil, []byte(strings.Replace(payload, "{", `{"role\u0073":["banned"],`, 1))), ReasonMalformed},
		{"a name twice inside", key.sign(nil, []byte(strings.Replace(payload, "{", `{"a":{"b":1,"b":2},`, 1))), ReasonMalformed},

		{"roles elsewhere", key.token(claims{"roles": nil, "_claim_names": claims{"roles": "src1"}, "_claim_sources": claims{"src1": claims{"endpoint": "https://graph.example/groups"}}}), ReasonRolesElsewhere},
		{"username with a level", claim("sub", "a/b"), ReasonBadUsername},
		{"roles a number", claim("roles", 1), ReasonBadRoles},
	}
}

// withJWK is a token that brings its own key along, RFC 7515 section 4.1.3.
func (s signer) withJWK() string {
	options := &jose.SignerOptions{EmbedJWK: true}
	key := jose.SigningKey{Algorithm: jose.SignatureAlgorithm(s.algorithm), Key: jose.JSONWebKey{Key: s.private, KeyID: s.id}}
	jws := must(must(jose.NewSigner(key, options)).Sign(must(json.Marshal(goodClaims()))))
	return must(jws.CompactSerialize())
}

func TestWhatIsRefusedAndWhy(t *testing.T) {
	key, rsa := newKey("a"), signer{"rsa", "RS256", rsaKey()}
	p := newProvider(testIssuer, key, rsa)
	for _, c := range refusals(key, rsa) {
		t.Run(c.what, func(t *testing.T) {
			b := newTestbed(t, p)
			id, err := b.Verify(t.Context(), c.token)
			if got := reasonOf(t, err); got != c.reason {
				t.Errorf("Verify() = %v; want %s", err, c.reason)
			}
			if id.Username != "" || id.Claims != "" {
				t.Errorf("a refused token gave %+v", id)
			}
			if got := b.lastResult(); got != c.reason {
				t.Errorf("observed %q; want %q", got, c.reason)
			}
		})
	}
}

func TestEveryReasonIsAResult(t *testing.T) {
	known := map[string]bool{}
	for _, result := range Results() {
		known[result] = true
	}
	key, rsa := newKey("a"), signer{"rsa", "RS256", rsaKey()}
	for _, c := range refusals(key, rsa) {
		if !known[c.reason] {
			t.Errorf("Results() lacks %q", c.reason)
		}
	}
}

func TestHeadersThatChangeNothing(t *testing.T) {
	key := newKey("a")
	b := newTestbed(t, newProvider(testIssuer, key)) // whose network knows no other host
	for _, typ := range []string{"JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt", "Application/AT+JWT", "application/jwt", "APPLICATION/JWT"} {
		b.want(t, "typ "+typ, key.tokenWithHeader(claims{"typ": typ}), "ok")
	}
	b.want(t, "no typ", key.token(), "ok")
	b.want(t, "jwk", key.withJWK(), "ok")
	b.want(t, "a certificate that is none", key.tokenWithHeader(claims{"x5c": []string{"MIIB"}, "x5t": 1, "x5t#S256": "?", "x5u": ":"}), "ok")
	b.want(t, "a jwk that is none", key.tokenWithHeader(claims{"jwk": claims{"kty": "RSA"}}), "ok")
	b.want(t, "x5u and jku", key.tokenWithHeader(claims{"x5u": "https://evil.example/c", "jku": "https://evil.example/k"}), "ok")
}

func TestAudienceIsOneOfTheList(t *testing.T) {
	key := newKey("a")
	b := newTestbed(t, newProvider(testIssuer, key))
	for _, aud := range []any{testAudience, "other", []string{"other"}, []string{"web", testAudience}} {
		b.want(t, "aud", key.token(claims{"aud": aud, "azp": "somebody"}), "ok")
	}
}

func TestTimesAreJudgedWithSkew(t *testing.T) {
	key := newKey("a")
	bubble(t, []signer{key}, func(t *testing.T, b *testbed) {
		now := time.Now().Unix()
		for _, c := range []struct {
			name   string
			at     int64 // seconds from now
			reason string
		}{
			{"exp", -29, "ok"}, {"exp", -30, ReasonExpired},
			{"nbf", 30, "ok"}, {"nbf", 31, ReasonNotYetValid},
			{"iat", 30, "ok"}, {"iat", 31, ReasonIssuedInFuture},
			{"iat", -1e9, "ok"},
		} {
			b.want(t, c.name, key.token(claims{c.name: now + c.at}), c.reason)
		}
		b.want(t, "fraction", key.token(claims{"exp": float64(now) - 29.5}), "ok")
		b.want(t, "fraction", key.token(claims{"exp": float64(now) - 30.5}), ReasonExpired)
		b.want(t, "neither iat nor nbf", key.token(claims{"iat": nil, "nbf": nil}), "ok")
	})
}

func TestLargestTokenPasses(t *testing.T) {
	key := newKey("a")
	b := newTestbed(t, newProvider(testIssuer, key))
	token := key.token(claims{"groups": strings.Repeat("g", 48_500)}) // base64 makes four bytes of three
	b.want(t, "63 KiB", token, "ok")
	if len(token) < 63<<10 || len(token) > maxTokenBytes {
		t.Errorf("token of %d bytes; want just below %d", len(token), maxTokenBytes)
	}
}

func TestClaimsAreJudgedBeforeKeysAreFetched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProvider(testIssuer)
		p.fail(down)
		b := newTestbed(t, p)
		stranger := newKey("stranger")
		b.want(t, "expired", stranger.token(claims{"exp": 1}), ReasonExpired)
		b.want(t, "for others", stranger.token(claims{"aud": "web"}), ReasonWrongAudience)
		if discoveries, _ := p.counts(); discoveries != 0 {
			t.Errorf("%d requests; want none", discoveries)
		}
	})
}

func TestKeyServesOnlyForItsCurveAndAlgorithm(t *testing.T) {
	ec := newECKey("ec", "", elliptic.P256())
	if k := must(parseKey(must(json.Marshal(ec.public())))); !k.fits("ES256") || k.fits("ES384") || k.fits("RS256") || k.fits("EdDSA") {
		t.Error("a P-256 key fits other algorithms than ES256")
	}
	plain := signer{"rsa", "", rsaKey()}
	if k := must(parseKey(must(json.Marshal(plain.public())))); !k.fits("RS256") || !k.fits("PS512") || k.fits("ES256") || k.fits("HS256") {
		t.Error("an RSA key without alg fits other algorithms than RS and PS")
	}
	bound := signer{"rsa", "RS256", rsaKey()}
	if k := must(parseKey(must(json.Marshal(bound.public())))); !k.fits("RS256") || k.fits("RS512") || k.fits("PS256") {
		t.Error("an RSA key of RS256 fits other algorithms")
	}
}
