package policy

import "testing"

func TestSubscribe(t *testing.T) {
	const (
		allowed = true
		denied  = false
	)
	for _, tt := range []struct {
		text, filter string
		want         bool
		rule         string
	}{
		{"pattern read a/#", "a/#", allowed, "f:1"},
		{"pattern read a/#", "a", allowed, "f:1"},
		{"pattern read a/#", "a/+/b", allowed, "f:1"},
		{"pattern read a/#", "#", denied, ""},
		{"pattern read a/+", "a/+", allowed, "f:1"},
		{"pattern read a/+", "a/#", denied, ""},
		{"pattern read a/+/#", "a/#", denied, ""}, // a itself is missing
		{"pattern read a\npattern read a/+/#", "a/#", allowed, "f:2"},
		{"pattern read a\npattern read a/+\npattern read a/+/+/#", "a/#", allowed, "f:3"},
		{"pattern read +/+", "#", denied, ""},
		{"pattern read #", "$SYS/#", denied, ""},
		{"pattern read $SYS/#", "$SYS/#", allowed, "f:1"},
		{"pattern read a/b", "a/+", denied, ""},
		{"pattern read a/{s}", "a/+", denied, ""}, // strict: not every level is a member
		{"pattern read a/{s}", "a/m", allowed, "f:1"},
		{"pattern read a/{s}", "a/n", denied, ""},
		{"pattern write a/#", "a/b", denied, ""},
		{"pattern read /+/#", "/#", allowed, "f:1"}, // the empty topic does not exist
		{"pattern read +", "+", allowed, "f:1"},
		{"pattern read +\npattern read +/#", "#", allowed, "f:2"},
		{"pattern read a/#\npattern deny a/b", "a/#", allowed, "f:1"}, // cut at delivery
		{"pattern read a/#\npattern deny a/b", "a/b", denied, "f:2"},
		{"pattern read a/#\npattern deny a\npattern deny a/+/#", "a/#", denied, "f:3"},
		{"pattern read a/#", "a/#/b", denied, ""},
		{"pattern read a/#", "", denied, ""},
		{"pattern read #", "$share/g/a", denied, ""}, // the caller takes it off
	} {
		rs, err := Parse("f", tt.text)
		if err != nil {
			t.Fatal(err)
		}
		d := NewAccess(Principal{}, map[string]Set{"s": setOf("m")}, rs).Subscribe(tt.filter)
		rule := ""
		if d.Rule != nil {
			rule = d.Rule.Source
		}
		if d.Allowed != tt.want || rule != tt.rule {
			t.Errorf("with %q Subscribe(%s) = %v by %q; want %v by %q", tt.text, tt.filter, d.Allowed, rule, tt.want, tt.rule)
		}
	}
}
