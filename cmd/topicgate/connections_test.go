package main

import (
	"net"
	"strings"
	"testing"
)

// startListener takes connections, and does nothing else, until the test ends.
func startListener(t *testing.T) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().String()
}

func TestConfigCheckTriesConnections(t *testing.T) {
	redis, _ := startRedis(t)
	issuer, nameless := startIssuer(t)
	broker := startListener(t)
	got := topicgate(t, []string{"TOPICGATE_OIDC_ISSUER=" + issuer, "TOPICGATE_OIDC_AUDIENCE=a", "TOPICGATE_REDIS_URL=" + redis, "TOPICGATE_UPSTREAM_URLS=tcp://" + broker},
		"", "config", "--check", "--connect")
	if got.status != exitDone || got.stderr != "" {
		t.Errorf("config --check --connect = %+v; want status 0", got)
	}
	for _, part := range []string{"broker " + broker, "issuer " + issuer, "redis"} {
		if line := lineOf(got.stdout, part); !strings.HasSuffix(line, "  ok") {
			t.Errorf("%s: %q; want ok", part, line)
		}
	}
	if nameless.Load() > 0 {
		t.Errorf("%d requests to the issuer without topicgate as their User-Agent", nameless.Load())
	}

	rules := writeFile(t, "acl", "pattern read a\n")
	got = topicgate(t, []string{"TOPICGATE_OIDC_ISSUER=" + issuer + " prefix=a:, http://127.0.0.1:1 prefix=b:", "TOPICGATE_OIDC_AUDIENCE=a", "TOPICGATE_REDIS_URL=none",
		"TOPICGATE_POLICY_FILE=" + rules, "TOPICGATE_UPSTREAM_URLS=tcp://" + broker + ",tcp://127.0.0.1:1"}, "", "config", "--check", "--connect")
	if got.status != exitFailed || got.stderr != "topicgate: not as it should be: broker 127.0.0.1:1, issuer http://127.0.0.1:1\n" {
		t.Errorf("config --check --connect = %+v; want status 1 for a broker and an issuer", got)
	}
	for part, want := range map[string]string{
		"broker " + broker: "ok", "broker 127.0.0.1:1": "refused", "issuer " + issuer: "ok", "issuer http://127.0.0.1:1": "discovery failed: ", "redis": "none",
	} {
		if line := lineOf(got.stdout, part+" "); !strings.Contains(line, want) {
			t.Errorf("%s: %q; want %s", part, line, want)
		}
	}
	if got := topicgate(t, nil, "", "config", "--connect"); got.status != exitUsage {
		t.Errorf("config --connect = %+v; want status 2", got)
	}
}

// lineOf returns the line of text that begins so.
func lineOf(text, begin string) string {
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, begin) {
			return strings.TrimSpace(line)
		}
	}
	return ""
}
