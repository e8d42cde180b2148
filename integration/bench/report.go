//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
)

// row is one promise: what it says, and what was measured.
type row struct {
	title     string
	must, aim float64
	atLeast   bool   // more is better
	format    string // of the values
	measured  func(*book) float64
}

// rows are the targets of the gateway, most of them as multiples of what the plain pipe takes.
var rows = []row{
	{"CPU a message, " + loadQoS0 + ", maximum rate, 10 pairs", 1.0, 0.85, false, "%.2f × G", ratioOf(loadQoS0, cpuMicros, "pipe")},
	{"the same, QoS 1", 1.05, 0.88, false, "%.2f × G", ratioOf(loadQoS1, cpuMicros, "pipe")},
	{"the same, 1 KiB", 1.05, 0.88, false, "%.2f × G", ratioOf(loadKiB, cpuMicros, "pipe")},
	{"the same, fan-out 1:100", 1.15, 1.0, false, "%.2f × G", ratioOf(loadFan, cpuMicros, "pipe")},
	{"the same, 100 pairs at a fixed 10,000 msg/s", 1.10, 1.03, false, "%.2f × G", ratioOf(loadRate, cpuMicros, "pipe")},
	{"throughput, QoS 0", 0.9, 1.0, true, "%.2f × G", ratioOf(loadQoS0, perSecond, "pipe")},
	{"throughput, fan-out 1:100, against mosquitto's listener", 0.8, 0.9, true, "%.2f", ratioOf(loadFan, perSecond, "listener")},
	{"the same, the gateway before mosquitto's Unix socket", 0.8, 0.9, true, "%.2f", func(b *book) float64 {
		return b.ratio(loadFan, "topicgate-unix", "listener", perSecond)
	}},
	{"latency at 1,000 msg/s, p50 added to plain TCP", 1.15, 1.0, false, "%.2f × G's", func(b *book) float64 {
		tcp := b.median(loadLatency, "tcp", p50Micros)
		return (b.median(loadLatency, "topicgate", p50Micros) - tcp) / (b.median(loadLatency, "pipe", p50Micros) - tcp)
	}},
	{"latency at 1,000 msg/s, p99 against mosquitto's listener", 0.5, 0.25, false, "%.2f", ratioOf(loadLatency, p99Micros, "listener")},
	{"the same in milliseconds, against the 1.3 of that listener on another machine", 0.5 * 1.3, 0.25 * 1.3, false, "%.2f ms", func(b *book) float64 {
		return b.median(loadLatency, "topicgate", p99Micros) / 1e3
	}},
	{"connect: CPU, token verified, policy loaded", 2.0, 1.4, false, "%.2f × G", ratioOf(loadConnect, cpuMicros, "pipe")},
	{"connect: p99 in a storm of 2,000", 2.0, 1.3, false, "%.2f × G", ratioOf(loadStorm, p99Micros, "pipe")},
	{"idle memory a connection, 2,000 sessions", 24, 17.5, false, "%.1f KiB", medianOf(loadIdle(2000), "topicgate", kibibytes)},
	{"the same, 9,000 sessions", 24, 17.5, false, "%.1f KiB", medianOf(loadIdle(9000), "topicgate", kibibytes)},
	{"idle memory a connection, TLS, 2,000 sessions", 36, 28, false, "%.1f KiB", medianOf(loadIdle(2000), "topicgate-tls", kibibytes)},
	{"the same, 9,000 sessions", 36, 28, false, "%.1f KiB", medianOf(loadIdle(9000), "topicgate-tls", kibibytes)},
	{"policy of 40 rules and rooms against policy off, a message", 1.0, 0.4, false, "%+.2f µs", func(b *book) float64 {
		return b.compare(loadPolicy, "topicgate", "open", cpuMicros, func(on, off float64) float64 { return on - off })
	}},
	{"p99 while 100 policy changes a second arrive, against quiet", 1.5, 1.5, false, "%.2f", func(b *book) float64 {
		return b.ratio(growChanges, "100", "0", p99Micros)
	}},
	{"SADD to the first delivery, p99 beside 5,000 sessions", 50, 10, false, "%.1f ms", changeOf(joined)},
	{"SREM to the last delivery, p99 beside 5,000 sessions", 50, 10, false, "%.1f ms", changeOf(left)},
	{"lost, duplicated or reordered messages", 0, 0, false, "%.0f", func(b *book) float64 {
		return b.total("topicgate", lost) + b.total("topicgate", duplicated) + b.total("topicgate", reordered)
	}},
}

func ratioOf(load, quantity, other string) func(*book) float64 {
	return func(b *book) float64 { return b.ratio(load, "topicgate", other, quantity) }
}

func medianOf(load, target, quantity string) func(*book) float64 {
	return func(b *book) float64 { return b.median(load, target, quantity) }
}

func changeOf(what string) func(*book) float64 {
	return func(b *book) float64 { return b.median(loadChanges(5000, 0), what, p99Micros) / 1e3 }
}

// verdict says how a value stands to the promise.
func (r row) verdict(value float64) string {
	better := func(bound float64) bool { return value <= bound }
	if r.atLeast {
		better = func(bound float64) bool { return value >= bound }
	}
	switch {
	case math.IsNaN(value):
		return "not measured"
	case better(r.aim):
		return "aim reached"
	case better(r.must):
		return "kept"
	}
	return "**missed**"
}

// promises returns the table of rows.
func (b *book) promises() string {
	var t strings.Builder
	t.WriteString("| | must | aim | measured | |\n|---|---|---|---|---|\n")
	for _, r := range rows {
		value, sign := r.measured(b), "≤ "
		if r.atLeast {
			sign = "≥ "
		}
		measured := "–"
		if !math.IsNaN(value) {
			measured = fmt.Sprintf(r.format, value)
		}
		fmt.Fprintf(&t, "| %s | %s | %s | %s | %s |\n", r.title, sign+fmt.Sprintf(r.format, r.must), sign+fmt.Sprintf(r.format, r.aim), measured, r.verdict(value))
	}
	return t.String()
}

// markdown returns all that was measured.
func (b *book) markdown() string {
	var t strings.Builder
	fmt.Fprintf(&t, "# What the gateway costs\n\nWritten by `make bench` on %s. Medians; a ratio is the median of the ratios of each round, in which the\n"+
		"targets took turns. G is a WebSocket to TCP pipe that checks nothing (pipe.go). The gateway verifies the token, decides each\n"+
		"publish and each delivery under 40 rules and rooms in Redis, with narrowed subscriptions, metrics and audit on.\n\n", machine())
	t.WriteString(b.promises())
	t.WriteString("\n![CPU time a message](results.svg)\n")
	b.writeLoads(&t)
	b.writeConnects(&t)
	b.writeStorms(&t)
	b.writeIdle(&t)
	b.writeGrowth(&t)
	b.writeChanges(&t)
	b.writeFloods(&t)
	b.writeHerd(&t)
	b.writeAttacks(&t)
	return t.String()
}

// publish writes the results into a directory, and into its README where that has a place for them.
func (b *book) publish(dir string) error {
	if err := b.save(filepath.Join(dir, "results.json")); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "results.md"), []byte(b.markdown()), 0o644); err != nil {
		return err
	}
	var plot bytes.Buffer
	if err := b.plot(&plot); errors.Is(err, errNothingToPlot) {
		return nil // a part without messages; the README is for the whole
	} else if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "results.svg"), plot.Bytes(), 0o644); err != nil {
		return err
	}
	readmeFile := filepath.Join(dir, "README.md")
	readme, err := os.ReadFile(readmeFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	section := fmt.Sprintf("`make bench` on %s (all of it: [results.md](results.md)):\n\n%s\n![CPU time a message](results.svg)\n", machine(), b.promises())
	if text, found := between(string(readme), "<!-- bench -->\n", "<!-- /bench -->", section); found {
		return os.WriteFile(readmeFile, []byte(text), 0o644)
	}
	return nil
}

// between replaces what stands between two markers.
func between(text, begin, end, replacement string) (string, bool) {
	head, rest, ok := strings.Cut(text, begin)
	_, tail, closed := strings.Cut(rest, end)
	if !ok || !closed {
		return text, false
	}
	return head + begin + replacement + end + tail, true
}
