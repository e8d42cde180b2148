package policy

import (
	"slices"
	"strings"
	"testing"
	"time"

	"topicgate/frames"
)

const directiveText = `pattern readwrite #
pattern readwrite $app/#
limit chat/room/+/messages max_size=16KiB max_qos=1 retain=no
limit chat/# max_size=1MiB
check chat/room/+/messages schema=chat-message words=forbidden
stamp chat/room/+/messages json=from
limit bids/{auctions}/+ rate=2/s
limit +/all rate=30/m
limit $app/%u max_qos=0
latest auctions/+/price
user alice
limit chat/room/+/messages max_qos=0
role guest
check {claim.tenant}/x words=guests
`

// linesOf are the lines of directives that concern a topic.
func linesOf(t *testing.T, a *Access, topic string) (lines []string) {
	t.Helper()
	all, reason := a.Directives([]byte(topic))
	if reason != "" {
		t.Fatalf("Directives(%q): %s", topic, reason)
	}
	for _, r := range all {
		lines = append(lines, r.Text)
	}
	if d := a.Publish([]byte(topic)); d.Directed != (len(all) > 0) {
		t.Errorf("Publish(%q) = %+v; there are %d directives", topic, d, len(all))
	}
	return lines
}

func TestDirectivesConcernWhomTheirSectionDoes(t *testing.T) {
	rs := mustParse(t, directiveText)
	sets := map[string]Set{"auctions": setOf("a1", "a2")}
	bob := NewAccess(Principal{Username: "bob"}, sets, rs)
	alice := NewAccess(Principal{Username: "alice"}, sets, rs)
	guest := NewAccess(Principal{Username: "bob", Roles: []string{"guest"}, Claims: `{"tenant":"acme"}`}, nil, rs)
	room := []string{
		"limit chat/room/+/messages max_size=16KiB max_qos=1 retain=no", "limit chat/# max_size=1MiB",
		"check chat/room/+/messages schema=chat-message words=forbidden", "stamp chat/room/+/messages json=from",
	}
	for _, tt := range []struct {
		name  string
		a     *Access
		topic string
		want  []string
	}{
		{"several apply, in the order of their lines", bob, "chat/room/lobby/messages", room},
		{"below a user they are the user's", alice, "chat/room/lobby/messages", append(slices.Clone(room), "limit chat/room/+/messages max_qos=0")},
		{"'#' matches the parent", bob, "chat", []string{"limit chat/# max_size=1MiB"}},
		{"a value of a set", bob, "bids/a2/x", []string{"limit bids/{auctions}/+ rate=2/s"}},
		{"none of its values", bob, "bids/a3/x", nil},
		{"a set without values", guest, "bids/a1/x", nil},
		{"below a role they are the role's", guest, "acme/x", []string{"check {claim.tenant}/x words=guests"}},
		{"others have not that role", bob, "acme/x", nil},
		{"wildcards do not reach $", bob, "$app/all", nil},
		{"a first level that is spelt out does", bob, "$app/bob", []string{"limit $app/%u max_qos=0"}},
		{"latest asks nothing of who publishes", bob, "auctions/a1/price", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := linesOf(t, tt.a, tt.topic); !slices.Equal(got, tt.want) {
				t.Errorf("Directives(%q) = %q; want %q", tt.topic, got, tt.want)
			}
		})
	}
	if got, want := rs.Schemas(), []string{"chat-message"}; !slices.Equal(got, want) {
		t.Errorf("Schemas = %q; want %q", got, want)
	}
	if got, want := rs.Words(), []string{"forbidden", "guests"}; !slices.Equal(got, want) {
		t.Errorf("Words = %q; want %q", got, want)
	}
}

func TestDirectivesSayWhatTheyMean(t *testing.T) {
	a := NewAccess(Principal{Username: "u"}, nil, mustParse(t, "pattern #\nlimit x max_size=2MiB max_qos=0 retain=no rate=30/m\nlimit x rate=7/h\ncheck x schema=s\nstamp x json=né"))
	all, _ := a.Directives([]byte("x"))
	var got []Directive
	for _, r := range all {
		got = append(got, *r.Directive())
	}
	want := []Directive{
		{Kind: Limit, MaxBytes: 2 << 20, MaxQoS: 0, NoRetain: true, Rate: Rate{30, time.Minute}},
		{Kind: Limit, MaxBytes: -1, MaxQoS: 2, Rate: Rate{7, time.Hour}},
		{Kind: Check, MaxBytes: -1, MaxQoS: 2, Schema: "s"},
		{Kind: Stamp, MaxBytes: -1, MaxQoS: 2, Member: "né"},
	}
	if !slices.Equal(got, want) {
		t.Errorf("Directives = %+v; want %+v", got, want)
	}
}

func TestDirectivesDoNotAllowAnything(t *testing.T) {
	a := NewAccess(Principal{Username: "u"}, nil, mustParse(t, "limit x max_qos=1\npattern write y"))
	if d := a.Publish([]byte("x")); d.Allowed || d.Directed {
		t.Errorf("Publish(x) = %+v; want a denial", d)
	}
	if d := a.Publish([]byte("y")); !d.Allowed || d.Directed {
		t.Errorf("Publish(y) = %+v; want it allowed without directives", d)
	}
}

// A restriction must not go away because the token says its claim is to be had from somebody else.
func TestADirectiveByAClaimThatStandsElsewhereDeniesEverything(t *testing.T) {
	rs := mustParse(t, "pattern #\nlimit {claim.tenant}/x max_qos=0")
	claims := `{"_claim_names":{"tenant":"src1"}}`
	if d := NewAccess(Principal{Username: "u", Claims: claims}, nil, rs).Publish([]byte("y")); d.Allowed || d.Reason != ReasonClaimElsewhere {
		t.Errorf("Publish(y) = %+v; want %s", d, ReasonClaimElsewhere)
	}
}

func TestAccessesWithOtherDirectivesAreNotTheSame(t *testing.T) {
	p := Principal{Username: "u"}
	one, other := mustParse(t, "pattern #\nlimit x max_qos=0"), mustParse(t, "pattern #\nlimit x max_qos=1")
	if a := NewAccess(p, nil, one); a.Same(NewAccess(p, nil, other)) || !a.Same(NewAccess(p, nil, one)) {
		t.Error("Same does not go by directives")
	}
}

func TestWarningsOfDirectives(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"pattern write a\nlimit b max_qos=1", "f:2:1: warning: never applies: no rule of this text allows to publish there (unless rules in Redis or in another text do)"},
		{"pattern read b\nlimit b max_qos=1", "f:2:1: warning: never applies: no rule of this text allows to publish there (unless rules in Redis or in another text do)"},
		{"pattern write b/#\nlimit b/+ max_qos=1", ""},
		{"user u\ntopic write b\nuser v\nlimit b max_qos=1", "f:4:1: warning: never applies: no rule of this text allows to publish there (unless rules in Redis or in another text do)"},
		{"user u\ntopic write b\nrole v\nlimit b max_qos=1", ""},
		{"user u\nlimit b max_qos=1\nrole v\ntopic write b", ""},
		{"pattern write #\nlimit a max_qos=1\nlimit a max_qos=1", "f:3:1: warning: says nothing new: f:2: limit a max_qos=1"},
		{"pattern write #\nlimit a max_qos=1\nlimit a max_qos=0", ""},
		{"pattern write #\nlimit {rooms}x/%c max_qos=1", "f:2:16: warning: %c, the client id, is chosen by the client: it isolates nobody (use %u where only the user may go)"},
		{"pattern read #\nlatest a/+", ""},
	} {
		rs, err := Parse("f", tt.text)
		if err != nil {
			t.Fatalf("Parse(%q): %v", tt.text, err)
		}
		if got := rs.Warnings().Error(); got != tt.want {
			t.Errorf("Parse(%q) warns %q; want %q", tt.text, got, tt.want)
		}
	}
}

func TestARedisSetHoldsNoDirectives(t *testing.T) {
	rs, problems := ParseLines("k", []string{"limit a max_qos=1", "read b"})
	if rs.Len() != 1 || len(problems) != 1 || !strings.Contains(problems[0].String(), "directives are not written in a Redis set") {
		t.Errorf("ParseLines: %d rules, %v", rs.Len(), problems)
	}
}

func TestExplainNamesDirectives(t *testing.T) {
	e := NewAccess(Principal{Username: "bob"}, nil, mustParse(t, directiveText)).Explain("publish", "chat/x")
	if !slices.Contains(e.Lines(), "  rules.acl:4: limit chat/# max_size=1MiB") {
		t.Errorf("Lines = %q", e.Lines())
	}
}

func TestPublishWithoutDirectivesDoesNotAllocate(t *testing.T) {
	a := NewAccess(Principal{Username: "bob"}, nil, mustParse(t, directiveText))
	topic := []byte("news/x")
	if n := testing.AllocsPerRun(100, func() { a.Publish(topic) }); n != 0 {
		t.Errorf("%v allocations; want 0", n)
	}
}

// FuzzDirectives wants those to be found that a naive look at each filter finds.
func FuzzDirectives(f *testing.F) {
	f.Add("limit a/{s}/+ max_qos=1\nlimit +/%u-{s}/# retain=no\nlimit # max_size=1", "a/b/c", "bob", "b")
	f.Add("limit {s}{t}/{s} max_qos=1\nlimit $a/# rate=1/s\nuser bob\nlimit x max_qos=1", "$a/b", "bob", "x")
	f.Fuzz(func(t *testing.T, text, topic, username, member string) {
		rs, err := Parse("f", text)
		if err != nil || frames.CheckTopicName(topic) != nil || strings.ContainsFunc(username+member, isControl) || len(text) > 4096 {
			return
		}
		a := NewAccess(Principal{Username: username, Roles: []string{"r"}},
			map[string]Set{"s": setOf(member, "b", "ab"), "t": setOf(username, "b")}, rs)
		got, reason := a.Directives([]byte(topic))
		if reason != "" {
			return
		}
		for _, v := range a.directives {
			for _, r := range v.rules {
				filters, ok := writeOut(r.filter(), a)
				if !ok {
					return
				}
				want := r.directive.Kind != Latest && (oracle{allow: filters}).allowed(topic)
				if slices.Contains(got, r) != want {
					t.Errorf("text %q, user %q, member %q, topic %q: %s found: %v; want %v", text, username, member, topic, r, !want, want)
				}
			}
		}
	})
}
