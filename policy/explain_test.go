package policy

import (
	"strings"
	"testing"
)

func TestExplainNamesTheRuleAndTheOthers(t *testing.T) {
	rs := mustParse(t, contractText)
	extra, _ := ParseLines("topicgate:acl:user:alice", []string{"read pre-%u/x", "write twice/{rooms}/{rooms}"})
	alice := NewAccess(Principal{Username: "alice", ClientID: "+", Roles: []string{"moderator"}},
		map[string]Set{"rooms": setOf("r1", "r2")}, rs, extra)
	for _, tt := range []struct {
		op, topic string
		want      []string // lines, in this order
	}{
		{"receive", "chat/messages/bob/x", []string{
			"receive chat/messages/bob/x: denied: no rule allows it",
			"  rules.acl:3: pattern write chat/messages/+/%u",
			"      level 4: want %u = alice, topic has x",
			"  rules.acl:2: pattern read  chat/messages/%u/+",
			"      level 3: want %u = alice, topic has bob",
			"  rules.acl:4: pattern readwrite chat/room/{rooms}/#",
			`      level 2: want "room", topic has "messages"`,
			"  rules.acl:10: topic readwrite chat/room/# [role moderator]",
		}},
		{"publish", "chat/room/r9/private", []string{
			"publish chat/room/r9/private: denied by rules.acl:6: pattern deny  chat/room/+/private",
			"rules looked at, the closest first:",
			"  rules.acl:6: pattern deny  chat/room/+/private",
			"      denies it",
			"  rules.acl:10: topic readwrite chat/room/# [role moderator]",
			"      allows it, but a deny wins",
			"      level 3: {rooms}: r9 is not a member (there are r1, r2)",
		}},
		{"receive", "tenant/acme/x", []string{
			"      level 2: {claim.tenant} is not in the token, or cannot stand in a topic level",
		}},
		{"publish", "twice/r1/r2", []string{
			"publish twice/r1/r2: denied: no rule allows it",
			"  topicgate:acl:user:alice: write twice/{rooms}/{rooms}",
			"      level 3: want {rooms} = r1 as before, topic has r2",
		}},
		{"receive", "twice/r1/r1", []string{"      matches, but allows only writing"}},
		{"receive", "pre-bob/x", []string{"      level 1: want pre-%u = pre-alice, topic has pre-bob"}},
		{"receive", "chat/messages/alice", []string{"      the topic ends before level 4"}},
		{"receive", "pre-alice/x/y", []string{"      the rule ends after level 2"}},
		{"subscribe", "chat/#", []string{
			"subscribe chat/# (strict mode): denied: the rules do not allow all of it",
			"narrow mode: subscribed upstream as",
			"  chat/messages/alice/+",
			"  chat/room/#",
			"      allows part of it, and the rest is not allowed",
			"      matches, but allows only writing",
			"      denies part of it: that is dropped at delivery",
		}},
		{"subscribe", "$share/g/chat/room/+", []string{
			"subscribe $share/g/chat/room/+ (strict mode): allowed by rules.acl:10: topic readwrite chat/room/#",
			"  chat/room/+",
			"      allows it",
			"      allows part of it", // {rooms}
		}},
		{"subscribe", "nope/+", []string{
			"subscribe nope/+ (strict mode): denied: the rules do not allow all of it",
			"narrow mode: refused too, no rule allows any of it",
		}},
		{"publish", "$topicgate/token", []string{
			"topics under $topicgate/ are served by the gateway itself; rules do not concern them",
		}},
		{"subscribe", "chat/room/+/#", []string{
			"      allows it",
			"      denies part of it: that is dropped at delivery",
		}},
		{"subscribe", "twice/+/r2", []string{"      matches, but allows only writing"}},
		{"subscribe", "twice/+/r3", []string{"      level 3: {rooms}: r3 is not a member (there are r1, r2)"}},
		{"subscribe", "tenant/+/x", []string{"      level 2: {claim.tenant} is not in the token, or cannot stand in a topic level"}},
		{"subscribe", "tenant/#", []string{"      {claim.tenant} is not in the token, or cannot stand in a topic level"}},
		{"subscribe", "chat/room/r1/private/#", []string{"      allows it", "      denies part of it"}},
		{"subscribe", "a/#/b", []string{"subscribe a/#/b: invalid: "}},
		{"publish", "a/+", []string{"publish a/+: invalid: "}},
		{"fly", "a", []string{`fly a: invalid: unknown operation "fly": publish, receive or subscribe`}},
	} {
		text := alice.Explain(tt.op, tt.topic).String()
		rest := text
		for _, line := range tt.want {
			_, after, found := strings.Cut(rest, line)
			if !found {
				t.Errorf("Explain(%s, %s) lacks, or has elsewhere, %q:\n%s", tt.op, tt.topic, line, text)
				break
			}
			rest = after
		}
	}
}

func TestExplainOfManyRulesAndMembers(t *testing.T) {
	text := "pattern read big/{rooms}\npattern read id/%c\npattern read $SYS/{rooms}\n" + manyRules(100)
	a := NewAccess(Principal{Username: "u", ClientID: "a/b"}, map[string]Set{"rooms": rooms(1200)}, mustParse(t, text))
	for _, tt := range []struct{ op, topic, want string }{
		{"receive", "big/x", "level 2: {rooms}: x is not a member (there are 1200 others)"},
		{"receive", "id/a", "level 2: %c cannot stand in a topic level"},
		{"receive", "nope", "  and 73 more that agree in no more levels"},
		{"receive", "$SYS/x", "level 1: a topic that begins with '$' is reached only by a rule that spells out its first level"},
		{"subscribe", "big/+", "narrow mode: more than 1000 filters; subscribed upstream as it is, and cut at delivery"},
	} {
		if got := a.Explain(tt.op, tt.topic).String(); !strings.Contains(got, tt.want) {
			t.Errorf("Explain(%s, %s) lacks %q:\n%s", tt.op, tt.topic, tt.want, got)
		}
	}
}

func TestExplainKeepsWildcardsFromDollar(t *testing.T) {
	a := NewAccess(Principal{}, nil, mustParse(t, "pattern read $SYS/x\n"))
	got := a.Explain("subscribe", "+/x").String()
	if want := "level 1: a wildcard does not match topics that begin with '$'"; !strings.Contains(got, want) {
		t.Errorf("Explain(subscribe, +/x) lacks %q:\n%s", want, got)
	}
}

func TestExplainWithoutRules(t *testing.T) {
	for name, tt := range map[string]struct {
		a    *Access
		want string
	}{
		"unavailable": {NothingAllowed(), "publish a: denied: policy_unavailable\n"},
		"nil":         {nil, "publish a: denied: policy_unavailable\n"},
		"none":        {NewAccess(Principal{}, nil), "publish a: denied: no rule allows it\nno rule concerns this principal\n"},
	} {
		if got := tt.a.Explain("publish", "a").String(); got != tt.want {
			t.Errorf("%s: Explain = %q; want %q", name, got, tt.want)
		}
	}
}

// What Explain says of each rule alone must be so.
func TestExplainAgreesWithOracle(t *testing.T) {
	topics := combine([]string{"a", "b", "ab", "", "$s"}, 3)
	forRandomPolicies(t, 60, func(text string, a *Access, _ oracle) {
		for _, topic := range topics {
			e := a.Explain("receive", topic)
			if e.Invalid != "" {
				t.Errorf("Explain(receive, %q) is invalid: %s", topic, e.Invalid)
			}
			for _, c := range e.Considered {
				filters := []string{c.Rule.filter()}
				if c.Rule.isPattern() {
					filters, _ = writeOut(c.Rule.filter(), a)
				}
				if want := matches(filters, topic); c.Matches != want {
					t.Errorf("Explain(receive, %q) says of %v: %v, %s; want %v", topic, c.Rule, c.Matches, c.Why, want)
				}
			}
		}
	})
}
