package integration

import (
	"net"
	"sync"
	"syscall"
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
	var waiting sync.WaitGroup
	go func() {
		defer close(ended)
		defer waiting.Wait()
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			waiting.Go(func() {
				if speaks(conn) {
					d.accepted <- conn
				} else { // a look whether the broker is there
					_ = conn.Close()
				}
			})
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

// speaks waits for the first byte, and leaves it; false: there is none.
func speaks(conn net.Conn) (yes bool) {
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		return false
	}
	_ = raw.Read(func(fd uintptr) bool {
		n, _, err := syscall.Recvfrom(int(fd), make([]byte, 1), syscall.MSG_PEEK)
		yes = n > 0
		return err != syscall.EAGAIN
	})
	return yes
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
