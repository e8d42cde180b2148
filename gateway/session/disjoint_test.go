package session

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"topicgate/frames"
)

// tiny gives all filters, or topics, of 1 to depth levels of an alphabet.
func tiny(depth int, alphabet ...string) []string {
	var all []string
	layer := []string{""}
	for d := range depth {
		var next []string
		for _, prefix := range layer {
			for _, level := range alphabet {
				if d > 0 {
					level = prefix + "/" + level
				}
				next = append(next, level)
			}
		}
		all = append(all, next...)
		layer = next
	}
	return slices.DeleteFunc(all, func(s string) bool { return s == "" || strings.Contains(s, "#/") })
}

func TestDisjointFilters(t *testing.T) {
	for _, tt := range []struct{ filters, want []string }{
		{nil, nil},
		{[]string{"a"}, []string{"a"}},
		{[]string{"room/1/#", "room/2/#"}, []string{"room/1/#", "room/2/#"}},
		{[]string{"a/+", "+/b"}, []string{"+/+"}},
		{[]string{"a/#", "+/b"}, []string{"+/#"}},
		{[]string{"a", "a/#"}, []string{"a/#"}},
		{[]string{"+/b", "$x/b"}, []string{"$x/b", "+/b"}}, // [MQTT-4.7.2-1]
		{[]string{"a/b", "+/+", "c/d/e"}, []string{"+/+", "c/d/e"}},
		{[]string{"a/+/c", "a/b/+", "a/x/y"}, []string{"a/+/+"}}, // the merged one meets the third
	} {
		if got := disjoint(slices.Clone(tt.filters)); !slices.Equal(got, tt.want) {
			t.Errorf("disjoint(%q) = %q; want %q", tt.filters, got, tt.want)
		}
	}
}

// All pairs, and many larger lists: no topic may be lost, none matched by two, and nothing merged that had nothing
// in common.
func TestDisjointAgreesWithOracle(t *testing.T) {
	filters, topics := tiny(3, "a", "b", "$s", "", "+", "#"), tiny(4, "a", "b", "z", "$s", "")
	var matched [][]bool
	for _, f := range filters {
		row := make([]bool, len(topics))
		for i, topic := range topics {
			row[i] = frames.Match(f, topic)
		}
		matched = append(matched, row)
	}
	check := func(list []int) {
		var in []string
		for _, i := range list {
			in = append(in, filters[i])
		}
		out := disjoint(slices.Clone(in))
		for i, one := range out {
			if err := frames.CheckTopicFilter(one); err != nil {
				t.Fatalf("disjoint(%q) = %q: %v", in, out, err)
			}
			for _, other := range out[:i] {
				if frames.Overlaps(one, other) {
					t.Fatalf("disjoint(%q) = %q: %q and %q overlap", in, out, other, one)
				}
			}
			if !slices.ContainsFunc(in, func(f string) bool { return frames.Covers(one, f) }) {
				t.Fatalf("disjoint(%q) = %q: nothing asks for %q", in, out, one)
			}
		}
		for k, topic := range topics {
			wanted := slices.ContainsFunc(list, func(i int) bool { return matched[i][k] })
			if wanted && !slices.ContainsFunc(out, func(f string) bool { return frames.Match(f, topic) }) {
				t.Fatalf("disjoint(%q) = %q loses %q", in, out, topic)
			}
		}
		if len(in) == 2 && !frames.Overlaps(in[0], in[1]) && len(out) != 2 && !strings.Contains(strings.Join(in, " "), "/#") {
			t.Fatalf("disjoint(%q) = %q merges what has nothing in common", in, out)
		}
	}
	for i := range filters {
		for j := range filters {
			if i < j {
				check([]int{i, j})
			}
		}
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for range 1000 {
		list := make([]int, 1+random.IntN(8))
		for i := range list {
			list[i] = random.IntN(len(filters))
		}
		check(list)
	}
}

// The filters of an asked one that are merged stay inside it.
func TestMergedFiltersStayInsideWhatWasAsked(t *testing.T) {
	filters := tiny(3, "a", "b", "+", "#")
	for _, asked := range filters {
		var inside []string
		for _, f := range filters {
			if frames.Covers(asked, f) {
				inside = append(inside, f)
			}
		}
		for i, one := range inside {
			for _, other := range inside[i+1:] {
				for _, merged := range disjoint([]string{one, other}) {
					if !frames.Covers(asked, merged) {
						t.Fatalf("disjoint(%q, %q) gives %q, which is not inside %q", one, other, merged, asked)
					}
				}
			}
		}
	}
}

func BenchmarkDisjoint(b *testing.B) {
	var rooms []string
	for i := range 1000 {
		rooms = append(rooms, "chat/room/"+strings.Repeat("r", 1+i%7)+string(rune('a'+i%26))+"/#")
	}
	slices.Sort(rooms)
	rooms = slices.Compact(rooms)
	b.ReportAllocs()
	for b.Loop() {
		disjoint(rooms)
	}
}
