package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// WatchPolicy adds the gauge of how long the oldest change of the policy waits that has not reached every session;
// oldest is a store.Store's OldestChange, asked whenever metrics are.
func (m *Metrics) WatchPolicy(oldest func() time.Duration) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "topicgate_policy_oldest_change_seconds",
		Help: "How long the oldest change of the policy waits that has not reached every session; 0: none does.",
	}, func() float64 { return oldest().Seconds() }))
}
