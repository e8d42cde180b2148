package upstream

import (
	"context"
	"crypto/tls"
	"errors"
	"hash/fnv"
	"io"
	"net"
	"net/url"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"topicgate/frames"
)

const (
	// Rest is how long a broker that could not be reached is tried last.
	Rest = 5 * time.Second
	// Turns is how many connections are on their way to one broker at a time, from the dial to the CONNACK.
	// The others wait for their turn here, in order: in a broker's backlog (mosquitto's holds 100) there is no room
	// for them, and who finds it full is heard a second later.
	Turns = 64
	// earlyTurns is how many of these may be dialed while the policy is still being loaded: a Redis that hangs
	// takes no other turns.
	earlyTurns = 16
)

// Results of one attempt to reach a broker.
const (
	success       = "success"        // CONNACK with reason 0
	unreachable   = "unreachable"    // no TCP or TLS connection
	timeout       = "timeout"        // connected, but no CONNACK in time
	refused       = "refused"        // CONNACK with another reason
	protocolError = "protocol_error" // the broker answered something that is no CONNACK, or hung up
)

// Results lists them, for metrics.
func Results() []string {
	return []string{success, unreachable, timeout, refused, protocolError}
}

// Brokers are the upstream brokers and what is known of their health.
type Brokers struct {
	all     []*broker
	tls     *tls.Config
	proxy   bool
	dial    func(ctx context.Context, network, address string) (net.Conn, error)
	observe func(result string)
	away    func(address string)
}

type broker struct {
	network   string // "tcp" or "unix"
	address   string
	tls       bool
	host      string              // for the certificate
	downUntil atomic.Int64        // Unix time in ns
	turns     *semaphore.Weighted // Turns
	early     *semaphore.Weighted // earlyTurns, each of which has one of turns too
	answered  atomic.Int64        // when it last answered a CONNECT, in Unix time in ns
	probe     probe
	took5     atomic.Bool // it has accepted a client of 5.0
	tookOlder atomic.Bool // it has accepted one of another version
}

// knowsNo5 reports whether err is what a broker that knows no 5.0 may mean by it, where it does not say so: some hang up
// on what they do not know (RabbitMQ 3). One that has ever taken a 5.0 has another reason, and so may have one that has taken
// nobody yet.
func (b *broker) knowsNo5(v frames.Version, err error) bool {
	return v == frames.V5 && err != nil && !isTimeout(err) && b.tookOlder.Load() && !b.took5.Load()
}

// rest has the broker tried last, and not for what can wait, after err.
func (b *broker) rest(err error) {
	if !errors.Is(err, context.Canceled) {
		b.downUntil.Store(time.Now().Add(Rest).UnixNano())
	}
}

// Options say which brokers there are and how they are reached.
type Options struct {
	URLs          []*url.URL  // tcp://host:port, tls://host:port or unix:///path; at least one
	TLS           *tls.Config // for tls:// brokers; nil: the system's roots
	ProxyProtocol bool        // send a PROXY protocol v2 header

	// Dial opens the connection to a broker; nil: net.Dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Observe hears of each attempt; result is one of Results.
	Observe func(result string)
	// Away hears of a broker that could not be reached; nil: nobody does.
	Away func(address string)
}

// New makes the brokers.
func New(o Options) *Brokers {
	b := &Brokers{tls: o.TLS, proxy: o.ProxyProtocol, dial: o.Dial, observe: o.Observe, away: o.Away}
	if b.away == nil {
		b.away = func(string) {}
	}
	if b.dial == nil {
		b.dial = (&net.Dialer{}).DialContext
	}
	for _, u := range o.URLs {
		b.all = append(b.all, newBroker(u))
	}
	return b
}

func newBroker(u *url.URL) *broker {
	b := &broker{network: "tcp", turns: semaphore.NewWeighted(Turns), early: semaphore.NewWeighted(earlyTurns)}
	if u.Scheme == "unix" {
		b.network, b.address = "unix", u.Path
		return b
	}
	port := u.Port()
	if port == "" {
		port = "1883"
		if u.Scheme == "tls" {
			port = "8883"
		}
	}
	b.address, b.tls, b.host = net.JoinHostPort(u.Hostname(), port), u.Scheme == "tls", u.Hostname()
	return b
}

// order is all brokers as the client with this upstream Client Identifier tries them: from the one
// that it prefers on, those that were just found dead last. A client comes back to the broker that has
// its MQTT Session.
func (b *Brokers) order(upstreamID string) []*broker {
	if len(b.all) == 1 {
		return b.all
	}
	h := fnv.New32a()
	_, _ = io.WriteString(h, upstreamID)
	first := int(h.Sum32() % uint32(len(b.all)))
	order := slices.Concat(b.all[first:], b.all[:first])
	now := time.Now().UnixNano()
	slices.SortStableFunc(order, func(x, y *broker) int {
		return compareBool(x.downUntil.Load() > now, y.downUntil.Load() > now)
	})
	return order
}

func compareBool(x, y bool) int {
	switch {
	case x == y:
		return 0
	case y:
		return -1
	}
	return 1
}
