package auth

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// Step is one of the questions that Verify asks of a token.
type Step struct {
	Name     string // "form", "issuer" ...
	Found    string // what the token says; empty: nothing to tell
	Accepted string // what would be good; empty: see Found or Err
	Err      error  // a *[Refused] or *[Undecided]; nil: good
}

// Explain asks of a token what Verify asks, in that order, and goes on after a refusal as far as there is something to
// look at. The first error is Verify's. What it finds is for whoever has the token: claims of it are told before anybody
// knows whether its signature holds; the token itself is not.
func (v *Verifier) Explain(ctx context.Context, token string) []Step {
	e := explanation{v: v, now: time.Now()}
	if len(token) > maxTokenBytes {
		e.add("form", fmt.Sprintf("%d bytes", len(token)), fmt.Sprintf("accepted: at most %d bytes", maxTokenBytes), tooLarge(token))
		return e.steps
	}
	p, err := e.read(ctx, token)
	if err != nil {
		return e.steps
	}
	i := v.byName[p.issuer]
	if p.jws == nil && p.issuer != v.introspector.issuer.Name {
		i = nil
	}
	if i == nil {
		err = v.unknownIssuer(p)
	}
	e.add("issuer", foundIssuer(p), v.acceptedIssuers(), err)
	e.add("type", "", "", p.checkEvents())
	e.add("audience", v.foundAudience(p), v.acceptedAudience(), v.checkAudience(p))
	e.add("times", e.times(p), fmt.Sprintf("clocks may differ by %v", v.skew), p.checkTimes(e.now, v.skew))
	err = p.checkSubject(v.users.path() == "sub")
	e.add("subject", told("sub:", err, p.subject), "", err)
	e.add("other claims", "", "", p.checkUnused())
	if i != nil && p.jws != nil {
		_, err := v.verifySignature(ctx, digestOf(token), i, p)
		e.add("signature", told("kid:", nil, p.jws.header.KeyID), "", err)
	}
	prefix := ""
	if i != nil {
		prefix = i.UsernamePrefix
	}
	name, err := v.users.Username(p.claims, prefix)
	e.add("username", told(v.users.path()+":", err, name), "", err)
	roles, err := p.claims.Roles(v.rolesClaims...)
	e.add("roles", told(strings.Join(v.rolesClaims, ", ")+":", err, roles...), "", err)
	return e.steps
}

type explanation struct {
	v     *Verifier
	now   time.Time
	steps []Step
}

// read takes the claims from the token, or from the issuer.
func (e *explanation) read(ctx context.Context, token string) (*parsed, error) {
	if e.v.introspector != nil && isOpaque(token) {
		e.add("form", fmt.Sprintf("an opaque token of %d bytes", len(token)), "", nil)
		p, err := e.ask(ctx, token)
		e.add("introspection", e.v.introspector.issuer.Name+" says what it means", "", err)
		return p, err
	}
	p, err := parseToken(token, e.v.headers)
	if err != nil {
		e.add("form", fmt.Sprintf("%d bytes", len(token)), "", err)
		return nil, err
	}
	e.add("form", fmt.Sprintf("a signed JWT of %d bytes, alg is %s", len(token), p.jws.header.Algorithm), acceptedAlgorithms(), nil)
	return p, nil
}

func (e *explanation) ask(ctx context.Context, token string) (*parsed, error) {
	q, err := e.v.introspector.inquire(ctx, digestOf(token), token)
	if err == nil {
		err = q.err
	}
	if err != nil {
		return nil, err
	}
	return e.v.introspected(q.claims)
}

func (e *explanation) add(name, found, accepted string, err error) {
	e.steps = append(e.steps, Step{name, found, accepted, err})
}

// times tells the dates in a token.
func (e *explanation) times(p *parsed) string {
	var dates []string
	for _, name := range []string{"exp", "nbf", "iat"} {
		date, present, ok := p.claims.date(name)
		if !present || !ok {
			continue
		}
		distance := "ago"
		if date.After(e.now) {
			distance = "ahead"
		}
		dates = append(dates, fmt.Sprintf("%s is %s (%v %s)", name, date.UTC().Format(time.RFC3339), e.now.Sub(date).Abs().Round(time.Second), distance))
	}
	if dates == nil {
		return "there is no exp"
	}
	return strings.Join(dates, ", ")
}

// told says which values there are, unless an error says more.
func told(what string, err error, values ...string) string {
	switch {
	case err != nil:
		return ""
	case len(values) == 0 || values[0] == "":
		return what + " none"
	}
	return what + " " + found(values...)
}
