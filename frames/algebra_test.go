package frames

import (
	"math/bits"
	"slices"
	"strings"
	"testing"
)

// The oracle is the wording of section 4.7 over lists of levels, for all filters and
// topics of a small alphabet. Topics have a literal more than the filters ("c", "$y"),
// which stands for all that filters do not name, and may be one level deeper, which
// stands for all depths that '#' reaches: so "for all topics here" means "for all".

// world is an alphabet of levels, but for '#', and the most levels of a filter.
type world struct {
	alphabet []string
	depth    int
}

var worlds = []world{
	{[]string{"", "a", "b", "$x", "+"}, 3},
	{[]string{"", "a", "$x", "+"}, 4},
}

// words returns all lists of 1 to depth levels, joined, but the empty string.
func words(alphabet []string, depth int) []string {
	var all, last []string
	for d := range depth {
		var next []string
		for _, level := range alphabet {
			if d == 0 {
				next = append(next, level)
			}
			for _, head := range last {
				next = append(next, head+"/"+level)
			}
		}
		all, last = append(all, next...), next
	}
	return slices.DeleteFunc(all, func(s string) bool { return s == "" })
}

func (w world) filters() []string {
	filters := words(w.alphabet, w.depth)
	for _, head := range append(words(w.alphabet, w.depth-1), "") {
		filters = append(filters, head+"/#")
	}
	return append(filters, "#")
}

func (w world) topics() []string {
	return words(append(slices.DeleteFunc(slices.Clone(w.alphabet), func(s string) bool { return s == "+" }), "c", "$y"), w.depth+1)
}

// oracleMatch is Match by the book, level by level.
func oracleMatch(filter, topic []string) bool {
	if strings.HasPrefix(topic[0], "$") && (filter[0] == "+" || filter[0] == "#") {
		return false // section 4.7.2
	}
	for i, level := range filter {
		switch {
		case level == "#": // "represents the parent and any number of child levels"
			return len(topic) >= i
		case i >= len(topic) || level != "+" && level != topic[i]:
			return false
		}
	}
	return len(filter) == len(topic)
}

// topicSet is a set of topics by their number.
type topicSet []uint64

func (s topicSet) within(t topicSet) bool {
	for i := range s {
		if s[i]&^t[i] != 0 {
			return false
		}
	}
	return true
}

func (s topicSet) and(t topicSet) (both topicSet, size int) {
	both = make(topicSet, len(s))
	for i := range s {
		both[i] = s[i] & t[i]
		size += bits.OnesCount64(both[i])
	}
	return both, size
}

// oracle returns all filters, and what each matches.
func (w world) oracle() (filters []string, matched map[string]topicSet) {
	topics := w.topics()
	split := make([][]string, len(topics))
	for i, topic := range topics {
		split[i] = strings.Split(topic, "/")
	}
	filters, matched = w.filters(), map[string]topicSet{}
	for _, filter := range filters {
		levels, set := strings.Split(filter, "/"), make(topicSet, (len(topics)+63)/64)
		for i, topic := range split {
			if oracleMatch(levels, topic) {
				set[i/64] |= 1 << (i % 64)
			}
		}
		matched[filter] = set
	}
	return filters, matched
}

func TestMatchAgreesWithTheOracle(t *testing.T) {
	for _, w := range worlds {
		topics := w.topics()
		filters, matched := w.oracle()
		for _, filter := range filters {
			if err := CheckTopicFilter(filter); err != nil {
				t.Fatalf("CheckTopicFilter(%q) = %v; want nil", filter, err)
			}
			set := matched[filter]
			for i, topic := range topics {
				want := set[i/64]>>(i%64)&1 == 1
				if got := Match(filter, topic); got != want {
					t.Fatalf("Match(%q, %q) = %v; want %v", filter, topic, got, want)
				}
			}
		}
	}
}

func TestAlgebraAgreesWithTheOracle(t *testing.T) {
	for _, w := range worlds {
		filters, matched := w.oracle()
		for _, a := range filters {
			for _, b := range filters {
				checkAlgebra(t, a, b, matched)
			}
		}
	}
}

func checkAlgebra(t *testing.T, a, b string, matched map[string]topicSet) {
	t.Helper()
	setA, setB := matched[a], matched[b]
	if got, want := Covers(a, b), setB.within(setA); got != want {
		t.Fatalf("Covers(%q, %q) = %v; want %v", a, b, got, want)
	}
	both, size := setA.and(setB)
	if got, want := Overlaps(a, b), size > 0; got != want {
		t.Fatalf("Overlaps(%q, %q) = %v; want %v", a, b, got, want)
	}
	got := Intersect(a, b)
	switch {
	case size == 0 && len(got) == 0:
	case size > 0 && len(got) == 1 && slices.Equal(matched[got[0]], both):
	default:
		t.Fatalf("Intersect(%q, %q) = %q; want what matches the same %d topics", a, b, got, size)
	}
}

func TestAlgebraExamples(t *testing.T) {
	tests := []struct {
		a, b      string
		covers    bool // a covers b
		intersect string
	}{
		{"#", "a/b", true, "a/b"},
		{"#", "$SYS/#", false, ""},
		{"+/#", "#", true, "+/#"},
		{"#", "+/#", true, "+/#"},
		{"a/#", "a", true, "a"},
		{"a/+/#", "a/#", false, "a/+/#"},
		{"a/#", "a/+/#", true, "a/+/#"},
		{"+/+", "#", false, "+/+"},
		{"a/+", "+/b", false, "a/b"},
		{"a/+/c", "+/b/#", false, "a/b/c"},
		{"/#", "/", true, "/"},
		{"+", "/", false, ""},
		{"+", "/#", false, ""},
		{"/+/#", "/#", true, "/+/#"},
		{"+/+/#", "/#", true, "/+/#"},
		{"+/+/#", "+/#", false, "+/+/#"},
		{"chat/room/+/messages", "chat/room/#", false, "chat/room/+/messages"},
		{"chat/messages/alice/+", "chat/messages/+/+", false, "chat/messages/alice/+"},
		{"allowed", "allowed/secret", false, ""},
		{"", "a", false, ""},
		{"a", "", false, ""},
	}
	for _, tt := range tests {
		if got := Covers(tt.a, tt.b); got != tt.covers {
			t.Errorf("Covers(%q, %q) = %v; want %v", tt.a, tt.b, got, tt.covers)
		}
		var want []string
		if tt.intersect != "" {
			want = []string{tt.intersect}
		}
		if got := Intersect(tt.a, tt.b); !slices.Equal(got, want) {
			t.Errorf("Intersect(%q, %q) = %q; want %q", tt.a, tt.b, got, want)
		}
		if got := Overlaps(tt.b, tt.a); got != (want != nil) {
			t.Errorf("Overlaps(%q, %q) = %v; want %v", tt.b, tt.a, got, want != nil)
		}
	}
}

func TestIntersectionLongerThanAStringIsLeftOut(t *testing.T) {
	long := strings.Repeat("x", 40_000)
	if got := Intersect(long+"/+", "+/"+long); got != nil {
		t.Errorf("Intersect = one filter of %d bytes; want none", len(got[0]))
	}
	fits := strings.Repeat("x", MaxStringBytes/2)
	if got := Intersect(fits+"/+", "+/"+fits); len(got) != 1 || got[0] != fits+"/"+fits {
		t.Errorf("Intersect = %d filters; want the one of %d bytes", len(got), MaxStringBytes)
	}
}

// TestDeepTopicsTakeLinearTime walks topics of the most levels that a string holds,
// for every function that looks at levels: quadratic time or recursion would show.
func TestDeepTopicsTakeLinearTime(t *testing.T) {
	deep := strings.Repeat("/", MaxStringBytes-2)
	plus := strings.Repeat("+/", MaxStringBytes/2)
	if err := CheckTopicName(deep); err != nil {
		t.Errorf("CheckTopicName = %v; want nil", err)
	}
	if err := CheckTopicFilter(plus + "#"); err != nil {
		t.Errorf("CheckTopicFilter = %v; want nil", err)
	}
	for range 3 {
		if !Match(deep+"/#", deep) || !Match(plus+"#", deep) || Match(plus+"+/a", deep) {
			t.Fatal("Match of 65,533 levels is wrong")
		}
		if !Covers(plus+"#", deep) || Covers(deep, plus+"#") || !Overlaps(deep, plus+"#") {
			t.Fatal("Covers or Overlaps of 65,533 levels is wrong")
		}
		if got := Intersect(plus+"#", deep); len(got) != 1 || got[0] != deep {
			t.Fatal("Intersect of 65,533 levels is wrong")
		}
	}
}
