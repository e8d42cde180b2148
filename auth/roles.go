package auth

import (
	"encoding/json"
	"slices"
	"strings"
	"unicode/utf8"
)

// elsewhere reports whether the token says that the claim at path, or what holds it, is not in the token but to be
// had from somebody else: by the names of OpenID Connect Core 5.6.2, as Entra ID does for users of more than 200
// groups, or by its "hasgroups", which says the same of the claim "groups".
func (c ClaimsSet) elsewhere(path string) (bool, error) {
	var names map[string]json.RawMessage
	if !c.decode("_claim_names", &names) {
		return false, refused(ReasonMalformed, "_claim_names is not readable")
	}
	stands := func(name string) bool {
		_, listed := names[name]
		if name == "groups" && !listed {
			switch raw, _ := c.get("hasgroups"); raw {
			case "", "null", "false", `"false"`:
			default:
				return true
			}
		}
		return listed
	}
	if stands(path) {
		return true, nil
	}
	for name := range splits(path) {
		if stands(name) {
			return true, nil
		}
	}
	return false, nil
}

// Roles returns the roles at the paths, all together: none of a claim that is absent or null. A claim of another type,
// or one that the token says stands elsewhere, refuses the token instead of being ignored, for a role may carry denials:
// without its roles a principal could be allowed more than with them. The error is a *[Refused].
func (c ClaimsSet) Roles(paths ...string) ([]string, error) {
	var unique []string
	var seen map[string]struct{}
	for _, path := range paths {
		found, err := c.rolesAt(path)
		if err != nil {
			return nil, err
		}
		if seen == nil {
			seen = make(map[string]struct{}, len(found))
		}
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
	}
	return slices.Clip(unique), nil
}

// rolesAt returns the roles in one claim, perhaps empty ones and some twice.
func (c ClaimsSet) rolesAt(path string) ([]string, error) {
	switch elsewhere, err := c.elsewhere(path); {
	case err != nil:
		return nil, err
	case elsewhere:
		return nil, refused(ReasonRolesElsewhere, "the token says that its claim "+path+" is to be fetched elsewhere (too many groups?); have the issuer put it into the token, app roles in place of groups for example")
	}
	raw, ok, blocked := c.lookup(path)
	switch {
	case blocked:
		return nil, refused(ReasonBadRoles, "the path "+path+" leads through a claim that is no object")
	case !ok || raw == "null":
		return nil, nil
	}
	var roles []string
	switch raw[0] {
	case '"':
		if roles, ok = splitRoles(strings.Clone(decodeString(raw))); !ok {
			return nil, refused(ReasonBadRoles, "the claim "+path+" holds commas and spaces, so that nobody knows which of them separate roles")
		}
	case '[':
		var elements []*string // null is no string
		if json.Unmarshal([]byte(raw), &elements) != nil || slices.Contains(elements, nil) {
			return nil, refused(ReasonBadRoles, "the claim "+path+" holds something that is not a string")
		}
		for _, role := range elements {
			roles = append(roles, *role)
		}
	case '{':
		if roles, ok = rolesOfObject(raw); !ok {
			return nil, refused(ReasonBadRoles, "the claim "+path+" is an object, and not one of roles with the organizations that each is granted in")
		}
	default:
		return nil, refused(ReasonBadRoles, "the claim "+path+" is neither a list of strings nor a string")
	}
	return roles, nil
}

// splitRoles splits a text at its spaces, as in "scope" (RFC 6749 section 3.3), or at its commas, beside which spaces
// mean nothing. ok is false for a text that could be both.
func splitRoles(text string) (roles []string, ok bool) {
	if !strings.Contains(text, ",") {
		return strings.Split(text, " "), true
	}
	roles = strings.Split(text, ",")
	for i := range roles {
		roles[i] = strings.Trim(roles[i], " ")
		if strings.Contains(roles[i], " ") {
			return nil, false
		}
	}
	return roles, true
}

// rolesOfObject returns the names in an object of Zitadel's form, {"admin": {"2543": "acme.example"}}: for each role
// the organizations that it is granted in. An object of any other form is something else, Keycloak's "resource_access"
// for example, whose roles stand deeper.
func rolesOfObject(raw string) (roles []string, ok bool) {
	object, err := ParseClaimsSet([]byte(raw))
	if err != nil {
		panic("BUG: not a JSON object, though read as one: " + err.Error())
	}
	for _, role := range object.members {
		var organizations map[string]*string
		if json.Unmarshal([]byte(role.raw), &organizations) != nil || len(organizations) == 0 {
			return nil, false
		}
		for _, organization := range organizations {
			if organization == nil {
				return nil, false
			}
		}
		roles = append(roles, strings.Clone(role.name))
	}
	return roles, true
}
