package policy

import (
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Principal is one verified party: what a token, or a certificate, says of it.
type Principal struct {
	Username string
	ClientID string // as the client sent it
	Roles    []string
	Claims   map[string]any // as encoding/json decodes them
	Issuer   string
	TokenID  string // jti
}

// Set holds the values of one {set}. It is shared, so it must not change while
// an Access that was made with it is in use.
type Set map[string]struct{}

// NewSet makes a Set of those members that may stand in a topic level; skipped
// are the others, which never expand, in their order.
func NewSet(members []string) (set Set, skipped []string) {
	set = make(Set, len(members))
	for _, m := range members {
		if expandable(m) {
			set[m] = struct{}{}
		} else {
			skipped = append(skipped, m)
		}
	}
	return set, skipped
}

// NewAccess gives what the rulesets say of p; sets holds the values of the {set}
// placeholders by name. A rule of an earlier ruleset is named before one of a
// later. It keeps p's claims and the sets, and copies neither.
//
// Roles are p.Roles and the members of the set "roles".
func NewAccess(p Principal, sets map[string]Set, rulesets ...*Ruleset) *Access {
	roles := rolesOf(p, sets)
	a := &Access{principal: p, sets: sets, serial: serials.Add(1)}
	for i, rs := range rulesets {
		if rs == nil {
			continue
		}
		values := make([]meaning, len(rs.refs))
		for j, ref := range rs.refs {
			values[j] = resolve(ref, p, sets)
		}
		add := func(s *scope) {
			if s == nil || len(s.rules) == 0 {
				return
			}
			a.views = append(a.views, view{scope: s, refs: rs.refs, values: values, order: i})
			a.depth = max(a.depth, s.depth)
			a.denies = a.denies || s.denies
		}
		add(&rs.everybody)
		add(rs.users[p.Username])
		for _, role := range roles {
			add(rs.roles[role])
		}
	}
	return a
}

// rolesOf is every role of p, once.
func rolesOf(p Principal, sets map[string]Set) []string {
	roles := slices.Clone(p.Roles)
	for role := range sets[rolesSet] {
		roles = append(roles, role)
	}
	slices.Sort(roles)
	return slices.Compact(roles)
}

// resolve gives what a placeholder stands for.
func resolve(r ref, p Principal, sets map[string]Set) meaning {
	switch r.kind {
	case refUsername:
		return single(p.Username)
	case refClientID:
		return single(p.ClientID)
	case refSet:
		return meaning{many: sets[r.name]}
	default:
		return claimValue(p.Claims, r.name)
	}
}

func single(text string) meaning {
	if !expandable(text) {
		return meaning{}
	}
	return meaning{one: text}
}

// claimValue finds a claim by its dotted path. A string, an integer and a boolean
// stand for themselves, a list for each of its strings, all else for nothing.
func claimValue(claims map[string]any, path string) meaning {
	name, rest, deeper := strings.Cut(path, ".")
	claim, ok := claims[name]
	if !ok {
		return meaning{}
	}
	if deeper {
		inner, _ := claim.(map[string]any)
		return claimValue(inner, rest)
	}
	switch claim := claim.(type) {
	case []string:
		return several(claim)
	case []any:
		texts := make([]string, 0, len(claim))
		for _, c := range claim {
			if text, ok := c.(string); ok {
				texts = append(texts, text)
			}
		}
		return several(texts)
	}
	return single(scalar(claim))
}

func several(texts []string) meaning {
	set, _ := NewSet(texts)
	return meaning{many: set}
}

// scalar is the JSON text of an integer or a boolean, and a string itself.
func scalar(claim any) string {
	const exact = 1 << 53 // beyond it float64 merges different integers
	switch c := claim.(type) {
	case string:
		return c
	case bool:
		return strconv.FormatBool(c)
	case int:
		return strconv.Itoa(c)
	case int64:
		return strconv.FormatInt(c, 10)
	case json.Number:
		if strings.Trim(c.String(), "-0123456789") == "" { // neither fraction nor exponent
			return c.String()
		}
	case float64:
		if c == math.Trunc(c) && math.Abs(c) < exact {
			return strconv.FormatInt(int64(c), 10)
		}
	}
	return ""
}
