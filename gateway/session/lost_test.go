package session

import (
	"net"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"topicgate/frames"
	"topicgate/gateway/internal/play"
)

// A client that is silent for longer than it has promised is hung up on by its broker. That is its own doing.
func TestASilentClientIsNoLostBroker(t *testing.T) {
	address, brokers := tcpRig(t)
	for _, silent := range []bool{true, false} {
		dialer := websocket.Dialer{Subprotocols: []string{"mqtt"}}
		ws, _, err := dialer.Dial("ws://"+address+"/mqtt", nil)
		if err != nil {
			t.Fatal(err)
		}
		defer ws.Close()
		_ = ws.SetReadDeadline(time.Now().Add(play.Patience))
		connect := play.ConnectOf(frames.V5, "alice")
		if connect.KeepAlive = 1; !silent {
			connect.KeepAlive = 600
		}
		_ = ws.WriteMessage(websocket.BinaryMessage, connect.Append(nil, frames.V5))
		conn, err := brokers.Accept()
		if err != nil {
			t.Fatal(err)
		}
		client := frames.NewReader(&play.Messages{WS: ws}, frames.V5, 0)
		_, _ = conn.Write(play.Unhex(t, play.AcceptedBy(frames.V5)))
		if p, err := client.ReadPacket(); err != nil || p.Type() != frames.TypeConnack {
			t.Fatalf("client got %v, %v", p.Type(), err)
		}
		time.Sleep(1500 * time.Millisecond) // the kernel counts this one
		_ = conn.(*net.TCPConn).Close()
		p, err := client.ReadPacket()
		if err != nil {
			t.Fatal(err)
		}
		want := frames.ServerShuttingDown
		if silent {
			want = frames.KeepAliveTimeout
		}
		if d, err := frames.ParseDisconnect(p, frames.V5); err != nil || d.Reason != want {
			t.Errorf("silent %v: DISCONNECT %v, %v; want %v", silent, d.Reason, err, want)
		}
	}
}
