package gateway

import (
	"io"
	"testing"
	"testing/synctest"
	"time"

	"topicgate/frames"
	"topicgate/gateway/internal/play"
	"topicgate/gateway/wire"
)

// occupy takes all turns of handshakes, until the function that it returns is called.
func (r *gate) occupy() (leave func()) {
	if err := r.server.handshakeTurns.Acquire(r.T.Context(), wire.HandshakeTurns()); err != nil {
		r.T.Fatal(err)
	}
	return func() { r.server.handshakeTurns.Release(wire.HandshakeTurns()) }
}

func TestHandshakesWaitForTheirTurnAndSessionsDoNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newGate(t, nil)
		live := r.Connect(frames.V311, "alice")
		leave := r.occupy()
		later := make(chan *play.Conversation)
		go func() { later <- r.Dial(frames.V311) }()
		synctest.Wait()
		select {
		case <-later:
			t.Fatal("upgraded without a turn")
		default:
		}
		live.Say(play.PublishHex(frames.V311, "chat/status/alice", 0, 0, "here"))
		live.Passes(play.PublishHex(frames.V311, "chat/status/alice", 0, 0, "here"))
		leave()
		c := <-later
		leave = r.occupy()
		connect := play.ConnectOf(frames.V311, "bob")
		c.Send(connect.Append(nil, frames.V311))
		synctest.Wait()
		select {
		case <-r.Brokers:
			t.Fatal("CONNECT was read without a turn")
		default:
		}
		leave()
		c.Accept()
		c.FromGateway(frames.TypeConnect)
		c.Reply("20 02 00 00")
		c.Hears("20 02 00 00")
		if !r.server.handshakeTurns.TryAcquire(wire.HandshakeTurns()) {
			t.Error("a turn is held when nobody connects")
		}
	})
}

func TestTheWaitForATurnHasAnEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newGate(t, nil)
		defer r.occupy()()
		conn, err := r.Listen.Dial()
		if err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		if _, err := io.WriteString(conn, "GET /mqtt HTTP/1.1\r\n"); err != nil {
			t.Fatal(err)
		}
		if n, err := conn.Read(make([]byte, 1)); n != 0 || err != io.EOF || time.Since(begin) != 10*time.Second {
			t.Errorf("Read() = %d, %v after %v; want EOF after 10s", n, err, time.Since(begin))
		}
	})
}

// However many clients are slow, they hold no turn that others need.
func TestSlowClientsHoldUpNobodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newGate(t, nil)
		for range wire.HandshakeTurns() + 1 {
			for _, said := range []string{"", "GET /mqtt HTTP/1.1\r\nHost:", "GET /nothing-here HTTP/1.1\r\nHost: gateway.test\r\n\r\n"} {
				conn, err := r.Listen.Dial() // nobody reads the answer of the last
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = conn.Close() })
				if _, err := io.WriteString(conn, said); err != nil {
					t.Fatal(err)
				}
			}
			r.Dial(frames.V311)
			r.Dial(frames.V311).Say("10 0d 00 04 4d")
		}
		synctest.Wait()
		r.Connect(frames.V311, "alice")
	})
}
