package metrics

import (
	"testing"
	"time"
)

func TestMetricsTellHowLongAChangeWaits(t *testing.T) {
	m := newTestMetrics()
	waits := 1500 * time.Millisecond
	m.WatchPolicy(func() time.Duration { return waits })
	const name = "topicgate_policy_oldest_change_seconds{}"
	if got := metricSeries(t, m)[name]; got != 1.5 {
		t.Errorf("%s = %v; want 1.5", name, got)
	}
	waits = 0
	if got, ok := metricSeries(t, m)[name]; got != 0 || !ok {
		t.Errorf("%s = %v, %v; want 0, true", name, got, ok)
	}
}
