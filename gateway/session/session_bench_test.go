package session

import (
	"bytes"
	"context"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"topicgate/frames"
	"topicgate/gateway/internal/play"
)

// overSockets opens a session of alice between a client and a broker that the benchmark plays, over
// sockets of the operating system.
func overSockets(b *testing.B, v frames.Version) (client *websocket.Conn, broker net.Conn) {
	b.Helper()
	listen := func() net.Listener {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = l.Close() })
		return l
	}
	front, back := listen(), listen()
	r := newRig(b, func(o *rigOptions) {
		o.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, back.Addr().String())
		}
	})
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- r.server.Serve(ctx, front) }()
	b.Cleanup(func() { stop(); <-served })

	client, _, err := (&websocket.Dialer{Subprotocols: []string{"mqtt"}}).Dial("ws://"+front.Addr().String()+"/mqtt", nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = client.Close() })
	connect := frames.Connect{Version: v, CleanStart: true, ClientID: "c1", HasUsername: true, Username: "u", HasPassword: true, Password: []byte("alice")}
	if err := client.WriteMessage(websocket.BinaryMessage, connect.Append(nil, v)); err != nil {
		b.Fatal(err)
	}
	if broker, err = back.Accept(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = broker.Close() })
	deadline := time.Now().Add(5 * time.Minute)
	_ = broker.SetDeadline(deadline)
	_ = client.SetReadDeadline(deadline)
	if _, err := frames.NewReader(broker, v, 0).ReadPacket(); err != nil {
		b.Fatal(err)
	}
	if _, err := broker.Write((&frames.Connack{}).Append(nil, v)); err != nil {
		b.Fatal(err)
	}
	if _, _, err := client.ReadMessage(); err != nil {
		b.Fatal(err)
	}
	return client, broker
}

// BenchmarkSession passes messages through a whole session, some in each write, in both directions. cpu-ns/op is
// what the process has used for a message, the client's and the broker's side included.
// It is also what the profile that guides the compiler is taken from (make profile).
func BenchmarkSession(b *testing.B) {
	for _, bb := range []struct {
		name  string
		v     frames.Version
		up    bool
		batch int
	}{
		{"up 3.1.1 one by one", frames.V311, true, 1},
		{"up 3.1.1 by 16", frames.V311, true, 16},
		{"up 5.0 by 16", frames.V5, true, 16},
		{"down 3.1.1 one by one", frames.V311, false, 1},
		{"down 3.1.1 by 16", frames.V311, false, 16},
		{"down 5.0 by 16", frames.V5, false, 16},
	} {
		b.Run(bb.name, func(b *testing.B) {
			client, broker := overSockets(b, bb.v)
			topic := "chat/status/alice"
			publish := frames.Publish{TopicName: []byte(topic), Payload: make([]byte, 64)}
			packets := bytes.Repeat(publish.Append(nil, bb.v), bb.batch)
			arrive := len(packets)
			if bb.up && bb.v == frames.V5 {
				arrive = len(play.Unhex(b, play.StampedHex(topic, 0, 0, string(publish.Payload), "alice"))) * bb.batch
			}
			got := make([]byte, arrive)
			in := io.Reader(broker)
			if !bb.up {
				in = &play.Messages{WS: client}
			}
			b.ReportAllocs()
			before := usedCPU()
			for n := 0; b.Loop(); n++ {
				if n%bb.batch != 0 {
					continue // an op is a message
				}
				var err error
				if bb.up {
					err = client.WriteMessage(websocket.BinaryMessage, packets)
				} else {
					_, err = broker.Write(packets)
				}
				if err != nil {
					b.Fatal(err)
				}
				if _, err := io.ReadFull(in, got); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(usedCPU()-before)/float64(b.N), "cpu-ns/op")
		})
	}
}

func usedCPU() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u) // fails for no caller like this
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
