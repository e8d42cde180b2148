package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"time"

	"topicgate/auth"
	"topicgate/gateway/audit"
	"topicgate/policy/store"
)

// SubscribeMode says what becomes of a SUBSCRIBE whose Topic Filter is wider than what may be read.
type SubscribeMode string

const (
	// SubscribeNarrow subscribes upstream to the intersection of the filter with what may be read.
	SubscribeNarrow SubscribeMode = "narrow"
	// SubscribeStrict refuses a filter that is not wholly inside what may be read.
	SubscribeStrict SubscribeMode = "strict"
)

// DenyPublish says how a refused PUBLISH is answered in protocols without negative
// acknowledgements (3.1, 3.1.1).
type DenyPublish string

const (
	// DenyAck acknowledges the refused PUBLISH as if it had been delivered.
	DenyAck DenyPublish = "ack"
	// DenyDisconnect ends the session.
	DenyDisconnect DenyPublish = "disconnect"
)

// TokenSource is a place of the client's first words in which its token may stand.
type TokenSource struct {
	Kind TokenKind
	Name string // of the cookie or the query parameter
}

// TokenKind is the kind of a TokenSource.
type TokenKind string

// The places where a token may stand, beside the MQTT 5.0 Authentication Method "OAUTH2-JWT",
// which always counts.
const (
	TokenPassword TokenKind = "password" // CONNECT password
	TokenUsername TokenKind = "username" // CONNECT username
	TokenHeader   TokenKind = "header"   // Authorization: Bearer
	TokenCookie   TokenKind = "cookie"   // cookie:NAME
	TokenQuery    TokenKind = "query"    // query:NAME
)

// ParseTokenSource reads one element of TOPICGATE_TOKEN_SOURCES, such as "password" or "cookie:session".
func ParseTokenSource(s string) (TokenSource, error) {
	kind, name, named := strings.Cut(s, ":")
	switch k := TokenKind(kind); k {
	case TokenPassword, TokenUsername, TokenHeader:
		if !named {
			return TokenSource{Kind: k}, nil
		}
	case TokenCookie, TokenQuery:
		if name != "" {
			return TokenSource{Kind: k, Name: name}, nil
		}
	}
	return TokenSource{}, fmt.Errorf("token source %q: want password, username, header, cookie:NAME or query:NAME", s)
}

// Verifier tells whose token this is. Its errors are *auth.Refused, or *auth.Undecided when the
// answer may be another one later.
type Verifier interface {
	Verify(ctx context.Context, token string) (auth.Identity, error)
}

// Options is what a Server is made of. The zero value of a limit means no limit.
type Options struct {
	// The WebSocket side.
	Paths          []string       // URL paths that answer an upgrade, e.g. "/mqtt"
	AllowedOrigins []string       // scheme://host[:port]; empty: the request's own host; "*": any
	TrustedProxies TrustedProxies // whose X-Forwarded-For and PROXY protocol header are believed
	TLS            *tls.Config    // nil: plain

	// Identity.
	TokenSources     []TokenSource // in order of precedence
	ClientIDTemplate string        // with {username} and {client_id}
	UserProperty     string        // name of the injected User Property; empty: none

	// Upstream.
	Upstreams             []*url.URL  // tcp://host:port, tls://host:port or unix:///path
	UpstreamTLS           *tls.Config // for tls:// brokers; nil: the system's roots
	UpstreamUsername      string      // template with {username}; empty: none
	UpstreamPassword      string
	UpstreamProxyProtocol bool // send a PROXY protocol v2 header

	// Policy.
	SubscribeMode SubscribeMode
	NarrowMax     int // upstream filters for one subscription
	DenyPublish   DenyPublish
	AuditAllowed  bool

	// Limits.
	MaxPacketBytes        int
	MaxConnections        int
	MaxConnectionsPerUser int
	MaxSubscriptions      int     // Topic Filters of one session
	PublishRate           float64 // messages a second of one session
	PublishBurst          int

	// Waits.
	ConnectTimeout time.Duration // upgrade to CONNECT, and CONNECT to CONNACK
	WriteTimeout   time.Duration // a peer that does not read
	DrainTimeout   time.Duration // Drain spreads the ends of the sessions over it

	Instance string // names this process in audit records
	Verifier Verifier
	Policy   *store.Store
	// RedisPrefix begins the keys under which the gateway keeps sessions, in the Redis of Policy.
	RedisPrefix string
	Audit       *audit.Log // nil: none
	Metrics     *Metrics
	Logger      *slog.Logger

	// Dial opens the connection to a broker; nil: net.Dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// withDefaults fills in what may be left out and reports what may not.
func (o Options) withDefaults() (Options, error) {
	var errs []error
	require := func(ok bool, what string) {
		if !ok {
			errs = append(errs, errors.New("gateway options: "+what))
		}
	}
	require(len(o.Paths) > 0, "no path")
	require(len(o.Upstreams) > 0, "no upstream broker")
	require(o.Verifier != nil, "no verifier")
	require(o.Policy != nil, "no policy store")
	require(o.Metrics != nil, "no metrics")
	if o.ClientIDTemplate == "" {
		o.ClientIDTemplate = "{username}:{client_id}"
	}
	if o.SubscribeMode == "" {
		o.SubscribeMode = SubscribeNarrow
	}
	if o.DenyPublish == "" {
		o.DenyPublish = DenyAck
	}
	setDefault(&o.NarrowMax, 1000)
	setDefault(&o.MaxPacketBytes, 2<<20)
	o.MaxPacketBytes = min(o.MaxPacketBytes, mostPacketBytes)
	setDefault(&o.ConnectTimeout, 10*time.Second)
	setDefault(&o.WriteTimeout, 30*time.Second)
	setDefault(&o.DrainTimeout, 30*time.Second)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Dial == nil {
		o.Dial = (&net.Dialer{}).DialContext
	}
	if _, err := parseClientIDTemplate(o.ClientIDTemplate); err != nil {
		errs = append(errs, err)
	}
	return o, errors.Join(errs...)
}

// mostPacketBytes leaves room for what the gateway adds to a PUBLISH below the longest packet that there
// can be: a Topic Name in place of an alias, the User Property, longer lengths.
const mostPacketBytes = maxRemainingLength - 256<<10

func setDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}
