package policy

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"topicgate/frames"
)

// oracle answers by the naive way: every rule is written out for every value,
// and each of the filters that come of it is asked for itself.
type oracle struct{ allow, deny []string }

// newOracle writes out the rules of a for reading or writing; ok is false when
// that would be too many.
func newOracle(a *Access, op rights) (o oracle, ok bool) {
	for _, v := range a.views {
		for _, r := range v.scope.rules {
			var filters []string
			if r.isPattern() {
				filters, ok = writeOut(r.filter(), a)
			} else {
				filters, ok = []string{r.filter()}, true
			}
			if !ok {
				return o, false
			}
			switch {
			case r.rights == deny:
				o.deny = append(o.deny, filters...)
			case r.rights&op != 0:
				o.allow = append(o.allow, filters...)
			}
		}
	}
	return o, true
}

func (r *Rule) filter() string {
	texts := make([]string, len(r.levels))
	for i, l := range r.levels {
		texts[i] = l.text
	}
	return strings.Join(texts, "/")
}

func (r *Rule) isPattern() bool {
	return slices.ContainsFunc(r.levels, func(l level) bool { return l.parts != nil })
}

// writeOut replaces the placeholders in a pattern by each of their values.
func writeOut(pattern string, a *Access) (filters []string, ok bool) {
	filters = []string{pattern}
	replace := func(placeholder string, values []string) {
		if !strings.Contains(pattern, placeholder) || len(filters)*len(values) > 5000 {
			ok = ok && !strings.Contains(pattern, placeholder)
			return
		}
		var out []string
		for _, f := range filters {
			for _, v := range values {
				if v != "" && len(v) <= 1024 && utf8.ValidString(v) && !strings.ContainsAny(v, "+#/") {
					out = append(out, strings.ReplaceAll(f, placeholder, v))
				}
			}
		}
		filters = out
	}
	ok = true
	replace("%u", []string{a.principal.Username})
	replace("%c", []string{a.principal.ClientID})
	for name, set := range a.sets {
		var members []string
		for m := range set {
			members = append(members, m)
		}
		replace("{"+name+"}", members)
	}
	var claims map[string]any
	if a.principal.Claims != "" {
		if err := json.Unmarshal([]byte(a.principal.Claims), &claims); err != nil {
			panic(err)
		}
	}
	for name, claim := range claims {
		switch c := claim.(type) {
		case string:
			replace("{claim."+name+"}", []string{c})
		case []any:
			var texts []string
			for _, text := range c {
				texts = append(texts, text.(string))
			}
			replace("{claim."+name+"}", texts)
		}
	}
	first, _, _ := strings.Cut(pattern, "/")
	filters = slices.DeleteFunc(filters, func(f string) bool {
		unknown := strings.ContainsAny(f, "{}") // a set or claim that the principal does not have
		return unknown || strings.HasPrefix(f, "$") && strings.ContainsAny(first, "%{")
	})
	return filters, ok
}

func (o oracle) allowed(topic string) bool { return matches(o.allow, topic) && !matches(o.deny, topic) }

func matches(filters []string, topic string) bool {
	return slices.ContainsFunc(filters, func(f string) bool { return frames.Match(f, topic) })
}

// combine gives all texts of 1 to depth levels of an alphabet, but the empty one.
func combine(alphabet []string, depth int) []string {
	var all []string
	layer := []string{""}
	for d := range depth {
		var next []string
		for _, prefix := range layer {
			for _, l := range alphabet {
				if d > 0 {
					l = prefix + "/" + l
				}
				next = append(next, l)
			}
		}
		all = append(all, next...)
		layer = next
	}
	return slices.DeleteFunc(all, func(s string) bool { return s == "" || strings.Contains(s, "#/") })
}

var oraclePrincipal = Principal{Username: "a", ClientID: "b", Claims: `{"k": ["a", "c"]}`}
var oracleSets = map[string]Set{"s": {"b": {}, "c": {}, "$s": {}, "ab": {}}, "t": {"a": {}, "b": {}}}

// forRandomPolicies calls ask with policies of a few random rules over a tiny alphabet.
func forRandomPolicies(t *testing.T, rounds int, ask func(text string, a *Access, o oracle)) {
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 1))
	t.Logf("seed %d", seed)
	pool := combine([]string{"a", "b", "", "+", "#", "%u", "{s}", "{claim.k}", "$s", "a{t}", "{t}{s}"}, 3)
	for range rounds {
		var text strings.Builder
		for range 1 + random.IntN(4) {
			word := []string{"read", "read", "read", "deny", "write"}[random.IntN(5)]
			filter := pool[random.IntN(len(pool))]
			if random.IntN(2) == 0 { // short ones meet more often
				filter = pool[random.IntN(12)]
			}
			fmt.Fprintf(&text, "pattern %s %s\n", word, filter)
		}
		a := NewAccess(oraclePrincipal, oracleSets, mustParse(t, text.String()))
		o, ok := newOracle(a, read)
		if !ok {
			t.Fatalf("oracle is too big for\n%s", text.String())
		}
		ask(text.String(), a, o)
		if t.Failed() {
			return
		}
	}
}

func TestDecisionsAgreeWithOracle(t *testing.T) {
	topics := combine([]string{"a", "b", "c", "ab", "bab", "z", "", "$s"}, 3)
	forRandomPolicies(t, 400, func(text string, a *Access, o oracle) {
		for _, topic := range topics {
			if got, want := a.Receive([]byte(topic)).Allowed, o.allowed(topic); got != want {
				t.Errorf("Receive(%q) = %v; want %v with\n%s", topic, got, want, text)
			}
		}
	})
}

// A filter is covered when every topic that it matches is allowed: topics of one
// level more than the rules have, with a level "z" that no rule names, are all
// kinds that there are.
func TestSubscribeAgreesWithOracle(t *testing.T) {
	topics := combine([]string{"a", "b", "c", "z", "$s"}, 4)
	filters := combine([]string{"a", "b", "$s", "+", "#"}, 3)
	covered, partly := 0, 0
	forRandomPolicies(t, 150, func(text string, a *Access, o oracle) {
		allow, deny := matchingAll(o.allow, topics), matchingAll(o.deny, topics)
		for _, filter := range filters {
			within, left := true, false
			for i, topic := range topics {
				if frames.Match(filter, topic) {
					within = within && allow[i]
					left = left || !deny[i]
				}
			}
			want := within && left
			if got := a.Subscribe(filter); got.Allowed != want {
				t.Errorf("Subscribe(%q) = %v by %v; want %v with\n%s", filter, got.Allowed, got.Rule, want, text)
			}
			if want {
				covered++
			} else {
				partly++
			}
		}
	})
	if covered == 0 || partly == 0 {
		t.Errorf("%d filters were covered, %d were not; the test needs both", covered, partly)
	}
}

func TestNarrowAgreesWithOracle(t *testing.T) {
	topics := append(combine([]string{"a", "b", "c", "z", "$s"}, 4), combine([]string{"a", "aa", "ab", "bb", "b$s", "bab", "z"}, 3)...)
	filters := combine([]string{"a", "b", "$s", "+", "#"}, 3)
	found := 0
	forRandomPolicies(t, 60, func(text string, a *Access, o oracle) {
		allow, deny := matchingAll(o.allow, topics), matchingAll(o.deny, topics)
		for _, filter := range filters {
			got, complete := a.Narrow(filter, 1000)
			if !complete {
				t.Errorf("Narrow(%q) is incomplete with\n%s", filter, text)
			}
			found += len(got)
			for i, one := range got {
				if err := frames.CheckTopicFilter(one); err != nil {
					t.Errorf("Narrow(%q) gives %q: %v", filter, one, err)
				}
				for j, other := range got {
					if i != j && frames.Covers(one, other) {
						t.Errorf("Narrow(%q) = %q: %q covers %q with\n%s", filter, got, one, other, text)
					}
				}
				// Something must be left of each.
				left := !matches(o.deny, strings.NewReplacer("+", "z", "#", "z/z/z/z").Replace(one))
				for k, topic := range topics {
					left = left || !deny[k] && frames.Match(one, topic)
				}
				if !left {
					t.Errorf("Narrow(%q) = %q: all of %q is denied with\n%s", filter, got, one, text)
				}
			}
			union := matchingAll(got, topics)
			for i, topic := range topics {
				want := allow[i] && frames.Match(filter, topic)
				if union[i] != want && !(want && deny[i]) {
					t.Errorf("Narrow(%q) = %q matches %q: %v; want %v with\n%s", filter, got, topic, union[i], want, text)
				}
			}
			if t.Failed() {
				return
			}
		}
	})
	if found == 0 {
		t.Error("nothing was ever found")
	}
}

func matchingAll(filters, topics []string) []bool {
	out := make([]bool, len(topics))
	for i, topic := range topics {
		out[i] = matches(filters, topic)
	}
	return out
}
