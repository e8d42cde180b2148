package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/url"
	"time"

	"topicgate/auth"
	"topicgate/gateway/edge"
	"topicgate/gateway/metrics"
	"topicgate/gateway/session"
	"topicgate/gateway/upstream"
)

// Options is what a Server is made of. The zero value of a limit means no limit.
type Options struct {
	session.Settings // of the sessions

	// The WebSocket side.
	Paths          []string            // URL paths that answer an upgrade, e.g. "/mqtt"
	AllowedOrigins []string            // scheme://host[:port]; empty: the request's own host; "*": any
	TrustedProxies edge.TrustedProxies // whose X-Forwarded-For and PROXY protocol header are believed
	TLS            *tls.Config         // nil: plain

	// Upstream.
	Upstreams             []*url.URL  // tcp://host:port, tls://host:port or unix:///path
	UpstreamTLS           *tls.Config // for tls:// brokers; nil: the system's roots
	UpstreamProxyProtocol bool        // send a PROXY protocol v2 header

	MaxConnections        int // 0, or more than that: what the file descriptors bear
	MaxConnectionsPerUser int
	MaxSleepingPerUser    int           // persistent MQTT Sessions of a user whose record is kept; 0: 100
	DrainTimeout          time.Duration // Drain spreads the ends of the sessions over it

	// RedisPrefix begins the keys under which the gateway keeps sessions, in the Redis of Policy.
	RedisPrefix string

	// Dial opens the connection to a broker; nil: net.Dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// withDefaults fills in what may be left out and reports what may not. The settings see to themselves.
func (o Options) withDefaults() (Options, error) {
	var errs []error
	if len(o.Paths) == 0 {
		errs = append(errs, errors.New("gateway options: no path"))
	}
	if len(o.Upstreams) == 0 {
		errs = append(errs, errors.New("gateway options: no upstream broker"))
	}
	if o.MaxSleepingPerUser == 0 {
		o.MaxSleepingPerUser = 100
	}
	if o.DrainTimeout == 0 {
		o.DrainTimeout = 30 * time.Second
	}
	return o, errors.Join(errs...)
}

// NewMetrics makes the metrics of a gateway, with all label values that it uses.
func NewMetrics() *metrics.Metrics {
	return metrics.New(metrics.Labels{Ends: session.EndReasons(), Rejections: session.RejectReasons(), Tokens: auth.Results(), Connects: upstream.Results()})
}
