package gateway

import (
	"net/url"
	"testing"
	"time"

	"go.uber.org/goleak"

	"topicgate/gateway/edge"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// gate is a gateway on a stage.
type gate struct {
	*stage
	server *Server
}

// newGate makes a gateway with chatRules; change may alter its options.
func newGate(t testing.TB, change func(*Options)) *gate {
	t.Helper()
	r := &gate{stage: newStage(t)}
	options := Options{
		Paths:     []string{"/mqtt"},
		Upstreams: []*url.URL{{Scheme: "tcp", Host: "broker.test:1883"}},
		Dial:      r.dialBroker,
		Settings: Settings{
			TokenSources: []edge.TokenSource{{Kind: edge.TokenPassword}}, UserProperty: "topicgate-user",
			UpstreamUsername: "{username}", SubscribeMode: SubscribeStrict,
			Verifier: names{time.Now()}, Policy: r.policy, Audit: r.audit, Metrics: NewMetrics(),
		},
	}
	if change != nil {
		change(&options)
	}
	var err error
	if r.server, err = New(options); err != nil {
		t.Fatal(err)
	}
	r.run(r.server.Serve, r.server.Close)
	return r
}
