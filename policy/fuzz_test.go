package policy

import (
	"errors"
	"strings"
	"testing"

	"topicgate/frames"
)

// FuzzParse wants every text to be refused with Problems that point into it, or
// to give an Access that decides as the oracle does.
func FuzzParse(f *testing.F) {
	for _, text := range []string{
		contractText,
		"pattern read {s}-{t}/{s}\npattern deny a/+/{claim.k}\npattern write $SYS/%c\n",
		"user a\ntopic %u/{s}\ntopic read read\nrole r\npattern readwrite x%u{s}y/#\n",
		"\ufeff pattern read\ta/b \r\n#\nuser a b\nlimit x",
		"pattern read a/%q\npattern read {",
		"pattern read a/{claim.https://e.com/k}/{claim.k}/b\npattern deny {claim.a/b\npattern read {claim.a/{s}",
		"pattern deny a/+\nuser a\ntopic a/#\nrole r\npattern a/{s}-%u\ntopic deny #",
	} {
		f.Add(text, "chat/room/b/x", "a", "b")
	}
	f.Fuzz(func(t *testing.T, text, topic, username, member string) {
		rs, err := Parse("f", text)
		if err != nil {
			problems, ok := errors.AsType[Problems](err)
			if !ok || len(problems) == 0 {
				t.Fatalf("Parse(%q) = %v; want Problems", text, err)
			}
			for _, p := range problems {
				if lines := strings.Count(text, "\n") + 1; p.Line < 1 || p.Line > lines || p.Column < 1 || p.Warning {
					t.Errorf("Parse(%q): %+v; want an error within %d lines", text, p, lines)
				}
			}
			return
		}
		if frames.CheckTopicName(topic) != nil || strings.ContainsFunc(username+member, isControl) || len(text) > 4096 {
			return
		}
		a := NewAccess(
			Principal{Username: username, ClientID: member, Roles: []string{"r"}, Claims: claimsOf("k", []string{username, "c"})},
			map[string]Set{"s": setOf(member, "b", "ab"), "t": setOf(username, "b")}, rs)
		for op, ask := range map[rights]func([]byte) Decision{read: a.Receive, write: a.Publish} {
			o, ok := newOracle(a, op)
			if !ok {
				return
			}
			if got, want := ask([]byte(topic)), o.allowed(topic); got.Allowed != want {
				t.Errorf("rules %q, user %q, member %q, topic %q: %+v; want %v", text, username, member, topic, got, want)
			}
		}
		if filters, _ := a.Narrow("#", 100); filters != nil {
			for _, filter := range filters {
				if err := frames.CheckTopicFilter(filter); err != nil {
					t.Errorf("Narrow gives %q: %v", filter, err)
				}
			}
		}
		_ = a.Explain("receive", topic).String()
		_ = a.Explain("subscribe", topic).String()
	})
}
