package policy

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"topicgate/frames"
)

func TestGain(t *testing.T) {
	const rules = "pattern read chat/room/{rooms}/#\npattern read chat/+/public\npattern deny chat/room/+/secret\nrole mod\ntopic read news/#\ntopic deny news/x\n"
	lines := func(extra ...string) string { return strings.Join(extra, "\n") + "\n" + rules }
	many := rooms(100_000)
	manyAnd := rooms(100_000)
	manyAnd["new"] = struct{}{}
	for _, tt := range []struct {
		name          string
		before, now   string
		was, is       Set
		wasMod, isMod bool
		filter        string
		max           int
		want          []string
		incomplete    bool
	}{
		{name: "nothing", before: rules, now: rules, was: setOf("a"), is: setOf("a"), filter: "#"},
		{name: "a line that changes nothing", before: rules, now: lines("pattern read chat/room/{rooms}/#"), was: setOf("a"), is: setOf("a"), filter: "#"},
		{name: "a room", before: rules, now: rules, was: setOf("a"), is: setOf("a", "b"), filter: "chat/#", want: []string{"chat/room/b/#"}},
		{name: "a room for another", before: rules, now: rules, was: setOf("a"), is: setOf("b"), filter: "chat/+/+/msg", want: []string{"chat/room/b/msg"}},
		{name: "a room elsewhere", before: rules, now: rules, was: setOf("a"), is: setOf("a", "b"), filter: "news/#"},
		{name: "a room less", before: rules, now: rules, was: setOf("a", "b"), is: setOf("a"), filter: "#"},
		{name: "a room of 100,000", before: rules, now: rules, was: many, is: manyAnd, filter: "#", want: []string{"chat/room/new/#"}},
		{name: "and another line with it", before: rules, now: lines("pattern read own/%u"), was: many, is: manyAnd, filter: "#", want: []string{"chat/room/new/#", "own/alice"}},
		{name: "a room that could be read", before: lines("pattern read chat/room/#"), now: lines("pattern read chat/room/#"), was: setOf("a"), is: setOf("a", "b"), filter: "#"},
		{name: "too many rooms", before: rules, now: rules, was: setOf("a"), is: many, filter: "#", incomplete: true},
		{name: "just enough", before: rules, now: rules, is: setOf("a", "b"), filter: "#", max: 2, want: []string{"chat/room/a/#", "chat/room/b/#"}},
		{name: "one too many", before: rules, now: rules, is: setOf("a", "b", "c"), filter: "#", max: 2, incomplete: true},
		{name: "a role", before: rules, now: rules, isMod: true, filter: "#", want: []string{"news/#"}},
		{name: "a deny", before: rules, now: lines("pattern deny chat/room/a/#"), was: setOf("a"), is: setOf("a"), filter: "#"},
		{name: "a deny that is lifted", before: lines("pattern deny chat/room/+/x"), now: rules, was: setOf("a", "b"), is: setOf("a", "b"), filter: "#",
			want: []string{"chat/room/a/x", "chat/room/b/x"}},
		{name: "a deny that is lifted elsewhere", before: lines("pattern deny chat/room/+/x"), now: rules, was: setOf("a"), is: setOf("a"), filter: "chat/room/b/#"},
		{name: "a deny that is lifted for too many", before: lines("pattern deny chat/room/+/x"), now: rules, was: many, is: many, filter: "#",
			want: []string{"chat/room/+/x"}},
		{name: "a deny by members", before: lines("pattern read #", "pattern deny #", "pattern deny x/{rooms}"), now: lines("pattern read #", "pattern deny x/{rooms}"),
			was: setOf("a", "b"), is: setOf("b"), filter: "x/#", want: []string{"x/#"}},
		{name: "a member whose deny is lifted", before: lines("pattern read x/#", "pattern deny x/{rooms}"), now: lines("pattern read x/#", "pattern deny x/{rooms}"),
			was: setOf("a", "b"), is: setOf("b"), filter: "x/#", want: []string{"x/a"}},
		{name: "a room that is denied", before: lines("pattern deny chat/room/b/#"), now: lines("pattern deny chat/room/b/#"), was: setOf("a"), is: setOf("a", "b"), filter: "#"},
		{name: "no topic line is a pattern", before: lines("role mod", "topic read t/{rooms}"), now: lines("role mod", "pattern read t/{rooms}"), was: setOf("a"), is: setOf("a"),
			wasMod: true, isMod: true, filter: "t/#", want: []string{"t/a"}},
		{name: "no filter", before: rules, now: rules, is: setOf("a"), filter: "a/#/b"},
	} {
		access := func(text string, rooms Set, mod bool) *Access {
			p := Principal{Username: "alice"}
			if mod {
				p.Roles = []string{"mod"}
			}
			return NewAccess(p, map[string]Set{"rooms": rooms}, mustParse(t, text))
		}
		if tt.max == 0 {
			tt.max = 10
		}
		got, complete := access(tt.now, tt.is, tt.isMod).Since(access(tt.before, tt.was, tt.wasMod)).Within(tt.filter, tt.max)
		if complete == tt.incomplete || complete && !slices.Equal(got, tt.want) {
			t.Errorf("%s: Within(%s) = %q, %v; want %q, %v", tt.name, tt.filter, got, complete, tt.want, !tt.incomplete)
		}
	}
}

func TestGainSinceNothingWasKnown(t *testing.T) {
	a := NewAccess(Principal{}, nil, mustParse(t, "pattern read a/#\n"))
	for _, before := range []*Access{nil, NothingAllowed()} {
		if got, complete := a.Since(before).Within("#", 10); !slices.Equal(got, []string{"a/#"}) || !complete {
			t.Errorf("Since(%v).Within(#) = %q, %v; want a/#", before, got, complete)
		}
		if got, complete := before.Since(a).Within("#", 10); got != nil || !complete {
			t.Errorf("what %v gained = %q, %v; want nothing", before, got, complete)
		}
	}
	if got, complete := a.Since(a).Within("#", 10); got != nil || !complete {
		t.Errorf("what it gained since itself = %q, %v; want nothing", got, complete)
	}
}

// Whatever changes: all that is gained is matched, and nothing outside the filter.
func TestGainAgreesWithOracle(t *testing.T) {
	topics := append(combine([]string{"a", "b", "c", "z", "$s"}, 4), combine([]string{"a", "aa", "ab", "bb", "bab", "z"}, 3)...)
	filters := combine([]string{"a", "b", "$s", "+", "#"}, 3)
	random := rand.New(rand.NewPCG(rand.Uint64(), 2))
	some := func(members ...string) Set {
		set := Set{}
		for _, m := range members {
			if random.IntN(2) == 0 {
				set[m] = struct{}{}
			}
		}
		return set
	}
	gained := 0
	var before *Access
	var was oracle
	var said string
	forRandomPolicies(t, 150, func(text string, a *Access, _ oracle) {
		if random.IntN(3) > 0 && said != "" {
			text = said // other values alone, but for a line perhaps
			if random.IntN(2) == 0 {
				text += "pattern " + []string{"read", "deny"}[random.IntN(2)] + " " + filters[random.IntN(len(filters))] + "\n"
			}
		}
		p := a.principal
		p.Claims = claimsOf("k", []string{"a", "c"}[:random.IntN(3)])
		now := NewAccess(p, map[string]Set{"s": some("b", "c", "$s", "ab"), "t": some("a", "b")}, mustParse(t, text))
		is, ok := newOracle(now, read)
		if !ok {
			t.Fatalf("oracle is too big for\n%s", text)
		}
		if before != nil {
			for _, filter := range filters {
				got, complete := now.Since(before).Within(filter, 1000)
				for _, one := range got {
					if frames.CheckTopicFilter(one) != nil || !frames.Covers(filter, one) {
						t.Errorf("Within(%q) gives %q", filter, one)
					}
				}
				for _, topic := range topics {
					if complete && frames.Match(filter, topic) && is.allowed(topic) && !was.allowed(topic) {
						gained++
						if !matches(got, topic) {
							t.Errorf("Within(%q) = %q lacks %q, from\n%sto\n%s%s", filter, got, topic, said, text, fmt.Sprint(before.sets, now.sets))
							return
						}
					}
				}
			}
		}
		before, was, said = now, is, text
	})
	if gained == 0 {
		t.Error("nothing was ever gained")
	}
}

func BenchmarkGainOfARoomBeside100000(b *testing.B) {
	rs := mustParse(b, "pattern read chat/room/{rooms}/#\n")
	is := rooms(100_000)
	is["new"] = struct{}{}
	before := NewAccess(Principal{}, map[string]Set{"rooms": rooms(100_000)}, rs)
	now := NewAccess(Principal{}, map[string]Set{"rooms": is}, rs)
	b.ReportAllocs()
	for b.Loop() {
		if got, _ := now.Since(before).Within("#", 1000); len(got) != 1 {
			b.Fatal(got)
		}
	}
}
