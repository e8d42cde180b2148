//go:build linux

package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestRatiosCompareValuesOfTheSameRound(t *testing.T) {
	b := newBook()
	p := b.turn(loadQoS0)
	for round, disturbance := range []float64{1, 4, 2} { // a round that is disturbed is so for both
		p.note("pipe", cpuMicros, 10*disturbance)
		p.note("topicgate", cpuMicros, float64(8+round)*disturbance)
	}
	if got := b.ratio(loadQoS0, "topicgate", "pipe", cpuMicros); got != 0.9 {
		t.Errorf("ratio = %v; want 0.9", got)
	}
	if got := b.ratio(loadQoS0, "nginx", "pipe", cpuMicros); !math.IsNaN(got) {
		t.Errorf("ratio of what was not measured = %v; want NaN", got)
	}
}

func TestVerdicts(t *testing.T) {
	less, more := row{must: 1, aim: 0.8}, row{must: 0.8, aim: 1, atLeast: true}
	for _, tt := range []struct {
		row   row
		value float64
		want  string
	}{
		{less, 0.8, "aim reached"}, {less, 0.9, "kept"}, {less, 1.01, "**missed**"}, {less, math.NaN(), "not measured"},
		{more, 1, "aim reached"}, {more, 0.9, "kept"}, {more, 0.7, "**missed**"},
	} {
		if got := tt.row.verdict(tt.value); got != tt.want {
			t.Errorf("verdict(%v) of must %v, aim %v = %q; want %q", tt.value, tt.row.must, tt.row.aim, got, tt.want)
		}
	}
}

// filled is a book with an outcome for each load.
func filled() *book {
	b := newBook()
	o := outcome{Delivered: 1000, Took: time.Second, CPU: 6 * time.Millisecond, BrokerCPU: time.Millisecond, P50: time.Millisecond, P99: 2 * time.Millisecond}
	for _, load := range []string{loadQoS0, loadQoS1, loadKiB, loadV5, loadFan, loadRate, loadLatency, loadPolicy} {
		p := b.turn(load)
		for _, n := range targetNames {
			p.noteOutcome(n.target, o)
		}
	}
	return b
}

func TestReportHoldsEveryPromise(t *testing.T) {
	text := filled().markdown()
	for _, r := range rows {
		if !strings.Contains(text, "| "+r.title+" |") {
			t.Errorf("the report has no row %q", r.title)
		}
	}
	if !strings.Contains(text, "1.00 × G | kept") || !strings.Contains(text, "not measured") {
		t.Errorf("the report does not tell what was measured:\n%s", text)
	}
}

func TestTheReadmeHasThePromisesOfTheResults(t *testing.T) {
	b, err := openBook("results.json")
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	if _, found := between(string(readme), "<!-- bench -->\n", "<!-- /bench -->", ""); !found {
		t.Error("README.md has no place for the results")
	}
	if !strings.Contains(string(readme), b.promises()) {
		t.Error("README.md does not hold what results.json gives")
	}
}

func TestPlotIsAnSVG(t *testing.T) {
	var svg bytes.Buffer
	if err := filled().plot(&svg); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(svg.String(), "<svg ") || !strings.Contains(svg.String(), "QoS 1") {
		t.Errorf("plot wrote %.200s", svg.String())
	}
	for d := xml.NewDecoder(&svg); ; {
		_, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("the plot is no XML: %v", err)
		}
	}
	if err := newBook().plot(&svg); err == nil {
		t.Error("a plot of nothing was drawn")
	}
}

func TestBookIsReadAsItWasSaved(t *testing.T) {
	path := filepath.Join(t.TempDir(), "results.json")
	if b, err := openBook(path); err != nil || len(b.Loads) != 0 {
		t.Errorf("a book that is not there: %v, %v; want an empty one", b, err)
	}
	b := filled()
	if err := b.save(path); err != nil {
		t.Fatal(err)
	}
	again, err := openBook(path)
	if err != nil || again.markdown() != b.markdown() {
		t.Errorf("the book read again gives another report (%v)", err)
	}
}

func TestPublishWritesIntoTheReadmeBesideTheResults(t *testing.T) {
	dir := t.TempDir()
	readme := filepath.Join(dir, "README.md")
	if err := os.WriteFile(readme, []byte("a\n<!-- bench -->\nold\n<!-- /bench -->\nz\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	b := filled()
	if err := b.publish(dir); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(text); !strings.Contains(got, b.promises()) || !strings.Contains(got, "(results.svg)") || strings.Contains(got, "old") {
		t.Errorf("publish made the README\n%s", got)
	}
}

func TestBetweenReplacesWhatStandsBetweenMarkers(t *testing.T) {
	got, found := between("a\n<b>\nold\n</b>\nz\n", "<b>\n", "</b>", "new\n")
	if want := "a\n<b>\nnew\n</b>\nz\n"; got != want || !found {
		t.Errorf("between = %q, %v; want %q", got, found, want)
	}
	if _, found := between("a z", "<b>\n", "</b>", "new"); found {
		t.Error("a text without markers was changed")
	}
}

func TestNumbersAreReadable(t *testing.T) {
	for _, tt := range []struct {
		v        float64
		decimals int
		want     string
	}{{0, 0, "0"}, {999, 0, "999"}, {1000, 0, "1,000"}, {-1234567.891, 2, "-1,234,567.89"}, {math.NaN(), 1, "–"}, {-100, 0, "-100"}} {
		if got := number(tt.v, tt.decimals); got != tt.want {
			t.Errorf("number(%v, %d) = %q; want %q", tt.v, tt.decimals, got, tt.want)
		}
	}
}

func TestPoliciesHaveTheRulesTheyAreNamedFor(t *testing.T) {
	for _, n := range []int{1, 10, 40, 100, 1000} {
		if got := rulesIn(policyOf(n)); got != n {
			t.Errorf("policyOf(%d) has %d rules", n, got)
		}
	}
	if got := rulesIn(chatPolicy); got != 40 {
		t.Errorf("chatPolicy has %d rules; want 40", got)
	}
}
