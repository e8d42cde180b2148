package policy

import (
	"encoding/json"
	"slices"
	"testing"
)

// claimsOf is a Claims Set of one claim, as encoding/json writes it.
func claimsOf(name string, value any) string {
	text, err := json.Marshal(map[string]any{name: value})
	if err != nil {
		panic(err)
	}
	return string(text)
}

func TestClaimValues(t *testing.T) {
	const claims = `{
		"text": "acme", "escaped": "\u00e9\"", "number": 42, "negative": -7, "big": 9007199254740993, "fraction": 1.0, "exponent": 1e3,
		"huge": 1e999, "yes": true, "no": false, "null": null, "empty": "", "slash": "a/b", "half": "\ud800",
		"object": {"x": {"y": "deep"}}, "a.b": "flat", "twice": "first", "twice": "last", "Text": "other",
		"list": ["a", "b", "a", "c/d", "", 5, 1e999, null, ["e"], {"f": "g"}, "h\u0069"], "none": [], "outer": {"list": ["in"], "n": 1},
		"https://example.com/tenant": "url", "https://example.com/app": {"roles": ["r1", "r.2"], "a.b": "within"}, "http://x.y/list": ["l"],
		"out.er": {"n": "dotted"}, "outer.n": "whole", "text.x": {"y": "below"}, "dot": {"ted": {"v": "path"}}, "dot.ted": "none"
	}`
	for _, tt := range []struct {
		path string
		want []string
	}{
		{"text", []string{"acme"}},
		{"TEXT", nil},
		{"escaped", []string{"é\""}},
		{"number", []string{"42"}},
		{"negative", []string{"-7"}},
		{"big", []string{"9007199254740993"}}, // a float64 would merge it with its neighbours
		{"fraction", nil},
		{"exponent", nil},
		{"huge", nil},
		{"yes", []string{"true"}},
		{"no", []string{"false"}},
		{"null", nil},
		{"empty", nil},
		{"slash", nil},
		{"half", []string{"\ufffd"}},
		{"object", nil},
		{"object.x", nil},
		{"object.x.y", []string{"deep"}},
		{"object.x.y.z", nil},
		{"text.x", nil}, // an object
		{"text.x.y", []string{"below"}},
		{"list.x", nil},
		{"a.b", []string{"flat"}},
		{"https://example.com/tenant", []string{"url"}},
		{"https://example.com/app", nil},
		{"https://example.com/app.roles", []string{"r.2", "r1"}},
		{"https://example.com/app.a.b", []string{"within"}},
		{"http://x.y/list", []string{"l"}},
		{"http://x.y/none", nil},
		{"out.er.n", []string{"dotted"}},
		{"dot.ted", []string{"none"}},
		{"dot.ted.v", []string{"path"}}, // "dot.ted" holds nothing
		{"twice", []string{"last"}},
		{"list", []string{"a", "b", "hi"}},
		{"outer.list", []string{"in"}},
		{"outer.n", []string{"whole"}}, // before the path
		{"none", nil},
		{"missing", nil},
	} {
		a := NewAccess(Principal{Claims: claims}, nil, mustParse(t, "pattern read x/{claim."+tt.path+"}"))
		got, _ := a.Narrow("#", 10)
		want := make([]string, 0, len(tt.want))
		for _, v := range tt.want {
			want = append(want, "x/"+v)
		}
		if !slices.Equal(got, want) {
			t.Errorf("{claim.%s} expands to %q; want %q", tt.path, got, want)
		}
		for _, v := range tt.want {
			if !a.Receive([]byte("x/" + v)).Allowed {
				t.Errorf("{claim.%s}: Receive(x/%s) is denied", tt.path, v)
			}
		}
	}
}

func TestClaimsThatWereDecodedServeOnlyTheirToken(t *testing.T) {
	tenant, both := mustParse(t, "pattern read x/{claim.tenant}"), mustParse(t, "pattern read x/{claim.tenant}/{claim.level}")
	p := Principal{Claims: `{"tenant": "acme", "level": 1}`}
	earlier := NewAccess(p, nil, tenant)
	if a := earlier.Next(p, nil, both); !a.Receive([]byte("x/acme/1")).Allowed {
		t.Error("a claim that only later rules name stands for nothing")
	}
	p.Claims = `{"tenant": "initech"}`
	a := earlier.Next(p, nil, tenant)
	if a.Receive([]byte("x/acme")).Allowed || !a.Receive([]byte("x/initech")).Allowed {
		t.Error("a fresh token's claim stands for what the old one said")
	}
	if n := testing.AllocsPerRun(10, func() { a.Next(p, nil, tenant) }); n > 10 {
		t.Errorf("Next with claims that are decoded already allocates %v times; want at most 10", n)
	}
}

// Claims come from a verified token; what is none all the same stands for nothing, and ends.
func TestClaimsThatAreNoJSON(t *testing.T) {
	for _, claims := range []string{"", "x", "[]", `"a"`, "{", `{"a`, `{"a"`, `{"a":`, `{"a":"x`, `{"a":[`, `{"a":["x",`, `{"a":{"b":`} {
		a := NewAccess(Principal{Claims: claims}, nil, mustParse(t, "pattern read x/{claim.a}\npattern read y/{claim.a.b}"))
		if got, _ := a.Narrow("#", 10); len(got) > 0 {
			t.Errorf("claims %q allow %q", claims, got)
		}
	}
}

func TestSameRulesAndValuesDecideTheSame(t *testing.T) {
	rs, other := mustParse(t, "pattern read a/{s}/{claim.c}/%u\nrole r\ntopic read b\n"), mustParse(t, "pattern read a/{s}/{claim.c}/%u\nrole r\ntopic read b\n")
	p := Principal{Username: "u", Claims: `{"c":["x"],"exp":1}`}
	set := setOf("1", "2")
	a := NewAccess(p, map[string]Set{"s": set}, rs)
	with := func(f func(p *Principal)) Principal { q := p; f(&q); return q }
	for _, tt := range []struct {
		name string
		b    *Access
		want bool
	}{
		{"itself", a, true},
		{"the same", NewAccess(p, map[string]Set{"s": set}, rs), true},
		{"an equal set", NewAccess(p, map[string]Set{"s": setOf("2", "1")}, rs), true},
		{"another token", a.Next(with(func(p *Principal) { p.Claims = `{"c":["x"],"exp":2}` }), map[string]Set{"s": set}, rs), true},
		{"another set", NewAccess(p, map[string]Set{"s": setOf("1", "3")}, rs), false},
		{"a larger set", NewAccess(p, map[string]Set{"s": setOf("1", "2", "3")}, rs), false},
		{"no set", NewAccess(p, nil, rs), false},
		{"another claim", NewAccess(with(func(p *Principal) { p.Claims = `{"c":["y"]}` }), map[string]Set{"s": set}, rs), false},
		{"no list", NewAccess(with(func(p *Principal) { p.Claims = `{"c":"x"}` }), map[string]Set{"s": set}, rs), false},
		{"another user", NewAccess(with(func(p *Principal) { p.Username = "v" }), map[string]Set{"s": set}, rs), false},
		{"a role", NewAccess(with(func(p *Principal) { p.Roles = []string{"r"} }), map[string]Set{"s": set}, rs), false},
		{"other rules", NewAccess(p, map[string]Set{"s": set}, other), false},
		{"nothing", NothingAllowed(), false},
		{"nil", nil, false},
	} {
		if got := a.Same(tt.b); got != tt.want || tt.b.Same(a) != tt.want {
			t.Errorf("%s: Same() = %v; want %v", tt.name, got, tt.want)
		}
	}
	if NothingAllowed().Same(NothingAllowedFor(ReasonTooLarge)) || !NothingAllowed().Same(NothingAllowed()) {
		t.Error("what allows nothing is the same for the same reason only")
	}
}
