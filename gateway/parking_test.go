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
	r = newRig(t, func(o *rigOptions) {
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

// parkBoth parks the only session.
func (r *rig) parkBoth() *session {
	r.t.Helper()
	r.parkAll(1)
	return r.onlySession()
}

func TestAParkedSessionGoesOn(t *testing.T) {
	t.Run("plain", func(t *testing.T) { goesOn(connectTCP(t, "alice", false)) })
	t.Run("TLS", func(t *testing.T) { goesOn(connectTCP(t, "alice", true)) })
}

func goesOn(c *conversation) {
	r := rigOf(c)
	up := publishHex(frames.V311, "chat/status/alice", 0, 0, "here")
	down := publishHex(frames.V311, "chat/status/bob", 0, 0, "there")
	for range 3 {
		r.parkBoth()
		c.say(up)
		c.passes(up)
		r.parkBoth()
		c.reply(down)
		c.hears(down)
	}
	// A packet of which the first half has come before the silence.
	packet := unhex(c.t, up)
	c.send(packet[:5])
	r.parkBoth()
	c.send(packet[5:])
	c.passes(up)
	half := unhex(c.t, down)
	if _, err := c.conn.Write(half[:5]); err != nil {
		c.t.Fatal(err)
	}
	r.parkBoth()
	if _, err := c.conn.Write(half[5:]); err != nil {
		c.t.Fatal(err)
	}
	c.hears(down)
}

func TestAPumpInTheMiddleOfAMessageIsNotParked(t *testing.T) {
	c := connectTCP(t, "alice", false)
	r := rigOf(c)
	s := r.parkBoth()
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
		r.server.askIdle()
		if s.clientSocket.Parked() {
			t.Fatal("parked with a message that has not ended")
		}
		runtime.Gosched()
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	r.parkBoth()
	c.say(up)
	for p := c.fromBroker(); p.Type() != frames.TypePublish; p = c.fromBroker() { // the PINGREQs
	}
}

func TestAParkedSessionEnds(t *testing.T) {
	for _, tt := range []struct {
		name string
		end  func(*conversation, *session)
	}{
		{"the client hangs up", func(c *conversation, _ *session) { _ = c.ws.Close() }},
		{"the broker hangs up", func(c *conversation, _ *session) { _ = c.conn.Close() }},
		{"it is ended", func(_ *conversation, s *session) { s.finish(ended(EndDisconnected, nil)) }},
		{"all are ended", func(c *conversation, _ *session) { go rigOf(c).server.Close() }},
		{"the client says goodbye", func(c *conversation, _ *session) { c.say("e0 00") }},
		{"while it is being parked", func(c *conversation, s *session) {
			go rigOf(c).server.askIdle()
			s.finish(ended(EndDisconnected, nil))
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := connectTCP(t, "alice", false)
			r := rigOf(c)
			s := r.parkBoth()
			tt.end(c, s)
			var peers sync.WaitGroup
			peers.Go(func() { c.drainClient(); _ = c.ws.Close() })
			peers.Go(func() { _, _ = io.Copy(io.Discard, c.conn); _ = c.conn.Close() })
			gone := make(chan struct{})
			go func() { r.server.ended.Wait(); close(gone) }()
			select {
			case <-gone:
			case <-time.After(patience):
				t.Fatal("the session has not ended")
			}
			peers.Wait()
		})
	}
}
