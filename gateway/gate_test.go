package gateway

import (
	"net/url"
	"testing"
	"time"

	"go.uber.org/goleak"

	"topicgate/gateway/edge"
	"topicgate/gateway/internal/play"
	"topicgate/gateway/session"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// gate is a gateway on a stage.
type gate struct {
	*play.Stage
	server *Server
}

// newGate makes a gateway with ChatRules; change may alter its options.
func newGate(t testing.TB, change func(*Options)) *gate {
	t.Helper()
	r := &gate{Stage: play.NewStage(t)}
	options := Options{
		Paths:     []string{"/mqtt"},
		Upstreams: []*url.URL{{Scheme: "tcp", Host: "broker.test:1883"}},
		Dial:      r.DialBroker,
		Settings: session.Settings{
			TokenSources: []edge.TokenSource{{Kind: edge.TokenPassword}}, UserProperty: "topicgate-user",
			UpstreamUsername: "{username}", SubscribeMode: session.SubscribeStrict,
			Verifier: play.Names{Begin: time.Now()}, Policy: r.Policy, Audit: r.Audit, Metrics: NewMetrics(),
		},
	}
	if change != nil {
		change(&options)
	}
	var err error
	if r.server, err = New(options); err != nil {
		t.Fatal(err)
	}
	r.Run(r.server.Serve, r.server.Close)
	return r
}
