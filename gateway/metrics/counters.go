package metrics

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
)

// counters are the resolved children of a counter with one label, by its value.
type counters map[string]prometheus.Counter

// add counts n of value; a value that is in no list counts as "other".
func (c counters) add(value string, n float64) {
	counter, ok := c[value]
	if !ok {
		counter = c[otherLabel]
	}
	counter.Add(n)
}

// resolve makes vec's children for all values and for otherLabel, at 0.
func resolve(vec *prometheus.CounterVec, values []string) counters {
	c := make(counters, len(values)+1)
	for _, value := range values {
		c[value] = vec.WithLabelValues(value)
	}
	c[otherLabel] = vec.WithLabelValues(otherLabel)
	return c
}

func newCounters(r prometheus.Registerer, name, help, label string, values []string) counters {
	vec := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{label})
	r.MustRegister(vec)
	return resolve(vec, values)
}

func newCounter(r prometheus.Registerer, name, help string) prometheus.Counter {
	c := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	r.MustRegister(c)
	return c
}

func newGauge(r prometheus.Registerer, name, help string) prometheus.Gauge {
	g := prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	r.MustRegister(g)
	return g
}

func newGauges(r prometheus.Registerer, name, help, label string, values []string) map[string]prometheus.Gauge {
	vec := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, []string{label})
	r.MustRegister(vec)
	gauges := make(map[string]prometheus.Gauge, len(values))
	for _, value := range values {
		gauges[value] = vec.WithLabelValues(value)
	}
	return gauges
}

// newHistogram has buckets from a signature checked with a cached key (tens of microseconds) to
// an issuer that answers at the last moment.
func newHistogram(r prometheus.Registerer, name, help string) prometheus.Histogram {
	h := prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: name, Help: help,
		Buckets: []float64{50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 5e-3, 25e-3, 0.1, 0.5, 1, 5, 10},
	})
	r.MustRegister(h)
	return h
}

func statusNames() []string {
	names := make([]string, len(refusedStatuses))
	for i, status := range refusedStatuses {
		names[i] = strconv.Itoa(status)
	}
	return names
}
