package config

import "testing"

func TestIssuersWhoseUsersAreKeptApartAreAccepted(t *testing.T) {
	const tls = "TLS_CERT_FILE=c"
	for _, set := range [][]string{
		{"OIDC_ISSUER=https://a prefix=a:"},
		{"OIDC_ISSUER=https://a prefix=a:, https://b prefix=b:, https://c prefix=c:"},
		{"OIDC_ISSUER=https://a, https://b", "SHARED_USERS=true"},
		{"OIDC_ISSUER=https://a prefix=x:, https://b prefix=x:, https://c prefix=c:", "SHARED_USERS=true"},
		{tls, "TLS_KEY_FILE=k", "TLS_CLIENT_CA_FILE=a", "OIDC_ISSUER=https://a prefix=a:", "TLS_CLIENT_PREFIX=cert:"},
		{tls, "TLS_KEY_FILE=k", "TLS_CLIENT_CA_FILE=a", "SHARED_USERS=true"},
	} {
		if _, err := Load(environ(set...)); err != nil {
			t.Errorf("Load(%q) = %v; want none", set, err)
		}
	}
}

func TestUsernamePrefixOfClaims(t *testing.T) {
	for _, test := range []struct {
		issuers, of, want string
		ok                bool
	}{
		{"https://a prefix=a:, https://b prefix=b:", "https://b", "b:", true},
		{"https://a prefix=a:, https://b prefix=b:", "https://c", "", false},
		{"https://a prefix=a:, https://b prefix=b:", "", "", false},
		{"https://a prefix=a:", "", "a:", true},
		{"https://a prefix=a:", "https://c", "", false},
		{"https://a", "https://c", "", true},
	} {
		c := mustLoad(t, environ("OIDC_ISSUER="+test.issuers))
		if got, ok := c.UsernamePrefix(test.of); got != test.want || ok != test.ok {
			t.Errorf("UsernamePrefix(%q) with %s = %q, %v; want %q, %v", test.of, test.issuers, got, ok, test.want, test.ok)
		}
	}
	if c, err := LoadPolicy(nil); err != nil {
		t.Errorf("LoadPolicy() = %v; want no issuer to be required", err)
	} else if prefix, ok := c.UsernamePrefix("https://a"); prefix != "" || !ok {
		t.Errorf("UsernamePrefix() without issuers = %q, %v; want none", prefix, ok)
	}
	if _, err := LoadPolicy([]string{"TOPICGATE_OIDC_ISSUER=https://a prefix=+"}); err == nil {
		t.Error("LoadPolicy() takes a prefix that no username may begin with")
	}
}
