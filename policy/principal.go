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
}

// RolesSet is the {set} whose members are roles of the user besides.
const RolesSet = "roles"

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
// Roles are p.Roles and the members of RolesSet.
func NewAccess(p Principal, sets map[string]Set, rulesets ...*Ruleset) *Access {
	return (*Access)(nil).Next(p, sets, rulesets...)
}

// Next is NewAccess for who had a until now, perhaps nil: claims of the same token that were
// decoded for a are not decoded again.
func (a *Access) Next(p Principal, sets map[string]Set, rulesets ...*Ruleset) *Access {
	earlier := a
	a = &Access{principal: p, sets: sets, serial: serials.Add(1)}
	a.decoded = earlier.decode(p.Claims, rulesets)
	roles := rolesOf(p, sets)
	for i, rs := range rulesets {
		if rs == nil {
			continue
		}
		values := make([]meaning, len(rs.refs))
		for j, ref := range rs.refs {
			values[j] = a.resolve(ref)
		}
		add := func(s *scope) {
			if s == nil {
				return
			}
			if d := s.directives; d != nil {
				a.directives = append(a.directives, view{scope: d, refs: rs.refs, values: values, order: i})
				a.latest = a.latest || d.latest
				a.wants(rs, d)
			}
			if len(s.rules) == 0 {
				return
			}
			a.views = append(a.views, view{scope: s, refs: rs.refs, values: values, order: i})
			a.depth = max(a.depth, s.depth)
			a.denies = a.denies || s.denies
			a.wants(rs, s)
		}
		add(&rs.everybody)
		add(rs.users[p.Username])
		if len(rs.roles) == 0 {
			continue // as in the lines of each role: they cost no look at all the others
		}
		for _, role := range roles {
			add(rs.roles[role])
		}
	}
	if a.reason != "" {
		a.views, a.directives, a.latest, a.depth, a.denies = nil, nil, false, 0, false
	}
	return a
}

// wants has everything denied if something in s that restricts goes by a claim that stands elsewhere.
func (a *Access) wants(rs *Ruleset, s *scope) {
	for _, n := range s.denied {
		if r := rs.refs[n]; r.kind == refClaim && membersOf(a.principal.Claims).elsewhere(r.name) {
			a.reason = ReasonClaimElsewhere
		}
	}
}

// Same tells whether a decides everything as other does, since both are made of the same rules and values. That may
// be so by chance where it is false.
func (a *Access) Same(other *Access) bool {
	if a == nil || other == nil {
		return a == other
	}
	same := func(v, w view) bool {
		return v.scope == w.scope && v.order == w.order && slices.EqualFunc(v.values, w.values, meaning.same)
	}
	return a.reason == other.reason && a.written == other.written &&
		slices.EqualFunc(a.views, other.views, same) && slices.EqualFunc(a.directives, other.directives, same)
}

// rolesOf is every role of p, once.
func rolesOf(p Principal, sets map[string]Set) []string {
	roles := slices.Clone(p.Roles)
	for role := range sets[RolesSet] {
		roles = append(roles, role)
	}
	slices.Sort(roles)
	return slices.Compact(roles)
}

// resolve gives what a placeholder stands for.
func (a *Access) resolve(r ref) meaning {
	switch r.kind {
	case refUsername:
		return single(a.principal.Username)
	case refClientID:
		return single(a.principal.ClientID)
	case refSet:
		return meaning{many: a.sets[r.name]}
	default:
		return a.claim(r.name)
	}
}

func single(text string) meaning {
	if !expandable(text) {
		return meaning{}
	}
	return meaning{one: text}
}
