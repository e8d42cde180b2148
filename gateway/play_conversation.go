package gateway

import (
	"bytes"
	"errors"
	"io"
	"net"
	"time"

	"github.com/gorilla/websocket"

	"topicgate/frames"
)

// conversation is a client and the broker behind the gateway, played by the test.
type conversation struct {
	*stage
	ws     *websocket.Conn
	client *frames.Reader
	conn   net.Conn
	broker *frames.Reader
	v      frames.Version
}

const patience = 10 * time.Second

// accept takes the gateway's connection to the broker.
func (c *conversation) accept() {
	c.t.Helper()
	select {
	case c.conn = <-c.brokers:
	case <-time.After(patience):
		c.t.Fatal("the gateway dialed no broker")
	}
	c.t.Cleanup(func() { _ = c.conn.Close() })
	_ = c.conn.SetDeadline(time.Now().Add(patience))
	c.broker = frames.NewReader(c.conn, c.v, 0)
}

// send writes bytes as one WebSocket message.
func (c *conversation) send(b []byte) {
	c.t.Helper()
	if err := c.ws.WriteMessage(websocket.BinaryMessage, b); err != nil {
		c.t.Fatalf("send: %v", err)
	}
}

// say is send for hex.
func (c *conversation) say(s string) { c.t.Helper(); c.send(unhex(c.t, s)) }

// reply writes hex as the broker.
func (c *conversation) reply(s string) {
	c.t.Helper()
	if _, err := c.conn.Write(unhex(c.t, s)); err != nil {
		c.t.Fatalf("reply: %v", err)
	}
}

// expect reads the client's next packet, which must be of type t.
func (c *conversation) expect(t frames.Type) frames.Packet {
	c.t.Helper()
	p, err := c.client.ReadPacket()
	if err != nil {
		c.t.Fatalf("client waits for %s: %v", t, err)
	}
	if p.Type() != t {
		c.t.Fatalf("client got %s (% x); want %s", p.Type(), p.Raw, t)
	}
	return p
}

// hears wants hex as the client's next packet.
func (c *conversation) hears(s string) {
	c.t.Helper()
	want := unhex(c.t, s)
	p, err := c.client.ReadPacket()
	if err != nil {
		c.t.Fatalf("client waits for % x: %v", want, err)
	}
	if !bytes.Equal(p.Raw, want) {
		c.t.Fatalf("client got % x; want % x", p.Raw, want)
	}
}

// fromGateway reads the broker's next packet, which must be of type t.
func (c *conversation) fromGateway(t frames.Type) frames.Packet {
	c.t.Helper()
	p, err := c.broker.ReadPacket()
	if err != nil {
		c.t.Fatalf("broker waits for %s: %v", t, err)
	}
	if p.Type() != t {
		c.t.Fatalf("broker got %s (% x); want %s", p.Type(), p.Raw, t)
	}
	return p
}

// passes wants hex as the broker's next packet.
func (c *conversation) passes(s string) {
	c.t.Helper()
	want := unhex(c.t, s)
	p, err := c.broker.ReadPacket()
	if err != nil {
		c.t.Fatalf("broker waits for % x: %v", want, err)
	}
	if !bytes.Equal(p.Raw, want) {
		c.t.Fatalf("broker got % x; want % x", p.Raw, want)
	}
}

// closes wants the WebSocket to be closed with status, and no packet before.
func (c *conversation) closes(status int) {
	c.t.Helper()
	p, err := c.client.ReadPacket()
	var closed *websocket.CloseError
	switch {
	case err == nil:
		c.t.Fatalf("client got %s (% x); want close %d", p.Type(), p.Raw, status)
	case !errors.As(err, &closed) || closed.Code != status:
		c.t.Fatalf("client read ended with %v; want close %d", err, status)
	}
}

// lives proves that nothing has ended the session, nor said anything.
func (c *conversation) lives() {
	c.t.Helper()
	c.say("c0 00")
	c.passes("c0 00")
	c.reply("d0 00")
	c.hears("d0 00")
}

// disconnected wants the session to have been ended by an operator, and the broker left to publish the Will.
func (c *conversation) disconnected() {
	c.t.Helper()
	if c.v == frames.V5 {
		d, err := frames.ParseDisconnect(c.expect(frames.TypeDisconnect), c.v)
		if err != nil || d.Reason != frames.AdministrativeAction {
			c.t.Errorf("DISCONNECT %v, %v; want 0x98", d.Reason, err)
		}
	}
	c.closes(4403)
	if p, err := c.broker.ReadPacket(); !errors.Is(err, io.EOF) {
		c.t.Errorf("the broker got % x, %v; want the end without a DISCONNECT", p.Raw, err)
	}
	_ = c.conn.Close()
}

// drainClient reads until the gateway has closed.
func (c *conversation) drainClient() {
	for {
		if _, _, err := c.ws.ReadMessage(); err != nil {
			return
		}
	}
}

func (c *conversation) asBroker(b []byte) {
	c.t.Helper()
	if _, err := c.conn.Write(b); err != nil {
		c.t.Fatal(err)
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

// wantRefused wants a CONNACK with the code of c's version, and the close status.
func (c *conversation) wantRefused(v3, v5 frames.ReasonCode, status int) {
	c.t.Helper()
	connack, err := frames.ParseConnack(c.expect(frames.TypeConnack), c.v)
	want := v3
	if c.v == frames.V5 {
		want = v5
	}
	if err != nil || connack.Reason != want || connack.SessionPresent {
		c.t.Errorf("%s: CONNACK = %+v, %v; want %v", c.v, connack, err, want)
	}
	c.closes(status)
}

func (c *conversation) opens(connect frames.Connect) *conversation {
	c.t.Helper()
	c.send(connect.Append(nil, connect.Version))
	return c
}

// patient puts the time limits off, for tests in which time passes.
func (c *conversation) patient() *conversation {
	tomorrow := time.Now().Add(24 * time.Hour)
	_ = c.ws.SetReadDeadline(tomorrow)
	if c.conn != nil {
		_ = c.conn.SetDeadline(tomorrow)
	}
	return c
}

// nothingUp proves that nothing of what was said before goes upstream: a PINGREQ is what comes next.
func (c *conversation) nothingUp() {
	c.t.Helper()
	c.say("c0 00")
	c.passes("c0 00")
	c.reply("d0 00")
	c.hears("d0 00")
}

// brokerEnds wants the end of the gateway's stream, and no packet before.
func (c *conversation) brokerEnds() {
	c.t.Helper()
	p, err := c.broker.ReadPacket()
	if err == nil {
		c.t.Fatalf("broker got %s (% x); want the end of the stream", p.Type(), p.Raw)
	}
	if !errors.Is(err, io.EOF) {
		c.t.Fatalf("broker read ended with %v; want %v", err, io.EOF)
	}
}
