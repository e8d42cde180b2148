package upstream

import (
	"crypto/tls"
	"net"
	"time"

	"topicgate/frames"
	"topicgate/gateway/wire"
)

// Conn is a session's connection to a broker, which has one reader. The zero value is none.
type Conn struct {
	Address string
	Stream  net.Conn // the socket, or TLS over it
	Socket  *wire.Socket
	Inbox   frames.Buffer // what was read and is not handled yet
}

// Fill reads once from the broker into the inbox.
func (c *Conn) Fill() error {
	if c.Stream == net.Conn(c.Socket) {
		return c.Socket.Fill(&c.Inbox)
	}
	return wire.FillFrom(c.Stream, &c.Inbox)
}

// Wake ends a read that waits, and soon a write.
func (c *Conn) Wake(now time.Time) {
	_ = c.Socket.SetReadDeadline(now)
	c.Socket.Seal(now.Add(wire.LingerTimeout))
}

// giveUp calls off a CONNECT that was not answered in time. A broker that hung reads it later, and the end of the stream
// alone would have it publish the Will.
func (c *Conn) giveUp(v frames.Version) {
	_ = c.Socket.SetDeadline(time.Now().Add(wire.LingerTimeout))
	_, _ = c.Stream.Write(frames.Disconnect{}.Append(nil, v))
	c.HalfClose()
}

// HalfClose sends the end of our stream; the broker reads what came before it. (Closing at once, with
// bytes of the broker unread, would reset the connection and might lose what the client sent last.)
func (c *Conn) HalfClose() {
	if c.Stream == nil {
		return
	}
	if t, ok := c.Stream.(*tls.Conn); ok {
		_ = t.CloseWrite()
	}
	_ = c.Socket.CloseWrite()
}

// Drain waits until the broker has closed, dropping what it still sends.
func (c *Conn) Drain(deadline time.Time) {
	if c.Stream == nil {
		return
	}
	c.Socket.Idle = nil
	_ = c.Socket.SetReadDeadline(deadline)
	for {
		c.Inbox.Skip(c.Inbox.Len())
		if err := c.Fill(); err != nil {
			return
		}
	}
}

// Close ends the connection, if there is one.
func (c *Conn) Close() {
	if c.Stream != nil {
		_ = c.Socket.Close() // no TLS farewell: it could block, and HalfClose has said it
	}
	c.Inbox.Skip(c.Inbox.Len())
	c.Inbox.Release()
}
