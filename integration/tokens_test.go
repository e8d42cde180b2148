package integration

import (
	"net/http"
	"testing"
	"time"

	"topicgate/frames"
)

// tokenSource is a way in which a client can send its token.
type tokenSource struct {
	name     string
	setting  string // TOPICGATE_TOKEN_SOURCES
	versions []frames.Version
	put      func(token string, o *dialOptions, c *frames.Connect)
}

var tokenSources = []tokenSource{
	{"password", "password", versions, func(token string, _ *dialOptions, c *frames.Connect) {
		c.HasUsername, c.Username, c.HasPassword, c.Password = true, "anything", true, []byte(token)
	}},
	{"username", "username", versions, func(token string, _ *dialOptions, c *frames.Connect) {
		c.HasUsername, c.Username = true, token
	}},
	{"header", "password,header", versions, func(token string, o *dialOptions, _ *frames.Connect) {
		o.header.Set("Authorization", "Bearer "+token)
	}},
	{"cookie", "cookie:session", versions, func(token string, o *dialOptions, _ *frames.Connect) {
		o.header.Set("Cookie", "other=1; session="+token)
	}},
	{"query", "query:access_token", versions, func(token string, o *dialOptions, _ *frames.Connect) {
		o.path = "/mqtt?access_token=" + token
	}},
	{"OAUTH2-JWT", "password", []frames.Version{frames.V5}, func(token string, _ *dialOptions, c *frames.Connect) {
		c.Properties = c.Properties.AppendBytes(frames.PropAuthenticationMethod, []byte("OAUTH2-JWT"))
		c.Properties = c.Properties.AppendBytes(frames.PropAuthenticationData, []byte(token))
	}},
}

func TestEveryTokenSourceLetsTheRightUserIn(t *testing.T) {
	t.Parallel()
	s := prepareStack(t, openPolicy)
	for _, source := range tokenSources {
		t.Run(source.name, func(t *testing.T) {
			g := startGateway(t, s.settings(settings{"TOKEN_SOURCES": source.setting}))
			for _, v := range source.versions {
				id := "id-" + source.name + "-" + v.String()
				w, connack := g.connectWithToken(t, source, v, id, s.issuer.token(t, "alice"))
				if connack.Reason != frames.Success {
					t.Fatalf("%s: CONNACK %#x; want 0", v, uint8(connack.Reason))
				}
				if source.name == "OAUTH2-JWT" { // [MQTT-4.12.0-5]
					if method, _ := connack.Properties.Bytes(frames.PropAuthenticationMethod); string(method) != "OAUTH2-JWT" {
						t.Errorf("CONNACK has the Authentication Method %q; want OAUTH2-JWT", method)
					}
				}
				w.ping()
				s.broker.stderr.await(t, "New client connected", "as alice:"+id+" ", "u'alice'")
				w.disconnect()

				for what, token := range map[string]string{
					"missing": "",
					"bad":     "rubbish",
					"expired": s.issuer.token(t, "alice", claims{"exp": time.Now().Add(-time.Hour).Unix()}),
				} {
					t.Run(v.String()+" "+what, func(t *testing.T) {
						w, connack := g.connectWithToken(t, source, v, id, token)
						w.refused(connack)
					})
				}
			}
		})
	}
}

// connectWithToken sends a token by its source; an empty one is not sent at all.
func (g *gateway) connectWithToken(t testing.TB, source tokenSource, v frames.Version, clientID, token string) (*wire, frames.Connack) {
	t.Helper()
	o := dialOptions{header: http.Header{"Origin": {"http://" + g.address}}}
	c := newConnect(v, clientID, "")
	if token != "" {
		source.put(token, &o, c)
	}
	w := g.dial(t, clientID, o)
	return w, w.handshake(c)
}

// refused wants the answer to a bad token: a CONNACK that stops clients from trying again, then 4401.
func (w *wire) refused(connack frames.Connack) {
	w.t.Helper()
	want := frames.V3NotAuthorized
	if w.version == frames.V5 {
		want = frames.NotAuthorized
	}
	if connack.Reason != want {
		w.t.Errorf("%s: CONNACK %#x; want %#x", w.name, uint8(connack.Reason), uint8(want))
	}
	w.expectClose(4401)
}

func TestTheFirstTokenSourceThatHoldsAnythingIsTheToken(t *testing.T) {
	t.Parallel()
	s := newStack(t, openPolicy, settings{"TOKEN_SOURCES": "password,header"})
	good, bad := s.issuer.token(t, "alice"), s.issuer.token(t, "alice", claims{"aud": "another"})
	for _, test := range []struct {
		name             string
		password, header string
		letIn            bool
	}{
		{"password alone", good, "", true},
		{"header alone", "", good, true},
		{"both good", good, good, true},
		{"a bad password hides a good header", bad, good, false},
		{"a good password hides a bad header", good, bad, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			o := dialOptions{}
			if test.header != "" {
				o.header = bearer(test.header)
			}
			w, connack := s.connectingBy(t, o, frames.V5, "c", test.password)
			if !test.letIn {
				w.refused(connack)
			} else if connack.Reason != frames.Success {
				t.Errorf("CONNACK %#x; want 0", uint8(connack.Reason))
			}
		})
	}
}

func TestACookieIsATokenOnlyForABrowser(t *testing.T) {
	t.Parallel()
	s := newStack(t, openPolicy, settings{"TOKEN_SOURCES": "cookie:session"})
	o := dialOptions{header: http.Header{"Cookie": {"session=" + s.issuer.token(t, "alice")}}} // without Origin
	ws, response, err := s.upgrade(t, o)
	if err != nil { // the upgrade may say so at once
		if response == nil || response.StatusCode != http.StatusForbidden {
			t.Errorf("a cookie without Origin: %v; want 403 or a refused CONNECT", err)
		}
		return
	}
	w := &wire{t: t, name: "no browser", ws: ws, conn: ws.NetConn()}
	defer ws.Close()
	w.refused(w.handshake(newConnect(frames.V311, "c", "")))
}

// 3.x has no password without a username.
func TestAPasswordWithoutUsernameIsEnoughInFive(t *testing.T) {
	t.Parallel()
	s := newStack(t, openPolicy)
	s.connect(t, frames.V5, "c", s.issuer.token(t, "alice"), func(c *frames.Connect) { c.HasUsername, c.Username = false, "" }).ping()
}

func TestASessionEndsWithItsToken(t *testing.T) {
	t.Parallel()
	s := newStack(t, openPolicy, settings{"OIDC_CLOCK_SKEW": "0s"})
	watcher := s.broker.direct(t, frames.V311, "watcher")
	watcher.subscribed("wills/#")
	for _, v := range versions {
		t.Run(v.String(), func(t *testing.T) {
			token := s.issuer.token(t, "alice", claims{"exp": time.Now().Add(3 * time.Second).Unix()})
			w := s.connect(t, v, "c", token, func(c *frames.Connect) {
				c.Will = &frames.Will{TopicName: "wills/" + v.String(), Payload: []byte("gone")}
			})
			if v == frames.V5 {
				w.expectDisconnect(frames.NotAuthorized)
			}
			w.expectClose(4401)
			watcher.receives("wills/"+v.String(), "gone")
		})
	}
}

func TestAnotherAuthenticationMethodIsRefused(t *testing.T) {
	t.Parallel()
	s := newStack(t, openPolicy)
	for name, token := range map[string]string{"without a token": "", "with a good one": s.issuer.token(t, "alice")} {
		t.Run(name, func(t *testing.T) {
			w, connack := s.connecting(t, frames.V5, "c", token, func(c *frames.Connect) {
				c.Properties = c.Properties.AppendBytes(frames.PropAuthenticationMethod, []byte("SCRAM-SHA-1"))
			})
			if connack.Reason != frames.BadAuthenticationMethod { // section 4.12
				t.Errorf("CONNACK %#x; want %#x", uint8(connack.Reason), uint8(frames.BadAuthenticationMethod))
			}
			w.expectClose(4401)
		})
	}
}

func TestTheSchemeOfTheHeaderIsReadWithoutCase(t *testing.T) {
	t.Parallel()
	s := newStack(t, openPolicy)
	for _, scheme := range []string{"Bearer", "bearer", "BEARER"} { // RFC 9110 section 11.1
		o := dialOptions{header: http.Header{"Authorization": {scheme + " " + s.issuer.token(t, "alice")}}}
		if _, connack := s.connectingBy(t, o, frames.V311, "c", ""); connack.Reason != frames.Success {
			t.Errorf("%s: CONNACK %#x; want 0", scheme, uint8(connack.Reason))
		}
	}
}
