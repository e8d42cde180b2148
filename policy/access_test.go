package policy

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// mustParse parses a text that is valid.
func mustParse(t testing.TB, text string) *Ruleset {
	t.Helper()
	rs, err := Parse("rules.acl", text)
	if err != nil {
		t.Fatalf("Parse(%q): %v", text, err)
	}
	return rs
}

func setOf(members ...string) Set {
	s, _ := NewSet(members)
	return s
}

const contractText = `# pattern lines are for everybody
pattern read  chat/messages/%u/+
pattern write chat/messages/+/%u
pattern readwrite chat/room/{rooms}/#
pattern read  tenant/{claim.tenant}/#
pattern deny  chat/room/+/private
user admin
topic read chat/messages/+/+
role moderator
topic readwrite chat/room/#
`

func TestRulesOfTheContract(t *testing.T) {
	rs := mustParse(t, contractText)
	sets := map[string]Set{"rooms": setOf("r1", "r2")}
	alice := Principal{Username: "alice", Claims: `{"tenant": ["acme", "initech"]}`}
	admin := Principal{Username: "admin"}
	mod := Principal{Username: "mo", Roles: []string{"moderator"}}
	for _, tt := range []struct {
		p       Principal
		op      string
		topic   string
		allowed bool
		rule    string
	}{
		{alice, "receive", "chat/messages/alice/bob", true, "rules.acl:2"},
		{alice, "receive", "chat/messages/bob/alice", false, ""},
		{alice, "publish", "chat/messages/bob/alice", true, "rules.acl:3"},
		{alice, "publish", "chat/messages/bob/carol", false, ""},
		{alice, "publish", "chat/room/r1", true, "rules.acl:4"}, // '#' matches the parent level
		{alice, "publish", "chat/room/r1/a/b", true, "rules.acl:4"},
		{alice, "receive", "chat/room/r2/a", true, "rules.acl:4"},
		{alice, "receive", "chat/room/r3/a", false, ""},
		{alice, "receive", "chat/room/r1/private", false, "rules.acl:6"},
		{alice, "publish", "chat/room/r1/private", false, "rules.acl:6"},
		{alice, "receive", "tenant/acme/x", true, "rules.acl:5"},
		{alice, "receive", "tenant/initech", true, "rules.acl:5"},
		{alice, "receive", "tenant/evil/x", false, ""},
		{alice, "publish", "tenant/acme/x", false, ""},
		{admin, "receive", "chat/messages/a/b", true, "rules.acl:8"},
		{admin, "publish", "chat/messages/a/b", false, ""},
		{admin, "publish", "chat/messages/a/admin", true, "rules.acl:3"},
		{admin, "receive", "chat/messages/admin/a", true, "rules.acl:2"}, // the first that allows
		{mod, "publish", "chat/room/any/thing", true, "rules.acl:10"},
		{mod, "publish", "chat/room/any/private", false, "rules.acl:6"},
		{mod, "publish", "chat/rooms", false, ""},
		{mod, "publish", "", false, ""},
	} {
		a := NewAccess(tt.p, sets, rs)
		ask := a.Receive
		if tt.op == "publish" {
			ask = a.Publish
		}
		d := ask([]byte(tt.topic))
		source := ""
		if d.Rule != nil {
			source = d.Rule.Source
		}
		if d.Allowed != tt.allowed || source != tt.rule {
			t.Errorf("%s: %s %s = %v by %q; want %v by %q", tt.p.Username, tt.op, tt.topic, d.Allowed, source, tt.allowed, tt.rule)
		}
	}
}

func TestDollarIsReachedOnlyByARuleThatSpellsItOut(t *testing.T) {
	rs := mustParse(t, `
pattern read #
pattern read +/a
pattern read %u/b
pattern read {s}/c
pattern read $SYS/spelled/#
pattern deny %u/spelled/x
`)
	a := NewAccess(Principal{Username: "$SYS"}, map[string]Set{"s": setOf("$SYS")}, rs)
	for topic, want := range map[string]bool{
		"$SYS": false, "$SYS/a": false, "$SYS/b": false, "$SYS/c": false, "x/$SYS": true,
		"$SYS/spelled": true, "$SYS/spelled/x": true,
	} {
		if got := a.Receive([]byte(topic)).Allowed; got != want {
			t.Errorf("Receive(%s) = %v; want %v", topic, got, want)
		}
	}
}

func TestValuesThatCouldWidenARuleNeverExpand(t *testing.T) {
	rs := mustParse(t, "pattern read a/%u/x\npattern read b/%c/x\npattern read c/{s}/x\npattern read d/{claim.k}/x\npattern read e/pre-{s}\n")
	for _, bad := range []string{"", "+", "#", "a/b", "a+", "#a", "nul\x00", "\x1f", "\u0080", "\xff", strings.Repeat("x", 1025)} {
		set, skipped := NewSet([]string{bad, "good"})
		if len(set) != 1 || len(skipped) != 1 || skipped[0] != bad {
			t.Errorf("NewSet(%q, good) = %v, %q; want only good", bad, set, skipped)
		}
		p := Principal{Username: bad, ClientID: bad, Claims: claimsOf("k", bad)}
		a := NewAccess(p, map[string]Set{"s": set}, rs)
		for _, format := range []string{"a/%s/x", "b/%s/x", "c/%s/x", "d/%s/x", "e/pre-%s"} {
			topic := fmt.Sprintf(format, bad)
			if a.Receive([]byte(topic)).Allowed {
				t.Errorf("value %q: Receive(%q) is allowed", bad, topic)
			}
		}
		for _, filter := range []string{"a/+/x", "a/#", "c/+/x", "#", "+/+/x"} {
			if a.Subscribe(filter).Allowed {
				t.Errorf("value %q: Subscribe(%s) is allowed", bad, filter)
			}
		}
	}
}

func TestLevelsThatBeginWithText(t *testing.T) {
	a := NewAccess(Principal{Username: "u"}, map[string]Set{"r": setOf("1", "a1")},
		mustParse(t, "pattern read x/aa{r}\npattern write x/a{r}\npattern read x/abc%u\npattern write x/{r}\npattern read x/b{r}/y\n"))
	for topic, want := range map[string][2]bool{ // receive, publish
		"x/aa1": {true, true}, "x/aaa1": {true, false}, "x/a1": {false, true}, "x/aa": {false, false},
		"x/abcu": {true, false}, "x/1": {false, true}, "x/b1/y": {true, false}, "x/b1": {false, false}, "x/": {false, false},
	} {
		if got := [2]bool{a.Receive([]byte(topic)).Allowed, a.Publish([]byte(topic)).Allowed}; got != want {
			t.Errorf("Receive, Publish(%s) = %v; want %v", topic, got, want)
		}
	}
}

// A Set that was not made by NewSet must not widen a rule either.
func TestWildcardInASetWidensNothing(t *testing.T) {
	a := NewAccess(Principal{}, map[string]Set{"s": {"+": {}, "#": {}, "a/b": {}, "": {}, "ok": {}}},
		mustParse(t, "pattern read x/{s}\npattern read y/{s}z\n"))
	for _, filter := range []string{"x/+", "x/#", "x/a/b", "x/", "y/z", "y/+"} {
		if d := a.Subscribe(filter); d.Allowed {
			t.Errorf("Subscribe(%s) = %+v; want denied", filter, d)
		}
	}
	got, complete := a.Narrow("#", 10)
	if want := []string{"x/ok", "y/okz"}; !slices.Equal(got, want) || !complete {
		t.Errorf("Narrow(#) = %q, %v; want %q", got, complete, want)
	}
}

func TestSameSetTwiceIsOneMember(t *testing.T) {
	rs := mustParse(t, `
pattern read a/{r}/b/{r}
pattern read c/{r}-{r}
pattern read d/{r}-{s}/{s}/{r}
pattern read e/{claim.l}/{claim.l}
pattern read f/{r}{s}
pattern read g/{claim.one}/{claim.one}-{r}/{claim.l}{r}
`)
	a := NewAccess(Principal{Claims: `{"l": ["x", "y"], "one": "o"}`},
		map[string]Set{"r": setOf("1", "2", "1-2", "2-1"), "s": setOf("1", "2", "9")}, rs)
	for topic, want := range map[string]bool{
		"a/1/b/1": true, "a/1/b/2": false, "a/2/b/2": true,
		"c/1-1": true, "c/1-2": false, "c/1-2-1-2": true, "c/1-2-2-1": false,
		"d/1-9/9/1": true, "d/1-9/9/2": false, "d/1-9/1/1": false,
		"d/1-2-1/1/1-2": true, "d/1-2-1/1/1": false, "d/1-2/2/1": true,
		"e/x/x": true, "e/x/y": false,
		"g/o/o-1/x1": true, "g/o/o-1/x2": false, "g/o/o-1-2/y1-2": true, "g/o/-1/x1": false,
		"f/19": true, "f/1-29": true, "f/9": false, "f/91": false,
	} {
		if got := a.Receive([]byte(topic)).Allowed; got != want {
			t.Errorf("Receive(%s) = %v; want %v", topic, got, want)
		}
	}
}

func TestEarlierRulesetIsNamedFirst(t *testing.T) {
	file := mustParse(t, "pattern deny x\nuser alice\ntopic read a/#\n")
	redis, problems := ParseLines("topicgate:acl:user:alice", []string{"read a/b", "deny a/secret", "write x"})
	if problems != nil {
		t.Fatal(problems)
	}
	a := NewAccess(Principal{Username: "alice"}, nil, file, nil, redis)
	for topic, want := range map[string]string{
		"a/b":      "rules.acl:3: topic read a/#",
		"a/secret": "topicgate:acl:user:alice: deny a/secret",
		"x":        "rules.acl:1: pattern deny x",
		"y":        "",
	} {
		if got := a.Receive([]byte(topic)).Rule.String(); got != want {
			t.Errorf("Receive(%s).Rule = %q; want %q", topic, got, want)
		}
	}
}

func TestNothingAllowedFailsClosed(t *testing.T) {
	for name, a := range map[string]*Access{"NothingAllowed": NothingAllowed(), "nil": nil} {
		want := Decision{Reason: ReasonUnavailable}
		for _, got := range []Decision{a.Publish([]byte("a")), a.Receive([]byte("a")), a.Subscribe("a")} {
			if got != want {
				t.Errorf("%s: %+v; want %+v", name, got, want)
			}
		}
		if filters, complete := a.Narrow("#", 10); filters != nil || !complete {
			t.Errorf("%s: Narrow = %q, %v; want nothing, complete", name, filters, complete)
		}
	}
	if d := NewAccess(Principal{Username: "a"}, nil).Publish([]byte("a")); d != (Decision{}) {
		t.Errorf("without rules: %+v; want denied", d)
	}
}

func TestRolesComeFromTheTokenAndTheSet(t *testing.T) {
	rs := mustParse(t, "role a\ntopic read a\npattern read of/%u\nrole b\ntopic read b\nrole c d\ntopic read c\n")
	a := NewAccess(Principal{Username: "u", Roles: []string{"a", "a"}}, map[string]Set{"roles": setOf("c d")}, rs)
	if len(a.views) != 2 {
		t.Errorf("%d scopes concern u; want 2, each role once", len(a.views))
	}
	for topic, want := range map[string]bool{"a": true, "of/u": true, "b": false, "c": true} {
		if got := a.Receive([]byte(topic)).Allowed; got != want {
			t.Errorf("Receive(%s) = %v; want %v", topic, got, want)
		}
	}
}

// A topic's length must not matter beyond the trie's depth: neither many levels
// nor a long one.
func TestDeepTopicCostsNoMoreThanTheTrie(t *testing.T) {
	rs := mustParse(t, "pattern read a/+/{r}/%u-{r}/x\npattern deny deep/+/+/+\npattern read open/#\n")
	a := NewAccess(Principal{Username: "u"}, map[string]Set{"r": setOf("1", "2")}, rs)
	deep := bytes.Repeat([]byte("/"), 60000)
	for prefix, want := range map[string]bool{"a": false, "deep": false, "open": true} {
		topic := append([]byte(prefix), deep...)
		if got := a.Receive(topic).Allowed; got != want {
			t.Errorf("Receive(%s and 60,000 levels) = %v; want %v", prefix, got, want)
		}
	}
}

// Sets whose members begin with one another could be told apart in more ways than
// there is time for; then the answer is no.
func TestAmbiguousTopicIsDenied(t *testing.T) {
	var members []string
	for i := range 60 {
		members = append(members, strings.Repeat("x", i+1))
	}
	set := setOf(members...)
	a := NewAccess(Principal{}, map[string]Set{"a": set, "b": set, "c": set, "d": set},
		mustParse(t, "pattern read #\npattern read y/{a}{b}{c}{d}\n"))
	for topic, want := range map[string]Decision{
		"y/" + strings.Repeat("x", 100) + "y": {Reason: ReasonAmbiguous},
		"z/" + strings.Repeat("x", 100) + "y": {Allowed: true, Rule: a.views[0].scope.rules[0]},
	} {
		if got := a.Receive([]byte(topic)); got != want {
			t.Errorf("Receive(%s) = %+v; want %+v", topic, got, want)
		}
	}
	if d := a.Subscribe("y/" + strings.Repeat("x", 100) + "y"); d.Allowed {
		t.Errorf("Subscribe = %+v; want denied", d)
	}
	if got, complete := NewAccess(Principal{}, a.sets, mustParse(t, "pattern read y/{a}{b}{c}{d}")).Narrow("y/"+strings.Repeat("x", 100)+"y", 10); complete {
		t.Errorf("Narrow = %q, complete; want incomplete", got)
	}
}

func TestDecisionsDoNotAllocate(t *testing.T) {
	rs := mustParse(t, contractText+"pattern read x/{rooms}-{claim.tenant}-%u/{rooms}\n")
	a := NewAccess(Principal{Username: "alice", Roles: []string{"moderator"}, Claims: `{"tenant": ["acme", "b"]}`},
		map[string]Set{"rooms": setOf("r1", "r2")}, rs)
	for _, topic := range []string{"chat/room/r1/messages", "chat/room/r1/private", "no/such/topic", "x/r1-acme-alice/r1", "$SYS/x"} {
		name := []byte(topic)
		if n := testing.AllocsPerRun(100, func() { a.Publish(name); a.Receive(name) }); n != 0 {
			t.Errorf("decisions on %s allocate %v times; want 0", topic, n)
		}
	}
	if d := a.Receive([]byte("x/r1-acme-alice/r1")); !d.Allowed {
		t.Errorf("Receive(x/r1-acme-alice/r1) = %+v; want allowed", d)
	}
}
