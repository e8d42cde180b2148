package gateway

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
	"topicgate/gateway/internal/play"
	"topicgate/policy"
)

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

// stage is what a gateway stands on: a policy, an audit, a listener, brokers. Tests play the client and the broker.
type stage struct {
	t       testing.TB
	listen  *pipeListener
	brokers chan net.Conn // as the gateway dials them
	audited *play.Buffer
	audit   *audit.Log
	policy  *policy.Store
	rules   string // path of the policy file
	running sync.WaitGroup

	owner any // what a test finds its own rig by
}

// newStage makes a stage with chatRules, of which nothing runs yet.
func newStage(t testing.TB) *stage {
	t.Helper()
	r := &stage{t: t, listen: newPipeListener(), brokers: make(chan net.Conn, 16), audited: &play.Buffer{}}
	r.rules = filepath.Join(t.TempDir(), "rules.acl")
	r.writeRules(chatRules)
	store, err := policy.NewStore(policy.StoreOptions{PolicyFile: r.rules})
	if err != nil {
		t.Fatal(err)
	}
	r.policy = store
	r.audit = audit.New(audit.Options{Instance: "test", Sinks: map[string]audit.Sink{"test": audit.NewWriterSink(r.audited)}})
	return r
}

// dialBroker is how the gateway reaches a broker: the test gets the other end from brokers.
func (r *stage) dialBroker(context.Context, string, string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	r.brokers <- theirs
	return ours, nil
}

// run has a gateway serve what dials listen, until the test ends; then finish is called first.
func (r *stage) run(serve func(context.Context, net.Listener) error, finish func()) {
	ctx, stop := context.WithCancel(context.Background())
	r.running.Go(func() { _ = r.policy.Run(ctx) })
	r.running.Go(func() { _ = r.audit.Run(ctx) })
	r.running.Go(func() { _ = serve(ctx, r.listen) })
	r.t.Cleanup(func() {
		finish()
		stop()
		r.running.Wait()
	})
}

func (r *stage) writeRules(rules string) {
	r.t.Helper()
	if err := os.WriteFile(r.rules, []byte(rules), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

// setRules changes the policy of live sessions.
func (r *stage) setRules(rules string) {
	r.t.Helper()
	r.writeRules(rules)
	if err := r.policy.Reload(); err != nil {
		r.t.Fatal(err)
	}
}

// dial opens a WebSocket without saying anything.
func (r *stage) dial(v frames.Version) *conversation {
	r.t.Helper()
	dialer := websocket.Dialer{Subprotocols: []string{"mqtt"}, NetDialContext: func(context.Context, string, string) (net.Conn, error) { return r.listen.dial() }}
	ws, response, err := dialer.Dial("ws://gateway.test/mqtt", nil)
	if err != nil {
		r.t.Fatalf("dial: %v (%v)", err, response)
	}
	r.t.Cleanup(func() { _ = ws.Close() })
	_ = ws.SetReadDeadline(time.Now().Add(patience))
	return &conversation{stage: r, ws: ws, v: v, client: frames.NewReader(&messages{ws: ws}, v, 0)}
}

// connect opens a session as user, whose broker accepts it with the CONNACK that is given in hex.
func (r *stage) connect(v frames.Version, user string) *conversation {
	r.t.Helper()
	connack := "20 02 00 00"
	if v == frames.V5 {
		connack = "20 06 00 00 03 22 00 0a"
	}
	return r.connectWith(frames.Connect{Version: v, CleanStart: true, ClientID: "c1", HasUsername: true, Username: "u", HasPassword: true, Password: []byte(user)}, connack)
}

func (r *stage) connectWith(connect frames.Connect, connack string) *conversation {
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

// connectAs opens a session of user with a Client Identifier.
func (r *stage) connectAs(v frames.Version, user, clientID string) *conversation {
	r.t.Helper()
	connack := "20 02 00 00"
	if v == frames.V5 {
		connack = "20 06 00 00 03 22 00 0a"
	}
	return r.connectWith(frames.Connect{Version: v, CleanStart: true, ClientID: clientID, HasUsername: true, Username: "u", HasPassword: true, Password: []byte(user)}, connack)
}

// connectByAuth opens a session with the Authentication Method OAUTH2-JWT.
func (r *stage) connectByAuth(token string) *conversation {
	r.t.Helper()
	connect := connectOf(frames.V5, "")
	connect.HasPassword, connect.HasUsername, connect.Username = false, false, ""
	connect.Properties = connect.Properties.AppendBytes(frames.PropAuthenticationMethod, []byte("OAUTH2-JWT")).
		AppendBytes(frames.PropAuthenticationData, []byte(token))
	return r.connectWith(connect, "20 03 00 00 00")
}

// subscribed is a client of roomRules that listens to room/#.
func (r *stage) subscribed(v frames.Version) *conversation {
	r.t.Helper()
	c := r.connect(v, "alice")
	c.asks(1, 0, at(2, "room/#"))
	up := c.asked("room/one/#", "room/two/#")
	c.grants(up.PacketID, 2, 2)
	c.granted(1, 2)
	return c
}

// follow changes the policy and waits until the sessions follow it.
func (r *stage) follow(rules string) {
	r.t.Helper()
	r.setRules(rules)
	synctest.Wait()
}

// wantAudited wants audit records with all of words, in a bubble: records of a second are folded.
func (r *stage) wantAudited(words ...string) {
	r.t.Helper()
	pass(2)
	synctest.Wait()
	for _, w := range words {
		if text := r.audited.String(); !strings.Contains(text, w) {
			r.t.Errorf("audit = %s; want %s in it", text, w)
		}
	}
}

// until waits for a condition.
func (r *stage) until(what string, is func() bool) {
	r.t.Helper()
	for begin := time.Now(); !is(); runtime.Gosched() {
		if time.Since(begin) > patience {
			r.t.Fatalf("still not: %s", what)
		}
	}
}

// joinTCP opens a session at a URL.
func (r *stage) joinTCP(at string, broker net.Listener, user string) *conversation {
	r.t.Helper()
	dialer := websocket.Dialer{Subprotocols: []string{"mqtt"}, ReadBufferSize: 256, WriteBufferSize: 256, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	ws, response, err := dialer.Dial(at, nil)
	if err != nil {
		r.t.Fatalf("dial: %v (%v)", err, response)
	}
	r.t.Cleanup(func() { _ = ws.Close() })
	_ = ws.SetReadDeadline(time.Now().Add(patience))
	c := &conversation{stage: r, ws: ws, v: frames.V311, client: frames.NewReader(&messages{ws: ws}, frames.V311, 0)}
	connect := frames.Connect{Version: frames.V311, CleanStart: true, ClientID: "c1", HasUsername: true, Username: "u", HasPassword: true, Password: []byte(user)}
	c.send(connect.Append(nil, frames.V311))
	if c.conn, err = broker.Accept(); err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = c.conn.Close() })
	_ = c.conn.SetDeadline(time.Now().Add(patience))
	c.broker = frames.NewReader(c.conn, frames.V311, 0)
	c.fromGateway(frames.TypeConnect)
	c.reply("20 02 00 00")
	c.expect(frames.TypeConnack)
	return c
}
