package play

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"topicgate/auth"
	"topicgate/frames"
	"topicgate/gateway/audit"
	"topicgate/policy/store"
)

// ChatRules is the policy of most tests.
const ChatRules = `
pattern write chat/status/%u
pattern read  chat/status/+
pattern read  chat/messages/%u/+
pattern write chat/messages/+/%u
pattern deny  chat/+/secret
user admin
topic read chat/messages/+/+
topic readwrite $SYS/admin
`

// Names verifies tokens of the form NAME or NAME@LIFETIME.
type Names struct{ Begin time.Time }

func (n Names) Verify(_ context.Context, token string) (auth.Identity, error) {
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
		identity.Expiry = n.Begin.Add(d)
	}
	return identity, nil
}

// Stage is what a gateway stands on: a policy, an audit, a listener, brokers. Tests play the client and the broker.
type Stage struct {
	T       testing.TB
	Listen  *pipeListener
	Brokers chan net.Conn // as the gateway dials them
	Audited *Buffer
	Audit   *audit.Log
	Policy  *store.Store
	rules   string // path of the policy file
	running sync.WaitGroup

	Owner any // what a test finds its own rig by
}

// NewStage makes a stage with ChatRules, of which nothing runs yet.
func NewStage(t testing.TB) *Stage {
	t.Helper()
	r := &Stage{T: t, Listen: newPipeListener(), Brokers: make(chan net.Conn, 16), Audited: &Buffer{}}
	r.rules = filepath.Join(t.TempDir(), "rules.acl")
	r.writeRules(ChatRules)
	policies, err := store.New(store.Options{PolicyFile: r.rules})
	if err != nil {
		t.Fatal(err)
	}
	r.Policy = policies
	r.Audit = audit.New(audit.Options{Instance: "test", Sinks: map[string]audit.Sink{"test": audit.NewWriterSink(r.Audited)}})
	return r
}

// DialBroker is how the gateway reaches a broker: the test gets the other end from brokers.
func (r *Stage) DialBroker(context.Context, string, string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	r.Brokers <- theirs
	return ours, nil
}

// Run has a gateway serve what dials listen, until the test ends; then finish is called first.
func (r *Stage) Run(serve func(context.Context, net.Listener) error, finish func()) {
	ctx, stop := context.WithCancel(context.Background())
	r.running.Go(func() { _ = r.Policy.Run(ctx) })
	r.running.Go(func() { _ = r.Audit.Run(ctx) })
	r.running.Go(func() { _ = serve(ctx, r.Listen) })
	r.T.Cleanup(func() {
		finish()
		stop()
		r.running.Wait()
	})
}

func (r *Stage) writeRules(rules string) {
	r.T.Helper()
	if err := os.WriteFile(r.rules, []byte(rules), 0o600); err != nil {
		r.T.Fatal(err)
	}
}

// SetRules changes the policy of live sessions.
func (r *Stage) SetRules(rules string) {
	r.T.Helper()
	r.writeRules(rules)
	if err := r.Policy.Reload(); err != nil {
		r.T.Fatal(err)
	}
}

// Dial opens a WebSocket without saying anything.
func (r *Stage) Dial(v frames.Version) *Conversation {
	r.T.Helper()
	dialer := websocket.Dialer{Subprotocols: []string{"mqtt"}, NetDialContext: func(context.Context, string, string) (net.Conn, error) { return r.Listen.Dial() }}
	ws, response, err := dialer.Dial("ws://gateway.test/mqtt", nil)
	if err != nil {
		r.T.Fatalf("dial: %v (%v)", err, response)
	}
	r.T.Cleanup(func() { _ = ws.Close() })
	_ = ws.SetReadDeadline(time.Now().Add(Patience))
	return &Conversation{Stage: r, WS: ws, V: v, Client: frames.NewReader(&Messages{WS: ws}, v, 0)}
}

// Connect opens a session as user, whose broker accepts it with the CONNACK that is given in hex.
func (r *Stage) Connect(v frames.Version, user string) *Conversation {
	r.T.Helper()
	connack := "20 02 00 00"
	if v == frames.V5 {
		connack = "20 06 00 00 03 22 00 0a"
	}
	return r.ConnectWith(frames.Connect{Version: v, CleanStart: true, ClientID: "c1", HasUsername: true, Username: "u", HasPassword: true, Password: []byte(user)}, connack)
}

func (r *Stage) ConnectWith(connect frames.Connect, connack string) *Conversation {
	r.T.Helper()
	c := r.Dial(connect.Version)
	c.Send(connect.Append(nil, connect.Version))
	c.Accept()
	p := c.FromGateway(frames.TypeConnect)
	if _, err := frames.ParseConnect(p); err != nil {
		r.T.Fatalf("the broker got a CONNECT that is none: %v", err)
	}
	c.Reply(connack)
	c.Expect(frames.TypeConnack)
	return c
}

// ConnectAs opens a session of user with a Client Identifier.
func (r *Stage) ConnectAs(v frames.Version, user, clientID string) *Conversation {
	r.T.Helper()
	connack := "20 02 00 00"
	if v == frames.V5 {
		connack = "20 06 00 00 03 22 00 0a"
	}
	return r.ConnectWith(frames.Connect{Version: v, CleanStart: true, ClientID: clientID, HasUsername: true, Username: "u", HasPassword: true, Password: []byte(user)}, connack)
}

// ConnectByAuth opens a session with the Authentication Method OAUTH2-JWT.
func (r *Stage) ConnectByAuth(token string) *Conversation {
	r.T.Helper()
	connect := ConnectOf(frames.V5, "")
	connect.HasPassword, connect.HasUsername, connect.Username = false, false, ""
	connect.Properties = connect.Properties.AppendBytes(frames.PropAuthenticationMethod, []byte("OAUTH2-JWT")).
		AppendBytes(frames.PropAuthenticationData, []byte(token))
	return r.ConnectWith(connect, "20 03 00 00 00")
}

// Subscribed is a client of roomRules that listens to room/#.
func (r *Stage) Subscribed(v frames.Version) *Conversation {
	r.T.Helper()
	c := r.Connect(v, "alice")
	c.Asks(1, 0, At(2, "room/#"))
	up := c.Asked("room/one/#", "room/two/#")
	c.Grants(up.PacketID, 2, 2)
	c.Granted(1, 2)
	return c
}

// Follow changes the policy and waits until the sessions follow it.
func (r *Stage) Follow(rules string) {
	r.T.Helper()
	r.SetRules(rules)
	synctest.Wait()
}

// WantAudited wants audit records with all of words, in a bubble: records of a second are folded.
func (r *Stage) WantAudited(words ...string) {
	r.T.Helper()
	Pass(2)
	synctest.Wait()
	for _, w := range words {
		if text := r.Audited.String(); !strings.Contains(text, w) {
			r.T.Errorf("audit = %s; want %s in it", text, w)
		}
	}
}

// Until waits for a condition.
func (r *Stage) Until(what string, is func() bool) {
	r.T.Helper()
	for begin := time.Now(); !is(); runtime.Gosched() {
		if time.Since(begin) > Patience {
			r.T.Fatalf("still not: %s", what)
		}
	}
}

// JoinTCP opens a session at a URL.
func (r *Stage) JoinTCP(at string, broker net.Listener, user string) *Conversation {
	r.T.Helper()
	dialer := websocket.Dialer{Subprotocols: []string{"mqtt"}, ReadBufferSize: 256, WriteBufferSize: 256, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	ws, response, err := dialer.Dial(at, nil)
	if err != nil {
		r.T.Fatalf("dial: %v (%v)", err, response)
	}
	r.T.Cleanup(func() { _ = ws.Close() })
	_ = ws.SetReadDeadline(time.Now().Add(Patience))
	c := &Conversation{Stage: r, WS: ws, V: frames.V311, Client: frames.NewReader(&Messages{WS: ws}, frames.V311, 0)}
	connect := frames.Connect{Version: frames.V311, CleanStart: true, ClientID: "c1", HasUsername: true, Username: "u", HasPassword: true, Password: []byte(user)}
	c.Send(connect.Append(nil, frames.V311))
	if c.Conn, err = broker.Accept(); err != nil {
		r.T.Fatal(err)
	}
	r.T.Cleanup(func() { _ = c.Conn.Close() })
	_ = c.Conn.SetDeadline(time.Now().Add(Patience))
	c.Broker = frames.NewReader(c.Conn, frames.V311, 0)
	c.FromGateway(frames.TypeConnect)
	c.Reply("20 02 00 00")
	c.Expect(frames.TypeConnack)
	return c
}
