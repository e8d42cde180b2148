package session

import (
	"encoding/hex"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"topicgate/auth"
	"topicgate/frames"
	"topicgate/gateway/internal/play"
	"topicgate/gateway/wire"
	"topicgate/policy/store"
)

// path is a session between two peers that take everything at once: the data path alone.
type path struct {
	*Session
	written int
}

// newPath makes a session of alice, with an access of ChatRules.
func newPath(tb testing.TB, v frames.Version) *path {
	tb.Helper()
	r := newRig(tb, nil).server
	ours, theirs := net.Pipe()
	tb.Cleanup(func() { _ = ours.Close(); _ = theirs.Close() })
	p := &path{Session: New(r.Host, netip.AddrPort{}, nil, nil)}
	p.version, p.clientID = v, "c1"
	p.whose.set(auth.Identity{Username: "alice"})
	p.clientMaximum, p.brokerMaximum, p.aliasesUp, p.aliasesDown = frames.MaxPacketBytes, frames.MaxPacketBytes, 10, 10
	p.broker.Socket = wire.NewSocket(ours)
	p.clientSocket = wire.NewSocket(theirs)
	take := func(b []byte) error { p.written += len(b); return nil }
	p.client.Write, p.upstream.Write = take, take
	grant, err := r.Policy.Open(tb.Context(), p.principal(), nil)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(grant.Close)
	p.grant = grant
	if v == frames.V5 {
		p.userProperty = play.Stamp(nil)
	}
	return p
}

// cutOne is packet as the pumps get it.
func cutOne(tb testing.TB, packet string, v frames.Version) frames.Packet {
	tb.Helper()
	p, ok, err := frames.Cut(play.Unhex(tb, packet), v, 0)
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
	{"up 5.0 stamped with an alias", frames.V5, true, "chat/status/alice", play.Aliased(1)},
	{"up 5.0 forged", frames.V5, true, "chat/status/alice", play.Stamp(nil)},
	{"down 3.1.1 as it came", frames.V311, false, "chat/status/bob", nil},
	{"down 5.0 as it came", frames.V5, false, "chat/status/bob", nil},
	{"down 5.0 with an alias", frames.V5, false, "chat/status/bob", play.Aliased(1)},
	{"down 5.0 with an alias that was not allowed", frames.V5, false, "chat/status/bob", play.Aliased(40)},
}

// step is what a pump does for a read with one packet.
func (p *path) step(up bool, packet frames.Packet) error {
	if up {
		if err := p.up.handle(packet); err != nil {
			return err
		}
		return p.upstream.Flush()
	}
	if err := p.down.handle(packet); err != nil {
		return err
	}
	return p.client.Flush()
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

// Directives for other topics cost a publish nothing that is seen here: what was asked once is remembered.
func TestDirectivesElsewhereDoNotMakeAPublishAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector makes pools lose what is put into them")
	}
	p, packet := newDirectedPath(t, "chat/other")
	if n := testing.AllocsPerRun(1000, func() {
		if err := p.step(true, packet); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations; want none", n)
	}
	if p.up.directed != nil {
		t.Error("a session keeps something for directives that do not concern it")
	}
}

// newDirectedPath makes a session of 3.1.1, and a packet to chat/status/alice; a limit is for filter.
func newDirectedPath(tb testing.TB, filter string) (*path, frames.Packet) {
	tb.Helper()
	p := newPath(tb, frames.V311)
	file := filepath.Join(tb.TempDir(), "rules.acl")
	if err := os.WriteFile(file, []byte("limit "+filter+" max_size=1000 max_qos=1\n"+play.ChatRules), 0o600); err != nil {
		tb.Fatal(err)
	}
	policies, err := store.New(store.Options{PolicyFile: file})
	if err != nil {
		tb.Fatal(err)
	}
	if p.grant, err = policies.Open(tb.Context(), p.principal(), nil); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(p.grant.Close)
	publish := frames.Publish{TopicName: []byte("chat/status/alice"), Payload: make([]byte, 100)}
	return p, cutOne(tb, hex.EncodeToString(publish.Append(nil, frames.V311)), frames.V311)
}

func BenchmarkPublishWithDirectives(b *testing.B) {
	for name, filter := range map[string]string{"elsewhere": "chat/other", "here": "chat/status/+"} {
		b.Run(name, func(b *testing.B) {
			p, packet := newDirectedPath(b, filter)
			b.ReportAllocs()
			for b.Loop() {
				if err := p.step(true, packet); err != nil {
					b.Fatal(err)
				}
			}
		})
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
