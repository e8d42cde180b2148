package frames

import (
	"math"
	"slices"
	"strings"
	"testing"
)

// shortFilters are all Topic Filters of up to three levels over a tiny alphabet.
func shortFilters() (filters []string) {
	levels := []string{"a", "b", "$x", "", "+", "#"}
	var build func(path []string)
	build = func(path []string) {
		if len(path) > 0 && CheckTopicFilter(strings.Join(path, "/")) == nil {
			filters = append(filters, strings.Join(path, "/"))
		}
		if len(path) < 3 {
			for _, l := range levels {
				build(append(slices.Clone(path), l))
			}
		}
	}
	build(nil)
	return filters
}

func TestAFilterIndexAgreesWithPairs(t *testing.T) {
	filters := shortFilters()
	for _, held := range filters {
		var x FilterIndex
		x.Add("b/b/b/b")
		x.Add(held)
		x.Remove("b/b/b/b")
		for _, asked := range filters {
			steps := math.MaxInt
			other, found := x.Overlapping(asked, &steps)
			want := Overlaps(held, asked) || held == "/#" && asked == "+" || held == "+" && asked == "/#"
			if found != want || found && other != held {
				t.Errorf("index of %q: Overlapping(%q) = %q, %v; want %v", held, asked, other, found, want)
			}
			// It may miss what covers without looking like it, and must claim nothing.
			if x.Covers(asked) && !Covers(held, asked) {
				t.Errorf("index of %q: Covers(%q); it does not", held, asked)
			}
			if CheckTopicName(asked) == nil && x.Covers(asked) != Match(held, asked) {
				t.Errorf("index of %q: Covers(%q) = %v; want what Match says", held, asked, x.Covers(asked))
			}
		}
		if got := x.AppendAll(nil); !slices.Equal(got, []string{held}) {
			t.Errorf("index of %q holds %q", held, got)
		}
		if x.Remove(held); !x.Empty() {
			t.Errorf("index of %q is not empty without it", held)
		}
	}
}

func TestAFilterIndexGivesUpInTime(t *testing.T) {
	var x FilterIndex
	for _, a := range "abcdefghij" {
		for _, b := range "abcdefghij" {
			x.Add(string(a) + "/" + string(b) + "/x")
		}
	}
	steps := 20
	if other, found := x.Overlapping("+/+/y", &steps); found || steps > 0 {
		t.Errorf("Overlapping in 20 steps = %q, %v with %d left; want nothing and none", other, found, steps)
	}
	if left := x.AppendAll(nil); len(left) != 100 || left[0] != "a/a/x" || left[99] != "j/j/x" {
		t.Errorf("the index holds %d filters from %q on", len(left), left[0])
	}
}
