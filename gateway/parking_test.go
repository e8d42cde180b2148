package gateway

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http/httptest"
	"net/url"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"topicgate/frames"
)

// connectTCP is connect by sockets of the operating system, which can be parked, with TLS over them if secure.
func connectTCP(t *testing.T, user string, secure bool) *conversation {
	t.Helper()
	scheme := "ws"
	var certificates []tls.Certificate
	if secure {
		withCertificate := httptest.NewTLSServer(nil)
		withCertificate.Close()
		scheme, certificates = "wss", withCertificate.TLS.Certificates
	}
	r, address, broker := newRigTCP(t, certificates)
	return r.joinTCP(scheme+"://"+address+"/mqtt", broker, user)
}

// newRigTCP makes a gateway that listens at address and has sockets on both sides, with TLS if there are
// certificates.
func newRigTCP(t testing.TB, certificates []tls.Certificate) (r *rig, address string, broker net.Listener) {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("sessions are parked on Linux alone")
	}
	listen := func() net.Listener {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	listener, broker := listen(), listen()
	t.Cleanup(func() { _ = broker.Close() })
	upstream := broker.Addr().String()
	if certificates != nil {
		broker = tls.NewListener(broker, &tls.Config{Certificates: certificates})
	}
	r = newRig(t, func(o *Options) {
		o.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, upstream)
		}
		if certificates != nil {
			o.TLS = &tls.Config{Certificates: certificates}
			o.UpstreamTLS = &tls.Config{InsecureSkipVerify: true}
			o.Upstreams = []*url.URL{{Scheme: "tls", Host: "broker.test"}}
		}
	})
	served := make(chan error, 1)
	ctx, stop := context.WithCancel(context.Background())
	go func() { served <- r.server.Serve(ctx, listener) }()
	t.Cleanup(func() { stop(); <-served })
	return r, listener.Addr().String(), broker
}

// joinTCP opens a session at a URL.
func (r *rig) joinTCP(at string, broker net.Listener, user string) *conversation {
	r.t.Helper()
	dialer := websocket.Dialer{Subprotocols: []string{"mqtt"}, ReadBufferSize: 256, WriteBufferSize: 256, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	ws, response, err := dialer.Dial(at, nil)
	if err != nil {
		r.t.Fatalf("dial: %v (%v)", err, response)
	}
	r.t.Cleanup(func() { _ = ws.Close() })
	_ = ws.SetReadDeadline(time.Now().Add(patience))
	c := &conversation{rig: r, ws: ws, v: frames.V311, client: frames.NewReader(&messages{ws: ws}, frames.V311, 0)}
	connect := frames.Connect{Version: frames.V311, CleanStart: true, ClientID: "c1", HasUsername: true, Username: "u", HasPassword: true, Password: []byte(user)}
	c.send(connect.Append(nil, frames.V311))
	if c.conn, err = broker.Accept(); err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = c.conn.Close() })
	_ = c.conn.SetDeadline(time.Now().Add(patience))
	c.broker = frames.NewReader(c.conn, frames.V311, 0)
	c.fromGateway(frames.TypeConnect)
	c.reply("20 02 00 00")
	c.expect(frames.TypeConnack)
	return c
}

// parkBoth parks the only session.
func (c *conversation) parkBoth() *session {
	c.t.Helper()
	c.parkAll(1)
	return c.onlySession()
}

// until waits for a condition.
func (r *rig) until(what string, is func() bool) {
	r.t.Helper()
	for begin := time.Now(); !is(); runtime.Gosched() {
		if time.Since(begin) > patience {
			r.t.Fatalf("still not: %s", what)
		}
	}
}

func TestAParkedSessionGoesOn(t *testing.T) {
	t.Run("plain", func(t *testing.T) { goesOn(connectTCP(t, "alice", false)) })
	t.Run("TLS", func(t *testing.T) { goesOn(connectTCP(t, "alice", true)) })
}

func goesOn(c *conversation) {
	up := publishHex(frames.V311, "chat/status/alice", 0, 0, "here")
	down := publishHex(frames.V311, "chat/status/bob", 0, 0, "there")
	for range 3 {
		c.parkBoth()
		c.say(up)
		c.passes(up)
		c.parkBoth()
		c.reply(down)
		c.hears(down)
	}
	// A packet of which the first half has come before the silence.
	packet := unhex(c.t, up)
	c.send(packet[:5])
	c.parkBoth()
	c.send(packet[5:])
	c.passes(up)
	half := unhex(c.t, down)
	if _, err := c.conn.Write(half[:5]); err != nil {
		c.t.Fatal(err)
	}
	c.parkBoth()
	if _, err := c.conn.Write(half[5:]); err != nil {
		c.t.Fatal(err)
	}
	c.hears(down)
}

func TestAPumpInTheMiddleOfAMessageIsNotParked(t *testing.T) {
	c := connectTCP(t, "alice", false)
	s := c.parkBoth()
	up := publishHex(frames.V311, "chat/status/alice", 0, 0, "here")
	w, err := c.ws.NextWriter(websocket.BinaryMessage)
	if err != nil {
		t.Fatal(err)
	}
	first := unhex(t, up)
	for len(first) < 8192 { // more than gorilla buffers, so a frame that is not the last is sent
		first = append(first, unhex(t, "c0 00")...)
	}
	if _, err := w.Write(first); err != nil {
		t.Fatal(err)
	}
	c.passes(up)
	for range 100 {
		c.server.askIdle()
		if s.clientSocket.Parked() {
			t.Fatal("parked with a message that has not ended")
		}
		runtime.Gosched()
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	c.parkBoth()
	c.say(up)
	for p := c.fromBroker(); p.Type() != frames.TypePublish; p = c.fromBroker() { // the PINGREQs
	}
}

// fromBroker reads what the gateway sends to the broker.
func (c *conversation) fromBroker() frames.Packet {
	c.t.Helper()
	p, err := c.broker.ReadPacket()
	if err != nil {
		c.t.Fatalf("broker: %v", err)
	}
	return p
}

func TestAParkedSessionEnds(t *testing.T) {
	for _, tt := range []struct {
		name string
		end  func(*conversation, *session)
	}{
		{"the client hangs up", func(c *conversation, _ *session) { _ = c.ws.Close() }},
		{"the broker hangs up", func(c *conversation, _ *session) { _ = c.conn.Close() }},
		{"it is ended", func(_ *conversation, s *session) { s.finish(ended(EndDisconnected, nil)) }},
		{"all are ended", func(c *conversation, _ *session) { go c.server.Close() }},
		{"the client says goodbye", func(c *conversation, _ *session) { c.say("e0 00") }},
		{"while it is being parked", func(c *conversation, s *session) {
			go c.server.askIdle()
			s.finish(ended(EndDisconnected, nil))
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := connectTCP(t, "alice", false)
			s := c.parkBoth()
			tt.end(c, s)
			var peers sync.WaitGroup
			peers.Go(func() { c.drainClient(); _ = c.ws.Close() })
			peers.Go(func() { _, _ = io.Copy(io.Discard, c.conn); _ = c.conn.Close() })
			gone := make(chan struct{})
			go func() { c.server.ended.Wait(); close(gone) }()
			select {
			case <-gone:
			case <-time.After(patience):
				t.Fatal("the session has not ended")
			}
			peers.Wait()
		})
	}
}
