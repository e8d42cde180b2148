package gateway

import (
	"encoding/hex"
	"net"
	"testing"

	"topicgate/frames"
)

// path is a session between two peers that take everything at once: the data path alone.
type path struct {
	*session
	written int
}

// newPath makes a session of alice, with an access of chatRules.
func newPath(tb testing.TB, v frames.Version) *path {
	tb.Helper()
	r := newRig(tb, nil).server
	ours, theirs := net.Pipe()
	tb.Cleanup(func() { _ = ours.Close(); _ = theirs.Close() })
	p := &path{session: &session{server: r, version: v, clientID: "c1", done: make(chan struct{})}}
	p.identity.Username = "alice"
	p.clientMaximum, p.brokerMaximum, p.aliasesUp, p.aliasesDown = frames.MaxPacketBytes, frames.MaxPacketBytes, 10, 10
	p.broker.socket = newSocket(ours)
	p.clientSocket = newSocket(theirs)
	take := func(b []byte) error { p.written += len(b); return nil }
	p.client.write, p.upstream.write = take, take
	grant, err := r.options.Policy.Open(tb.Context(), p.principal(), nil)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(grant.Close)
	p.grant = grant
	if v == frames.V5 {
		p.userProperty = stamp(nil)
	}
	return p
}

// cutOne is packet as the pumps get it.
func cutOne(tb testing.TB, packet string, v frames.Version) frames.Packet {
	tb.Helper()
	p, ok, err := frames.Cut(unhex(tb, packet), v, 0)
	if !ok || err != nil {
		tb.Fatal(err)
	}
	return p
}

// paths are the PUBLISHes that are to cost no allocation.
var paths = []struct {
	name  string
	v     frames.Version
	up    bool
	topic string
	props frames.Properties
}{
	{"up 3.1.1 as it came", frames.V311, true, "chat/status/alice", nil},
	{"up 5.0 stamped", frames.V5, true, "chat/status/alice", nil},
	{"up 5.0 stamped with an alias", frames.V5, true, "chat/status/alice", aliased(1)},
	{"up 5.0 forged", frames.V5, true, "chat/status/alice", stamp(nil)},
	{"down 3.1.1 as it came", frames.V311, false, "chat/status/bob", nil},
	{"down 5.0 as it came", frames.V5, false, "chat/status/bob", nil},
	{"down 5.0 with an alias", frames.V5, false, "chat/status/bob", aliased(1)},
	{"down 5.0 with an alias that was not allowed", frames.V5, false, "chat/status/bob", aliased(40)},
}

// step is what a pump does for a read with one packet.
func (p *path) step(up bool, packet frames.Packet) error {
	if up {
		if err := p.handleUp(packet); err != nil {
			return err
		}
		return p.upstream.flush()
	}
	if err := p.handleDown(packet); err != nil {
		return err
	}
	return p.client.flush()
}

func TestForwardingAPublishDoesNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector makes pools lose what is put into them")
	}
	for _, tt := range paths {
		p := newPath(t, tt.v)
		publish := frames.Publish{TopicName: []byte(tt.topic), Properties: tt.props, Payload: make([]byte, 100)}
		packet := cutOne(t, hex.EncodeToString(publish.Append(nil, tt.v)), tt.v)
		if n := testing.AllocsPerRun(1000, func() {
			if err := p.step(tt.up, packet); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations; want none", tt.name, n)
		}
		if p.written < 1000*100 {
			t.Errorf("%s: %d bytes written", tt.name, p.written)
		}
	}
}

func BenchmarkPublish(b *testing.B) {
	for _, tt := range paths {
		b.Run(tt.name, func(b *testing.B) {
			p := newPath(b, tt.v)
			publish := frames.Publish{TopicName: []byte(tt.topic), Properties: tt.props, Payload: make([]byte, 100)}
			packet := cutOne(b, hex.EncodeToString(publish.Append(nil, tt.v)), tt.v)
			b.ReportAllocs()
			for b.Loop() {
				if err := p.step(tt.up, packet); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
