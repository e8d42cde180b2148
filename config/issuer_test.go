package config

import (
	"errors"
	"reflect"
	"strings"
	"testing"
)

func TestTemplateStandsForTheTenantsOfItsList(t *testing.T) {
	c := mustLoad(t, environ("OIDC_ISSUER=https://login.example/{tenantid}/v2.0 tenants=6f-1|acme.example prefix={tenantid}: jwks=https://keys.example/{tenantid}"))
	want := []Issuer{
		{URL: "https://login.example/6f-1/v2.0", Prefix: "6f-1:", JWKS: "https://keys.example/6f-1"},
		{URL: "https://login.example/acme.example/v2.0", Prefix: "acme.example:", JWKS: "https://keys.example/acme.example"},
	}
	if !reflect.DeepEqual(c.OIDCIssuers, want) {
		t.Errorf("the template stands for %+v; want %+v", c.OIDCIssuers, want)
	}
	tenants := strings.Split(strings.Repeat("x", maxTenants+1), "")
	for set, want := range map[string]string{
		"OIDC_ISSUER=https://a/{tenantid} tenants=x|y":                           "could be one of https://a/x too", // names are unique in one tenant only
		"OIDC_ISSUER=https://a/{tenantid} tenants=x|x SHARED_USERS":              "stands there twice",
		"OIDC_ISSUER=https://a/{tenantid} tenants=x|":                            "tenant \"\" is not letters",
		"OIDC_ISSUER=https://a/{tenantid} tenants=" + strings.Join(tenants, "|"): "more than 100 tenants",
	} {
		set, shared := strings.CutSuffix(set, " SHARED_USERS")
		env := environ(set)
		if shared {
			env = environ(set, "SHARED_USERS=true")
		}
		_, err := Load(env)
		problems, _ := errors.AsType[Problems](err)
		if len(problems) != 1 || !strings.Contains(problems[0].Message, want) {
			t.Errorf("Load(%.80s) = %v; want the one problem %q", set, err, want)
		}
	}
}

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
