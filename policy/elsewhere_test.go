package policy

import "testing"

// A claim that the token says stands elsewhere is not empty: a rule that denies by it might cut anything.
func TestADenyByAClaimThatStandsElsewhereDeniesEverything(t *testing.T) {
	const denying = "pattern readwrite room/#\npattern deny room/{claim.groups}/#\n"
	const allowing = "pattern readwrite room/{claim.groups}/#\npattern readwrite mine\n"
	for _, tt := range []struct {
		rules, claims string
		want          string // the reason of the decision about "room/a"
		allowed       bool
	}{
		{denying, `{"groups":["b"]}`, "", true},
		{denying, `{}`, "", true},
		{denying, `{"_claim_names":{"groups":"src1"}}`, ReasonClaimElsewhere, false},
		{denying, `{"_claim_names":{"other":"src1"}}`, "", true},
		{denying, `{"hasgroups":true}`, ReasonClaimElsewhere, false},
		{denying, `{"hasgroups":false}`, "", true},
		{"pattern readwrite room/#\npattern deny room/{claim.realm.groups}/#\n", `{"_claim_names":{"realm":"src1"}}`, ReasonClaimElsewhere, false},
		{allowing, `{"_claim_names":{"groups":"src1"}}`, "", false},
		{"pattern readwrite room/#\nrole guest\npattern deny room/{claim.groups}/#\n", `{"hasgroups":true}`, "", true}, // another's role
	} {
		rules, err := Parse("test", tt.rules)
		if err != nil {
			t.Fatal(err)
		}
		access := NewAccess(Principal{Username: "alice", Claims: tt.claims}, nil, rules)
		if d := access.Publish([]byte("room/a")); d.Allowed != tt.allowed || d.Reason != tt.want {
			t.Errorf("%s with %s: %+v; want allowed %v for reason %q", tt.rules, tt.claims, d, tt.allowed, tt.want)
		}
	}
}
