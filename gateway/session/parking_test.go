package session

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
	"topicgate/gateway/internal/play"
)

// connectTCP is connect by sockets of the operating system, which can be parked, with TLS over them if secure.
func connectTCP(t *testing.T, user string, secure bool) *play.Conversation {
	t.Helper()
	scheme := "ws"
	var certificates []tls.Certificate
	if secure {
		withCertificate := httptest.NewTLSServer(nil)
		withCertificate.Close()
		scheme, certificates = "wss", withCertificate.TLS.Certificates
	}
	r, address, broker := newRigTCP(t, certificates)
	return r.JoinTCP(scheme+"://"+address+"/mqtt", broker, user)
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
func (r *rig) parkBoth() *Session {
	r.T.Helper()
	r.parkAll(1)
	return r.onlySession()
}

func TestAParkedSessionGoesOn(t *testing.T) {
	t.Run("plain", func(t *testing.T) { goesOn(connectTCP(t, "alice", false)) })
	t.Run("TLS", func(t *testing.T) { goesOn(connectTCP(t, "alice", true)) })
}

func goesOn(c *play.Conversation) {
	r := rigOf(c)
	up := play.PublishHex(frames.V311, "chat/status/alice", 0, 0, "here")
	down := play.PublishHex(frames.V311, "chat/status/bob", 0, 0, "there")
	for range 3 {
		r.parkBoth()
		c.Say(up)
		c.Passes(up)
		r.parkBoth()
		c.Reply(down)
		c.Hears(down)
	}
	// A packet of which the first half has come before the silence.
	packet := play.Unhex(c.T, up)
	c.Send(packet[:5])
	r.parkBoth()
	c.Send(packet[5:])
	c.Passes(up)
	half := play.Unhex(c.T, down)
	if _, err := c.Conn.Write(half[:5]); err != nil {
		c.T.Fatal(err)
	}
	r.parkBoth()
	if _, err := c.Conn.Write(half[5:]); err != nil {
		c.T.Fatal(err)
	}
	c.Hears(down)
}

func TestAPumpInTheMiddleOfAMessageIsNotParked(t *testing.T) {
	c := connectTCP(t, "alice", false)
	r := rigOf(c)
	s := r.parkBoth()
	up := play.PublishHex(frames.V311, "chat/status/alice", 0, 0, "here")
	w, err := c.WS.NextWriter(websocket.BinaryMessage)
	if err != nil {
		t.Fatal(err)
	}
	first := play.Unhex(t, up)
	for len(first) < 8192 { // more than gorilla buffers, so a frame that is not the last is sent
		first = append(first, play.Unhex(t, "c0 00")...)
	}
	if _, err := w.Write(first); err != nil {
		t.Fatal(err)
	}
	c.Passes(up)
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
	c.Say(up)
	for p := c.FromBroker(); p.Type() != frames.TypePublish; p = c.FromBroker() { // the PINGREQs
	}
}

func TestAParkedSessionEnds(t *testing.T) {
	for _, tt := range []struct {
		name string
		end  func(*play.Conversation, *Session)
	}{
		{"the client hangs up", func(c *play.Conversation, _ *Session) { _ = c.WS.Close() }},
		{"the broker hangs up", func(c *play.Conversation, _ *Session) { _ = c.Conn.Close() }},
		{"it is ended", func(_ *play.Conversation, s *Session) { s.finish(ended(EndDisconnected, nil)) }},
		{"all are ended", func(c *play.Conversation, _ *Session) { go rigOf(c).server.Close() }},
		{"the client says goodbye", func(c *play.Conversation, _ *Session) { c.Say("e0 00") }},
		{"while it is being parked", func(c *play.Conversation, s *Session) {
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
			peers.Go(func() { c.DrainClient(); _ = c.WS.Close() })
			peers.Go(func() { _, _ = io.Copy(io.Discard, c.Conn); _ = c.Conn.Close() })
			gone := make(chan struct{})
			go func() { r.server.ended.Wait(); close(gone) }()
			select {
			case <-gone:
			case <-time.After(play.Patience):
				t.Fatal("the session has not ended")
			}
			peers.Wait()
		})
	}
}
