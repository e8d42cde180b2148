package auth

import (
	"errors"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-jose/go-jose/v4"
)

// maxTokenBytes bounds a token before anything is parsed. It is what an MQTT password may hold; tokens
// with hundreds of roles reach tens of kilobytes.
const maxTokenBytes = 64 << 10

// algorithms are all that is accepted, whatever a token or a discovery document says: asymmetric ones,
// so that a public key can never serve as a shared secret (RFC 8725 section 2.1).
var algorithms = []jose.SignatureAlgorithm{
	jose.RS256, jose.RS384, jose.RS512,
	jose.PS256, jose.PS384, jose.PS512,
	jose.ES256, jose.ES384, jose.ES512,
	jose.EdDSA,
}

// parsed is a token whose signature has not been verified: good for refusing it, for nothing else.
type parsed struct {
	jws     *compactJWS
	claims  ClaimsSet
	issuer  string
	subject string
	tokenID string
	expires time.Time // "exp", without skew
}

// parseToken reads the JWS and the registered claims that name the issuer.
func parseToken(token string, known *headers) (*parsed, error) {
	jws, err := known.parse(token)
	if err != nil {
		return nil, err
	}
	p := &parsed{jws: jws}
	p.claims, err = ParseClaimsSet(jws.payload)
	switch { // its text may quote the token
	case errors.Is(err, errTwice):
		return nil, refused(ReasonMalformed, "a name stands twice in an object of the payload")
	case err != nil:
		return nil, refused(ReasonMalformed, "the payload is not a JSON object")
	}
	var ok bool
	if p.issuer, ok = p.claims.Text("iss"); !ok {
		return nil, refused(ReasonMalformed, "iss is not a string")
	}
	return p, nil
}

// checkHeader refuses headers that change what the token means.
func checkHeader(header jose.Header) error {
	// No extension is understood here (RFC 7515 section 4.1.11); go-jose would obey "b64" even when it is
	// not listed in "crit" (RFC 7797 section 6).
	for _, name := range []jose.HeaderKey{"crit", "b64"} {
		if _, ok := header.ExtraHeaders[name]; ok {
			return refused(ReasonCriticalHeader, "the header "+string(name)+" is not supported")
		}
	}
	// A logout token (OpenID Connect Back-Channel Logout 2.4) is signed by the same key, for the same audience.
	typ, present := header.ExtraHeaders[jose.HeaderType]
	if !present {
		return nil
	}
	if typ, ok := typ.(string); ok {
		// A media type: its case says nothing, and application/ may be left out (RFC 7515 section 4.1.9).
		switch strings.TrimPrefix(strings.ToLower(typ), "application/") {
		case "jwt", "at+jwt": // RFC 7519 section 5.1, RFC 9068 section 2.1
			return nil
		}
	}
	return refused(ReasonWrongType, "the header typ is neither JWT nor at+jwt")
}

// check looks at the registered claims. It is not go-oidc's verifier that does, which would read the whole
// token a second time and does not fit: one audience, no skew for exp, five minutes for nbf, none of iat,
// names without regard to case.
func (v *Verifier) check(p *parsed, now time.Time) error {
	if err := p.checkEvents(); err != nil {
		return err
	}
	if err := v.checkAudience(p); err != nil {
		return err
	}
	if err := p.checkTimes(now, v.skew); err != nil {
		return err
	}
	if err := p.checkSubject(v.users.path() == "sub"); err != nil {
		return err
	}
	return p.checkUnused()
}

// checkEvents refuses a logout token or another security event token (OpenID Connect Back-Channel Logout 2.4, RFC 8417
// section 2.2): not each issuer says so in "typ".
func (p *parsed) checkEvents() error {
	if _, ok := p.claims.get("events"); ok {
		return refused(ReasonWrongType, "it has the claim events: a logout token or another security event token")
	}
	return nil
}

// checkAudience looks whether the token is meant for one of the audiences.
func (v *Verifier) checkAudience(p *parsed) error {
	audience, ok := p.claims.texts(v.audienceClaim)
	if !ok {
		return refused(ReasonMalformed, v.audienceClaim+" is neither a string nor a list of strings")
	}
	for _, a := range audience {
		if v.audiences[a] {
			return nil
		}
	}
	return refused(ReasonWrongAudience, v.foundAudience(p)+"; "+v.acceptedAudience())
}

// checkSubject reads who the token is about. Without "sub" a user is told by the username alone, where another claim
// gives that: Keycloak's lightweight access tokens have none. Such a session is bound to issuer and username.
func (p *parsed) checkSubject(needed bool) error {
	var ok bool
	if p.subject, ok = p.claims.identifier("sub"); !ok || !plain(p.subject) {
		return refused(ReasonMalformed, "sub is not a plain string of at most 1024 bytes")
	}
	raw, present := p.claims.get("sub")
	if absent := !present || raw == "null"; p.subject == "" && (needed || !absent) { // OpenID Connect Core 2, RFC 9068 section 2.2
		return refused(ReasonNoSubject, "sub is missing or empty")
	}
	// A jti that is no string could not be revoked (RFC 7519 section 4.1.7).
	if p.tokenID, ok = p.claims.Text("jti"); !ok || !plain(p.tokenID) {
		return refused(ReasonMalformed, "jti is not a plain string of at most 1024 bytes")
	}
	return nil
}

// checkUnused refuses a token whose claims are not what OpenID Connect Core says they are, even where nothing
// here depends on them: sections 2 (nonce), 3.1.3.6 (at_hash) and 5.6.2 (names and sources of other claims).
func (p *parsed) checkUnused() error {
	for _, name := range []string{"nonce", "at_hash"} {
		if _, ok := p.claims.Text(name); !ok {
			return refused(ReasonMalformed, name+" is not a string")
		}
	}
	_, hasNames := p.claims.get("_claim_names")
	if _, hasSources := p.claims.get("_claim_sources"); !hasNames && !hasSources {
		return nil
	}
	var names map[string]string
	var sources map[string]struct {
		Endpoint    string `json:"endpoint"`
		AccessToken string `json:"access_token"`
	}
	if !p.claims.decode("_claim_names", &names) || !p.claims.decode("_claim_sources", &sources) {
		return refused(ReasonMalformed, "_claim_names or _claim_sources is not readable")
	}
	for _, source := range names {
		if _, ok := sources[source]; !ok {
			return refused(ReasonMalformed, "_claim_names has a name without a source")
		}
	}
	return nil
}

// plain says that an identifier is bounded and that no two different ones were decoded to it.
func plain(identifier string) bool {
	return len(identifier) <= maxNameBytes && !strings.ContainsRune(identifier, utf8.RuneError)
}

// checkTimes is RFC 7519 sections 4.1.4 to 4.1.6.
func (p *parsed) checkTimes(now time.Time, skew time.Duration) error {
	expires, present, ok := p.claims.date("exp")
	switch {
	case !ok:
		return refused(ReasonMalformed, "exp is not a date in seconds")
	case !present:
		return refused(ReasonNoExpiry, "exp is missing")
	case !now.Before(expires.Add(skew)):
		return refused(ReasonExpired, "expired "+now.Sub(expires).Round(time.Second).String()+" ago")
	}
	p.expires = expires
	notBefore, _, ok := p.claims.date("nbf")
	switch {
	case !ok:
		return refused(ReasonMalformed, "nbf is not a date in seconds")
	case notBefore.After(now.Add(skew)):
		return refused(ReasonNotYetValid, "valid in "+notBefore.Sub(now).Round(time.Second).String())
	}
	issuedAt, _, ok := p.claims.date("iat")
	switch {
	case !ok:
		return refused(ReasonMalformed, "iat is not a date in seconds")
	case issuedAt.After(now.Add(skew)):
		return refused(ReasonIssuedInFuture, "issued "+issuedAt.Sub(now).Round(time.Second).String()+" ahead of this clock")
	}
	return nil
}
