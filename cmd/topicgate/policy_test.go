package main

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

func TestPolicyCheck(t *testing.T) {
	good := writeFile(t, "good", "# a chat\npattern read a/%u\nuser bob\ntopic write b\n")
	odd := writeFile(t, "odd", "topic read a\n")
	bad := writeFile(t, "bad", "pattern read a\n  pattern read a/%s\nfoo\n")
	tests := []struct {
		name  string
		files []string
		stdin string
		want  result
	}{
		{"good", []string{good}, "", result{exitDone, good + ": 2 rules, 0 warnings\n", ""}},
		{"standard input", []string{"-"}, "pattern read a\n", result{exitDone, "-: 1 rule, 0 warnings\n", ""}},
		{"warning", []string{odd}, "", result{exitDone, odd + ": 0 rules, 1 warning\n", odd + ":1:1: warning: "}},
		{"errors", []string{bad}, "", result{exitFailed, "", bad + ":2:18: unknown placeholder \"%s\" (did you mean %c?)\n" + bad + ":3:1: "}},
		{"none left out", []string{bad, good}, "", result{exitFailed, good + ": 2 rules, 0 warnings\n", bad + ":2:18: "}},
		{"missing", []string{good + ".not"}, "", result{exitFailed, "", "topicgate: open " + good + ".not: no such file"}},
	}
	for _, test := range tests {
		got := topicgate(t, nil, test.stdin, append([]string{"policy", "check"}, test.files...)...)
		if got.status != test.want.status || got.stdout != test.want.stdout || !strings.HasPrefix(got.stderr, test.want.stderr) {
			t.Errorf("%s: policy check = %+v; want %+v", test.name, got, test.want)
		}
	}
	if got := topicgate(t, nil, "", "policy", "check", bad); !strings.HasSuffix(got.stderr, "topicgate: "+bad+": refused as a whole for 2 invalid lines\n") {
		t.Errorf("policy check says %q; want a sum at the end", got.stderr)
	}
}

func TestTheExamplePolicyIsWithoutFault(t *testing.T) {
	got := topicgate(t, nil, "", "policy", "check", "../../deploy/chat.acl")
	const deny = "../../deploy/chat.acl:20:1: warning: wins over what role moderator is allowed by " // as it is meant to
	if got.status != exitDone || got.stdout != "../../deploy/chat.acl: 7 rules, 1 warning\n" || !strings.HasPrefix(got.stderr, deny) || strings.Count(got.stderr, "\n") != 1 {
		t.Errorf("policy check deploy/chat.acl = %+v; want 7 rules, and a word on the deny that moderators feel too", got)
	}
}

const claims = `{"iss": "https://id.example.com", "tenant": ["blue", "red"], "number": 12345678901234567890}`

func TestPolicyExplainByTheFile(t *testing.T) {
	rules := writeFile(t, "acl", strings.Join([]string{
		"pattern read  chat/messages/%u/+",
		"pattern write chat/messages/+/%u",
		"pattern read  tenant/{claim.tenant}/#",
		"pattern read  number/{claim.number}",
		"pattern write client/%c",
		"pattern deny  chat/messages/eve/+",
		"role moderator",
		"topic readwrite chat/room/#",
	}, "\n"))
	environ := []string{"TOPICGATE_REDIS_URL=none", "TOPICGATE_POLICY_FILE=" + rules}
	strict := append(environ, "TOPICGATE_SUBSCRIBE_MODE=strict")
	tests := []struct {
		environ []string
		args    string
		status  int
		want    []string
	}{
		{environ, "publish chat/messages/bob/alice", exitDone, []string{"allowed\n", rules + ":2: pattern write chat/messages/+/%u"}},
		{environ, "publish chat/messages/alice/bob", exitFailed, []string{"denied\n"}},
		{environ, "publish chat/messages/eve/alice", exitFailed, []string{"denied\n", rules + ":6: pattern deny"}},
		{environ, "receive chat/messages/alice/bob", exitDone, []string{"allowed\n", rules + ":1:"}},
		{environ, "receive chat/room/1", exitFailed, []string{"denied\n"}},
		{environ, "--role moderator receive chat/room/1", exitDone, []string{"allowed\n", rules + ":8:"}},
		{environ, "--role a --role moderator publish chat/room/1", exitDone, []string{"allowed\n"}},
		{environ, "--claims - receive tenant/red/x", exitDone, []string{"allowed\n", rules + ":3:"}},
		{environ, "--claims - receive number/12345678901234567890", exitDone, []string{"allowed\n"}},
		{environ, "receive tenant/red/x", exitFailed, []string{"denied\n"}},
		{environ, "--client-id c1 publish client/c1", exitDone, []string{"allowed\n"}},
		{environ, "subscribe chat/messages/#", exitDone, []string{"allowed in narrow mode, as 1 filter\n", "chat/messages/alice/+"}},
		{environ, "--claims - subscribe tenant/#", exitDone, []string{"as 2 filters\n", "tenant/blue/#", "tenant/red/#"}},
		{environ, "subscribe $share/g/chat/messages/#", exitDone, []string{"allowed in narrow mode"}},
		{environ, "subscribe other/#", exitFailed, []string{"denied in narrow mode: nothing of it may be read\n"}},
		{strict, "subscribe chat/messages/#", exitFailed, []string{"denied in strict mode\n"}},
		{strict, "subscribe chat/messages/alice/+", exitDone, []string{"allowed in strict mode\n", rules + ":1:"}},
		{append(environ, "TOPICGATE_NARROW_MAX=1"), "--claims - subscribe tenant/#", exitDone, []string{"over 1 filter, so subscribed as asked"}},
	}
	for _, test := range tests {
		got := topicgate(t, test.environ, claims, append([]string{"policy", "explain", "--user", "alice"}, strings.Fields(test.args)...)...)
		if got.status != test.status || got.stderr != "" {
			t.Errorf("explain %s = %+v; want status %d", test.args, got, test.status)
		}
		for _, want := range test.want {
			if !strings.Contains(got.stdout, want) {
				t.Errorf("explain %s says %s; want %q", test.args, got.stdout, want)
			}
		}
	}
}

func TestPolicyExplainTakesUsernameAndRolesFromTheClaims(t *testing.T) {
	environ := []string{"TOPICGATE_REDIS_URL=none", "TOPICGATE_POLICY_FILE=" + writeFile(t, "acl",
		"pattern read own/%u\nrole moderator\ntopic read room/#\nrole guide\ntopic read tour/#\n")}
	two := append(environ, "TOPICGATE_OIDC_ISSUER=https://a prefix=a:, https://b prefix=b:")
	mapped := append(environ, "TOPICGATE_OIDC_USERNAME_CLAIM=mail", `TOPICGATE_OIDC_USERNAME_PATTERN=(.+)@example\.com`,
		"TOPICGATE_OIDC_USERNAME_ESCAPE=true", "TOPICGATE_OIDC_ROLES_CLAIM=groups,scope")
	keycloak := append(environ, "TOPICGATE_OIDC_USERNAME_CLAIM=preferred_username", "TOPICGATE_OIDC_ROLES_CLAIM=realm_access.roles")
	for _, test := range []struct {
		environ      []string
		args, claims string
		status       int
		stderr       string
	}{
		{environ, "receive own/alice", `{"sub": "alice"}`, exitDone, ""},
		{environ, "receive room/1", `{"sub": "alice", "roles": ["moderator"]}`, exitDone, ""},
		{environ, "receive room/1", `{"sub": "alice", "roles": "guide moderator"}`, exitDone, ""},
		{environ, "receive room/1", `{"sub": "alice", "roles": ["guide"]}`, exitFailed, ""},
		{environ, "--role moderator receive tour/1", `{"sub": "alice", "roles": ["guide"]}`, exitDone, ""},
		{environ, "--role moderator receive room/1", `{"sub": "alice", "roles": ["guide"]}`, exitDone, ""},
		{environ, "--user bob receive own/bob", `{"sub": "alice"}`, exitDone, ""},
		{environ, "--user bob receive own/bob", `{}`, exitDone, ""},
		{keycloak, "receive own/alice", `{"sub": "1", "preferred_username": "alice"}`, exitDone, ""},
		{keycloak, "receive room/1", `{"preferred_username": "alice", "realm_access": {"roles": ["moderator"]}}`, exitDone, ""},
		{mapped, "receive own/a%2Fb", `{"mail": "a/b@example.com", "groups": "guide,moderator"}`, exitDone, ""},
		{mapped, "receive room/1", `{"mail": "alice@example.com", "groups": "guide,moderator"}`, exitDone, ""},
		{mapped, "receive room/1", `{"mail": "alice@example.com", "scope": "moderator"}`, exitDone, ""},
		{mapped, "receive own/alice", `{"mail": "alice@example.org"}`, exitFailed, "does not match the pattern"},
		{append(environ, `TOPICGATE_OIDC_USERNAME_PATTERN=(.+)@.+`), "receive own/alice", `{"sub": "alice@a"}`, exitUsage, "TOPICGATE_OIDC_USERNAME_PATTERN"},
		{two, "receive own/b:alice", `{"sub": "alice", "iss": "https://b"}`, exitDone, ""},
		{two, "receive own/alice", `{"sub": "alice", "iss": "https://b"}`, exitFailed, ""},
		{two, "receive own/alice", `{"sub": "alice", "iss": "https://c"}`, exitFailed, "iss is none of TOPICGATE_OIDC_ISSUER"},
		{two, "--user b:alice receive own/b:alice", `{"iss": "https://c"}`, exitDone, ""},
		{environ, "receive own/alice", `{"name": "alice"}`, exitFailed, "the claim sub is missing"},
		{environ, "receive own/alice", `{"sub": "a/b"}`, exitFailed, "the claim sub contains"},
		{environ, "receive own/alice", `{"sub": "alice", "roles": 1}`, exitFailed, "the claim roles is neither"},
	} {
		got := topicgate(t, test.environ, test.claims, append([]string{"policy", "explain", "--claims", "-"}, strings.Fields(test.args)...)...)
		if got.status != test.status || !strings.Contains(got.stderr, test.stderr) || (test.stderr == "") != (got.stderr == "") {
			t.Errorf("explain %s with %s = %+v; want status %d and %q", test.args, test.claims, got, test.status, test.stderr)
		}
	}
}

func TestPolicyExplainInJSON(t *testing.T) {
	rules := writeFile(t, "acl", "pattern read a/%u/#\npattern write b\n")
	environ := []string{"TOPICGATE_REDIS_URL=none", "TOPICGATE_POLICY_FILE=" + rules}
	got := topicgate(t, environ, "", "policy", "explain", "--json", "--user", "alice", "subscribe", "a/#")
	var a answer
	if err := json.Unmarshal([]byte(got.stdout), &a); err != nil {
		t.Fatalf("%v in %s", err, got.stdout)
	}
	if got.status != exitDone || !a.Allowed || a.User != "alice" || a.Operation != "subscribe" || a.Topic != "a/#" || a.Mode != "narrow" ||
		a.Standing != "good" || !reflect.DeepEqual(a.Upstream, []string{"a/alice/#"}) || len(a.Considered) != 2 {
		t.Errorf("explain --json = %+v", a)
	}
}

func TestPolicyExplainRefusesNonsense(t *testing.T) {
	rules := writeFile(t, "acl", "pattern read a\n")
	environ := []string{"TOPICGATE_REDIS_URL=none", "TOPICGATE_POLICY_FILE=" + rules}
	for _, test := range []struct {
		environ []string
		args    []string
		want    string
	}{
		{environ, []string{"--user", "a/b", "publish", "t"}, "username"},
		{environ, []string{"--user", "", "publish", "t"}, "username"},
		{environ, []string{"--user", "a", "publish", "t/#"}, `publish "t/#": `},
		{environ, []string{"--user", "a", "subscribe", "a/#/b"}, `subscribe "a/#/b": `},
		{environ, []string{"--user", "a", "--claims", rules, "publish", "t"}, "claims in " + rules},
		{environ, []string{"--user", "a", "--claims", rules + ".not", "publish", "t"}, "no such file"},
		{[]string{"TOPICGATE_REDIS_URI=none"}, []string{"--user", "a", "publish", "t"}, "did you mean TOPICGATE_REDIS_URL?"},
		{[]string{"TOPICGATE_REDIS_URL=none", "TOPICGATE_POLICY_FILE=/no/such/file"}, []string{"--user", "a", "publish", "t"}, "TOPICGATE_POLICY_FILE: "},
	} {
		got := topicgate(t, test.environ, "", append([]string{"policy", "explain"}, test.args...)...)
		if got.status != exitUsage || got.stdout != "" || !strings.Contains(got.stderr, test.want) {
			t.Errorf("explain %q = %+v; want status 2 and %q", test.args, got, test.want)
		}
	}
}
