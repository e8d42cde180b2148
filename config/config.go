package config

import (
	"net/netip"
	"net/url"
	"time"
)

// Prefix begins the name of every variable.
const Prefix = "TOPICGATE_"

// Config is every setting, checked. It holds secrets only in fields of type Secret, so it may be
// logged.
//
// Tags: env is the variable without Prefix; envDefault its default; doc its meaning, a word in
// single quotes being code; min and max its bounds; type the type shown where the Go type says
// too little; required:"true" refuses nothing; empty:"none" keeps an empty value instead of the
// default; part:"policy" marks what LoadPolicy looks at.
type Config struct {
	Listen      string `env:"LISTEN" envDefault:":8083" type:"address" doc:"WebSocket listener"`
	TLSCertFile string `env:"TLS_CERT_FILE" type:"file" doc:"certificate chain (PEM): serve WSS; reread when the files change"`
	TLSKeyFile  string `env:"TLS_KEY_FILE" type:"file" doc:"private key (PEM) of the certificate"`

	TLSTicketKeyFile string `env:"TLS_TICKET_KEY_FILE" type:"file" doc:"a secret of at least 32 bytes that all instances share, so that browsers resume TLS at each of them, and after a restart; the keys made of it change every 12 hours. Reread when it changes"`

	TLSClientCAFile string     `env:"TLS_CLIENT_CA_FILE" type:"file" doc:"accept client certificates of this CA as an identity (subject CN is the username) from clients that are no browsers; a token, when present, wins"`
	TLSClientPrefix string     `env:"TLS_CLIENT_PREFIX" type:"text" doc:"begins the usernames that client certificates give, as 'prefix=' does in 'TOPICGATE_OIDC_ISSUER'"`
	TLSClientAuth   ClientAuth `env:"TLS_CLIENT_AUTH" envDefault:"optional" type:"optional or require" doc:"'require': no handshake without such a certificate"`

	WSPaths        []string       `env:"WS_PATH" envDefault:"/mqtt" type:"list of paths" doc:"paths that answer a WebSocket upgrade"`
	AllowedOrigins []string       `env:"ALLOWED_ORIGINS" type:"list of origins" doc:"origins that browsers may connect from, 'https://app.example.com'; empty: same host only; '*': any. No Origin header: not a browser, allowed"`
	AdminListen    string         `env:"ADMIN_LISTEN" envDefault:"127.0.0.1:9090" type:"address" doc:"listener of '/metrics' (Prometheus), '/healthz', '/readyz' and '/sessions'; they are never on the public one"`
	AdminHosts     []string       `env:"ADMIN_HOSTS" type:"list of hosts" doc:"names and addresses under which '/sessions' answers, beside loopback ones and the one in 'TOPICGATE_ADMIN_LISTEN': a web page that has its own name lead to the listener gets nothing"`
	TrustedProxies []netip.Prefix `env:"TRUSTED_PROXIES" type:"list of networks" doc:"networks whose X-Forwarded-For or PROXY protocol header is believed"`

	OIDCIssuers                   []Issuer      `env:"OIDC_ISSUER" type:"list of issuers" required:"true" part:"policy" doc:"issuers whose tokens are accepted, exactly as in 'iss'. Behind each may stand, after blanks: 'prefix=TEXT', which begins the usernames in its tokens; 'discovery=URL', where its discovery document is fetched from if not below the issuer itself; 'jwks=URL', where its keys are, without discovery; 'tenants=A|B', which stand in place of '{tenantid}' in all that, an issuer each; 'introspection=URL', where the issuer is asked about opaque tokens (RFC 7662). Several issuers, or client certificates beside one, need a prefix each, or 'TOPICGATE_SHARED_USERS'"`
	SharedUsers                   bool          `env:"SHARED_USERS" envDefault:"false" part:"policy" doc:"'true': issuers (and client certificates) without a prefix, or with the same one, share one user base: whoever has a name in one of them is the user of that name in all"`
	OIDCAudiences                 []string      `env:"OIDC_AUDIENCE" type:"list" required:"true" doc:"one of them must be in 'aud', or in the claim of 'TOPICGATE_OIDC_AUDIENCE_CLAIM'"`
	OIDCAudienceClaim             string        `env:"OIDC_AUDIENCE_CLAIM" envDefault:"aud" type:"claim" doc:"claim that says whom a token is for, a string or a list: 'client_id' in access tokens of Cognito, 'azp' in those of Clerk"`
	OIDCUsernameClaim             string        `env:"OIDC_USERNAME_CLAIM" envDefault:"sub" type:"claim" part:"policy" doc:"claim that is the username, a string or a whole number; a dotted path reaches into objects"`
	OIDCUsernamePattern           string        `env:"OIDC_USERNAME_PATTERN" type:"regular expression" part:"policy" doc:"RE2 that must match all of that claim; its one group is the username. Outside of the group stands fixed text, so that two names never become one: '([^@]+)@example\\.com'"`
	OIDCUsernameEscape            bool          `env:"OIDC_USERNAME_ESCAPE" envDefault:"false" part:"policy" doc:"'true': '/', '+', '#' and '%' in the username become '%2F', '%2B', '%23' and '%25'; without it a name with one of the first three is refused"`
	OIDCRolesClaims               []string      `env:"OIDC_ROLES_CLAIM" envDefault:"roles" type:"list of claims" part:"policy" doc:"claims whose roles count together, 'realm_access.roles' for example: each a list of strings, one string split at spaces or at commas, or an object whose names are roles, as of Zitadel"`
	OIDCClockSkew                 time.Duration `env:"OIDC_CLOCK_SKEW" envDefault:"30s" min:"0s" max:"10m" doc:"how far the clocks of issuer and gateway may be apart"`
	OIDCIntrospectionClientID     string        `env:"OIDC_INTROSPECTION_CLIENT_ID" type:"text" doc:"client that asks about opaque tokens, where 'introspection=' stands behind an issuer"`
	OIDCIntrospectionClientSecret Secret        `env:"OIDC_INTROSPECTION_CLIENT_SECRET" doc:"its secret"`
	TokenSources                  []TokenSource `env:"TOKEN_SOURCES" envDefault:"password,header" type:"list" doc:"the first of these that holds anything is the token, without falling through: 'password' or 'username' of MQTT CONNECT, 'header' (Authorization: Bearer), 'cookie:NAME' (not together with origin '*'; needs an Origin header), 'query:NAME'. MQTT 5 Authentication Method 'OAUTH2-JWT' works always"`

	UpstreamURLs          []url.URL     `env:"UPSTREAM_URLS" envDefault:"tcp://127.0.0.1:1883" type:"list of URLs" doc:"brokers, 'tcp://host:port', 'tls://host:port' or, on this machine, cheaper under load, 'unix:///path/of/its/socket': the next one is tried when one cannot be reached; the same client id prefers the same broker"`
	UpstreamCAFile        string        `env:"UPSTREAM_CA_FILE" type:"file" doc:"CA certificates (PEM) that 'tls://' brokers are checked against, instead of those of the system"`
	UpstreamCertFile      string        `env:"UPSTREAM_CERT_FILE" type:"file" doc:"client certificate (PEM) shown to 'tls://' brokers"`
	UpstreamKeyFile       string        `env:"UPSTREAM_KEY_FILE" type:"file" doc:"its private key (PEM)"`
	UpstreamUsername      string        `env:"UPSTREAM_USERNAME" envDefault:"{username}" type:"template" doc:"username that the broker sees: '{username}' alone is the verified name as it is; in any other template it is percent-encoded as in 'TOPICGATE_CLIENT_ID'"`
	UpstreamPassword      Secret        `env:"UPSTREAM_PASSWORD" doc:"password that the broker sees; the token never goes upstream"`
	UpstreamProxyProtocol ProxyProtocol `env:"UPSTREAM_PROXY_PROTOCOL" envDefault:"off" type:"off or v2" doc:"'v2' sends the broker the address of the browser"`
	UpstreamDialect       Dialect       `env:"UPSTREAM_DIALECT" envDefault:"mqtt" type:"mqtt, rabbitmq, nats or emqx" doc:"what that broker takes for something else in topics and filters is refused, in identifiers encoded; 'mqtt': one that does as the specifications say, such as mosquitto"`
	ClientID              string        `env:"CLIENT_ID" envDefault:"{username}:{client_id}" type:"template" doc:"Client Identifier that the broker sees, with '{username}' and '{client_id}' once each and between them a character such as ':'. In a username every byte but 'A-Z a-z 0-9 - _' is percent-encoded, so two users never share an identifier, whatever their names hold"`

	RedisURL       Secret        `env:"REDIS_URL" envDefault:"redis://127.0.0.1:6379/0" part:"policy" doc:"also 'rediss://'; several addresses separated by commas: Cluster; 'redis-sentinel://HOST:PORT,HOST:PORT/DB#MASTER'; 'none': rules from the policy file alone"`
	RedisPrefix    string        `env:"REDIS_PREFIX" envDefault:"topicgate:" type:"text" part:"policy" doc:"begins every Redis key"`
	PolicyFile     string        `env:"POLICY_FILE" type:"file" part:"policy" doc:"rules in a file, merged before those in Redis; reread on SIGHUP"`
	PolicyStaleMax time.Duration `env:"POLICY_STALE_MAX" envDefault:"30s" min:"1s" max:"24h" part:"policy" doc:"Redis away for longer: everything is denied until it is back"`
	SubscribeMode  SubscribeMode `env:"SUBSCRIBE_MODE" envDefault:"narrow" type:"narrow or strict" part:"policy" doc:"'narrow': a subscription is cut down to what may be read; 'strict': it is refused unless all of it may be read"`
	NarrowMax      int           `env:"NARROW_MAX" envDefault:"1000" min:"1" max:"100000" part:"policy" doc:"a subscription that would need more upstream filters than this is made upstream as the client asked for it, and cut at delivery"`
	DenyPublish    DenyPublish   `env:"DENY_PUBLISH" envDefault:"ack" type:"ack or disconnect" doc:"what a refused PUBLISH gets in MQTT 3.1 and 3.1.1, which have no negative acknowledgement"`
	UserProperty   string        `env:"USER_PROPERTY" envDefault:"topicgate-user" type:"text" empty:"none" doc:"name of the MQTT 5 User Property that carries the verified username; empty: none"`

	Audit              []AuditSink `env:"AUDIT" envDefault:"stdout,redis" type:"list" doc:"where audit records go: 'stdout', 'redis', 'file:PATH' (lines of JSON, reopened on SIGHUP and when the file was moved away), 'webhook:URL' (signed posts to 'https://'), 'mqtt:TOPIC' (messages to the first broker of 'TOPICGATE_UPSTREAM_URLS' that answers; no rule may let users read or write there), or 'none'"`
	AuditWebhookSecret Secret      `env:"AUDIT_WEBHOOK_SECRET" doc:"key of 16 bytes or more that signs what is posted to webhooks (HMAC-SHA256)"`
	AuditMQTTUsername  string      `env:"AUDIT_MQTT_USERNAME" type:"text" doc:"username of the gateway itself at the broker, for audit by MQTT; empty: none"`
	AuditMQTTPassword  Secret      `env:"AUDIT_MQTT_PASSWORD" doc:"its password"`
	AuditAllowed       bool        `env:"AUDIT_ALLOWED" envDefault:"false" doc:"audit accepted operations too"`

	MaxPacketSize         Size    `env:"MAX_PACKET_SIZE" envDefault:"1800KiB" min:"1KiB" max:"256MiB" doc:"a larger packet ends its session (MQTT 5: reason 0x95)"`
	MaxConnections        int     `env:"MAX_CONNECTIONS" envDefault:"0" min:"0" max:"10000000" doc:"connections of clients, from the TCP accept on; 0, or more than that: what the limit of open files bears"`
	MaxConnectionsPerUser int     `env:"MAX_CONNECTIONS_PER_USER" envDefault:"0" min:"0" max:"10000000" doc:"0: no limit"`
	MaxSleepingPerUser    int     `env:"MAX_SLEEPING_PER_USER" envDefault:"100" min:"1" max:"100000" doc:"persistent sessions of one user whose record is kept; those that end soonest go first"`
	MaxSubscriptions      int     `env:"MAX_SUBSCRIPTIONS" envDefault:"10000" min:"0" max:"10000000" doc:"subscriptions of one session; 0: no limit"`
	PublishRate           float64 `env:"PUBLISH_RATE" envDefault:"0" min:"0" max:"10000000" doc:"messages a second for one session; above it the gateway stops reading (back-pressure), it loses nothing; 0: no limit"`
	PublishBurst          int     `env:"PUBLISH_BURST" envDefault:"0" min:"0" max:"10000000" doc:"messages at once before the rate counts; 0: those of one second"`

	ConnectTimeout time.Duration `env:"CONNECT_TIMEOUT" envDefault:"10s" min:"100ms" max:"10m" doc:"from the upgrade to CONNECT, and from CONNECT to CONNACK"`
	Unavailable    Unavailable   `env:"UNAVAILABLE" envDefault:"close" type:"close or connack" doc:"what a CONNECT gets that could not be served for want of a broker, Redis or an issuer until the time was over: the WebSocket closed with 1013, or CONNACK 0x03 / 0x88 before that, after which most libraries give up for ever"`
	WriteTimeout   time.Duration `env:"WRITE_TIMEOUT" envDefault:"30s" min:"100ms" max:"10m" doc:"a client that does not read for this long is closed"`
	DrainTimeout   time.Duration `env:"DRAIN_TIMEOUT" envDefault:"30s" min:"0s" max:"1h" doc:"sessions are closed spread over this time after SIGTERM"`

	LogLevel  LogLevel  `env:"LOG_LEVEL" envDefault:"info" type:"debug, info, warn or error" doc:"log on standard error"`
	LogFormat LogFormat `env:"LOG_FORMAT" envDefault:"json" type:"json or text" doc:"'text' for people"`

	// Warnings are what is allowed and yet worth a line at start, each with its variable.
	Warnings Problems `env:"-"`

	given map[string]string // variable without Prefix -> the variable that gave it (itself, or its _FILE form)
}

// Given reports whether a variable, named without Prefix, was set to something rather than left
// at its default.
func (c *Config) Given(name string) bool { return c.given[name] != "" }
