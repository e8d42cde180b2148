package integration

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"

	"topicgate/frames"

	"github.com/gorilla/websocket"
	"github.com/pires/go-proxyproto"
)

// brokerLost wants what a client is told when its broker goes away.
func (w *wire) brokerLost() {
	w.t.Helper()
	if w.version == frames.V5 {
		w.expectDisconnect(frames.ServerShuttingDown)
	}
	w.expectClose(1013)
}

// takenOver wants what a client is told whose Session another connection has. mosquitto 2.0.11 only hangs up.
func (w *wire) takenOver() {
	w.t.Helper()
	if w.version == frames.V5 {
		w.expectDisconnect(frames.SessionTakenOver)
	}
	w.expectClose(1000)
}

// ends reads until the connection has ended, however.
func (w *wire) ends() {
	w.t.Helper()
	for {
		if _, err := w.next(); err != nil {
			if late, ok := errors.AsType[net.Error](err); ok && late.Timeout() {
				w.t.Fatalf("%s: silence; want the end", w.name)
			}
			return
		}
	}
}

func TestWithoutABrokerClientsAreToldToComeBack(t *testing.T) {
	t.Parallel()
	s := prepareStack(t, openPolicy)
	g := launchGateway(t, s.settings(settings{"UPSTREAM_URLS": "tcp://" + loopback(freePort(t)), "CONNECT_TIMEOUT": "1s"}))
	g.awaitAlive(t)
	for _, v := range versions {
		unserved(g.opening(t, v, "c", s.issuer.token(t, "alice")))
	}
	asked := launchGateway(t, s.settings(settings{"UPSTREAM_URLS": "tcp://" + loopback(freePort(t)), "CONNECT_TIMEOUT": "1s", "UNAVAILABLE": "connack"}))
	asked.awaitAlive(t)
	for _, v := range versions {
		w, connack := asked.connecting(t, v, "c", s.issuer.token(t, "alice"))
		want := frames.V3ServerUnavailable
		if v == frames.V5 {
			want = frames.ServerUnavailable
		}
		if connack.Reason != want {
			t.Errorf("%s: CONNACK %#x; want %#x", v, uint8(connack.Reason), uint8(want))
		}
		w.expectClose(1013)
	}
}

func TestABrokerThatDiesAndComesBack(t *testing.T) {
	t.Parallel()
	for _, way := range []string{"TCP", "Unix socket"} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			s := prepareStack(t, openPolicy)
			if way == "TCP" {
				s.gateway = startGateway(t, s.settings())
			} else {
				s.gateway = startGateway(t, s.settings(settings{"UPSTREAM_URLS": "unix://" + s.broker.socket}))
			}
			token := s.issuer.token(t, "alice")
			var all []*wire
			for _, v := range versions {
				all = append(all, s.connect(t, v, "c"+v.String(), token))
			}
			s.broker.kill()
			for _, w := range all {
				w.brokerLost()
			}
			early := s.opening(t, frames.V5, "early", token)
			s.broker.restart(t)
			early.accepted().ping()
			for _, v := range versions {
				s.connect(t, v, "c"+v.String(), token).ping()
			}
		})
	}
}

func TestTheNextBrokerIsTriedWhenOneCannotBeReached(t *testing.T) {
	t.Parallel()
	s := prepareStack(t, openPolicy)
	second := startMosquitto(t)
	g := startGateway(t, s.settings(settings{"UPSTREAM_URLS": "tcp://" + s.broker.address + ", tcp://" + second.address}))
	token := s.issuer.token(t, "alice")
	const clients = 12
	where := func(id string) *mosquitto {
		for _, b := range []*mosquitto{s.broker, second} {
			if strings.Contains(b.stderr.String(), "as alice:"+id+" ") {
				return b
			}
		}
		return nil
	}
	for i := range clients { // the same client id prefers the same broker
		id := fmt.Sprint("client-", i)
		for range 3 {
			w := g.connect(t, frames.V311, id, token)
			w.ping()
			w.disconnect()
		}
		if a, b := strings.Contains(s.broker.stderr.String(), "as alice:"+id+" "), strings.Contains(second.stderr.String(), "as alice:"+id+" "); a == b {
			t.Errorf("client %s was seen by the first broker: %v, by the second: %v; want one of them", id, a, b)
		}
	}
	first := where("client-0")
	if first == nil {
		t.Fatal("no broker saw client-0")
	}
	w := g.connect(t, frames.V5, "client-0", token)
	first.kill()
	w.brokerLost()
	g.connect(t, frames.V5, "client-0", token).ping()
}

func TestASilentBrokerIsGivenUp(t *testing.T) {
	t.Parallel()
	s := prepareStack(t, openPolicy)
	d := newDouble(t)
	g := startGateway(t, s.settings(settings{"UPSTREAM_URLS": "tcp://" + d.address, "CONNECT_TIMEOUT": "1s"}))
	for _, v := range versions {
		unserved(g.opening(t, v, "c", s.issuer.token(t, "alice"))) // the double accepts and says nothing
	}
}

func TestWhatTheBrokerAnswersToConnectIsPassedOn(t *testing.T) {
	t.Parallel()
	s := prepareStack(t, openPolicy)
	d := newDouble(t)
	g := startGateway(t, s.settings(settings{"UPSTREAM_URLS": "tcp://" + d.address}))
	for v, codes := range map[frames.Version][]frames.ReasonCode{
		frames.V31: {1, 2}, frames.V311: {1, 2}, // the others are outages
		frames.V5: {0x80, 0x81, 0x83, 0x84, 0x85, 0x8A, 0x8C, 0x90, 0x95, 0x97, 0x99, 0x9A, 0x9B, 0x9C, 0x9D},
	} {
		for _, code := range codes {
			w := g.dial(t, "c", dialOptions{})
			w.setVersion(v)
			w.send(newConnect(v, "c", s.issuer.token(t, "alice")).Append(nil, v))
			up, _ := d.acceptConnect(t, "")
			up.send(frames.Connack{Reason: code}.Append(nil, v))
			if got := w.connack().Reason; got != code {
				t.Errorf("%s: CONNACK %#x; want the broker's %#x", v, uint8(got), uint8(code))
			}
			w.expectClosed()
		}
	}
}

func TestABrokerBehindAUnixSocket(t *testing.T) {
	t.Parallel()
	s := prepareStack(t, openPolicy)
	s.gateway = startGateway(t, s.settings(settings{"UPSTREAM_URLS": "unix://" + s.broker.socket}))
	token := s.issuer.token(t, "alice")
	eye := s.broker.direct(t, frames.V311, "eye")
	eye.subscribed("wills")
	for _, v := range versions {
		for qos := range frames.QoS(3) {
			w := s.connect(t, v, fmt.Sprint("c", v, qos), token)
			w.subscribed(fmt.Sprint("to/", v, qos))
			w.publish(message(fmt.Sprint("to/", v, qos), strings.Repeat("x", 100_000), qos))
			w.receives(fmt.Sprint("to/", v, qos), strings.Repeat("x", 100_000))
		}
		w := s.connect(t, v, "w", token, will("wills", 0))
		_ = w.conn.Close() // without DISCONNECT
		eye.receives("wills", "gone")
	}
}

func TestTheWayToTheBrokerIsTLSWhenTheOperatorSaysSo(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	server, client := ca.issueServer(t), ca.issueClient(t, "topicgate")
	port := freePort(t)
	broker := startMosquitto(t, fmt.Sprintf("listener %d 127.0.0.1", port),
		"certfile "+server.certFile, "keyfile "+server.keyFile, "cafile "+ca.file, "require_certificate true")
	s := prepareStackBefore(t, broker, openPolicy)
	secure := settings{
		"UPSTREAM_URLS": "tls://" + loopback(port), "UPSTREAM_CA_FILE": ca.file,
		"UPSTREAM_CERT_FILE": client.certFile, "UPSTREAM_KEY_FILE": client.keyFile,
	}
	good := startGateway(t, s.settings(secure))
	for _, v := range versions {
		w := good.connect(t, v, "c", s.issuer.token(t, "alice"))
		w.subscribed("room")
		w.publish(message("room", "hello", 2))
		w.receives("room", "hello")
	}
	stranger := newAuthority(t)
	for name, wrong := range map[string]settings{
		"a broker of another CA":  {"UPSTREAM_CA_FILE": stranger.file},
		"without our certificate": {"UPSTREAM_CERT_FILE": "", "UPSTREAM_KEY_FILE": ""},
	} {
		t.Run(name, func(t *testing.T) {
			g := launchGateway(t, s.settings(secure, wrong, settings{"CONNECT_TIMEOUT": "1s"}))
			g.awaitAlive(t)
			unserved(g.opening(t, frames.V5, "c", s.issuer.token(t, "alice")))
		})
	}
}

func TestTheBrowsersAddressGoesUpstreamByPROXYProtocol(t *testing.T) {
	t.Parallel()
	s := prepareStack(t, openPolicy)
	d := newDouble(t)
	g := startGateway(t, s.settings(settings{
		"UPSTREAM_URLS": "tcp://" + d.address, "UPSTREAM_PROXY_PROTOCOL": "v2", "TRUSTED_PROXIES": "127.0.0.0/8",
	}))
	for _, test := range []struct{ forwarded, want string }{
		{"", "127.0.0.1"},
		{"203.0.113.7", "203.0.113.7"},
		{"2001:db8::7", "2001:db8::7"},
		{"198.51.100.1, 203.0.113.7", "203.0.113.7"}, // what the client itself claimed stands left
	} {
		o := dialOptions{header: map[string][]string{}}
		if test.forwarded != "" {
			o.header.Set("X-Forwarded-For", test.forwarded)
		}
		w := g.dial(t, "c", o)
		w.send(newConnect(frames.V311, "c", s.issuer.token(t, "alice")).Append(nil, frames.V311))
		conn := proxyproto.NewConn(await(t, "a connection", d.accepted))
		up := newTCPWire(t, "broker double", conn)
		up.expect(frames.TypeConnect)
		header := conn.ProxyHeader()
		if header == nil || header.Version != 2 {
			t.Fatalf("no PROXY protocol v2 header: %+v", header)
		}
		if host, _, _ := net.SplitHostPort(conn.RemoteAddr().String()); host != test.want {
			t.Errorf("X-Forwarded-For %q: the broker sees %s; want %s", test.forwarded, host, test.want)
		}
		up.sendHex(connackOK(frames.V311))
		w.connack()
	}
}

func TestAProxysOwnHeaderIsBelieved(t *testing.T) {
	t.Parallel()
	s := newStack(t, "pattern write mine/%u\n", settings{"AUDIT": "stdout", "TRUSTED_PROXIES": "127.0.0.1/32"})
	dialer := websocket.Dialer{Subprotocols: []string{"mqtt"}, NetDial: func(network, address string) (net.Conn, error) {
		conn, err := net.Dial(network, address)
		if err == nil {
			header := proxyproto.HeaderProxyFromAddrs(2, &net.TCPAddr{IP: net.IPv4(203, 0, 113, 9), Port: 4711}, conn.RemoteAddr())
			_, err = header.WriteTo(conn)
		}
		return conn, err
	}}
	ws, _, err := dialer.Dial(s.url("/mqtt"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer ws.Close()
	w := &wire{t: t, name: "behind a proxy", ws: ws, conn: ws.NetConn()}
	w.handshake(newConnect(frames.V5, "c", s.issuer.token(t, "alice")))
	w.publish(message("mine/bob", "x", 1))
	r := s.audited(t, record{"action": "publish", "topic": "mine/bob"})
	if remote := fmt.Sprint(r["remote"]); !strings.HasPrefix(remote, "203.0.113.9") {
		t.Errorf("audit says remote %s; want 203.0.113.9", remote)
	}
}

func TestAnAddressIsBelievedOnlyFromATrustedProxy(t *testing.T) {
	t.Parallel()
	s := newStack(t, "pattern write mine/%u\n", settings{"AUDIT": "stdout"})
	o := dialOptions{header: map[string][]string{"X-Forwarded-For": {"203.0.113.7"}, "Forwarded": {"for=203.0.113.7"}, "X-Real-Ip": {"203.0.113.7"}}}
	w, _ := s.connectingBy(t, o, frames.V5, "c", s.issuer.token(t, "alice"))
	w.publish(message("mine/bob", "x", 1))
	r := s.audited(t, record{"action": "publish", "topic": "mine/bob"})
	if remote := fmt.Sprint(r["remote"]); !strings.HasPrefix(remote, "127.0.0.1") {
		t.Errorf("audit says remote %s; want 127.0.0.1", remote)
	}
}
