package policy

import (
	"slices"
	"strings"
	"testing"

	"topicgate/frames"
)

func TestReachable(t *testing.T) {
	rs := mustParse(t, "pattern write only/write\npattern read $SYS/broker/%u\npattern read in-{rooms}-out/x\n"+contractText)
	alice := Principal{Username: "alice", Claims: `{"tenant": "acme"}`}
	a := NewAccess(alice, nil, rs) // in no room yet
	for filter, want := range map[string]bool{
		"#": true, "chat/#": true, "chat/room/+/messages": true, "chat/room/r1/#": true, "chat/room": false, "chat/room/": false,
		"chat/messages/alice/+": true, "chat/messages/bob/+": false, "chat/messages/+/x": true,
		"tenant/acme/#": true, "tenant/other/#": false, "only/#": false, "only/write": false,
		"in-a-out/x": true, "in--out/x": false, "in-a-out/y": false, "in-a/x": false, "+/x": true,
		"$SYS/#": true, "$SYS/broker/alice": true, "$SYS/broker/bob": false, "+/broker/alice": false,
	} {
		if got := a.Reachable(filter); got != want {
			t.Errorf("Reachable(%s) = %v; want %v", filter, got, want)
		}
	}
	if NothingAllowed().Reachable("#") {
		t.Error("Reachable(#) = true without rules")
	}
	// What is no set stays empty.
	if NewAccess(Principal{Username: "bob"}, nil, mustParse(t, "pattern read tenant/{claim.tenant}/#")).Reachable("tenant/#") {
		t.Error("Reachable(tenant/#) = true without the claim")
	}
}

// A filter is reachable if it overlaps with a rule in which sets hold all the values that matter.
func TestReachableAgreesWithOracle(t *testing.T) {
	filters := combine([]string{"a", "b", "ab", "", "$s", "+", "#"}, 3)
	full := Set{"a": {}, "b": {}, "ab": {}, "$": {}, "s": {}, "$s": {}, "z": {}}
	reached := map[bool]int{}
	forRandomPolicies(t, 300, func(text string, a *Access, _ oracle) {
		everything := *a
		everything.sets = map[string]Set{"s": full, "t": full}
		o, ok := newOracle(&everything, read)
		if !ok {
			t.Fatalf("oracle is too big for\n%s", text)
		}
		for _, filter := range filters {
			want := slices.ContainsFunc(o.allow, func(f string) bool { return frames.Overlaps(f, filter) })
			got := a.Reachable(filter)
			reached[got]++
			if got != want && (want || !repeats(text)) {
				t.Errorf("Reachable(%q) = %v; want %v with\n%s", filter, got, want, text)
			}
		}
	})
	if len(reached) != 2 {
		t.Errorf("the answers were %v; the test needs both", reached)
	}
}

// repeats reports whether a rule names a placeholder twice: that both have the same value is not asked for.
func repeats(text string) bool {
	return slices.ContainsFunc(strings.Split(text, "\n"), func(line string) bool {
		return slices.ContainsFunc([]string{"{s}", "{t}", "{claim.k}"},
			func(placeholder string) bool { return strings.Count(line, placeholder) > 1 })
	})
}
