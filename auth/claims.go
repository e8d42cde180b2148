package auth

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// ClaimsSet holds the members of a JWT Claims Set by their exact names, undecoded. A struct would not do:
// encoding/json matches its fields without regard to case, so "EXP" could stand in for "exp".
type ClaimsSet map[string]json.RawMessage

// ParseClaimsSet reads the payload of a token. Of members with one name the last counts, as RFC 7519 section 4
// allows. The error may quote the payload.
func ParseClaimsSet(payload []byte) (c ClaimsSet, err error) {
	// encoding/json would replace it instead of refusing it (RFC 8259 section 8.1).
	if !utf8.Valid(payload) {
		return nil, errors.New("not UTF-8")
	}
	if err := json.Unmarshal(payload, &c); err != nil {
		return nil, err
	}
	return c, nil
}

// decode reads a claim into value; ok is false when it is there and does not fit.
func (c ClaimsSet) decode(name string, value any) (ok bool) {
	raw, present := c[name]
	return !present || json.Unmarshal(raw, value) == nil
}

// Text returns a claim that is a string. ok is false when it is there and is none; null counts as absent.
func (c ClaimsSet) Text(name string) (value string, ok bool) {
	raw, present := c[name]
	switch {
	case !present || string(raw) == "null":
		return "", true
	case raw[0] != '"':
		return "", false
	}
	return decodeString(raw), true
}

// decodeString reads a JSON string; most hold no escape. raw is valid JSON and UTF-8.
func decodeString(raw json.RawMessage) string {
	if bytes.IndexByte(raw, '\\') < 0 {
		return string(raw[1 : len(raw)-1])
	}
	var value string
	unmarshal(raw, &value)
	return value
}

// texts returns a claim that is a string or a list of strings (RFC 7519 section 4.1.3).
func (c ClaimsSet) texts(name string) ([]string, bool) {
	raw, present := c[name]
	if !present {
		return nil, true
	}
	if raw[0] == '[' {
		var values []string
		err := json.Unmarshal(raw, &values)
		return values, err == nil
	}
	value, ok := c.Text(name)
	return []string{value}, ok
}

// maxDate is the end of the year 9999: later ones are mistakes, milliseconds for seconds as a rule, and
// would let a session live for ever.
const maxDate = 253402300799

// date returns a NumericDate (RFC 7519 section 2). present is false without the claim.
func (c ClaimsSet) date(name string) (t time.Time, present, ok bool) {
	raw, present := c[name]
	if !present || string(raw) == "null" {
		return time.Time{}, false, true
	}
	seconds, err := strconv.ParseFloat(string(raw), 64) // takes no JSON but a number
	if err != nil || seconds < -maxDate || seconds > maxDate {
		return time.Time{}, true, false
	}
	whole, fraction := math.Modf(seconds)
	return time.Unix(int64(whole), int64(fraction*float64(time.Second))), true, true
}

// lookup finds a claim by its dotted path. Names may hold dots themselves, as in
// "https://example.org/roles": at every level the longest name that is there wins.
func (c ClaimsSet) lookup(path string) (json.RawMessage, bool) {
	if raw, ok := c[path]; ok {
		return raw, true
	}
	for i := strings.LastIndexByte(path, '.'); i >= 0; i = strings.LastIndexByte(path[:i], '.') {
		if raw, ok := c[path[:i]]; ok && raw[0] == '{' {
			var inner ClaimsSet
			unmarshal(raw, &inner)
			if raw, ok := inner.lookup(path[i+1:]); ok {
				return raw, true
			}
		}
	}
	return nil, false
}

// unmarshal decodes a part of a Claims Set into what takes every value of its type.
func unmarshal(raw json.RawMessage, value any) {
	if err := json.Unmarshal(raw, value); err != nil {
		panic("BUG: not JSON, though a part of it: " + err.Error())
	}
}

// Username returns the name that rules and the broker see: the string at path. The error is a *[Refused].
func (c ClaimsSet) Username(path string) (string, error) {
	raw, ok := c.lookup(path)
	if !ok || raw[0] != '"' {
		return "", refused(ReasonNoUsername, "the claim "+path+" is missing or not a string")
	}
	name := decodeString(raw)
	if problem := nameProblem(name); problem != "" {
		return "", refused(ReasonBadUsername, "the claim "+path+" "+problem)
	}
	return name, nil
}

// Roles returns the roles at path: none when the claim is absent or null. A claim of another type refuses
// the token instead of being ignored, for a role may carry denials: without its roles a principal could be
// allowed more than with them. The error is a *[Refused].
func (c ClaimsSet) Roles(path string) ([]string, error) {
	raw, ok := c.lookup(path)
	if !ok || string(raw) == "null" {
		return nil, nil
	}
	var found []string
	switch raw[0] {
	case '"': // as in "scope", RFC 6749 section 3.3
		found = strings.Split(decodeString(raw), " ")
	case '[':
		var elements []*string // null is no string
		if json.Unmarshal(raw, &elements) != nil || slices.Contains(elements, nil) {
			return nil, refused(ReasonBadRoles, "the claim "+path+" holds something that is not a string")
		}
		for _, role := range elements {
			found = append(found, *role)
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
