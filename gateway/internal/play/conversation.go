package play

import (
	"bytes"
	"errors"
	"io"
	"net"
	"time"

	"github.com/gorilla/websocket"

	"topicgate/frames"
)

// Conversation is a client and the broker behind the gateway, played by the test.
type Conversation struct {
	*Stage
	WS     *websocket.Conn
	Client *frames.Reader
	Conn   net.Conn
	Broker *frames.Reader
	V      frames.Version
}

const Patience = 10 * time.Second

// Accept takes the gateway's connection to the broker.
func (c *Conversation) Accept() {
	c.T.Helper()
	select {
	case c.Conn = <-c.Brokers:
	case <-time.After(Patience):
		c.T.Fatal("the gateway dialed no broker")
	}
	c.T.Cleanup(func() { _ = c.Conn.Close() })
	_ = c.Conn.SetDeadline(time.Now().Add(Patience))
	c.Broker = frames.NewReader(c.Conn, c.V, 0)
}

// Send writes bytes as one WebSocket message.
func (c *Conversation) Send(b []byte) {
	c.T.Helper()
	if err := c.WS.WriteMessage(websocket.BinaryMessage, b); err != nil {
		c.T.Fatalf("send: %v", err)
	}
}

// Say is send for hex.
func (c *Conversation) Say(s string) { c.T.Helper(); c.Send(Unhex(c.T, s)) }

// Reply writes hex as the broker.
func (c *Conversation) Reply(s string) {
	c.T.Helper()
	if _, err := c.Conn.Write(Unhex(c.T, s)); err != nil {
		c.T.Fatalf("reply: %v", err)
	}
}

// Expect reads the client's next packet, which must be of type t.
func (c *Conversation) Expect(t frames.Type) frames.Packet {
	c.T.Helper()
	p, err := c.Client.ReadPacket()
	if err != nil {
		c.T.Fatalf("client waits for %s: %v", t, err)
	}
	if p.Type() != t {
		c.T.Fatalf("client got %s (% x); want %s", p.Type(), p.Raw, t)
	}
	return p
}

// Hears wants hex as the client's next packet.
func (c *Conversation) Hears(s string) {
	c.T.Helper()
	want := Unhex(c.T, s)
	p, err := c.Client.ReadPacket()
	if err != nil {
		c.T.Fatalf("client waits for % x: %v", want, err)
	}
	if !bytes.Equal(p.Raw, want) {
		c.T.Fatalf("client got % x; want % x", p.Raw, want)
	}
}

// FromGateway reads the broker's next packet, which must be of type t.
func (c *Conversation) FromGateway(t frames.Type) frames.Packet {
	c.T.Helper()
	p, err := c.Broker.ReadPacket()
	if err != nil {
		c.T.Fatalf("broker waits for %s: %v", t, err)
	}
	if p.Type() != t {
		c.T.Fatalf("broker got %s (% x); want %s", p.Type(), p.Raw, t)
	}
	return p
}

// Passes wants hex as the broker's next packet.
func (c *Conversation) Passes(s string) {
	c.T.Helper()
	want := Unhex(c.T, s)
	p, err := c.Broker.ReadPacket()
	if err != nil {
		c.T.Fatalf("broker waits for % x: %v", want, err)
	}
	if !bytes.Equal(p.Raw, want) {
		c.T.Fatalf("broker got % x; want % x", p.Raw, want)
	}
}

// Closes wants the WebSocket to be closed with status, and no packet before.
func (c *Conversation) Closes(status int) {
	c.T.Helper()
	p, err := c.Client.ReadPacket()
	var closed *websocket.CloseError
	switch {
	case err == nil:
		c.T.Fatalf("client got %s (% x); want close %d", p.Type(), p.Raw, status)
	case !errors.As(err, &closed) || closed.Code != status:
		c.T.Fatalf("client read ended with %v; want close %d", err, status)
	}
}

// Lives proves that nothing has ended the session, nor said anything.
func (c *Conversation) Lives() {
	c.T.Helper()
	c.Say("c0 00")
	c.Passes("c0 00")
	c.Reply("d0 00")
	c.Hears("d0 00")
}

// Disconnected wants the session to have been ended by an operator, and the broker left to publish the Will.
func (c *Conversation) Disconnected() {
	c.T.Helper()
	if c.V == frames.V5 {
		d, err := frames.ParseDisconnect(c.Expect(frames.TypeDisconnect), c.V)
		if err != nil || d.Reason != frames.AdministrativeAction {
			c.T.Errorf("DISCONNECT %v, %v; want 0x98", d.Reason, err)
		}
	}
	c.Closes(4403)
	if p, err := c.Broker.ReadPacket(); !errors.Is(err, io.EOF) {
		c.T.Errorf("the broker got % x, %v; want the end without a DISCONNECT", p.Raw, err)
	}
	_ = c.Conn.Close()
}

// DrainClient reads until the gateway has closed.
func (c *Conversation) DrainClient() {
	for {
		if _, _, err := c.WS.ReadMessage(); err != nil {
			return
		}
	}
}

func (c *Conversation) AsBroker(b []byte) {
	c.T.Helper()
	if _, err := c.Conn.Write(b); err != nil {
		c.T.Fatal(err)
	}
}

// FromBroker reads what the gateway sends to the broker.
func (c *Conversation) FromBroker() frames.Packet {
	c.T.Helper()
	p, err := c.Broker.ReadPacket()
	if err != nil {
		c.T.Fatalf("broker: %v", err)
	}
	return p
}

// WantRefused wants a CONNACK with the code of c's version, and the close status.
func (c *Conversation) WantRefused(v3, v5 frames.ReasonCode, status int) {
	c.T.Helper()
	connack, err := frames.ParseConnack(c.Expect(frames.TypeConnack), c.V)
	want := v3
	if c.V == frames.V5 {
		want = v5
	}
	if err != nil || connack.Reason != want || connack.SessionPresent {
		c.T.Errorf("%s: CONNACK = %+v, %v; want %v", c.V, connack, err, want)
	}
	c.Closes(status)
}

func (c *Conversation) Opens(connect frames.Connect) *Conversation {
	c.T.Helper()
	c.Send(connect.Append(nil, connect.Version))
	return c
}

// Patient puts the time limits off, for tests in which time passes.
func (c *Conversation) Patient() *Conversation {
	tomorrow := time.Now().Add(24 * time.Hour)
	_ = c.WS.SetReadDeadline(tomorrow)
	if c.Conn != nil {
		_ = c.Conn.SetDeadline(tomorrow)
	}
	return c
}

// NothingUp proves that nothing of what was said before goes upstream: a PINGREQ is what comes next.
func (c *Conversation) NothingUp() {
	c.T.Helper()
	c.Say("c0 00")
	c.Passes("c0 00")
	c.Reply("d0 00")
	c.Hears("d0 00")
}

// BrokerEnds wants the end of the gateway's stream, and no packet before.
func (c *Conversation) BrokerEnds() {
	c.T.Helper()
	p, err := c.Broker.ReadPacket()
	if err == nil {
		c.T.Fatalf("broker got %s (% x); want the end of the stream", p.Type(), p.Raw)
	}
	if !errors.Is(err, io.EOF) {
		c.T.Fatalf("broker read ended with %v; want %v", err, io.EOF)
	}
}
