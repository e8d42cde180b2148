package integration

import (
	"net"
	"testing"

	"topicgate/frames"
)

// double is a broker of which a test says every byte, also such as no broker should send.
type double struct {
	address  string
	accepted chan net.Conn
}

// newDouble listens until the test ends.
func newDouble(t testing.TB) *double {
	t.Helper()
	listener, err := net.Listen("tcp", loopback(freePort(t)))
	if err != nil {
		t.Fatal(err)
	}
	d := &double{address: listener.Addr().String(), accepted: make(chan net.Conn, 64)}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			d.accepted <- conn
		}
	}()
	t.Cleanup(func() {
		_ = listener.Close()
		<-ended
		for {
			select {
			case conn := <-d.accepted: // nobody asked for it
				_ = conn.Close()
			default:
				return
			}
		}
	})
	return d
}

// accept waits for a connection of the gateway.
func (d *double) accept(t testing.TB) *wire {
	t.Helper()
	return newTCPWire(t, "broker double", await(t, "a connection to the broker double", d.accepted))
}

// acceptConnect waits for a connection, reads its CONNECT and answers it with these bytes.
func (d *double) acceptConnect(t testing.TB, connack string) (*wire, frames.Connect) {
	t.Helper()
	w := d.accept(t)
	c, err := frames.ParseConnect(w.expect(frames.TypeConnect))
	if err != nil {
		t.Fatalf("the gateway's CONNECT: %v", err)
	}
	w.setVersion(c.Version)
	if connack != "" {
		w.sendHex(connack)
	}
	return w, c
}

// connackOK is a CONNACK that accepts, for each version.
func connackOK(v frames.Version) string {
	if v == frames.V5 {
		return "20 03 00 00 00"
	}
	return "20 02 00 00"
}
