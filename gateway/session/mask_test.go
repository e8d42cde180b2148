package session

import (
	"encoding/base64"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"topicgate/frames"
	"topicgate/gateway/internal/play"
)

// aToken is of the form of one. The rig's verifier takes it, as it takes any name.
var aToken = base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"ES256"}`)) + ".cGF5bG9hZA.c2lnbmF0dXJl"

const anOpaqueToken = "5f0c2a7d9e1b4c3f8a6d2e7b9c1f0a3d"

func TestATokenInTheClientIdentifierIsRefusedAndNeverTold(t *testing.T) {
	for _, v := range []frames.Version{frames.V31, frames.V311, frames.V5} {
		synctest.Test(t, func(t *testing.T) {
			log := &play.Buffer{}
			r := newRig(t, func(o *rigOptions) {
				o.Logger = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
				o.AuditAllowed = true
			})
			for _, c := range []struct{ password, id string }{
				{"alice", aToken}, {"alice", "web-" + aToken + "-1"}, {aToken, aToken}, {"bad", aToken},
				{anOpaqueToken, anOpaqueToken}, {anOpaqueToken, "web-" + anOpaqueToken + "-1"},
			} {
				connect := play.ConnectOf(v, c.password)
				connect.ClientID = c.id
				r.Dial(v).Opens(connect).WantRefused(2, 0x85, 1008)
			}
			// Short passwords stand in identifiers by chance; another's opaque token nobody can know.
			for _, c := range []struct{ password, id string }{{"alice", "alice-1"}, {"alice", anOpaqueToken}} {
				connect := play.ConnectOf(v, c.password)
				connect.ClientID = c.id
				r.ConnectWith(connect, play.AcceptedBy(v))
			}
			r.WantAudited(`"client_id":"[token]"`, `"client_id":"web-[token]-1"`, `"reason":"client_id"`)
			if !strings.Contains(log.String(), "token in the Client Identifier") {
				t.Errorf("the log does not say why: %s", log)
			}
			for what, text := range map[string]string{"audit": r.Audited.String(), "log": log.String()} {
				for _, secret := range []string{aToken, aToken[:20]} {
					if strings.Contains(text, secret) {
						t.Errorf("the %s tells the token: %s", what, text)
					}
				}
			}
		})
	}
}

func TestATokenInATopicIsMaskedInTheAudit(t *testing.T) {
	for _, v := range []frames.Version{frames.V31, frames.V311, frames.V5} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, func(o *rigOptions) { o.AuditAllowed = true })
			c := r.Connect(v, "alice")
			topic := "nobody/" + aToken + "/x"
			c.Say(play.PublishHex(v, topic, 1, 1, "x"))
			c.Expect(frames.TypePuback)
			subscribe := frames.Subscribe{PacketID: 2, Filters: []frames.Subscription{{TopicFilter: topic}}}
			c.Send(subscribe.Append(nil, v))
			c.Expect(frames.TypeSuback)
			connect := play.ConnectOf(v, "bob")
			connect.Will = &frames.Will{TopicName: topic}
			r.Dial(v).Opens(connect).WantRefused(5, 0x87, 4403)
			r.WantAudited(`"action":"publish","topic":"nobody/[token]/x"`, `"action":"subscribe","topic":"nobody/[token]/x"`, `"action":"will","topic":"nobody/[token]/x"`)
			if strings.Contains(r.Audited.String(), aToken[:20]) {
				t.Errorf("the audit tells the token: %s", r.Audited)
			}
		})
	}
}

func TestATokenInAUserPropertyOfCONNECTDoesNotGoUpstream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		connect := play.ConnectOf(frames.V5, "alice")
		for _, pair := range [][2]string{{"app", "web"}, {"authorization", "Bearer " + aToken}, {aToken, "token"}, {"last", "one"}} {
			connect.Properties = connect.Properties.AppendPair(frames.PropUserProperty, []byte(pair[0]), []byte(pair[1]))
		}
		c := newRig(t, nil).Dial(frames.V5).Opens(connect)
		c.Accept()
		up, err := frames.ParseConnect(c.FromGateway(frames.TypeConnect))
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for p := range up.Properties.All() {
			if p.ID == frames.PropUserProperty {
				name, _ := p.Pair()
				names = append(names, string(name))
			}
		}
		if !slices.Equal(names, []string{"app", "last"}) {
			t.Errorf("User Properties upstream = %q; want app and last", names)
		}
	})
}
