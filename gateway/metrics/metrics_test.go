package metrics

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"topicgate/gateway/wire"
	"topicgate/policy/store"
)

func newTestMetrics() *Metrics {
	return New(Labels{Ends: []string{"client_disconnect", "token_expired"}, Rejections: []string{"not_authorized", "quota"},
		Tokens: []string{"ok", "expired"}, Connects: []string{"success", "timeout"}})
}

// metricSeries gives the values of all series of the gateway's own, by name and labels as exported.
func metricSeries(t *testing.T, m *Metrics) map[string]float64 {
	t.Helper()
	families, err := m.registry.Gather()
	if err != nil {
		t.Fatalf("Gather() = %v", err)
	}
	values := make(map[string]float64)
	for _, family := range families {
		if !strings.HasPrefix(family.GetName(), "topicgate_") {
			continue
		}
		for _, metric := range family.GetMetric() {
			var labels []string
			for _, label := range metric.GetLabel() {
				labels = append(labels, label.GetName()+"="+label.GetValue())
			}
			slices.Sort(labels)
			value := metric.GetCounter().GetValue() + metric.GetGauge().GetValue() + float64(metric.GetHistogram().GetSampleCount())
			values[family.GetName()+"{"+strings.Join(labels, ",")+"}"] = value
		}
	}
	return values
}

func TestMetricsFollowPrometheusConventions(t *testing.T) {
	problems, err := testutil.GatherAndLint(newTestMetrics().registry)
	if err != nil {
		t.Fatalf("GatherAndLint() = %v", err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "topicgate_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
}

func TestEveryLabelValueExistsFromTheStartAtZero(t *testing.T) {
	got := metricSeries(t, newTestMetrics())
	for name, value := range got {
		if value != 0 {
			t.Errorf("%s = %v before anything happened; want 0", name, value)
		}
	}
	want := map[string]int{ // how many series
		"topicgate_sessions":                            3,
		"topicgate_sessions_ended_total":                2 + 1,
		"topicgate_packets_total":                       2 * 15,
		"topicgate_bytes_total":                         2,
		"topicgate_malformed_packets_total":             2,
		"topicgate_rejections_total":                    (5 + 1) * (2 + 1),
		"topicgate_http_refusals_total":                 9 + 1,
		"topicgate_token_verifications_total":           2 + 1,
		"topicgate_token_verification_duration_seconds": 1,
		"topicgate_upstream_connects_total":             2 + 1,
		"topicgate_policy_loads_total":                  2 + 1,
		"topicgate_policy_reads_total":                  2 + 1,
		"topicgate_policy_read_duration_seconds":        1,
		"topicgate_policy_stale":                        1,
		"topicgate_policy_last_load_timestamp_seconds":  1,
		"topicgate_policy_resets_total":                 len(store.ResetReasons) + 1,
		"topicgate_audit_dropped_total":                 1,
		"topicgate_conflated_total":                     1,
		"topicgate_sleepers_evicted_total":              3,
		"topicgate_wills_called_off_total":              3,
		"topicgate_connections":                         1,
		"topicgate_connections_turned_away_total":       1,
		"topicgate_connects_held":                       1,
	}
	count := make(map[string]int)
	for name := range got {
		count[name[:strings.IndexByte(name, '{')]]++
	}
	if !maps.Equal(count, want) {
		t.Errorf("series by name = %v; want %v", count, want)
	}
}

func TestMetricsCountWhatHappened(t *testing.T) {
	m := newTestMetrics()
	m.SessionStarted("5.0")
	m.SessionStarted("3.1.1")
	m.SessionEnded("3.1.1", "token_expired")
	m.Rejected("publish", "not_authorized")
	m.Rejected("publish", "not_authorized")
	m.Rejected("no such operation", "quota")
	m.Rejected("will", "no such reason")
	m.TokenVerified("expired", time.Millisecond)
	m.BrokerTried("timeout")
	m.PolicyEvent(store.Event{Kind: store.EventPolicy, OK: true, Time: time.UnixMilli(1_700_000_000_500)})
	m.PolicyEvent(store.Event{Kind: store.EventPolicy, Time: time.UnixMilli(1_800_000_000_000)})
	m.PolicyEvent(store.Event{Kind: store.EventRead, OK: true, Duration: time.Millisecond})
	m.PolicyEvent(store.Event{Kind: store.EventRead, Duration: time.Second})
	m.PolicyEvent(store.Event{Kind: store.EventReset, OK: true, Reason: store.ResetDeaf})
	m.PolicyEvent(store.Event{Kind: store.EventAway})
	m.AuditDropped("redis", 7)
	m.HTTPRefused(426)
	m.HTTPRefused(418)
	m.MalformedPacket(wire.Down)

	want := map[string]float64{
		"topicgate_sessions{version=5.0}":                                     1,
		"topicgate_sessions_ended_total{reason=token_expired}":                1,
		"topicgate_rejections_total{operation=publish,reason=not_authorized}": 2,
		"topicgate_rejections_total{operation=other,reason=quota}":            1,
		"topicgate_rejections_total{operation=will,reason=other}":             1,
		"topicgate_token_verifications_total{result=expired}":                 1,
		"topicgate_token_verification_duration_seconds{}":                     1,
		"topicgate_upstream_connects_total{result=timeout}":                   1,
		"topicgate_policy_loads_total{result=success}":                        1,
		"topicgate_policy_loads_total{result=invalid}":                        1,
		"topicgate_policy_last_load_timestamp_seconds{}":                      1_700_000_000.5,
		"topicgate_policy_resets_total{reason=deaf}":                          1,
		"topicgate_policy_reads_total{result=success}":                        1,
		"topicgate_policy_reads_total{result=failed}":                         1,
		"topicgate_policy_read_duration_seconds{}":                            2,
		"topicgate_policy_stale{}":                                            1,
		"topicgate_audit_dropped_total{}":                                     7,
		"topicgate_http_refusals_total{status=426}":                           1,
		"topicgate_http_refusals_total{status=other}":                         1,
		"topicgate_malformed_packets_total{direction=down}":                   1,
	}
	got := metricSeries(t, m)
	maps.DeleteFunc(got, func(_ string, value float64) bool { return value == 0 })
	if !maps.Equal(got, want) {
		t.Errorf("series that are not 0 = %v; want %v", got, want)
	}
	m.PolicyEvent(store.Event{Kind: store.EventAway, OK: true})
	if got := metricSeries(t, m)["topicgate_policy_stale{}"]; got != 0 {
		t.Errorf("topicgate_policy_stale = %v when Redis is back; want 0", got)
	}
}

func TestPacketCountsStartAgainAfterFlush(t *testing.T) {
	m := newTestMetrics()
	var c PacketCounts
	c.Add(3, 100)
	c.Add(3, 20)
	c.Add(12, 2)
	c.Flush(m, wire.Up)
	c.Flush(m, wire.Up) // nothing is left to add
	c.Add(3, 5)
	c.Flush(m, wire.Down)

	want := map[string]float64{
		"topicgate_packets_total{direction=up,packet=publish}":   2,
		"topicgate_packets_total{direction=up,packet=pingreq}":   1,
		"topicgate_bytes_total{direction=up}":                    122,
		"topicgate_packets_total{direction=down,packet=publish}": 1,
		"topicgate_bytes_total{direction=down}":                  5,
	}
	got := metricSeries(t, m)
	maps.DeleteFunc(got, func(_ string, value float64) bool { return value == 0 })
	if !maps.Equal(got, want) {
		t.Errorf("series that are not 0 = %v; want %v", got, want)
	}
}

func TestCountingAllocatesNothing(t *testing.T) {
	m := newTestMetrics()
	var c PacketCounts
	allocs := testing.AllocsPerRun(100, func() {
		c.Add(3, 100)
		c.Flush(m, wire.Up)
		m.Rejected("publish", "quota")
	})
	if allocs != 0 {
		t.Errorf("add, flush and rejected allocate %v times; want 0", allocs)
	}
}

func BenchmarkPacketCounts(b *testing.B) {
	m := newTestMetrics()
	b.Run("add", func(b *testing.B) {
		b.ReportAllocs()
		var c PacketCounts
		for b.Loop() {
			c.Add(3, 100)
		}
	})
	b.Run("flush of 2 packet types", func(b *testing.B) {
		b.ReportAllocs()
		var c PacketCounts
		for b.Loop() {
			c.Add(3, 100)
			c.Add(4, 4)
			c.Flush(m, wire.Up)
		}
	})
	b.Run("rejected", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			m.Rejected("publish", "quota")
		}
	})
}
