package session

import (
	"fmt"
	"net"
	"runtime"
	"testing"
	"unsafe"

	"github.com/gorilla/websocket"

	"topicgate/frames"
	"topicgate/gateway/internal/play"
	"topicgate/gateway/wire"
)

// An idle session is made of these. A size beyond a size class of the allocator costs as much as the next one.
func TestWhatASessionIsMadeOfStaysSmall(t *testing.T) {
	for _, tt := range []struct {
		name      string
		got, most uintptr
	}{
		{"session", unsafe.Sizeof(Session{}), 1536},
		{"socket", unsafe.Sizeof(wire.Socket{}), 288},
		{"parked", unsafe.Sizeof(parked{}), 16},
	} {
		if tt.got > tt.most {
			t.Errorf("a %s has %d bytes; want at most %d", tt.name, tt.got, tt.most)
		}
	}
}

// BenchmarkIdle reports what a parked session with a subscription costs the heap and the stacks, without
// what of Redis the policy store keeps. The test's own ends of the two connections are in it, about
// 2 KiB.
func BenchmarkIdle(b *testing.B) {
	const sessions = 500
	for b.Loop() {
		b.StopTimer()
		r, address, broker := newRigTCP(b, nil)
		before := inUse()
		conversations := make([]net.Conn, 0, 2*sessions)
		for n := range sessions {
			c := r.JoinTCP("ws://"+address+"/mqtt", broker, fmt.Sprintf("user-%d", n))
			subscribe := frames.Subscribe{PacketID: 1, Filters: []frames.Subscription{{TopicFilter: "chat/status/+"}}}
			c.Send(subscribe.Append(nil, frames.V311))
			c.FromGateway(frames.TypeSubscribe)
			c.Reply("90 03 00 01 00")
			c.Expect(frames.TypeSuback)
			c.Client, c.Broker = nil, nil // with what they buffer
			conversations = append(conversations, c.WS.NetConn(), c.Conn)
		}
		b.StartTimer()
		r.parkAll(sessions)
		b.StopTimer()
		after := inUse()
		b.ReportMetric(float64(after-before)/sessions, "B/session")
		for _, c := range conversations {
			_ = c.Close()
		}
		b.StartTimer()
	}
}

// BenchmarkHeld reports what a client costs the heap and the stacks that is held, as no broker is there. The test's own
// end of the connection is in it, about 1 KiB.
func BenchmarkHeld(b *testing.B) {
	const sessions = 500
	for b.Loop() {
		b.StopTimer()
		r, address, broker := newRigTCP(b, nil)
		_ = broker.Close()
		before := inUse()
		var all []net.Conn
		packet := play.ConnectOf(frames.V311, "alice")
		connect := packet.Append(nil, frames.V311)
		for range sessions {
			dialer := websocket.Dialer{Subprotocols: []string{"mqtt"}, ReadBufferSize: 256, WriteBufferSize: 256}
			ws, _, err := dialer.Dial("ws://"+address+"/mqtt", nil)
			if err != nil {
				b.Fatal(err)
			}
			if err := ws.WriteMessage(websocket.BinaryMessage, connect); err != nil {
				b.Fatal(err)
			}
			all = append(all, ws.NetConn())
		}
		r.Until("all are held", func() bool { return r.server.held.count.Load() == sessions })
		b.StartTimer()
		after := inUse()
		b.StopTimer()
		b.ReportMetric(float64(after-before)/sessions, "B/session")
		for _, c := range all {
			_ = c.Close()
		}
		r.Until("all have gone", func() bool { return len(r.server.live()) == 0 })
		b.StartTimer()
	}
}

// parkAll asks until n sessions are parked.
func (r *rig) parkAll(n int) {
	r.T.Helper()
	r.Until("all sessions are parked", func() bool {
		r.server.askIdle()
		r.server.mu.Lock()
		defer r.server.mu.Unlock()
		parked := 0
		for s := range r.server.sessions {
			if s.begun.Load() && s.clientSocket.Parked() && s.broker.Socket.Parked() {
				parked++
			}
		}
		return parked == n
	})
}

// inUse is what the heap and the stacks hold when all that can go has gone.
func inUse() int64 {
	for range 3 { // pools keep what they have for two
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}
