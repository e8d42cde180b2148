package play

import (
	"context"
	"net"
	"slices"
	"sync"

	"topicgate/frames"
)

// Visited is a broker for those who only connect and leave. It notes each CONNECT.
type Visited struct {
	// Answers is the CONNACK that the n-th CONNECT gets, from 0; nil: the broker hangs up. Without it all are accepted.
	Answers func(n int, connect frames.Connect) []byte

	mu       sync.Mutex
	connects []frames.Connect
}

// Accepted is the CONNACK of a version.
func Accepted(v frames.Version) []byte {
	if v == frames.V5 {
		return []byte{0x20, 3, 0, 0, 0}
	}
	return []byte{0x20, 2, 0, 0}
}

// Dial connects to the broker.
func (b *Visited) Dial(context.Context, string, string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	go b.serve(theirs)
	return ours, nil
}

func (b *Visited) serve(conn net.Conn) {
	defer conn.Close()
	reader := frames.NewReader(conn, frames.V5, 0)
	packet, err := reader.ReadPacket()
	if err != nil {
		return
	}
	connect, err := frames.ParseConnect(packet)
	if err != nil {
		return
	}
	b.mu.Lock()
	n := len(b.connects)
	b.connects = append(b.connects, connect.Clone())
	b.mu.Unlock()
	answer := Accepted(connect.Version)
	if b.Answers != nil {
		answer = b.Answers(n, connect)
	}
	if _, err := conn.Write(answer); err == nil && len(answer) > 0 {
		_, _ = reader.ReadPacket() // DISCONNECT
	}
}

// Connects is what has come so far.
func (b *Visited) Connects() []frames.Connect {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.connects)
}
