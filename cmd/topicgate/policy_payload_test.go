package main

import (
	"strings"
	"testing"
)

func TestPolicyExplainHoldsAPayloadAgainstDirectives(t *testing.T) {
	rules := writeFile(t, "acl", "pattern write #\nlimit chat/# max_size=40 max_qos=1 retain=no\nstamp chat/# json=from\n")
	environ := []string{"TOPICGATE_REDIS_URL=none", "TOPICGATE_POLICY_FILE=" + rules}
	for _, tt := range []struct {
		args, payload string
		status        int
		want          string // a part of what is said
	}{
		{"publish --payload - chat/x", `{"text":"hi"}`, exitDone, "allowed\nthe message passes, as\n  {\"from\":\"alice\",\"text\":\"hi\"}\n"},
		{"publish --payload - other", `hi`, exitDone, "the message passes as it is\n"},
		{"publish --payload - chat/x", `hi`, exitFailed, "denied: a directive refuses the message\nthe message is refused (stamp_no_object) by " + rules + ":3: stamp chat/# json=from\n"},
		{"publish --payload - chat/x", `{"text":"` + strings.Repeat("x", 40) + `"}`, exitFailed, "(limit_size) by " + rules + ":2:"},
		{"publish --payload - --qos 2 chat/x", `{}`, exitFailed, "QoS 2; at most 1 is allowed here"},
		{"publish --payload - --retain chat/x", `{}`, exitFailed, "retained messages are not allowed here"},
		{"publish chat/x", ``, exitDone, "what is published there has to meet\n  " + rules + ":2: limit chat/# max_size=40 max_qos=1 retain=no\n  " + rules + ":3: stamp chat/# json=from\n"},
		{"publish --json --payload - chat/x", `hi`, exitFailed, `"reason": "stamp_no_object"`},
		{"receive --payload - chat/x", `hi`, exitUsage, ""},
		{"publish --qos 1 chat/x", ``, exitUsage, ""},
		{"publish --qos 3 --payload - chat/x", ``, exitUsage, ""},
		{"publish --claims - --payload - chat/x", ``, exitUsage, ""},
		{"publish --payload /no/such/file chat/x", ``, exitUsage, ""},
	} {
		got := topicgate(t, environ, tt.payload, append([]string{"policy", "explain", "--user", "alice"}, strings.Fields(tt.args)...)...)
		if got.status != tt.status || !strings.Contains(got.stdout, tt.want) {
			t.Errorf("explain %s of %q = %+v; want status %d, %q", tt.args, tt.payload, got, tt.status, tt.want)
		}
	}
}

func TestPolicyCheckKnowsDirectives(t *testing.T) {
	bad := writeFile(t, "bad.acl", "pattern write #\nlimit chat/# max_sise=40\n")
	got := topicgate(t, nil, "", "policy", "check", bad)
	if want := bad + ":2:14: unknown option \"max_sise\" (there are max_size, max_qos, retain, rate)"; got.status != exitFailed || !strings.Contains(got.stderr, want) {
		t.Errorf("check = %+v; want %q", got, want)
	}
	unused := writeFile(t, "unused.acl", "pattern read #\nlimit chat/# max_qos=1\n")
	got = topicgate(t, nil, "", "policy", "check", unused)
	if got.status != exitDone || !strings.Contains(got.stderr, "never applies") || !strings.Contains(got.stdout, "2 rules, 1 warning") {
		t.Errorf("check = %+v; want a warning", got)
	}
}
