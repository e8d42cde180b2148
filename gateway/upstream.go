package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/pires/go-proxyproto"
	"golang.org/x/sync/semaphore"

	"topicgate/frames"
	"topicgate/gateway/metrics"
	"topicgate/gateway/wire"
)

const (
	// brokerRest is how long a broker that could not be reached is tried last.
	brokerRest = 5 * time.Second
	// brokerTurns is how many connections are on their way to one broker at a time, from the dial to the CONNACK.
	// The others wait for their turn here, in order: in a broker's backlog (mosquitto's holds 100) there is no room
	// for them, and who finds it full is heard a second later.
	brokerTurns = 64
	// earlyTurns is how many of these may be dialed while the policy is still being loaded: a Redis that hangs
	// takes no other turns.
	earlyTurns = 16
)

// Results of one attempt to reach a broker.
const (
	upstreamSuccess     = "success"        // CONNACK with reason 0
	upstreamUnreachable = "unreachable"    // no TCP or TLS connection
	upstreamTimeout     = "timeout"        // connected, but no CONNACK in time
	upstreamRefused     = "refused"        // CONNACK with another reason
	upstreamProtocol    = "protocol_error" // the broker answered something that is no CONNACK, or hung up
)

// ConnectResults lists them, for metrics.
func ConnectResults() []string {
	return []string{upstreamSuccess, upstreamUnreachable, upstreamTimeout, upstreamRefused, upstreamProtocol}
}

// brokers are the upstream brokers and what is known of their health.
type brokers struct {
	all     []*broker
	tls     *tls.Config
	proxy   bool
	dial    func(ctx context.Context, network, address string) (net.Conn, error)
	metrics *metrics.Metrics
}

type broker struct {
	network   string // "tcp" or "unix"
	address   string
	tls       bool
	host      string              // for the certificate
	downUntil atomic.Int64        // Unix time in ns
	turns     *semaphore.Weighted // brokerTurns
	early     *semaphore.Weighted // earlyTurns, each of which has one of turns too
}

func newBrokers(o Options) *brokers {
	b := &brokers{tls: o.UpstreamTLS, proxy: o.UpstreamProxyProtocol, dial: o.Dial, metrics: o.Metrics}
	for _, u := range o.Upstreams {
		b.all = append(b.all, newBroker(u))
	}
	return b
}

func newBroker(u *url.URL) *broker {
	b := &broker{network: "tcp", turns: semaphore.NewWeighted(brokerTurns), early: semaphore.NewWeighted(earlyTurns)}
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
func (b *brokers) order(upstreamID string) []*broker {
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

// brokerConn is the session's connection to a broker. The zero value is none.
type brokerConn struct {
	address string
	conn    net.Conn // the socket, or TLS over it
	socket  *wire.Socket
	inbox   frames.Buffer
}

// dialing is a connection on its way to a broker.
type dialing struct {
	brokers *brokers
	order   []*broker
	client  netip.AddrPort
	local   net.Addr
	first   *dialed // made early, and not yet used; it has its two turns
}

type dialed struct {
	conn brokerConn
	err  error
}

// startDial connects to the first broker, unless too many do already: then connect does. The caller must call
// abandon in the end, which does nothing to a connection that connect has returned.
func (b *brokers) startDial(ctx context.Context, upstreamID string, client netip.AddrPort, local net.Addr) *dialing {
	d := &dialing{brokers: b, order: b.order(upstreamID), client: client, local: local}
	first := d.order[0]
	if !first.early.TryAcquire(1) {
		return d
	}
	if !first.turns.TryAcquire(1) {
		first.early.Release(1)
		return d
	}
	early := d.open(ctx, first, len(d.order))
	d.first = &early
	return d
}

// abandon gives up a connection that was not used.
func (d *dialing) abandon() {
	if d.first != nil {
		d.first.conn.close()
		d.endEarly()
		d.order[0].turns.Release(1)
	}
}

// endEarly makes of the first connection one like the others.
func (d *dialing) endEarly() {
	d.first = nil
	d.order[0].early.Release(1)
}

// open connects to one broker: TCP, the PROXY protocol header, TLS. left is how many brokers share
// the time that ctx leaves.
func (d *dialing) open(ctx context.Context, b *broker, left int) dialed {
	ctx, cancel := share(ctx, left)
	defer cancel()
	conn, err := d.dial(ctx, b)
	if err != nil {
		return dialed{err: err}
	}
	deadline, _ := ctx.Deadline()
	_ = conn.SetDeadline(deadline)
	if d.brokers.proxy {
		if _, err := d.proxyHeader().WriteTo(conn); err != nil {
			_ = conn.Close()
			return dialed{err: fmt.Errorf("write PROXY header: %w", err)}
		}
	}
	bc := brokerConn{address: b.address, socket: wire.NewSocket(conn)}
	bc.conn = bc.socket
	if b.tls {
		config := &tls.Config{}
		if d.brokers.tls != nil {
			config = d.brokers.tls.Clone()
		}
		if config.ServerName == "" {
			config.ServerName = b.host
		}
		client := tls.Client(bc.socket, config)
		if err := client.HandshakeContext(ctx); err != nil {
			_ = conn.Close()
			return dialed{err: fmt.Errorf("TLS: %w", err)}
		}
		bc.conn = client
	}
	return dialed{conn: bc}
}

// dial connects once, or until a Unix socket has room: of those the kernel turns away who finds the backlog full
// (connect(2), EAGAIN), where it lets the clients of TCP wait. Mosquitto's holds 10.
func (d *dialing) dial(ctx context.Context, b *broker) (net.Conn, error) {
	const most = 50 * time.Millisecond
	for pause := time.Millisecond; ; pause = min(2*pause, most) {
		conn, err := d.brokers.dial(ctx, b.network, b.address)
		if b.network != "unix" || !errors.Is(err, syscall.EAGAIN) {
			return conn, err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil, err
		}
	}
}

// share is ctx with its part of the time that is left.
func share(ctx context.Context, left int) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok || left <= 1 {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, time.Until(deadline)/time.Duration(left))
}

// proxyHeader names the client's address and the one that it connected to.
func (d *dialing) proxyHeader() *proxyproto.Header {
	source := net.TCPAddrFromAddrPort(d.client)
	return proxyproto.HeaderProxyFromAddrs(2, source, d.local)
}

// connect sends the CONNECT packet and returns the connection with the broker's CONNACK. A broker
// that can't be reached, hangs up or stays silent before its CONNACK is passed over for the next one.
func (d *dialing) connect(ctx context.Context, connect []byte, v frames.Version, maxPacketBytes int) (brokerConn, frames.Connack, error) {
	var errs []error
	for i, b := range d.order {
		conn, connack, err := d.attempt(ctx, b, len(d.order)-i, connect, v, maxPacketBytes)
		if err == nil {
			return conn, connack, nil
		}
		errs = append(errs, fmt.Errorf("upstream %s: %w", b.address, err))
	}
	return brokerConn{}, frames.Connack{}, errors.Join(errs...)
}

// attempt is connect for one broker. left is how many brokers share the time that ctx leaves.
func (d *dialing) attempt(ctx context.Context, b *broker, left int, connect []byte, v frames.Version, maxPacketBytes int) (brokerConn, frames.Connack, error) {
	var made dialed
	if d.first != nil {
		made = *d.first
		d.endEarly()
	} else {
		waiting, cancel := share(ctx, left)
		err := b.turns.Acquire(waiting, 1)
		cancel()
		if err != nil {
			d.brokers.metrics.BrokerTried(upstreamTimeout) // of ours: it does not rest for that
			return brokerConn{}, frames.Connack{}, fmt.Errorf("%d clients connect to it already: %w", brokerTurns, err)
		}
		made = d.open(ctx, b, left)
	}
	defer b.turns.Release(1)
	if made.err != nil {
		d.failed(b, upstreamUnreachable, made.err)
		return brokerConn{}, frames.Connack{}, made.err
	}
	conn := made.conn
	connack, err := exchangeConnect(ctx, &conn, connect, v, maxPacketBytes, left)
	if err != nil {
		conn.close()
		result := upstreamProtocol
		if timeout := net.Error(nil); errors.As(err, &timeout) && timeout.Timeout() {
			result = upstreamTimeout
		}
		d.failed(b, result, err)
		return brokerConn{}, frames.Connack{}, err
	}
	if connack.Reason == frames.Success {
		d.brokers.metrics.BrokerTried(upstreamSuccess)
	} else {
		d.brokers.metrics.BrokerTried(upstreamRefused)
	}
	b.downUntil.Store(0)
	return conn, connack, nil
}

// failed counts a broker that could not be used. It rests if that is its own fault: one that was reached
// and hangs up may have been sent a CONNECT which it does not like, and other clients shall not lose
// the broker that has their MQTT Sessions for it.
func (d *dialing) failed(b *broker, result string, err error) {
	d.brokers.metrics.BrokerTried(result)
	if result != upstreamProtocol && !errors.Is(err, context.Canceled) {
		b.downUntil.Store(time.Now().Add(brokerRest).UnixNano())
	}
}

// exchangeConnect writes CONNECT and reads CONNACK; what follows it stays in the inbox. It is not aborted with
// ctx: once the broker has the CONNECT, only its CONNACK tells whether there is a Will to be called off.
func exchangeConnect(ctx context.Context, c *brokerConn, connect []byte, v frames.Version, maxPacketBytes, left int) (frames.Connack, error) {
	ctx, cancel := share(ctx, left)
	defer cancel()
	deadline, _ := ctx.Deadline()
	_ = c.socket.SetDeadline(deadline)
	if _, err := c.conn.Write(connect); err != nil {
		return frames.Connack{}, fmt.Errorf("write CONNECT: %w", err)
	}
	for {
		p, ok, err := c.inbox.Next(v, maxPacketBytes)
		if err != nil {
			return frames.Connack{}, fmt.Errorf("read CONNACK: %w", err)
		}
		if ok {
			if p.Type() != frames.TypeConnack {
				return frames.Connack{}, fmt.Errorf("read CONNACK: %s instead", p.Type())
			}
			connack, err := parseConnack(p, v)
			if err != nil {
				return frames.Connack{}, fmt.Errorf("read CONNACK: %w", err)
			}
			connack.Properties = slices.Clone(connack.Properties)
			return connack, nil
		}
		if err := c.fill(); err != nil {
			if err == io.EOF {
				err = errors.New("connection closed")
			}
			return frames.Connack{}, fmt.Errorf("read CONNACK: %w", err)
		}
	}
}

// parseConnack also understands a broker that knows no 5.0 and says so in the only form that it knows (3.1.1
// section 3.1.2.2); the client then tries an older version, where it would try for ever to come back
// to a server that is unavailable.
func parseConnack(p frames.Packet, v frames.Version) (frames.Connack, error) {
	if v == frames.V5 && len(p.Body) == 2 {
		if connack, err := frames.ParseConnack(p, frames.V311); err == nil && connack.Reason == frames.V3UnacceptableProtocol {
			return frames.Connack{Reason: frames.UnsupportedProtocolVersion}, nil
		}
	}
	return frames.ParseConnack(p, v)
}

// fill reads once from the broker into the inbox.
func (c *brokerConn) fill() error {
	if c.conn == net.Conn(c.socket) {
		return c.socket.Fill(&c.inbox)
	}
	return wire.FillFrom(c.conn, &c.inbox)
}

// wake ends a read that waits, and soon a write.
func (c *brokerConn) wake(now time.Time) {
	_ = c.socket.SetReadDeadline(now)
	c.socket.Seal(now.Add(wire.LingerTimeout))
}

// halfClose sends the end of our stream; the broker reads what came before it. (Closing at once, with
// bytes of the broker unread, would reset the connection and might lose what the client sent last.)
func (c *brokerConn) halfClose() {
	if c.conn == nil {
		return
	}
	if t, ok := c.conn.(*tls.Conn); ok {
		_ = t.CloseWrite()
	}
	_ = c.socket.CloseWrite()
}

// drain waits until the broker has closed, dropping what it still sends.
func (c *brokerConn) drain(deadline time.Time) {
	if c.conn == nil {
		return
	}
	c.socket.Idle = nil
	_ = c.socket.SetReadDeadline(deadline)
	for {
		c.inbox.Skip(c.inbox.Len())
		if err := c.fill(); err != nil {
			return
		}
	}
}

func (c *brokerConn) close() {
	if c.conn != nil {
		_ = c.socket.Close() // no TLS farewell: it could block, and halfClose has said it
	}
	c.inbox.Skip(c.inbox.Len())
	c.inbox.Release()
}
