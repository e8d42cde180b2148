package upstream

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/pires/go-proxyproto"

	"topicgate/frames"
	"topicgate/gateway/wire"
)

// Dialing is a connection on its way to a broker.
type Dialing struct {
	brokers *Brokers
	order   []*broker
	client  netip.AddrPort
	local   net.Addr
	first   *dialed // made early, and not yet used; it has its two turns
}

type dialed struct {
	conn Conn
	err  error
}

// Dial is a connection that Connect is to make, for the client with this upstream Client Identifier at this address,
// which has connected to local.
func (b *Brokers) Dial(upstreamID string, client netip.AddrPort, local net.Addr) *Dialing {
	return &Dialing{brokers: b, order: b.order(upstreamID), client: client, local: local}
}

// Start connects to the first broker already, unless too many do: then Connect does. The caller must call
// Abandon in the end, which does nothing to a connection that Connect has returned.
func (d *Dialing) Start(ctx context.Context) {
	first := d.order[0]
	if !first.early.TryAcquire(1) {
		return
	}
	if !first.turns.TryAcquire(1) {
		first.early.Release(1)
		return
	}
	early := d.open(ctx, first, len(d.order))
	d.first = &early
}

// Abandon gives up a connection that was not used.
func (d *Dialing) Abandon() {
	if d.first != nil {
		d.first.conn.Close()
		d.endEarly()
		d.order[0].turns.Release(1)
	}
}

// endEarly makes of the first connection one like the others.
func (d *Dialing) endEarly() {
	d.first = nil
	d.order[0].early.Release(1)
}

// open connects to one broker: TCP, the PROXY protocol header, TLS. left is how many brokers share
// the time that ctx leaves.
func (d *Dialing) open(ctx context.Context, b *broker, left int) dialed {
	ctx, cancel := share(ctx, left)
	defer cancel()
	conn := b.probe.take()
	if conn == nil {
		var err error
		if conn, err = d.dial(ctx, b); err != nil {
			return dialed{err: err}
		}
	}
	return d.begin(ctx, b, conn)
}

// begin begins a connection: the PROXY protocol header, TLS.
func (d *Dialing) begin(ctx context.Context, b *broker, conn net.Conn) dialed {
	deadline, _ := ctx.Deadline()
	_ = conn.SetDeadline(deadline)
	if d.brokers.proxy {
		if _, err := d.proxyHeader().WriteTo(conn); err != nil {
			_ = conn.Close()
			return dialed{err: fmt.Errorf("write PROXY header: %w", err)}
		}
	}
	bc := Conn{Address: b.address, Socket: wire.NewSocket(conn)}
	bc.Stream = bc.Socket
	if b.tls {
		config := &tls.Config{}
		if d.brokers.tls != nil {
			config = d.brokers.tls.Clone()
		}
		if config.ServerName == "" {
			config.ServerName = b.host
		}
		client := tls.Client(bc.Socket, config)
		if err := client.HandshakeContext(ctx); err != nil {
			_ = conn.Close()
			return dialed{err: fmt.Errorf("TLS: %w", err)}
		}
		bc.Stream = client
	}
	return dialed{conn: bc}
}

// dial connects once, or until a Unix socket has room: of those the kernel turns away who finds the backlog full
// (connect(2), EAGAIN), where it lets the clients of TCP wait. Mosquitto's holds 10.
func (d *Dialing) dial(ctx context.Context, b *broker) (net.Conn, error) {
	pauses := backoff.ExponentialBackOff{InitialInterval: time.Millisecond, Multiplier: 2, RandomizationFactor: 0.5, MaxInterval: 50 * time.Millisecond}
	for {
		conn, err := d.brokers.dial(ctx, b.network, b.address)
		if b.network != "unix" || !errors.Is(err, syscall.EAGAIN) {
			return conn, err
		}
		select {
		case <-time.After(pauses.NextBackOff()):
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
func (d *Dialing) proxyHeader() *proxyproto.Header {
	source := net.TCPAddrFromAddrPort(d.client)
	return proxyproto.HeaderProxyFromAddrs(2, source, d.local)
}

// Connect sends the CONNECT packet and returns the connection with the broker's CONNACK. A broker
// that can't be reached, hangs up or stays silent before its CONNACK, or says that it cannot serve now, is passed over
// for the next one. An error says that none could: later one may, unless it is ErrVersion, which says that all of them hang
// up on a CONNECT of 5.0, and have taken clients of other versions.
func (d *Dialing) Connect(ctx context.Context, connect []byte, v frames.Version, maxPacketBytes int) (Conn, frames.Connack, error) {
	var errs []error
	older := 0
	for i, b := range d.order {
		conn, connack, err := d.attempt(ctx, b, len(d.order)-i, connect, v, maxPacketBytes)
		if err == nil {
			return conn, connack, nil
		}
		if errors.Is(err, errHungUp) && b.knowsNo5(v, err) {
			older++
		}
		errs = append(errs, fmt.Errorf("upstream %s: %w", b.address, err))
	}
	if older == len(d.order) {
		errs = append(errs, ErrVersion)
	}
	return Conn{}, frames.Connack{}, errors.Join(errs...)
}

// attempt is Connect for one broker. left is how many brokers share the time that ctx leaves.
func (d *Dialing) attempt(ctx context.Context, b *broker, left int, connect []byte, v frames.Version, maxPacketBytes int) (Conn, frames.Connack, error) {
	var made dialed
	if d.first != nil {
		made = *d.first
		d.endEarly()
	} else {
		waiting, cancel := share(ctx, left)
		err := b.turns.Acquire(waiting, 1)
		cancel()
		if err != nil {
			d.brokers.observe(timeout) // of ours: it does not rest for that
			return Conn{}, frames.Connack{}, fmt.Errorf("%d clients connect to it already: %w", Turns, err)
		}
		made = d.open(ctx, b, left)
	}
	defer b.turns.Release(1)
	if made.err != nil {
		d.failed(b, unreachable, made.err)
		return Conn{}, frames.Connack{}, made.err
	}
	conn := made.conn
	connack, err := exchangeConnect(ctx, &conn, connect, v, maxPacketBytes, left)
	if err != nil {
		result := protocolError
		if isTimeout(err) {
			result = timeout
			conn.giveUp(v)
		}
		conn.Close()
		d.failed(b, result, err)
		return Conn{}, frames.Connack{}, err
	}
	b.downUntil.Store(0)
	b.answered.Store(time.Now().UnixNano())
	if connack.Reason == frames.Success {
		d.brokers.observe(success)
		if v == frames.V5 {
			b.took5.Store(true)
		} else {
			b.tookOlder.Store(true)
		}
		return conn, connack, nil
	}
	d.brokers.observe(refused)
	if isOutage(connack.Reason, v) {
		conn.Close()
		return Conn{}, frames.Connack{}, fmt.Errorf("CONNACK %s", Describe(connack.Reason, v))
	}
	return conn, connack, nil
}

// isTimeout reports whether a broker has not answered in time.
func isTimeout(err error) bool {
	late := net.Error(nil)
	return errors.As(err, &late) && late.Timeout()
}

// isOutage reports whether a broker's Reason Code says that it cannot serve anybody now, which another one may, or it
// itself later. That the gateway's own credentials are no good is of this kind: a user's are none of the broker's.
func isOutage(code frames.ReasonCode, v frames.Version) bool {
	if v != frames.V5 {
		return code == frames.V3ServerUnavailable || code == frames.V3BadUsernameOrPassword || code == frames.V3NotAuthorized
	}
	switch code {
	case frames.ServerUnavailable, frames.ServerBusy, frames.ConnectionRateExceeded, frames.BadUsernameOrPassword, frames.NotAuthorized:
		return true
	}
	return false
}

// Describe is the text of a CONNACK's code, which is another in version 5.0.
func Describe(code frames.ReasonCode, v frames.Version) string {
	if v == frames.V5 {
		return code.String()
	}
	return "return code " + strconv.Itoa(int(code))
}

// failed counts a broker that could not be used. It rests if that is its own fault: one that was reached
// and hangs up may have been sent a CONNECT which it does not like, and other clients shall not lose
// the broker that has their MQTT Sessions for it.
func (d *Dialing) failed(b *broker, result string, err error) {
	d.brokers.observe(result)
	if result == unreachable && !errors.Is(err, context.Canceled) {
		d.brokers.away(b.address)
	}
	if result != protocolError {
		b.rest(err)
	}
}

// exchangeConnect writes CONNECT and reads CONNACK; what follows it stays in the inbox. It is not aborted with
// ctx: once the broker has the CONNECT, only its CONNACK tells whether there is a Will to be called off.
func exchangeConnect(ctx context.Context, c *Conn, connect []byte, v frames.Version, maxPacketBytes, left int) (frames.Connack, error) {
	ctx, cancel := share(ctx, left)
	defer cancel()
	deadline, _ := ctx.Deadline()
	_ = c.Socket.SetDeadline(deadline)
	if _, err := c.Stream.Write(connect); err != nil {
		return frames.Connack{}, fmt.Errorf("write CONNECT: %w", err)
	}
	for {
		p, ok, err := c.Inbox.Next(v, maxPacketBytes)
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
		if err := c.Fill(); err != nil {
			if err == io.EOF || errors.Is(err, syscall.ECONNRESET) {
				err = errHungUp
			}
			return frames.Connack{}, fmt.Errorf("read CONNACK: %w", err)
		}
	}
}

var errHungUp = errors.New("connection closed")

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
