package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func settings(more ...string) []string {
	return append([]string{"TOPICGATE_OIDC_ISSUER=https://id.example.com", "TOPICGATE_OIDC_AUDIENCE=topicgate"}, more...)
}

func writeFile(t *testing.T, name, text string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestConfigPrintsEverySetting(t *testing.T) {
	got := topicgate(t, []string{"TOPICGATE_NONSENSE=1"}, "", "config")
	if got.status != exitDone || got.stderr != "" || !strings.Contains(got.stdout, "TOPICGATE_LISTEN  (address; default :8083)\n") {
		t.Errorf("topicgate config = %+v; want the settings, whatever the environment", got)
	}
}

func TestConfigCheckShowsWhatIsSet(t *testing.T) {
	secret := writeFile(t, "secret", "hunter2\n")
	rules := writeFile(t, "acl", "pattern read a/%u\n")
	got := topicgate(t, settings("TOPICGATE_UPSTREAM_PASSWORD_FILE="+secret, "TOPICGATE_POLICY_FILE="+rules, "TOPICGATE_ADMIN_LISTEN=:9090"),
		"", "config", "--check")
	want := []string{
		"TOPICGATE_ADMIN_LISTEN       :9090\n",
		"TOPICGATE_UPSTREAM_PASSWORD  [redacted]", "from TOPICGATE_UPSTREAM_PASSWORD_FILE\n",
		"the settings are valid",
	}
	for _, w := range want {
		if !strings.Contains(got.stdout, w) {
			t.Errorf("config --check prints %s; want %q", got.stdout, w)
		}
	}
	if got.status != exitDone || strings.Contains(got.stdout, "hunter2") || strings.Contains(got.stdout, "TOPICGATE_LISTEN") {
		t.Errorf("config --check = %+v; want status 0, no password, no defaults", got)
	}
	if !strings.HasPrefix(got.stderr, "topicgate: warning: TOPICGATE_ADMIN_LISTEN: ") {
		t.Errorf("config --check warns %q; want the admin listener", got.stderr)
	}
}

func TestConfigCheckNamesEveryMistake(t *testing.T) {
	rules := writeFile(t, "acl", "pattern read a/%s\npatern read b\n")
	noCert := writeFile(t, "cert.pem", "no certificate")
	tests := []struct {
		name    string
		environ []string
		want    string
	}{
		{"one", settings("TOPICGATE_LISTNE=:1"), "topicgate: TOPICGATE_LISTNE: unknown setting; did you mean TOPICGATE_LISTEN?\n"},
		{"several", []string{"TOPICGATE_OIDC_AUDIENCE=a", "TOPICGATE_NARROW_MAX=0"},
			"topicgate: 2 settings are wrong:\nTOPICGATE_OIDC_ISSUER: is required"},
		{"users of two issuers", settings("TOPICGATE_OIDC_ISSUER=https://a, https://b"), "topicgate: TOPICGATE_OIDC_ISSUER: a username of https://b could be one of https://a too"},
		{"pattern that makes two users one", settings(`TOPICGATE_OIDC_USERNAME_PATTERN=([^@]+)@.+`), "topicgate: TOPICGATE_OIDC_USERNAME_PATTERN: \"([^@]+)@.+\": "},
		{"rules", settings("TOPICGATE_POLICY_FILE=" + rules),
			"topicgate: 2 settings are wrong:\nTOPICGATE_POLICY_FILE: " + rules + ":1:16: "},
		{"no rules", settings("TOPICGATE_POLICY_FILE=" + rules + ".not"), "topicgate: TOPICGATE_POLICY_FILE: open "},
		{"redis", settings("TOPICGATE_REDIS_URL=redis://:hunter2@h:port"), "topicgate: TOPICGATE_REDIS_URL: redis URL: "},
		{"certificate", settings("TOPICGATE_TLS_CERT_FILE="+noCert, "TOPICGATE_TLS_KEY_FILE="+noCert), "topicgate: TOPICGATE_TLS_CERT_FILE: TLS certificate "},
		{"broker's CA", settings("TOPICGATE_UPSTREAM_URLS=tls://b", "TOPICGATE_UPSTREAM_CA_FILE="+noCert), "topicgate: TOPICGATE_UPSTREAM_CA_FILE: " + noCert + " holds no certificate"},
		{"certificate for the broker", settings("TOPICGATE_UPSTREAM_URLS=tls://b", "TOPICGATE_UPSTREAM_CERT_FILE="+noCert, "TOPICGATE_UPSTREAM_KEY_FILE="+noCert),
			"topicgate: TOPICGATE_UPSTREAM_CERT_FILE: certificate "},
	}
	for _, test := range tests {
		got := topicgate(t, test.environ, "", "config", "--check")
		if got.status != exitFailed || got.stdout != "" || !strings.HasPrefix(got.stderr, test.want) || strings.Contains(got.stderr, "hunter2") {
			t.Errorf("%s: config --check = %+v; want status 1 and %q", test.name, got, test.want)
		}
	}
}
