package auth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// ask makes one request. A *[Refused] is the provider's word; any other error is none.
func (n *introspector) ask(token string) (ClaimsSet, error) {
	ctx, cancel := context.WithTimeout(n.ctx, introspectionTimeout)
	defer cancel()
	form := url.Values{"token": {token}, "token_type_hint": {"access_token"}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, n.URL, strings.NewReader(form.Encode()))
	if err != nil {
		return ClaimsSet{}, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	if n.ClientID != "" {
		req.SetBasicAuth(url.QueryEscape(n.ClientID), url.QueryEscape(n.ClientSecret))
	}
	resp, err := n.client.Do(req)
	if err != nil {
		return ClaimsSet{}, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return ClaimsSet{}, &statusError{resp.StatusCode}
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxIntrospectionBytes+1))
	if err != nil {
		return ClaimsSet{}, err
	}
	if len(text) > maxIntrospectionBytes {
		return ClaimsSet{}, &answerError{fmt.Sprintf("answer is longer than %d bytes", maxIntrospectionBytes)}
	}
	claims, err := ParseClaimsSet(text) // whose error may quote the answer
	if err != nil {
		return ClaimsSet{}, &answerError{"answer is not a JSON object, each name in it once"}
	}
	return claims, checkActive(claims)
}

// answerError is an answer that says nothing. It concerns one token.
type answerError struct{ text string }

func (e *answerError) Error() string { return e.text }

// checkActive says whether the answer is about a bearer access token that is in force. Some providers tell of other
// kinds, too, which prove nothing here: a refresh token, one that its client must prove to have (RFC 9449).
func checkActive(claims ClaimsSet) error {
	switch active, _ := claims.get("active"); active {
	case "true":
	case "false":
		return refused(ReasonInactive, "the issuer says that the token is not active")
	default:
		return &answerError{"answer does not say whether the token is active"}
	}
	for name, good := range map[string][]string{
		"token_type": {"bearer", "access_token", "urn:ietf:params:oauth:token-type:access_token"},
		"token_use":  {"access", "access_token"},
		"typ":        {"bearer", "jwt", "at+jwt"},
	} {
		kind, ok := claims.Text(name)
		if !ok || kind != "" && !containsFold(good, kind) {
			return refused(ReasonWrongType, name+" is not that of a bearer access token")
		}
	}
	// A token that only who has a certain key may use (RFC 7800): nobody here could show that.
	if raw, bound := claims.get("cnf"); bound && raw != "null" {
		return refused(ReasonWrongType, "it has the claim cnf: its client would have to prove that it has a key")
	}
	return nil
}

func containsFold(list []string, text string) bool {
	for _, one := range list {
		if strings.EqualFold(one, text) {
			return true
		}
	}
	return false
}

// concernsAll says whether a failure shows something about the provider. What it answers to one token may be that
// token's fault, and whoever sends such a one is not to keep out others.
func concernsAll(err error) bool {
	if _, ok := errors.AsType[*answerError](err); ok {
		return false
	}
	if status, ok := errors.AsType[*statusError](err); ok {
		switch status.code {
		case http.StatusUnauthorized, http.StatusForbidden, http.StatusTooManyRequests,
			http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		default:
			return false
		}
	}
	return true
}

// introspected reads the claims of an answer as those of a token.
func (v *Verifier) introspected(claims ClaimsSet) (*parsed, error) {
	p := &parsed{claims: claims}
	var ok bool
	if p.issuer, ok = claims.Text("iss"); !ok {
		return nil, refused(ReasonMalformed, "iss is not a string")
	}
	if p.issuer == "" { // it may be left out (RFC 7662 section 2.2): who else should have given the token?
		p.issuer = v.introspector.issuer.Name
	}
	return p, nil
}

// judgeOpaque holds an answer to what is asked of a JWT, and keeps what it gives.
func (v *Verifier) judgeOpaque(id digest, claims ClaimsSet, now time.Time) (Identity, error) {
	p, err := v.introspected(claims)
	if err != nil {
		return Identity{}, err
	}
	i := v.introspector.issuer
	if p.issuer != i.Name {
		return Identity{}, v.unknownIssuer(p)
	}
	if err := v.check(p, now); err != nil {
		return Identity{}, err
	}
	identity, err := v.identity(i, p)
	if err != nil {
		return Identity{}, err
	}
	until := now.Add(introspectionFresh)
	if p.expires.Before(until) {
		until = p.expires
	}
	v.cache.put(id, &verified{identity: identity, until: until, bytes: len(identity.Claims)})
	return identity, nil
}
