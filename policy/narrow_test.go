package policy

import (
	"fmt"
	"slices"
	"testing"
)

func rooms(n int) Set {
	set := make(Set, n)
	for i := range n {
		set[fmt.Sprintf("room-%05d", i)] = struct{}{}
	}
	return set
}

func TestNarrow(t *testing.T) {
	rs := mustParse(t, "pattern write only/write\npattern read $SYS/broker/%u\npattern deny chat/room/gone/#\n"+contractText)
	sets := map[string]Set{"rooms": setOf("r1", "r2", "gone")}
	alice := Principal{Username: "alice", Claims: `{"tenant": "acme"}`}
	mod := Principal{Username: "mo", Roles: []string{"moderator"}}
	for _, tt := range []struct {
		p      Principal
		filter string
		want   []string
	}{
		{alice, "#", []string{"chat/messages/alice/+", "chat/room/r1/#", "chat/room/r2/#", "tenant/acme/#"}},
		{alice, "chat/room/+", []string{"chat/room/r1", "chat/room/r2"}},
		{alice, "chat/room/+/messages", []string{"chat/room/r1/messages", "chat/room/r2/messages"}},
		{alice, "chat/room/r2/+/x", []string{"chat/room/r2/+/x"}},
		{alice, "chat/room/r9/#", nil},
		{alice, "chat/room/r1/private", nil}, // denied whole
		{alice, "chat/room/gone/#", nil},
		{alice, "+/+/alice/#", []string{"chat/messages/alice/+", "tenant/acme/alice/#"}},
		{alice, "only/#", nil},
		{alice, "+/broker/alice", nil},
		{alice, "$SYS/#", []string{"$SYS/broker/alice"}},
		{mod, "chat/room/#", []string{"chat/room/#"}}, // covers the rooms of the set
		{mod, "chat/+/+", []string{"chat/room/+"}},
		{mod, "a/#/b", nil}, // not a filter
	} {
		got, complete := NewAccess(tt.p, sets, rs).Narrow(tt.filter, 100)
		if !slices.Equal(got, tt.want) || !complete {
			t.Errorf("%s: Narrow(%s) = %q, %v; want %q", tt.p.Username, tt.filter, got, complete, tt.want)
		}
	}
}

// A result may overlap with another that does not cover it.
func TestNarrowKeepsOverlappingResults(t *testing.T) {
	a := NewAccess(Principal{}, nil, mustParse(t, "pattern read +/+\npattern read a/#\npattern read a/b\npattern read b/+/c\n"))
	got, complete := a.Narrow("#", 10)
	if want := []string{"+/+", "a/#", "b/+/c"}; !slices.Equal(got, want) || !complete {
		t.Errorf("Narrow(#) = %q, %v; want %q", got, complete, want)
	}
}

func TestNarrowGivesNoEmptyFilter(t *testing.T) {
	a := NewAccess(Principal{}, nil, mustParse(t, "pattern read /#"))
	for filter, want := range map[string][]string{"+": nil, "+/#": {"/#"}, "#": {"/#"}, "/+": {"/+"}} {
		if got, complete := a.Narrow(filter, 10); !slices.Equal(got, want) || !complete {
			t.Errorf("Narrow(%s) = %q, %v; want %q", filter, got, complete, want)
		}
	}
}

func TestNarrowStopsAtItsMaximum(t *testing.T) {
	a := NewAccess(Principal{Roles: []string{"r"}}, map[string]Set{"rooms": rooms(1000)},
		mustParse(t, "pattern read room/{rooms}/#\nrole r\ntopic read wide/+/x\npattern read wide/{rooms}/x\n"))
	for _, tt := range []struct {
		filter   string
		max      int
		want     int
		complete bool
	}{
		{"room/#", 1000, 1000, true},
		{"room/#", 999, 999, false},
		{"room/room-00017/#", 1, 1, true}, // a look-up
		{"wide/#", 1, 1, true},            // the rooms are covered: they do not count
		{"wide/#", 0, 0, false},
		{"nothing/#", 0, 0, true},
	} {
		got, complete := a.Narrow(tt.filter, tt.max)
		if len(got) != tt.want || complete != tt.complete {
			t.Errorf("Narrow(%s, %d) = %d filters, %v; want %d, %v", tt.filter, tt.max, len(got), complete, tt.want, tt.complete)
		}
	}
}

// Rules whose enumeration is huge must not hold the gateway up, even when little
// comes of it.
func TestNarrowIsBoundedInWork(t *testing.T) {
	a := NewAccess(Principal{}, map[string]Set{"a": rooms(3000), "b": rooms(3000)},
		mustParse(t, "pattern read x/+\npattern read x/{a}-{b}\n"))
	got, complete := a.Narrow("x/+", 1000)
	if complete || !slices.Equal(got, []string{"x/+"}) {
		t.Errorf("Narrow(x/+) = %q, %v; want x/+ and incomplete", got, complete)
	}
}
