package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestMistakes(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const tls = "TLS_CERT_FILE=c TLS_KEY_FILE=k "
	tests := []struct{ set, want string }{ // settings separated by spaces ('|' is one inside); "VARIABLE: part of the message"
		{"LISTEN=8083", "LISTEN: \"8083\" is not of the form host:port"},
		{"LISTEN=:99999", "LISTEN: \":99999\" is not"},
		{"LISTEN=127.0.0.1:9090", "ADMIN_LISTEN: is the public listener too"},
		{"ADMIN_LISTEN=localhost", "ADMIN_LISTEN: \"localhost\" is not"},
		{"ADMIN_HOSTS=http://a", "ADMIN_HOSTS: \"http://a\" is neither a host name"},
		{"ADMIN_HOSTS=a:9090", "ADMIN_HOSTS: \"a:9090\" is neither"},
		{"ADMIN_HOSTS=*", "ADMIN_HOSTS: \"*\" is neither"},
		{"TLS_CERT_FILE=c", "TLS_CERT_FILE: needs TOPICGATE_TLS_KEY_FILE too"},
		{"TLS_KEY_FILE=k", "TLS_KEY_FILE: needs TOPICGATE_TLS_CERT_FILE too"},
		{"TLS_TICKET_KEY_FILE=a", "TLS_TICKET_KEY_FILE: needs TLS"},
		{"TLS_CLIENT_CA_FILE=a", "TLS_CLIENT_CA_FILE: needs TLS"},
		{tls + "TLS_CLIENT_AUTH=require", "TLS_CLIENT_AUTH: require needs TOPICGATE_TLS_CLIENT_CA_FILE"},
		{"TLS_CLIENT_AUTH=always", "TLS_CLIENT_AUTH: \"always\" is not one of optional, require"},
		{"WS_PATH=mqtt", "WS_PATH: \"mqtt\" is not a path"},
		{"WS_PATH=/a?b", "WS_PATH: \"/a?b\" is not a path"},
		{"WS_PATH=/a,/a", "WS_PATH: \"/a\" stands there twice"},
		{"WS_PATH=,", "WS_PATH: \",\" is a list of nothing"},
		{"ALLOWED_ORIGINS=https://a/", "ALLOWED_ORIGINS: \"https://a/\" is not an origin"},
		{"ALLOWED_ORIGINS=a.example.com", "ALLOWED_ORIGINS: \"a.example.com\" is not an origin"},
		{"ALLOWED_ORIGINS=https://*.example.com", "ALLOWED_ORIGINS: \"https://*.example.com\" is not an origin"},
		{"ALLOWED_ORIGINS=null", "ALLOWED_ORIGINS: \"null\" is not an origin"},
		{"ALLOWED_ORIGINS=https://a,*", "ALLOWED_ORIGINS: * allows any origin"},
		{"ALLOWED_ORIGINS=* TOKEN_SOURCES=password,cookie:t", "TOKEN_SOURCES: cookie:t cannot be had together with TOPICGATE_ALLOWED_ORIGINS=*"},
		{"TRUSTED_PROXIES=10.0.0.1/8", "TRUSTED_PROXIES: \"10.0.0.1/8\" has bits beyond its length; did you mean 10.0.0.0/8?"},
		{"TRUSTED_PROXIES=proxy.example.com", "TRUSTED_PROXIES: \"proxy.example.com\" is neither a network"},
		{"OIDC_ISSUER=", "OIDC_ISSUER: is required"},
		{"OIDC_ISSUER=,", "OIDC_ISSUER: \",\" is a list of nothing"},
		{"OIDC_ISSUER=id.example.com", "OIDC_ISSUER: \"id.example.com\" is not an issuer"},
		{"OIDC_ISSUER=https://a?x", "OIDC_ISSUER: \"https://a?x\" is not an issuer"},
		{"OIDC_ISSUER=ftp://a", "OIDC_ISSUER: \"ftp://a\" is not an issuer"},
		{"OIDC_ISSUER=https://u:hunter3@a", "is not an issuer"},
		{"OIDC_ISSUER=https://a|https://b", "OIDC_ISSUER: \"https://b\": behind an issuer stand prefix=TEXT"},
		{"OIDC_ISSUER=https://a|prefix=", "\"prefix=\" says nothing"},
		{"OIDC_ISSUER=https://a|prefix=a|prefix=b", "prefix= stands there twice"},
		{"OIDC_ISSUER=https://a|prefix=a/", "prefix \"a/\" holds '+', '#' or '/'"},
		{"OIDC_ISSUER=https://a|prefix=é", "prefix \"é\" holds something else than printable ASCII"},
		{"OIDC_ISSUER=https://a|prefix=" + strings.Repeat("a", 65), "is longer than 64 bytes"},
		{"OIDC_ISSUER=https://a|discovery=inside", "discovery=inside is not the address"},
		{"OIDC_ISSUER=https://a|discovery=https://b?p=c", "is not the address of a discovery document"},
		{"OIDC_ISSUER=https://a|jwks=/keys", "jwks=/keys is not the address of a key set"},
		{"OIDC_ISSUER=https://a|jwks=https://b|discovery=https://b", "exclude each other"},
		{"OIDC_ISSUER=https://a,https://a|prefix=b", "OIDC_ISSUER: \"https://a\" stands there twice"},
		{"OIDC_ISSUER=https://a,https://b", "OIDC_ISSUER: a username of https://b could be one of https://a too"},
		{"OIDC_ISSUER=https://a|prefix=x,https://b|prefix=x", "OIDC_ISSUER: a username of https://b could be one of https://a too"},
		{"OIDC_ISSUER=https://a,https://b|prefix=b:", "a username of https://a, whose prefix is \"\", could begin like those of https://b, \"b:\""},
		{"OIDC_ISSUER=https://a|prefix=ab,https://b|prefix=a", "a username of https://b, whose prefix is \"a\", could begin like those of https://a, \"ab\""},
		{"OIDC_ISSUER=https://a|prefix=a,https://b|prefix=ab SHARED_USERS=true", "could begin like those of"},
		{"SHARED_USERS=maybe", "SHARED_USERS: \"maybe\" is not true or false"},
		{tls + "TLS_CLIENT_CA_FILE=a", "TLS_CLIENT_PREFIX: a username of client certificates could be one of https://id.example.com too"},
		{tls + "TLS_CLIENT_CA_FILE=a TLS_CLIENT_PREFIX=c:", "could begin like those of client certificates, \"c:\""},
		{tls + "TLS_CLIENT_CA_FILE=a TLS_CLIENT_PREFIX=c/ OIDC_ISSUER=https://a|prefix=a:", "TLS_CLIENT_PREFIX: \"c/\" holds"},
		{"TLS_CLIENT_PREFIX=c:", "TLS_CLIENT_PREFIX: has no use without TOPICGATE_TLS_CLIENT_CA_FILE"},
		{"OIDC_AUDIENCE=", "OIDC_AUDIENCE: is required"},
		{"OIDC_AUDIENCE=a,a", "OIDC_AUDIENCE: \"a\" stands there twice"},
		{"OIDC_USERNAME_CLAIM=a..b", "OIDC_USERNAME_CLAIM: \"a..b\" is not a dotted path"},
		{"OIDC_ISSUER=https://a|introspection=/i", "introspection=/i is not an address"},
		{"OIDC_ISSUER=https://a|introspection=https://a/i|prefix=a:,https://b|introspection=https://b/i|prefix=b:", "OIDC_ISSUER: introspection= stands behind 2 issuers"},
		{"OIDC_INTROSPECTION_CLIENT_ID=gate OIDC_INTROSPECTION_CLIENT_SECRET=hunter2", "OIDC_INTROSPECTION_CLIENT_ID: has no use without introspection="},
		{"OIDC_INTROSPECTION_CLIENT_SECRET=hunter2", "OIDC_INTROSPECTION_CLIENT_SECRET: needs TOPICGATE_OIDC_INTROSPECTION_CLIENT_ID too"},
		{"OIDC_ISSUER=https://a|introspection=https://a/i OIDC_INTROSPECTION_CLIENT_ID=gate", "OIDC_INTROSPECTION_CLIENT_ID: needs TOPICGATE_OIDC_INTROSPECTION_CLIENT_SECRET too"},
		{"OIDC_ROLES_CLAIM=.", "OIDC_ROLES_CLAIM: \".\" is not a dotted path"},
		{"OIDC_ROLES_CLAIM=roles,a..b", "OIDC_ROLES_CLAIM: \"a..b\" is not a dotted path"},
		{"OIDC_ROLES_CLAIM=roles,roles", "OIDC_ROLES_CLAIM: \"roles\" stands there twice"},
		{"OIDC_AUDIENCE_CLAIM=.azp", "OIDC_AUDIENCE_CLAIM: \".azp\" is not a dotted path"},
		{"OIDC_USERNAME_PATTERN=(", "OIDC_USERNAME_PATTERN: error parsing regexp"},
		{"OIDC_USERNAME_PATTERN=.+@example", "OIDC_USERNAME_PATTERN: \".+@example\" has 0 groups"},
		{"OIDC_USERNAME_PATTERN=(.+)@(.+)", "has 2 groups, not one"},
		{"OIDC_USERNAME_ESCAPE=percent", "OIDC_USERNAME_ESCAPE: \"percent\" is not true or false"},
		{"OIDC_ISSUER=https://a/{tenantid}", "OIDC_ISSUER: \"https://a/{tenantid}\": which tenants?"},
		{"OIDC_ISSUER=https://a|tenants=x", "OIDC_ISSUER: tenants= is for an issuer with {tenantid}"},
		{"OIDC_ISSUER=https://a|prefix={tenantid}", "{tenantid} stands behind https://a"},
		{"OIDC_ISSUER=https://a/{tenantid}|tenants=x/y", "tenant \"x/y\" is not letters"},
		{"OIDC_ISSUER=https://a/{tenantid}|tenants=a..b?", "tenant \"a..b?\" is not letters"},
		{"OIDC_CLOCK_SKEW=30", "OIDC_CLOCK_SKEW: \"30\" is not a duration such as 30s"},
		{"OIDC_CLOCK_SKEW=-1s", "OIDC_CLOCK_SKEW: must be between 0s and 10m"},
		{"OIDC_CLOCK_SKEW=11m", "OIDC_CLOCK_SKEW: must be between 0s and 10m"},
		{"TOKEN_SOURCES=cookie", "TOKEN_SOURCES: \"cookie\": cookie needs a name"},
		{"TOKEN_SOURCES=cookie:a=b", "TOKEN_SOURCES: \"cookie:a=b\": cookie needs a name"},
		{"TOKEN_SOURCES=header:x", "TOKEN_SOURCES: \"header:x\": header takes no name"},
		{"TOKEN_SOURCES=body", "TOKEN_SOURCES: \"body\" is not one of password"},
		{"TOKEN_SOURCES=header,header", "TOKEN_SOURCES: \"header\" stands there twice"},
		{"UPSTREAM_URLS=127.0.0.1:1883", "UPSTREAM_URLS: \"127.0.0.1:1883\" is not of the form tcp://host:port"},
		{"UPSTREAM_URLS=mqtt://h", "UPSTREAM_URLS: \"mqtt://h\" is not of the form"},
		{"UPSTREAM_URLS=tcp://h:0", "UPSTREAM_URLS: \"tcp://h:0\" has no port between"},
		{"UPSTREAM_URLS=tcp://h/path", "UPSTREAM_URLS: \"tcp://h/path\" is not of the form"},
		{"UPSTREAM_URLS=unix://run/b.sock", "UPSTREAM_URLS: \"unix://run/b.sock\" is not of the form unix:///path"},
		{"UPSTREAM_URLS=unix:b.sock", "UPSTREAM_URLS: \"unix:b.sock\" is not of the form unix:///path"},
		{"UPSTREAM_URLS=unix:///run/b.sock?x=y", "UPSTREAM_URLS: \"unix:///run/b.sock?x=y\" is not of the form unix:///path"},
		{"UPSTREAM_URLS=unix:///" + strings.Repeat("x", 107), "the path of a socket has 107 bytes at most"},
		{"UPSTREAM_URLS=unix:///run/b.sock UPSTREAM_CA_FILE=a", "UPSTREAM_CA_FILE: has no use"},
		{"UPSTREAM_URLS=tcp://u:hunter2@h", "UPSTREAM_URLS: a broker's URL holds no username or password"},
		{"UPSTREAM_URLS=unix://u:hunter2@h/run/b.sock", "UPSTREAM_URLS: a broker's URL holds no username or password"},
		{"UPSTREAM_URLS=tcp://h,tcp://h:1883", "UPSTREAM_URLS: \"tcp://h:1883\" stands there twice"},
		{"UPSTREAM_CA_FILE=a", "UPSTREAM_CA_FILE: has no use"},
		{"UPSTREAM_URLS=tls://h UPSTREAM_CERT_FILE=c", "UPSTREAM_CERT_FILE: needs TOPICGATE_UPSTREAM_KEY_FILE too"},
		{"UPSTREAM_URLS=tls://h UPSTREAM_KEY_FILE=k", "UPSTREAM_KEY_FILE: needs TOPICGATE_UPSTREAM_CERT_FILE too"},
		{"UPSTREAM_USERNAME={user}", "UPSTREAM_USERNAME: \"{user}\": the only placeholder is {username}"},
		{"UPSTREAM_USERNAME=" + strings.Repeat("{username}", 21), "UPSTREAM_USERNAME: is longer than 200 bytes"},
		{"UPSTREAM_PASSWORD=a UPSTREAM_PASSWORD_FILE=" + empty, "UPSTREAM_PASSWORD: is set twice, also by TOPICGATE_UPSTREAM_PASSWORD_FILE"},
		{"UPSTREAM_PASSWORD_FILE=" + empty, "UPSTREAM_PASSWORD_FILE: " + empty + " is empty"},
		{"UPSTREAM_PASSWORD_FILE=" + empty + "/x", "UPSTREAM_PASSWORD_FILE: open "},
		{"UPSTREAM_PASSWORD=" + strings.Repeat("x", 65536), "UPSTREAM_PASSWORD: is longer than"},
		{"UPSTREAM_PROXY_PROTOCOL=v1", "UPSTREAM_PROXY_PROTOCOL: \"v1\" is not one of off, v2"},
		{"UPSTREAM_DIALECT=mosquitto", "UPSTREAM_DIALECT: \"mosquitto\" is not one of mqtt, rabbitmq, nats, emqx"},
		{"UPSTREAM_DIALECT=nats CLIENT_ID=a.{client_id}:{username}", "CLIENT_ID: \"a.{client_id}:{username}\" must not hold '.'"},
		{"CLIENT_ID={client_id}", "CLIENT_ID: \"{client_id}\" must contain {username} and {client_id}"},
		{"CLIENT_ID={username}:{username}:{client_id}", "once each"},
		{"CLIENT_ID={username}{client_id}", "must separate"},
		{"CLIENT_ID={username}%{client_id}", "must separate"},
		{"CLIENT_ID={username}25{client_id}", "must separate"},
		{"CLIENT_ID={username}-{client_id}", "must separate"},
		{"CLIENT_ID={client_id}_by_{username}", "must separate"},
		{"CLIENT_ID={username}\t{client_id}", "printable ASCII"},
		{"CLIENT_ID={username}:{client_id}{x}", "braces"},
		{"REDIS_URL=localhost:6379", "REDIS_URL: must begin with redis://"},
		{"REDIS_URL=http://:hunter2@h", "REDIS_URL: must begin with redis://"},
		{"REDIS_PREFIX=a*", "REDIS_PREFIX: \"a*\" holds"},
		{"REDIS_URL=none", "POLICY_FILE: is required without Redis"},
		{"POLICY_STALE_MAX=0s", "POLICY_STALE_MAX: must be between 1s and 24h"},
		{"SUBSCRIBE_MODE=loose", "SUBSCRIBE_MODE: \"loose\" is not one of narrow, strict"},
		{"NARROW_MAX=0", "NARROW_MAX: must be between 1 and 100000"},
		{"NARROW_MAX=many", "NARROW_MAX: \"many\" is not a whole number"},
		{"UNAVAILABLE=refuse", "UNAVAILABLE: \"refuse\" is not one of close, connack"},
		{"MAX_SLEEPING_PER_USER=0", "MAX_SLEEPING_PER_USER: must be between 1 and 100000"},
		{"DENY_PUBLISH=drop", "DENY_PUBLISH: \"drop\" is not one of ack, disconnect"},
		{"USER_PROPERTY=a\x01", "USER_PROPERTY: \"a\\x01\" is not a name"},
		{"AUDIT=syslog", "AUDIT: \"syslog\" is not one of stdout, redis, file:PATH, webhook:URL, mqtt:TOPIC, none"},
		{"AUDIT=stdout:x", "AUDIT: \"stdout:x\" is not one of"},
		{"AUDIT=file:", "AUDIT: file: needs the path of a file"},
		{"AUDIT=file:/var/log/", "AUDIT: file: needs the path of a file"},
		{"AUDIT=file:/var/log/a,file:/var/log/a", "AUDIT: \"file:/var/log/a\" stands there twice"},
		{"AUDIT=mqtt:", "AUDIT: mqtt: \"\" is not a Topic Name"},
		{"AUDIT=mqtt:a/+", "AUDIT: mqtt: \"a/+\" is not a Topic Name"},
		{"AUDIT=mqtt:#", "AUDIT: mqtt: \"#\" is not a Topic Name"},
		{"AUDIT=mqtt:$topicgate/audit", "AUDIT: mqtt: \"$topicgate/audit\" begins with $topicgate"},
		{"AUDIT_MQTT_USERNAME=u", "AUDIT_MQTT_USERNAME: has no use"},
		{"AUDIT=mqtt:a AUDIT_MQTT_PASSWORD=p", "AUDIT_MQTT_PASSWORD: needs TOPICGATE_AUDIT_MQTT_USERNAME too"},
		{"AUDIT=webhook:https://hunter2@h", "AUDIT: webhook: the URL holds no username or password"},
		{"AUDIT=webhook:http://h/hunter2", "AUDIT: webhook: records go to https:// only"},
		{"AUDIT=webhook:ftp://127.0.0.1/hunter2", "AUDIT: webhook: records go to https:// only"},
		{"AUDIT=webhook:", "AUDIT: webhook: needs a URL"},
		{"AUDIT=webhook:https://h/#hunter2", "AUDIT: webhook: needs a URL"},
		{"AUDIT=webhook:https://[hunter2", "AUDIT: webhook: needs a URL"},
		{"AUDIT=webhook:https://h/hunter2", "AUDIT_WEBHOOK_SECRET: needs 16 bytes or more"},
		{"AUDIT=webhook:https://h/ AUDIT_WEBHOOK_SECRET=hunter2", "AUDIT_WEBHOOK_SECRET: needs 16 bytes or more"},
		{"AUDIT_WEBHOOK_SECRET=0123456789hunter2", "AUDIT_WEBHOOK_SECRET: has no use"},
		{"AUDIT=none,stdout", "AUDIT: none must stand alone"},
		{"AUDIT=stdout,stdout", "AUDIT: \"stdout\" stands there twice"},
		{"AUDIT=stdout,redis REDIS_URL=none POLICY_FILE=f", "AUDIT: redis cannot be had together with TOPICGATE_REDIS_URL=none"},
		{"AUDIT_ALLOWED=yes", "AUDIT_ALLOWED: \"yes\" is not true or false"},
		{"MAX_PACKET_SIZE=2MX", "MAX_PACKET_SIZE: \"2MX\" is not a size"},
		{"MAX_PACKET_SIZE=100", "MAX_PACKET_SIZE: must be between 1KiB and 256MiB"},
		{"MAX_PACKET_SIZE=1GiB", "MAX_PACKET_SIZE: must be between 1KiB and 256MiB"},
		{"MAX_CONNECTIONS=-1", "MAX_CONNECTIONS: must be between 0 and"},
		{"MAX_CONNECTIONS_PER_USER=1.5", "MAX_CONNECTIONS_PER_USER: \"1.5\" is not a whole number"},
		{"MAX_SUBSCRIPTIONS=-1", "MAX_SUBSCRIPTIONS: must be between 0 and"},
		{"PUBLISH_RATE=NaN", "PUBLISH_RATE: must be between 0 and"},
		{"PUBLISH_RATE=Inf", "PUBLISH_RATE: must be between 0 and"},
		{"PUBLISH_RATE=fast", "PUBLISH_RATE: \"fast\" is not a number"},
		{"PUBLISH_BURST=5", "PUBLISH_BURST: has no meaning without TOPICGATE_PUBLISH_RATE"},
		{"CONNECT_TIMEOUT=0s", "CONNECT_TIMEOUT: must be between 100ms and 10m"},
		{"WRITE_TIMEOUT=1h", "WRITE_TIMEOUT: must be between 100ms and 10m"},
		{"DRAIN_TIMEOUT=-1s", "DRAIN_TIMEOUT: must be between 0s and 1h"},
		{"LOG_LEVEL=trace", "LOG_LEVEL: \"trace\" is not one of debug, info, warn, error"},
		{"LOG_FORMAT=xml", "LOG_FORMAT: \"xml\" is not one of json, text"},
	}
	covered := make(map[string]bool)
	for _, test := range tests {
		settings := strings.Split(test.set, " ")
		for i := range settings {
			settings[i] = strings.ReplaceAll(settings[i], "|", " ")
		}
		_, err := Load(environ(settings...))
		problems, ok := errors.AsType[Problems](err)
		if !ok || len(problems) != 1 || !strings.Contains(problems[0].Error(), test.want) {
			t.Errorf("Load(%.80q) = %v; want the one problem %q", test.set, err, test.want)
			continue
		}
		if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("Load(%q) tells the password: %v", test.set, err)
		}
		covered[strings.TrimSuffix(problems[0].Variable, "_FILE")] = true
		covered[problems[0].Variable] = true
	}
	for _, s := range Settings() {
		if !covered[s.Variable] {
			t.Errorf("no mistake is tried with %s", s.Variable)
		}
	}
}

func TestEveryMistakeAtOnceInTheOrderOfTheSettings(t *testing.T) {
	_, err := Load([]string{"TOPICGATE_LOG_LEVEL=loud", "TOPICGATE_LISTNE=:1", "TOPICGATE_UPSTREAM_URLS=a, b",
		"TOPICGATE_NARROW_MAX=0", "TOPICGATE_TLS_KEY_FILE=k", "TOPICGATE_OIDC_AUDIENCE= "})
	problems, _ := errors.AsType[Problems](err)
	var got []string
	for _, p := range problems {
		got = append(got, strings.TrimPrefix(p.Variable, Prefix))
	}
	want := "TLS_KEY_FILE OIDC_ISSUER OIDC_AUDIENCE UPSTREAM_URLS UPSTREAM_URLS NARROW_MAX LOG_LEVEL LISTNE"
	if strings.Join(got, " ") != want {
		t.Errorf("Load names %s; want %s", strings.Join(got, " "), want)
	}
}

func TestUnknownVariables(t *testing.T) {
	for name, want := range map[string]string{
		"TOPICGATE_LISTNE":             "TOPICGATE_LISTEN",
		"TOPICGATE_UPSTREAM_URL":       "TOPICGATE_UPSTREAM_URLS",
		"TOPICGATE_AUDIENCE":           "TOPICGATE_OIDC_AUDIENCE",
		"TOPICGATE_REDIS":              "TOPICGATE_REDIS_URL",
		"TOPICGATE_TLS_CERT":           "TOPICGATE_TLS_CERT_FILE",
		"TOPICGATE_CLIENT_ID_FILE":     "TOPICGATE_CLIENT_ID",
		"TOPICGATE_UPSTREAM_PASWORD":   "TOPICGATE_UPSTREAM_PASSWORD",
		"topicgate_listen":             "TOPICGATE_LISTEN",
		"TOPICGATE_PORT":               "",
		"TOPICGATE_":                   "",
		"TOPICGATE_ORIGIN_ALLOW_LISTS": "",
	} {
		message := "unknown setting"
		if want != "" {
			message += "; did you mean " + want + "?"
		}
		_, err := Load(append(environ(), name+"=8083"))
		if err == nil || err.Error() != name+": "+message {
			t.Errorf("Load(%s) = %v; want %s", name, err, message)
		}
	}
}

// A Service named topicgate must not keep its own pods from starting.
func TestServiceLinksAreNoSettings(t *testing.T) {
	mustLoad(t, append(environ(), "TOPICGATE_SERVICE_HOST=10.0.0.1", "TOPICGATE_SERVICE_PORT=8083", "TOPICGATE_SERVICE_PORT_WSS=8083",
		"TOPICGATE_PORT=tcp://10.0.0.1:8083", "TOPICGATE_PORT_8083_TCP=tcp://10.0.0.1:8083", "TOPICGATE_PORT_8083_TCP_PROTO=tcp",
		"TOPICGATE_PORT_8083_TCP_PORT=8083", "TOPICGATE_PORT_8083_TCP_ADDR=10.0.0.1", "TOPICGATE_ADMIN_SERVICE_HOST=10.0.0.2",
		"TOPICGATE_ADMIN_PORT=tcp://10.0.0.2:9090", "TOPICGATEWAY=1"))
}
