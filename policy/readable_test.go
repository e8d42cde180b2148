package policy

import (
	"encoding/json"
	"testing"
)

// What is written out, stored and read again allows the same, of the filters that it was written out for.
func TestReadableAgreesWithItsAccess(t *testing.T) {
	topics := combine([]string{"a", "b", "c", "ab", "z", "$s"}, 3)
	filters := []string{"a/#", "+/b", "b", "$s/#"}
	allowed, denied := 0, 0
	forRandomPolicies(t, 300, func(text string, a *Access, _ oracle) {
		r, complete := a.Readable(filters, 1000)
		if !complete {
			t.Fatalf("not complete for\n%s", text)
		}
		data, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		var stored Readable
		if err := json.Unmarshal(data, &stored); err != nil {
			t.Fatal(err)
		}
		again := stored.Access()
		for _, topic := range topics {
			if !matches(filters, topic) {
				continue
			}
			want := a.Receive([]byte(topic)).Allowed
			if got := again.Receive([]byte(topic)).Allowed; got != want {
				t.Errorf("%q allowed: %v from %+v; want %v with\n%s", topic, got, r, want, text)
			}
			if want {
				allowed++
			} else if len(r.Denied) > 0 {
				denied++
			}
		}
		for _, filter := range filters {
			if got, complete := a.Since(again).Within(filter, 0); len(got) > 0 || !complete {
				t.Errorf("nothing has changed, but Within(%q) = %q, %v since %+v with\n%s", filter, got, complete, r, text)
			}
		}
	})
	if allowed == 0 || denied == 0 {
		t.Errorf("%d topics were allowed, %d denied; want some", allowed, denied)
	}
}

func TestReadableHasABound(t *testing.T) {
	a := NewAccess(Principal{}, map[string]Set{"rooms": rooms(10)}, mustParse(t, "pattern read room/{rooms}\npattern deny room/{rooms}/x\n"))
	if r, complete := a.Readable([]string{"room/#"}, 20); !complete || len(r.Allowed) != 10 || len(r.Denied) != 10 {
		t.Errorf("Readable(20) = %+v, %v; want 10 rooms and 10 that are denied", r, complete)
	}
	for _, max := range []int{0, 9, 10, 19} {
		if r, complete := a.Readable([]string{"room/#"}, max); complete || r.Allowed != nil || r.Denied != nil {
			t.Errorf("Readable(%d) = %+v, %v; want nothing", max, r, complete)
		}
	}
	var none *Access
	if r, complete := none.Readable([]string{"#"}, 9); len(r.Allowed) > 0 || !complete {
		t.Errorf("of no Access: %+v, %v; want nothing, complete", r, complete)
	}
}

// What somebody else wrote into the store allows no more than Topic Filters do, and harms nobody.
func TestReadableOfNonsense(t *testing.T) {
	a := Readable{Allowed: []string{"", "a/#/b", "x+", "ok/{rooms}"}, Denied: []string{"#b"}}.Access()
	for topic, want := range map[string]bool{"a/b": false, "x": false, "ok/{rooms}": true, "ok/r": false} {
		if got := a.Receive([]byte(topic)).Allowed; got != want {
			t.Errorf("%q allowed: %v; want %v", topic, got, want)
		}
	}
}
