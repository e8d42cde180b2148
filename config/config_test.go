package config

import (
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// required is the smallest environment that is valid, and shorter names for it.
func environ(settings ...string) []string {
	env := []string{"PATH=/bin", "TOPICGATE_OIDC_ISSUER=https://id.example.com", "TOPICGATE_OIDC_AUDIENCE=topicgate"}
	for _, s := range settings {
		env = append(env, Prefix+s)
	}
	return env
}

func mustLoad(t *testing.T, env []string) Config {
	t.Helper()
	c, err := Load(env)
	if err != nil {
		t.Fatalf("Load(%q) = %v", env, err)
	}
	return c
}

func TestDefaultsAreThoseOfTheContract(t *testing.T) {
	got := mustLoad(t, environ())
	want := Config{
		Listen: ":8083", TLSClientAuth: "optional", WSPaths: []string{"/mqtt"}, AdminListen: "127.0.0.1:9090",
		OIDCIssuers: []Issuer{{URL: "https://id.example.com"}}, OIDCAudiences: []string{"topicgate"},
		OIDCAudienceClaim: "aud", OIDCUsernameClaim: "sub", OIDCRolesClaims: []string{"roles"}, OIDCClockSkew: 30 * time.Second,
		TokenSources:     []TokenSource{{Kind: "password"}, {Kind: "header"}},
		UpstreamURLs:     []url.URL{{Scheme: "tcp", Host: "127.0.0.1:1883"}},
		UpstreamUsername: "{username}", UpstreamProxyProtocol: "off", UpstreamDialect: "mqtt", ClientID: "{username}:{client_id}",
		RedisURL: NewSecret("redis://127.0.0.1:6379/0"), RedisPrefix: "topicgate:",
		PolicyStaleMax: 30 * time.Second, SubscribeMode: "narrow", NarrowMax: 1000, DenyPublish: "ack", Unavailable: "close",
		UserProperty: "topicgate-user", Audit: []AuditSink{{Kind: "stdout"}, {Kind: "redis"}}, MaxPacketSize: 1800 << 10, MaxSubscriptions: 10000, MaxSleepingPerUser: 100,
		ConnectTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second, DrainTimeout: 30 * time.Second,
		LogFormat: "json",
		given:     map[string]string{"OIDC_ISSUER": "TOPICGATE_OIDC_ISSUER", "OIDC_AUDIENCE": "TOPICGATE_OIDC_AUDIENCE"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("Load() = %+v;\nwant %+v", got, want)
	}
}

func TestEverySettingIsRead(t *testing.T) {
	tests := map[string]struct {
		set  []string
		get  func(Config) any
		want any
	}{
		"LISTEN":              {[]string{"LISTEN=127.0.0.1:1"}, func(c Config) any { return c.Listen }, "127.0.0.1:1"},
		"TLS_CERT_FILE":       {[]string{"TLS_CERT_FILE=c", "TLS_KEY_FILE=k"}, func(c Config) any { return c.TLSCertFile }, "c"},
		"TLS_KEY_FILE":        {[]string{"TLS_CERT_FILE=c", "TLS_KEY_FILE=k"}, func(c Config) any { return c.TLSKeyFile }, "k"},
		"TLS_CLIENT_CA_FILE":  {[]string{"TLS_CERT_FILE=c", "TLS_KEY_FILE=k", "TLS_CLIENT_CA_FILE=a", "SHARED_USERS=true"}, func(c Config) any { return c.TLSClientCAFile }, "a"},
		"TLS_CLIENT_AUTH":     {[]string{"TLS_CERT_FILE=c", "TLS_KEY_FILE=k", "TLS_CLIENT_CA_FILE=a", "TLS_CLIENT_AUTH=Require", "SHARED_USERS=true"}, func(c Config) any { return c.TLSClientAuth }, ClientAuthRequire},
		"WS_PATH":             {[]string{"WS_PATH= /a , /b,"}, func(c Config) any { return c.WSPaths }, []string{"/a", "/b"}},
		"ALLOWED_ORIGINS":     {[]string{"ALLOWED_ORIGINS=https://A.example:8443, app://x"}, func(c Config) any { return c.AllowedOrigins }, []string{"https://a.example:8443", "app://x"}},
		"ADMIN_LISTEN":        {[]string{"ADMIN_LISTEN=[::1]:9"}, func(c Config) any { return c.AdminListen }, "[::1]:9"},
		"TRUSTED_PROXIES":     {[]string{"TRUSTED_PROXIES=10.0.0.0/8, 192.0.2.1, ::1"}, func(c Config) any { return c.TrustedProxies }, []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.0.2.1/32"), netip.MustParsePrefix("::1/128")}},
		"ADMIN_HOSTS":         {[]string{"ADMIN_HOSTS=gateway.internal, fd00::5"}, func(c Config) any { return c.AdminHosts }, []string{"gateway.internal", "fd00::5"}},
		"TLS_TICKET_KEY_FILE": {[]string{"TLS_CERT_FILE=c", "TLS_KEY_FILE=k", "TLS_TICKET_KEY_FILE=t"}, func(c Config) any { return c.TLSTicketKeyFile }, "t"},
		"TLS_CLIENT_PREFIX": {[]string{"TLS_CERT_FILE=c", "TLS_KEY_FILE=k", "TLS_CLIENT_CA_FILE=a", "OIDC_ISSUER=https://a prefix=a:", "TLS_CLIENT_PREFIX=cert:"},
			func(c Config) any { return c.TLSClientPrefix }, "cert:"},
		"OIDC_ISSUER": {[]string{"OIDC_ISSUER=https://a/  prefix=a: discovery=http://inside:8080/realms/a , https://b/realms/x jwks=https://c/keys?tenant=b prefix=b-"},
			func(c Config) any { return c.OIDCIssuers }, []Issuer{
				{URL: "https://a/", Prefix: "a:", Discovery: "http://inside:8080/realms/a"},
				{URL: "https://b/realms/x", Prefix: "b-", JWKS: "https://c/keys?tenant=b"}}},
		"SHARED_USERS":          {[]string{"OIDC_ISSUER=https://a, https://b", "SHARED_USERS=true"}, func(c Config) any { return c.SharedUsers }, true},
		"OIDC_AUDIENCE":         {[]string{"OIDC_AUDIENCE=a,b"}, func(c Config) any { return c.OIDCAudiences }, []string{"a", "b"}},
		"OIDC_USERNAME_CLAIM":   {[]string{"OIDC_USERNAME_CLAIM=email"}, func(c Config) any { return c.OIDCUsernameClaim }, "email"},
		"OIDC_AUDIENCE_CLAIM":   {[]string{"OIDC_AUDIENCE_CLAIM=azp"}, func(c Config) any { return c.OIDCAudienceClaim }, "azp"},
		"OIDC_USERNAME_PATTERN": {[]string{`OIDC_USERNAME_PATTERN=([^@,]+)@example\.com`}, func(c Config) any { return c.OIDCUsernamePattern }, `([^@,]+)@example\.com`},
		"OIDC_USERNAME_ESCAPE":  {[]string{"OIDC_USERNAME_ESCAPE=true"}, func(c Config) any { return c.OIDCUsernameEscape }, true},
		"OIDC_ROLES_CLAIM":      {[]string{"OIDC_ROLES_CLAIM=realm_access.roles, scope"}, func(c Config) any { return c.OIDCRolesClaims }, []string{"realm_access.roles", "scope"}},
		"OIDC_INTROSPECTION_CLIENT_ID": {[]string{"OIDC_ISSUER=https://a introspection=https://a/introspect", "OIDC_INTROSPECTION_CLIENT_ID=gate", "OIDC_INTROSPECTION_CLIENT_SECRET=s"},
			func(c Config) any { return c.OIDCIntrospectionClientID + " " + c.OIDCIssuers[0].Introspection }, "gate https://a/introspect"},
		"OIDC_INTROSPECTION_CLIENT_SECRET": {[]string{"OIDC_ISSUER=https://a introspection=https://a/introspect", "OIDC_INTROSPECTION_CLIENT_ID=gate", "OIDC_INTROSPECTION_CLIENT_SECRET= s "},
			func(c Config) any { return c.OIDCIntrospectionClientSecret.Reveal() }, " s "},
		"OIDC_CLOCK_SKEW":          {[]string{"OIDC_CLOCK_SKEW=0s"}, func(c Config) any { return c.OIDCClockSkew }, time.Duration(0)},
		"TOKEN_SOURCES":            {[]string{"TOKEN_SOURCES=cookie:__Host-token, query:t"}, func(c Config) any { return c.TokenSources }, []TokenSource{{"cookie", "__Host-token"}, {"query", "t"}}},
		"UPSTREAM_URLS":            {[]string{"UPSTREAM_URLS=tls://b.example, tcp://[::1]:1884/, unix:///run/b.sock"}, func(c Config) any { return c.UpstreamURLs }, []url.URL{{Scheme: "tls", Host: "b.example:8883"}, {Scheme: "tcp", Host: "[::1]:1884"}, {Scheme: "unix", Path: "/run/b.sock"}}},
		"UPSTREAM_CA_FILE":         {[]string{"UPSTREAM_URLS=tls://b", "UPSTREAM_CA_FILE=a"}, func(c Config) any { return c.UpstreamCAFile }, "a"},
		"UPSTREAM_CERT_FILE":       {[]string{"UPSTREAM_URLS=tls://b", "UPSTREAM_CERT_FILE=c", "UPSTREAM_KEY_FILE=k"}, func(c Config) any { return c.UpstreamCertFile }, "c"},
		"UPSTREAM_KEY_FILE":        {[]string{"UPSTREAM_URLS=tls://b", "UPSTREAM_CERT_FILE=c", "UPSTREAM_KEY_FILE=k"}, func(c Config) any { return c.UpstreamKeyFile }, "k"},
		"UPSTREAM_USERNAME":        {[]string{"UPSTREAM_USERNAME=gate-{username}"}, func(c Config) any { return c.UpstreamUsername }, "gate-{username}"},
		"UPSTREAM_PASSWORD":        {[]string{"UPSTREAM_PASSWORD= p "}, func(c Config) any { return c.UpstreamPassword.Reveal() }, " p "},
		"UPSTREAM_PROXY_PROTOCOL":  {[]string{"UPSTREAM_PROXY_PROTOCOL=v2"}, func(c Config) any { return c.UpstreamProxyProtocol }, ProxyProtocolV2},
		"UPSTREAM_DIALECT":         {[]string{"UPSTREAM_DIALECT=RabbitMQ"}, func(c Config) any { return c.UpstreamDialect }, DialectRabbitMQ},
		"CLIENT_ID":                {[]string{"CLIENT_ID=g-{client_id}@{username}"}, func(c Config) any { return c.ClientID }, "g-{client_id}@{username}"},
		"REDIS_URL":                {[]string{"REDIS_URL=rediss://:p@r:6380/1"}, func(c Config) any { return c.RedisURL.Reveal() }, "rediss://:p@r:6380/1"},
		"REDIS_PREFIX":             {[]string{"REDIS_PREFIX=tg:"}, func(c Config) any { return c.RedisPrefix }, "tg:"},
		"POLICY_FILE":              {[]string{"POLICY_FILE=/etc/acl"}, func(c Config) any { return c.PolicyFile }, "/etc/acl"},
		"POLICY_STALE_MAX":         {[]string{"POLICY_STALE_MAX=1m"}, func(c Config) any { return c.PolicyStaleMax }, time.Minute},
		"SUBSCRIBE_MODE":           {[]string{"SUBSCRIBE_MODE=strict"}, func(c Config) any { return c.SubscribeMode }, SubscribeStrict},
		"NARROW_MAX":               {[]string{"NARROW_MAX=7"}, func(c Config) any { return c.NarrowMax }, 7},
		"UNAVAILABLE":              {[]string{"UNAVAILABLE=connack"}, func(c Config) any { return c.Unavailable }, UnavailableConnack},
		"DENY_PUBLISH":             {[]string{"DENY_PUBLISH=disconnect"}, func(c Config) any { return c.DenyPublish }, DenyPublishDisconnect},
		"USER_PROPERTY":            {[]string{"USER_PROPERTY=who"}, func(c Config) any { return c.UserProperty }, "who"},
		"AUDIT":                    {[]string{"AUDIT=stdout,file:/var/log/a"}, func(c Config) any { return c.Audit }, []AuditSink{{Kind: "stdout"}, {"file", NewSecret("/var/log/a")}}},
		"AUDIT_MQTT_USERNAME":      {[]string{"AUDIT=mqtt:a", "AUDIT_MQTT_USERNAME=gate"}, func(c Config) any { return c.AuditMQTTUsername }, "gate"},
		"AUDIT_MQTT_PASSWORD":      {[]string{"AUDIT=mqtt:a", "AUDIT_MQTT_USERNAME=gate", "AUDIT_MQTT_PASSWORD=x"}, func(c Config) any { return c.AuditMQTTPassword }, NewSecret("x")},
		"AUDIT_WEBHOOK_SECRET":     {[]string{"AUDIT=webhook:https://h/p", "AUDIT_WEBHOOK_SECRET=0123456789abcdef"}, func(c Config) any { return c.AuditWebhookSecret }, NewSecret("0123456789abcdef")},
		"AUDIT_ALLOWED":            {[]string{"AUDIT_ALLOWED=true"}, func(c Config) any { return c.AuditAllowed }, true},
		"MAX_PACKET_SIZE":          {[]string{"MAX_PACKET_SIZE=64KiB"}, func(c Config) any { return c.MaxPacketSize }, Size(64 << 10)},
		"MAX_CONNECTIONS":          {[]string{"MAX_CONNECTIONS=10"}, func(c Config) any { return c.MaxConnections }, 10},
		"MAX_CONNECTIONS_PER_USER": {[]string{"MAX_CONNECTIONS_PER_USER=3"}, func(c Config) any { return c.MaxConnectionsPerUser }, 3},
		"MAX_SLEEPING_PER_USER":    {[]string{"MAX_SLEEPING_PER_USER=5"}, func(c Config) any { return c.MaxSleepingPerUser }, 5},
		"MAX_SUBSCRIPTIONS":        {[]string{"MAX_SUBSCRIPTIONS=50"}, func(c Config) any { return c.MaxSubscriptions }, 50},
		"PUBLISH_RATE":             {[]string{"PUBLISH_RATE=0.5"}, func(c Config) any { return c.PublishRate }, 0.5},
		"PUBLISH_BURST":            {[]string{"PUBLISH_RATE=5", "PUBLISH_BURST=20"}, func(c Config) any { return c.PublishBurst }, 20},
		"CONNECT_TIMEOUT":          {[]string{"CONNECT_TIMEOUT=5s"}, func(c Config) any { return c.ConnectTimeout }, 5 * time.Second},
		"WRITE_TIMEOUT":            {[]string{"WRITE_TIMEOUT=5s"}, func(c Config) any { return c.WriteTimeout }, 5 * time.Second},
		"DRAIN_TIMEOUT":            {[]string{"DRAIN_TIMEOUT=0s"}, func(c Config) any { return c.DrainTimeout }, time.Duration(0)},
		"LOG_LEVEL":                {[]string{"LOG_LEVEL=WARN"}, func(c Config) any { return c.LogLevel.String() }, "warn"},
		"LOG_FORMAT":               {[]string{"LOG_FORMAT=text"}, func(c Config) any { return c.LogFormat }, LogText},
	}
	for _, s := range Settings() {
		name := strings.TrimPrefix(s.Variable, Prefix)
		test, ok := tests[name]
		if !ok {
			t.Errorf("no case for %s", s.Variable)
			continue
		}
		if got := test.get(mustLoad(t, environ(test.set...))); !reflect.DeepEqual(got, test.want) {
			t.Errorf("Load(%q): %s = %#v; want %#v", test.set, name, got, test.want)
		}
	}
}

func TestNothingMeansTheDefault(t *testing.T) {
	var empty []string
	for _, s := range Settings() {
		if s.Default != "required" && s.Variable != "TOPICGATE_USER_PROPERTY" {
			empty = append(empty, strings.TrimPrefix(s.Variable, Prefix)+"=")
		}
	}
	if got, want := mustLoad(t, environ(empty...)), mustLoad(t, environ()); !reflect.DeepEqual(got, want) {
		t.Errorf("Load with every variable empty = %+v;\nwant %+v", got, want)
	}
	if c := mustLoad(t, environ("USER_PROPERTY=")); c.UserProperty != "" {
		t.Errorf("empty TOPICGATE_USER_PROPERTY = %q; want none", c.UserProperty)
	}
}

func TestTheLastOfTwoCounts(t *testing.T) {
	if c := mustLoad(t, environ("LISTEN=:1", "LISTEN=:2")); c.Listen != ":2" {
		t.Errorf("Listen = %q; want :2", c.Listen)
	}
}

func TestSecretsComeFromFilesToo(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	for content, want := range map[string]string{"hunter2\n": "hunter2", "hunter2\r\n": "hunter2", " x \n\n": " x \n", "bare": "bare"} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		c := mustLoad(t, environ("UPSTREAM_PASSWORD_FILE="+file))
		if got := c.UpstreamPassword.Reveal(); got != want {
			t.Errorf("file with %q: password %q; want %q", content, got, want)
		}
		if v := c.Values(); v[2] != (Value{"TOPICGATE_UPSTREAM_PASSWORD", "[redacted]", "TOPICGATE_UPSTREAM_PASSWORD_FILE"}) {
			t.Errorf("Values()[2] = %v; want the password, redacted, from its file", v[2])
		}
	}
	if err := os.WriteFile(file, []byte("redis://r:1/2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := mustLoad(t, environ("REDIS_URL_FILE="+file)); got.RedisURL.Reveal() != "redis://r:1/2" {
		t.Errorf("RedisURL = %q; want redis://r:1/2", got.RedisURL.Reveal())
	}
}

// A webhook's URL is often all that it takes to write there.
func TestTheURLOfAWebhookIsNotShown(t *testing.T) {
	c := mustLoad(t, environ("AUDIT=webhook:https://h.test/hunter2?k=hunter2,webhook:http://127.0.0.1:1/a", "AUDIT_WEBHOOK_SECRET=0123456789hunter2"))
	for _, text := range []string{fmt.Sprintf("%v %+v %#v %q %s", c.Audit, c.Audit, c.Audit, c.Audit, c.Audit), fmt.Sprintf("%+v %#v", c, c), fmt.Sprint(c.Values())} {
		if strings.Contains(text, "hunter2") || !strings.Contains(text, "webhook") {
			t.Errorf("%s shows it; want the host alone", text)
		}
	}
	if got := c.Audit[0].Target.Reveal(); got != "https://h.test/hunter2?k=hunter2" {
		t.Errorf("Target = %q", got)
	}
}

func TestAuditFallsBackWithoutRedis(t *testing.T) {
	c := mustLoad(t, environ("REDIS_URL=none", "POLICY_FILE=acl"))
	if got, want := c.AuditSinks(), []AuditSink{{Kind: "stdout"}}; !reflect.DeepEqual(got, want) || c.UsesRedis() {
		t.Errorf("AuditSinks() = %q, UsesRedis() = %v; want %q, false", got, c.UsesRedis(), want)
	}
	c = mustLoad(t, environ("AUDIT=none"))
	if got := c.AuditSinks(); len(got) != 0 {
		t.Errorf("AuditSinks() of none = %q; want nothing", got)
	}
	c = mustLoad(t, environ())
	if got, want := c.AuditSinks(), []AuditSink{{Kind: "stdout"}, {Kind: "redis"}}; !reflect.DeepEqual(got, want) {
		t.Errorf("AuditSinks() = %q; want %q", got, want)
	}
}

func TestThePolicyAloneNeedsNoIssuer(t *testing.T) {
	c, err := LoadPolicy([]string{"TOPICGATE_REDIS_PREFIX=x:", "TOPICGATE_LISTEN=nonsense", "TOPICGATE_UPSTREAM_PASSWORD_FILE=/no/such"})
	if err != nil || c.RedisPrefix != "x:" {
		t.Errorf("LoadPolicy = %q, %v; want x:, nil", c.RedisPrefix, err)
	}
	for _, bad := range []string{"NARROW_MAX=x", "REDIS_URI=redis://h", "REDIS_URL=http://h", "REDIS_URL_FILE=/no/such", "REDIS_URL=none"} {
		if _, err := LoadPolicy([]string{Prefix + bad}); err == nil {
			t.Errorf("LoadPolicy(%s) = nil; want an error", bad)
		}
	}
}

func TestWarnings(t *testing.T) {
	for set, want := range map[string]string{
		"OIDC_ISSUER=http://id.example.com":       "TOPICGATE_OIDC_ISSUER",
		"OIDC_ISSUER=http://127.0.0.1:9000/realm": "",
		"OIDC_ISSUER=http://localhost:9000":       "",
		"OIDC_ISSUER=http://adfs.example.com/adfs/services/trust discovery=https://adfs.example.com/adfs": "",
		"OIDC_ISSUER=https://id.example.com discovery=http://keycloak:8080/realms/a":                      "TOPICGATE_OIDC_ISSUER",
		"OIDC_ISSUER=https://id.example.com jwks=http://keycloak:8080/keys":                               "TOPICGATE_OIDC_ISSUER",
		"OIDC_ISSUER=https://id.example.com introspection=http://hydra:4445/admin/oauth2/introspect":      "TOPICGATE_OIDC_ISSUER: tokens go there",
		"OIDC_ISSUER=https://id.example.com introspection=http://127.0.0.1:4445/introspect":               "",
		"ADMIN_LISTEN=:9090":         "TOPICGATE_ADMIN_LISTEN",
		"ADMIN_LISTEN=[::1]:9090":    "",
		"TRUSTED_PROXIES=0.0.0.0/0":  "TOPICGATE_TRUSTED_PROXIES",
		"TRUSTED_PROXIES=10.0.0.0/8": "",

		"ALLOWED_ORIGINS=wss://app.example.com":                                    "TOPICGATE_ALLOWED_ORIGINS: https://app.example.com,",
		"ALLOWED_ORIGINS=https://a.example,ws://app.example.com:81":                "TOPICGATE_ALLOWED_ORIGINS: http://app.example.com:81,",
		"ALLOWED_ORIGINS=https://BÜCHER.example":                                   "TOPICGATE_ALLOWED_ORIGINS: xn--bcher-kva.example",
		"ALLOWED_ORIGINS=https://a\u202e.example":                                  "TOPICGATE_ALLOWED_ORIGINS: punycode",
		"ALLOWED_ORIGINS=https://xn--bcher-kva.example":                            "",
		"ALLOWED_ORIGINS=*":                                                        "",
		`OIDC_AUDIENCE="topicgate"`:                                                "TOPICGATE_OIDC_AUDIENCE: quotes",
		"OIDC_AUDIENCE='topicgate'":                                                "TOPICGATE_OIDC_AUDIENCE: quotes",
		"OIDC_AUDIENCE=https://api.example/":                                       "",
		"OIDC_ISSUER=https://id.example/realms/a/.well-known/openid-configuration": "TOPICGATE_OIDC_ISSUER: the issuer is https://id.example/realms/a",
	} {
		want, words, _ := strings.Cut(want, ": ")
		var got string
		for _, w := range mustLoad(t, environ(set)).Warnings {
			got += w.Variable
			if !strings.Contains(w.Message, words) {
				t.Errorf("%s warns: %s; want it to say %q", set, w.Message, words)
			}
		}
		if got != want {
			t.Errorf("%s warns of %q; want %q", set, got, want)
		}
	}
}
