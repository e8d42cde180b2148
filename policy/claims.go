package policy

import (
	"bytes"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// decoded holds what the {claim.path} placeholders of some rules stand for. Immutable.
type decoded struct {
	claims string // where it was found
	values []claim
}

// claim is what one {claim.path} stands for.
type claim struct {
	path string
	meaning
}

// decode finds the claims that the rulesets name, sorted by path. What was decoded for a, which may be nil, is not
// decoded again; all other claims stay JSON, for rules to come.
func (a *Access) decode(claims string, rulesets []*Ruleset) *decoded {
	var paths []string
	for _, rs := range rulesets {
		if rs == nil {
			continue
		}
		for _, r := range rs.refs {
			if r.kind == refClaim {
				paths = append(paths, r.name)
			}
		}
	}
	if paths == nil {
		return nil
	}
	slices.Sort(paths)
	paths = slices.Compact(paths)
	var known *decoded
	if a != nil {
		known = a.decoded
	}
	d := &decoded{claims, make([]claim, len(paths))}
	var all members
	for i, path := range paths {
		value, ok := known.of(claims, path)
		if !ok {
			if all == nil {
				all = membersOf(claims)
			}
			value = all.value(path)
		}
		d.values[i] = claim{path, value}
	}
	return d
}

// of returns what {claim.path} stands for in claims, if that was decoded.
func (d *decoded) of(claims, path string) (meaning, bool) {
	if d == nil || d.claims != claims {
		return meaning{}, false
	}
	i, ok := slices.BinarySearchFunc(d.values, path, func(c claim, path string) int { return strings.Compare(c.path, path) })
	if !ok {
		return meaning{}, false
	}
	return d.values[i].meaning, true
}

// claim gives what {claim.path} stands for.
func (a *Access) claim(path string) meaning {
	if value, ok := a.decoded.of(a.principal.Claims, path); ok {
		return value
	}
	return membersOf(a.principal.Claims).value(path)
}

// members are those of a JSON object by their exact names, undecoded.
type members []member

type member struct{ name, raw string }

// membersOf splits an object, which was verified to be one: what it is not has no members.
func membersOf(object string) (m members) {
	d := jsontext.NewDecoder(bytes.NewBufferString(object), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	next := func() (raw string, ok bool) {
		read, err := d.ReadValue()
		end := int(d.InputOffset())
		return object[end-len(read) : end], err == nil
	}
	if start, err := d.ReadToken(); err != nil || start.Kind() != '{' {
		return nil
	}
	for d.PeekKind() == '"' {
		name, ok := next()
		raw, whole := next()
		if !ok || !whole {
			break
		}
		m = append(m, member{text(name), raw})
	}
	return m
}

// get returns the member of a name; of several the last, as encoding/json does.
func (m members) get(name string) (raw string, ok bool) {
	for _, member := range slices.Backward(m) {
		if member.name == name {
			return member.raw, true
		}
	}
	return "", false
}

// text decodes a JSON string.
func text(raw string) string {
	if !strings.Contains(raw, `\`) {
		return strings.TrimSuffix(strings.TrimPrefix(raw, `"`), `"`)
	}
	decoded, _ := jsontext.AppendUnquote(nil, raw) // half a surrogate pair is replaced
	return string(decoded)
}

// value finds a claim by its dotted path. A name may itself hold dots, as URLs do: the longest one that is there
// counts, first of all the whole path. A string, an integer and a boolean stand for themselves, a list for each of
// its strings, all else for nothing.
func (m members) value(path string) meaning {
	if raw, ok := m.get(path); ok {
		if raw[0] == '[' {
			set, _ := NewSet(stringsOf(raw))
			return meaning{many: set}
		}
		return single(scalar(raw))
	}
	for end := strings.LastIndexByte(path, '.'); end >= 0; end = strings.LastIndexByte(path[:end], '.') {
		if raw, ok := m.get(path[:end]); ok && raw[0] == '{' {
			return membersOf(raw).value(path[end+1:])
		}
	}
	return meaning{}
}

// elsewhere reports whether the claims say that the one at path, or what holds it, is to be had from somebody else: by
// the names of OpenID Connect Core 5.6.2, or by "hasgroups", which says the same of the claim "groups".
func (m members) elsewhere(path string) bool {
	var names members
	if raw, ok := m.get("_claim_names"); ok {
		names = membersOf(raw)
	}
	for end := len(path); end >= 0; end = strings.LastIndexByte(path[:end], '.') {
		if _, listed := names.get(path[:end]); listed {
			return true
		}
		if raw, ok := m.get("hasgroups"); ok && path[:end] == "groups" && raw != "null" && raw != "false" && raw != `"false"` {
			return true
		}
	}
	return false
}

// stringsOf returns the strings of a JSON array.
func stringsOf(array string) (texts []string) {
	d := jsontext.NewDecoder(bytes.NewBufferString(array), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	if _, err := d.ReadToken(); err != nil {
		return nil
	}
	for d.PeekKind() != ']' {
		element, err := d.ReadValue()
		if err != nil {
			return nil
		}
		if element.Kind() == '"' {
			texts = append(texts, text(string(element)))
		}
	}
	return texts
}

// scalar is the JSON text of an integer or a boolean, and a string itself.
func scalar(raw string) string {
	switch {
	case raw[0] == '"':
		return text(raw)
	case raw[0] == 't', raw[0] == 'f', strings.Trim(raw, "-0123456789") == "": // neither fraction nor exponent
		return raw
	}
	return ""
}
