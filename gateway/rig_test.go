package gateway

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"go.uber.org/goleak"

	"topicgate/auth"
	"topicgate/frames"
	"topicgate/gateway/audit"
	"topicgate/policy/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// chatRules is the policy of most tests.
const chatRules = `
pattern write chat/status/%u
pattern read  chat/status/+
pattern read  chat/messages/%u/+
pattern write chat/messages/+/%u
pattern deny  chat/+/secret
user admin
topic read chat/messages/+/+
topic readwrite $SYS/admin
`

// names verifies tokens of the form NAME or NAME@LIFETIME.
type names struct{ begin time.Time }

func (n names) Verify(_ context.Context, token string) (auth.Identity, error) {
	name, lifetime, limited := strings.Cut(token, "@")
	switch name {
	case "bad":
		return auth.Identity{}, &auth.Refused{Reason: auth.ReasonExpired}
	case "unknown":
		return auth.Identity{}, &auth.Undecided{Reason: auth.ReasonIssuerDown, Err: errors.New("no route")}
	}
	identity := auth.Identity{Issuer: "https://issuer.example", Subject: name, Username: name}
	if limited {
		d, err := time.ParseDuration(lifetime)
		if err != nil {
			return auth.Identity{}, err
		}
		identity.Expiry = n.begin.Add(d)
	}
	return identity, nil
}

// rig is a gateway between pipes: tests play the client and the broker.
type rig struct {
	t       testing.TB
	server  *Server
	listen  *pipeListener
	brokers chan net.Conn // as the gateway dials them
	audited *syncBuffer
	policy  *store.Store
	rules   string // path of the policy file
}

// newRig makes a gateway with chatRules; change may alter its options.
func newRig(t testing.TB, change func(*Options)) *rig {
	t.Helper()
	r := &rig{t: t, listen: newPipeListener(), brokers: make(chan net.Conn, 16), audited: &syncBuffer{}}
	r.rules = filepath.Join(t.TempDir(), "rules.acl")
	r.writeRules(chatRules)
	policies, err := store.New(store.Options{PolicyFile: r.rules})
	if err != nil {
		t.Fatal(err)
	}
	r.policy = policies
	ctx, stop := context.WithCancel(context.Background())
	log := audit.New(audit.Options{Instance: "test", Sinks: map[string]audit.Sink{"test": audit.NewWriterSink(r.audited)}})
	upstream, _ := url.Parse("tcp://broker.test:1883")
	options := Options{
		Paths: []string{"/mqtt"}, TokenSources: []TokenSource{{Kind: TokenPassword}}, UserProperty: "topicgate-user",
		Upstreams: []*url.URL{upstream}, UpstreamUsername: "{username}", SubscribeMode: SubscribeStrict,
		Verifier: names{time.Now()}, Policy: policies, Audit: log, Metrics: NewMetrics(EndReasons(), RejectReasons(), auth.Results()),
		Dial: func(context.Context, string, string) (net.Conn, error) {
			ours, theirs := net.Pipe()
			r.brokers <- theirs
			return ours, nil
		},
	}
	if change != nil {
		change(&options)
	}
	r.server, err = New(options)
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() { _ = policies.Run(ctx) })
	running.Go(func() { _ = log.Run(ctx) })
	running.Go(func() { _ = r.server.Serve(ctx, r.listen) })
	t.Cleanup(func() {
		r.server.Close()
		stop()
		running.Wait()
	})
	return r
}

func (r *rig) writeRules(rules string) {
	r.t.Helper()
	if err := os.WriteFile(r.rules, []byte(rules), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

// setRules changes the policy of live sessions.
func (r *rig) setRules(rules string) {
	r.t.Helper()
	r.writeRules(rules)
	if err := r.policy.Reload(); err != nil {
		r.t.Fatal(err)
	}
}

// conversation is a client and the broker behind the gateway, played by the test.
type conversation struct {
	*rig
	ws     *websocket.Conn
	client *frames.Reader
	conn   net.Conn
	broker *frames.Reader
	v      frames.Version
}

const patience = 10 * time.Second

// dial opens a WebSocket without saying anything.
func (r *rig) dial(v frames.Version) *conversation {
	r.t.Helper()
	dialer := websocket.Dialer{Subprotocols: []string{"mqtt"}, NetDialContext: func(context.Context, string, string) (net.Conn, error) { return r.listen.dial() }}
	ws, response, err := dialer.Dial("ws://gateway.test/mqtt", nil)
	if err != nil {
		r.t.Fatalf("dial: %v (%v)", err, response)
	}
	r.t.Cleanup(func() { _ = ws.Close() })
	_ = ws.SetReadDeadline(time.Now().Add(patience))
	return &conversation{rig: r, ws: ws, v: v, client: frames.NewReader(&messages{ws: ws}, v, 0)}
}

// connect opens a session as user, whose broker accepts it with the CONNACK that is given in hex.
func (r *rig) connect(v frames.Version, user string) *conversation {
	r.t.Helper()
	connack := "20 02 00 00"
	if v == frames.V5 {
		connack = "20 06 00 00 03 22 00 0a"
	}
	return r.connectWith(frames.Connect{Version: v, CleanStart: true, ClientID: "c1", HasUsername: true, Username: "u", HasPassword: true, Password: []byte(user)}, connack)
}

func (r *rig) connectWith(connect frames.Connect, connack string) *conversation {
	r.t.Helper()
	c := r.dial(connect.Version)
	c.send(connect.Append(nil, connect.Version))
	c.accept()
	p := c.fromGateway(frames.TypeConnect)
	if _, err := frames.ParseConnect(p); err != nil {
		r.t.Fatalf("the broker got a CONNECT that is none: %v", err)
	}
	c.reply(connack)
	c.expect(frames.TypeConnack)
	return c
}

// accept takes the gateway's connection to the broker.
func (c *conversation) accept() {
	c.t.Helper()
	select {
	case c.conn = <-c.brokers:
	case <-time.After(patience):
		c.t.Fatal("the gateway dialed no broker")
	}
	c.t.Cleanup(func() { _ = c.conn.Close() })
	_ = c.conn.SetDeadline(time.Now().Add(patience))
	c.broker = frames.NewReader(c.conn, c.v, 0)
}

// send writes bytes as one WebSocket message.
func (c *conversation) send(b []byte) {
	c.t.Helper()
	if err := c.ws.WriteMessage(websocket.BinaryMessage, b); err != nil {
		c.t.Fatalf("send: %v", err)
	}
}

// say is send for hex.
func (c *conversation) say(s string) { c.t.Helper(); c.send(unhex(c.t, s)) }

// reply writes hex as the broker.
func (c *conversation) reply(s string) {
	c.t.Helper()
	if _, err := c.conn.Write(unhex(c.t, s)); err != nil {
		c.t.Fatalf("reply: %v", err)
	}
}

// expect reads the client's next packet, which must be of type t.
func (c *conversation) expect(t frames.Type) frames.Packet {
	c.t.Helper()
	p, err := c.client.ReadPacket()
	if err != nil {
		c.t.Fatalf("client waits for %s: %v", t, err)
	}
	if p.Type() != t {
		c.t.Fatalf("client got %s (% x); want %s", p.Type(), p.Raw, t)
	}
	return p
}

// hears wants hex as the client's next packet.
func (c *conversation) hears(s string) {
	c.t.Helper()
	want := unhex(c.t, s)
	p, err := c.client.ReadPacket()
	if err != nil {
		c.t.Fatalf("client waits for % x: %v", want, err)
	}
	if !bytes.Equal(p.Raw, want) {
		c.t.Fatalf("client got % x; want % x", p.Raw, want)
	}
}

// fromGateway reads the broker's next packet, which must be of type t.
func (c *conversation) fromGateway(t frames.Type) frames.Packet {
	c.t.Helper()
	p, err := c.broker.ReadPacket()
	if err != nil {
		c.t.Fatalf("broker waits for %s: %v", t, err)
	}
	if p.Type() != t {
		c.t.Fatalf("broker got %s (% x); want %s", p.Type(), p.Raw, t)
	}
	return p
}

// passes wants hex as the broker's next packet.
func (c *conversation) passes(s string) {
	c.t.Helper()
	want := unhex(c.t, s)
	p, err := c.broker.ReadPacket()
	if err != nil {
		c.t.Fatalf("broker waits for % x: %v", want, err)
	}
	if !bytes.Equal(p.Raw, want) {
		c.t.Fatalf("broker got % x; want % x", p.Raw, want)
	}
}

// closes wants the WebSocket to be closed with status, and no packet before.
func (c *conversation) closes(status int) {
	c.t.Helper()
	p, err := c.client.ReadPacket()
	var closed *websocket.CloseError
	switch {
	case err == nil:
		c.t.Fatalf("client got %s (% x); want close %d", p.Type(), p.Raw, status)
	case !errors.As(err, &closed) || closed.Code != status:
		c.t.Fatalf("client read ended with %v; want close %d", err, status)
	}
}

// publish is a PUBLISH of the given version in hex.
func publishHex(v frames.Version, topic string, qos frames.QoS, id uint16, payload string) string {
	p := frames.Publish{QoS: qos, TopicName: []byte(topic), PacketID: id, Payload: []byte(payload)}
	return hex.EncodeToString(p.Append(nil, v))
}

// stampedHex is the same with the user's name on it.
func stampedHex(topic string, qos frames.QoS, id uint16, payload, user string) string {
	p := frames.Publish{QoS: qos, TopicName: []byte(topic), PacketID: id, Payload: []byte(payload)}
	p.Properties = p.Properties.AppendPair(frames.PropUserProperty, []byte("topicgate-user"), []byte(user))
	return hex.EncodeToString(p.Append(nil, frames.V5))
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// messages is the stream of a WebSocket's binary messages.
type messages struct {
	ws *websocket.Conn
	r  io.Reader
}

func (m *messages) Read(p []byte) (int, error) {
	for {
		if m.r == nil {
			_, r, err := m.ws.NextReader()
			if err != nil {
				return 0, err
			}
			m.r = r
		}
		n, err := m.r.Read(p)
		if err == io.EOF {
			m.r = nil
			if n == 0 {
				continue
			}
			err = nil
		}
		return n, err
	}
}

// pipeListener is a listener whose connections are pipes.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newPipeListener() *pipeListener {
	return &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
}

func (l *pipeListener) dial() (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case l.conns <- theirs:
		return ours, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error   { l.once.Do(func() { close(l.closed) }); return nil }
func (l *pipeListener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8083} }

// syncBuffer is a buffer for one writer and another reader.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
