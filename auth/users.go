package auth

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"
)

// Users says which claim of a token is the username, and what is made of it.
type Users struct {
	Claim   string       // dotted path; empty: "sub"
	Pattern *NamePattern // nil: the claim as it is
	// Escape writes what a rule may not hold as percent and two digits, as in "a%2Fb", and '%' itself as "%25".
	Escape bool
}

// path is the claim's.
func (u Users) path() string {
	if u.Claim == "" {
		return "sub"
	}
	return u.Claim
}

// Username returns the name that rules and the broker see: the issuer's prefix, and what is made of the claim, a string
// or a whole number. Two values of the claim never give one name (but 7 and "7", which no issuer means to be two users).
// The error is a *[Refused].
func (u Users) Username(c ClaimsSet, prefix string) (string, error) {
	path := u.path()
	raw, present, _ := c.lookup(path)
	if !present {
		return "", refused(ReasonNoUsername, "the claim "+path+" is missing")
	}
	name, ok := identifierOf(raw)
	if !ok {
		return "", refused(ReasonNoUsername, "the claim "+path+" is neither a string nor a whole number")
	}
	if u.Pattern != nil {
		if name, ok = u.Pattern.take(name); !ok {
			return "", refused(ReasonBadUsername, "the claim "+path+" does not match the pattern "+u.Pattern.text)
		}
	}
	if u.Escape {
		name = escapes.Replace(name)
	}
	name, problem := withPrefix(prefix, name)
	if problem != "" {
		return "", refused(ReasonBadUsername, "the claim "+path+" "+problem)
	}
	return strings.Clone(name), nil // names get about more than claims, and would take them along
}

// escapes are what a rule may not hold, and the percent sign, so that no two names are written alike. What else is
// refused (control characters, what could be taken for another) no provider gives as a name.
var escapes = strings.NewReplacer("%", "%25", "+", "%2B", "/", "%2F", "#", "%23")

// NamePattern takes a part of each name, of which the rest is always the same: so two names never become one.
type NamePattern struct {
	text string
	re   *regexp.Regexp
}

// ParseNamePattern reads a regular expression (RE2) with one group, which is the name: `([^@]+)@example\.com`, for the
// local part of the addresses of one domain. It must match all of the name. Outside of the group stands fixed text:
// with `(.+)@.+` there alice of one domain would be alice of each other.
func ParseNamePattern(text string) (*NamePattern, error) {
	parsed, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return nil, err
	}
	if groups := parsed.MaxCap(); groups != 1 {
		return nil, fmt.Errorf("%q has %d groups, not one: (…) around what is the username, (?:…) for others", text, groups)
	}
	parts := []*syntax.Regexp{parsed}
	if parsed.Op == syntax.OpConcat {
		parts = parsed.Sub
	}
	for _, part := range parts {
		switch {
		case part.Op == syntax.OpCapture, part.Op == syntax.OpLiteral && part.Flags&syntax.FoldCase == 0,
			part.Op == syntax.OpBeginText, part.Op == syntax.OpEndText:
		default:
			return nil, fmt.Errorf("%q: %s stands outside of the group and is no fixed text: names that differ there would become one user", text, part)
		}
	}
	re, err := regexp.Compile(`\A(?:` + text + `)\z`)
	if err != nil {
		return nil, errors.New("does not work as a whole: " + err.Error())
	}
	return &NamePattern{text, re}, nil
}

// take returns the group's part of name; false: the pattern does not match.
func (p *NamePattern) take(name string) (string, bool) {
	found := p.re.FindStringSubmatch(name)
	if found == nil {
		return "", false
	}
	return found[1], true
}
