package policy

import "slices"

// Principal is one verified party: what a token, or a certificate, says of it.
type Principal struct {
	Username string
	ClientID string // as the client sent it
	Roles    []string
	Claims   string // a token's Claims Set, a JSON object; empty: none
	Issuer   string
	TokenID  string // jti

	decoded *decoded // of Claims, what rules asked for so far
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
// later. It keeps the sets and does not copy them.
//
// Roles are p.Roles and the members of the set "roles".
func NewAccess(p Principal, sets map[string]Set, rulesets ...*Ruleset) *Access {
	roles := rolesOf(p, sets)
	p.decoded = p.decode(rulesets)
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
		return p.claim(r.name)
	}
}

func single(text string) meaning {
	if !expandable(text) {
		return meaning{}
	}
	return meaning{one: text}
}
