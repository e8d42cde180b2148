package auth

import (
	"bytes"
	"encoding/json"
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// rawClaims are the members of a JWT Claims Set by their exact names. A struct would not do:
// encoding/json matches its fields without regard to case, so "EXP" could stand in for "exp".
type rawClaims map[string]json.RawMessage

// decode reads a claim into value; ok is false when it is there and does not fit.
func (c rawClaims) decode(name string, value any) (ok bool) {
	raw, present := c[name]
	return !present || json.Unmarshal(raw, value) == nil
}

// text returns the claim as a string. ok is false when it is there and is none; null counts as absent.
func (c rawClaims) text(name string) (value string, ok bool) {
	raw, present := c[name]
	if !present {
		return "", true
	}
	if value, ok = plainString(raw); ok {
		return value, true
	}
	return value, json.Unmarshal(raw, &value) == nil
}

// plainString reads a JSON string without an escape, which most are. raw is valid JSON and UTF-8.
func plainString(raw json.RawMessage) (value string, ok bool) {
	if raw[0] != '"' || bytes.IndexByte(raw, '\\') >= 0 {
		return "", false
	}
	return string(raw[1 : len(raw)-1]), true
}

// texts returns a claim that is a string or a list of strings (RFC 7519 section 4.1.3).
func (c rawClaims) texts(name string) (values []string, ok bool) {
	raw, present := c[name]
	if !present {
		return nil, true
	}
	if bytes.HasPrefix(raw, []byte("[")) {
		return values, json.Unmarshal(raw, &values) == nil
	}
	value, ok := c.text(name)
	return []string{value}, ok
}

// maxDate is the end of the year 9999: later ones are mistakes, milliseconds for seconds as a rule, and
// would let a session live for ever.
const maxDate = 253402300799

// date returns a NumericDate (RFC 7519 section 2). present is false without the claim.
func (c rawClaims) date(name string) (t time.Time, present, ok bool) {
	raw, present := c[name]
	if !present || string(raw) == "null" {
		return time.Time{}, false, true
	}
	var seconds float64
	if json.Unmarshal(raw, &seconds) != nil || seconds < -maxDate || seconds > maxDate {
		return time.Time{}, true, false
	}
	whole, fraction := math.Modf(seconds)
	return time.Unix(int64(whole), int64(fraction*float64(time.Second))), true, true
}

// values returns all claims, numbers as json.Number so that none loses a digit.
func (c rawClaims) values() map[string]any {
	values := make(map[string]any, len(c))
	for name, raw := range c {
		values[name] = claimValue(raw)
	}
	return values
}

// claimValue decodes one claim, which is valid JSON.
func claimValue(raw json.RawMessage) (value any) {
	if text, ok := plainString(raw); ok {
		return text
	}
	if raw[0] == '-' || '0' <= raw[0] && raw[0] <= '9' {
		return json.Number(raw)
	}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	if err := decoder.Decode(&value); err != nil {
		panic("BUG: not JSON, though a part of it: " + err.Error())
	}
	return value
}

// lookup finds a claim by its dotted path. Names may hold dots themselves, as in
// "https://example.org/roles": at every level the longest name that is there wins.
func lookup(claims map[string]any, path string) (any, bool) {
	if value, ok := claims[path]; ok {
		return value, true
	}
	for i := strings.LastIndexByte(path, '.'); i >= 0; i = strings.LastIndexByte(path[:i], '.') {
		if inner, ok := claims[path[:i]].(map[string]any); ok {
			if value, ok := lookup(inner, path[i+1:]); ok {
				return value, true
			}
		}
	}
	return nil, false
}

// Username returns the name that rules and the broker see: the string at path in a token's claims. The
// error is a *[Refused].
func Username(claims map[string]any, path string) (string, error) {
	value, _ := lookup(claims, path)
	name, ok := value.(string)
	if !ok {
		return "", refused(ReasonNoUsername, "the claim "+path+" is missing or not a string")
	}
	if problem := nameProblem(name); problem != "" {
		return "", refused(ReasonBadUsername, "the claim "+path+" "+problem)
	}
	return name, nil
}

// Roles returns the roles at path in a token's claims: none when the claim is absent or null. A claim of
// another type refuses the token instead of being ignored, for a role may carry denials: without its roles
// a principal could be allowed more than with them. The error is a *[Refused].
func Roles(claims map[string]any, path string) ([]string, error) {
	value, _ := lookup(claims, path)
	var found []string
	switch value := value.(type) {
	case nil:
		return nil, nil
	case string: // as in "scope", RFC 6749 section 3.3
		found = strings.Split(value, " ")
	case []any:
		for _, element := range value {
			role, ok := element.(string)
			if !ok {
				return nil, refused(ReasonBadRoles, "the claim "+path+" holds something that is not a string")
			}
			found = append(found, role)
		}
	default:
		return nil, refused(ReasonBadRoles, "the claim "+path+" is neither a list of strings nor a string")
	}
	var unique []string
	seen := make(map[string]struct{}, len(found))
	for _, role := range found {
		if strings.ContainsRune(role, utf8.RuneError) {
			return nil, refused(ReasonBadRoles, "a role in the claim "+path+" "+replacementProblem)
		}
		if _, ok := seen[role]; ok || role == "" {
			continue
		}
		seen[role] = struct{}{}
		unique = append(unique, role)
	}
	return slices.Clip(unique), nil
}
