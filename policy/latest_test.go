package policy

import "testing"

// Latest is asked of deliveries: it concerns who reads, and no publish.
func TestLatestConcernsWhoReads(t *testing.T) {
	rs := mustParse(t, "pattern readwrite #\nlatest auctions/{auctions}/price\nlatest $app/%u\nuser alice\nlatest news/#\nrole slow\nlatest #\n")
	sets := map[string]Set{"auctions": setOf("a1", "a2")}
	alice := NewAccess(Principal{Username: "alice"}, sets, rs)
	bob := NewAccess(Principal{Username: "bob", Roles: []string{"slow"}}, nil, rs)
	none := NewAccess(Principal{Username: "carol"}, nil, mustParse(t, "pattern #\nlimit x max_qos=1"))
	for _, tt := range []struct {
		a     *Access
		topic string
		want  bool
	}{
		{alice, "auctions/a1/price", true}, {alice, "auctions/a3/price", false}, {alice, "auctions/a1/bid", false},
		{alice, "news", true}, {alice, "news/x/y", true}, {alice, "$app/alice", true}, {alice, "$app/bob", false},
		{bob, "anything", true}, {bob, "$app/x", false}, {none, "x", false}, {nil, "x", false},
	} {
		if got := tt.a.Latest([]byte(tt.topic)); got != tt.want {
			t.Errorf("Latest(%q) = %t; want %t", tt.topic, got, tt.want)
		}
		if d := tt.a.Publish([]byte(tt.topic)); d.Directed && tt.a != none {
			t.Errorf("Publish(%q) has directives to meet", tt.topic)
		}
	}
	if none.HasLatest() || !alice.HasLatest() {
		t.Error("HasLatest is wrong")
	}
	if denied := NewAccess(Principal{Username: "u", Claims: `{"_claim_names":{"t":"s"}}`}, nil, mustParse(t, "pattern #\nlatest {claim.t}/x")); denied.HasLatest() {
		t.Error("an Access that denies everything has directives")
	}
}
