package session

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"topicgate/frames"
	"topicgate/gateway/internal/play"
)

// tcpRig is a rig over sockets: the address of the gateway, and the broker's connections.
func tcpRig(t *testing.T) (address string, brokers net.Listener) {
	t.Helper()
	brokers, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t, func(o *rigOptions) {
		o.Upstreams = []*url.URL{{Scheme: "tcp", Host: brokers.Addr().String()}}
		o.Dial = nil
	})
	t.Cleanup(func() { _ = brokers.Close() })
	return serveTCP(t, r), brokers
}

// serveTCP has a rig serve sockets, at the address that it returns.
func serveTCP(t *testing.T, r *rig) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	serving.Go(func() { _ = r.server.Serve(ctx, l) })
	t.Cleanup(func() { stop(); serving.Wait() })
	return l.Addr().String()
}

func TestASessionOverSockets(t *testing.T) {
	for _, v := range play.Versions {
		address, brokers := tcpRig(t)
		dialer := websocket.Dialer{Subprotocols: []string{"mqtt"}}
		ws, _, err := dialer.Dial("ws://"+address+"/mqtt", nil)
		if err != nil {
			t.Fatal(err)
		}
		defer ws.Close()
		connect := play.ConnectOf(v, "alice")
		if err := ws.WriteMessage(websocket.BinaryMessage, connect.Append(nil, v)); err != nil {
			t.Fatal(err)
		}
		conn, err := brokers.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		for _, c := range []interface{ SetReadDeadline(time.Time) error }{ws, conn} {
			_ = c.SetReadDeadline(time.Now().Add(play.Patience))
		}
		broker, client := frames.NewReader(conn, v, 0), frames.NewReader(&play.Messages{WS: ws}, v, 0)
		if p, err := broker.ReadPacket(); err != nil || p.Type() != frames.TypeConnect {
			t.Fatalf("broker got %v, %v", p.Type(), err)
		}
		_, _ = conn.Write(play.Unhex(t, play.AcceptedBy(v)))
		if p, err := client.ReadPacket(); err != nil || p.Type() != frames.TypeConnack {
			t.Fatalf("client got %v, %v", p.Type(), err)
		}

		const count = 3000
		payload := func(i int) string { return fmt.Sprint(i, strings.Repeat("x", i%700)) }
		var speaking sync.WaitGroup
		speaking.Go(func() {
			for i := range count {
				p := frames.Publish{TopicName: []byte("chat/status/alice"), Payload: []byte(payload(i))}
				if ws.WriteMessage(websocket.BinaryMessage, p.Append(nil, v)) != nil {
					return
				}
			}
		})
		speaking.Go(func() {
			for i := range count {
				p := frames.Publish{TopicName: []byte("chat/status/bob"), Payload: []byte(payload(i))}
				if _, err := conn.Write(p.Append(nil, v)); err != nil {
					return
				}
			}
		})
		speaking.Go(func() { wantPayloads(t, "broker", broker, v, count, payload) })
		wantPayloads(t, "client", client, v, count, payload)
		speaking.Wait()

		// Half a packet, and the end.
		_, _ = conn.Write([]byte{0x30})
		_ = conn.Close()
		for err == nil {
			_, err = client.ReadPacket()
		}
		if !websocket.IsCloseError(err, 1013) {
			t.Errorf("%s: client read ended with %v; want close 1013", v, err)
		}
	}
}

func wantPayloads(t *testing.T, who string, from *frames.Reader, v frames.Version, count int, payload func(int) string) {
	for i := range count {
		p, err := from.ReadPacket()
		if err != nil {
			t.Errorf("%s: %v", who, err)
			return
		}
		publish, err := frames.ParsePublish(p, v)
		if err != nil || string(publish.Payload) != payload(i) {
			t.Errorf("%s got %.20q, %v; want %.20q", who, publish.Payload, err, payload(i))
			return
		}
	}
}
