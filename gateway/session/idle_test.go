package session

import (
	"fmt"
	"net"
	"runtime"
	"testing"
	"unsafe"

	"topicgate/frames"
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
		{"subscription", unsafe.Sizeof(subscription{}), 144},
		{"heldFilter", unsafe.Sizeof(heldFilter{}), 144},
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
