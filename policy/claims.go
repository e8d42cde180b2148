package policy

import (
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
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

// decode finds the claims that the rulesets name, sorted by path. What was decoded before is not decoded again;
// all other claims stay JSON, for rules to come.
func (p Principal) decode(rulesets []*Ruleset) *decoded {
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
	d := &decoded{p.Claims, make([]claim, len(paths))}
	var all members
	for i, path := range paths {
		value, ok := p.decoded.of(p, path)
		if !ok {
			if all == nil {
				all = membersOf(p.Claims)
			}
			value = all.value(path)
		}
		d.values[i] = claim{path, value}
	}
	return d
}

// of returns what {claim.path} stands for, if that was decoded and p has these claims.
func (d *decoded) of(p Principal, path string) (meaning, bool) {
	if d == nil || d.claims != p.Claims {
		return meaning{}, false
	}
	i, ok := slices.BinarySearchFunc(d.values, path, func(c claim, path string) int { return strings.Compare(c.path, path) })
	if !ok {
		return meaning{}, false
	}
	return d.values[i].meaning, true
}

// claim gives what {claim.path} stands for.
func (p Principal) claim(path string) meaning {
	if value, ok := p.decoded.of(p, path); ok {
		return value
	}
	return membersOf(p.Claims).value(path)
}

// members are those of a JSON object by their exact names, undecoded.
type members map[string]jsontext.Value

func membersOf(object string) (m members) {
	if object == "" {
		return members{}
	}
	unmarshal([]byte(object), &m)
	return m
}

// unmarshal reads what was verified to be JSON, as encoding/json would, into what takes every value of its type.
func unmarshal(raw []byte, value any) {
	if err := json.Unmarshal(raw, value, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)); err != nil {
		panic("BUG: claims that are no JSON object: " + err.Error())
	}
}

// value finds a claim by its dotted path. A string, an integer and a boolean stand for themselves, a list for
// each of its strings, all else for nothing.
func (m members) value(path string) meaning {
	name, rest, deeper := strings.Cut(path, ".")
	raw, ok := m[name]
	switch {
	case !ok || deeper && raw[0] != '{':
		return meaning{}
	case deeper:
		return membersOf(string(raw)).value(rest)
	case raw[0] == '[':
		var elements []jsontext.Value
		unmarshal(raw, &elements)
		texts := make([]string, 0, len(elements))
		for _, element := range elements {
			if element[0] == '"' {
				texts = append(texts, scalar(element))
			}
		}
		set, _ := NewSet(texts)
		return meaning{many: set}
	}
	return single(scalar(raw))
}

// scalar is the JSON text of an integer or a boolean, and a string itself.
func scalar(raw jsontext.Value) (text string) {
	switch {
	case raw[0] == '"':
		unmarshal(raw, &text)
		return text
	case raw[0] == 't', raw[0] == 'f', strings.Trim(string(raw), "-0123456789") == "": // neither fraction nor exponent
		return string(raw)
	}
	return ""
}
