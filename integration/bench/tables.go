//go:build linux

package main

import (
	"fmt"
	"math"
	"os"
	"runtime"
	"slices"
	"strings"
)

// targetNames are the targets as a reader knows them.
var targetNames = []struct{ target, name string }{
	{"tcp", "plain TCP, no WebSocket"},
	{"listener", "mosquitto's websockets listener"},
	{"nginx", "nginx, before that listener"},
	{"pipe", "G"},
	{"open", "topicgate, policy off"},
	{"topicgate", "topicgate"},
	{"topicgate-unix", "topicgate, to mosquitto's Unix socket"},
	{"topicgate-tls", "topicgate, TLS"},
	{"beside", "the other gateway"},
}

// writeLoads writes a table for each load of messages.
func (b *book) writeLoads(t *strings.Builder) {
	for _, load := range []string{loadQoS0, loadQoS1, loadKiB, loadV5, loadFan, loadRate, loadLatency, loadPolicy} {
		if b.Loads[load] == nil {
			continue
		}
		fmt.Fprintf(t, "\n## %s\n\n%s| | msg/s | CPU µs a message | of G | mosquitto µs | p50 µs | p99 µs | lost, duplicated, reordered |\n|---|--:|--:|--:|--:|--:|--:|---|\n", title(load), b.source(load))
		for _, n := range targetNames {
			if b.values(load, n.target, perSecond) == nil {
				continue
			}
			cpu, ratio := number(b.median(load, n.target, cpuMicros), 2), number(b.ratio(load, n.target, "pipe", cpuMicros), 2)
			if n.target == "tcp" {
				cpu, ratio = "–", "–"
			}
			fmt.Fprintf(t, "| %s | %s | %s | %s | %s | %s | %s | %.0f, %.0f, %.0f |\n", n.name, number(b.median(load, n.target, perSecond), 0), cpu, ratio,
				number(b.median(load, n.target, brokerCPU), 2), number(b.median(load, n.target, p50Micros), 0), number(b.median(load, n.target, p99Micros), 0),
				slices.Max(b.values(load, n.target, lost)), slices.Max(b.values(load, n.target, duplicated)), slices.Max(b.values(load, n.target, reordered)))
		}
	}
}

func (b *book) writeConnects(t *strings.Builder) {
	for _, load := range []string{loadConnect, loadStorm} {
		if b.Loads[load] == nil {
			continue
		}
		fmt.Fprintf(t, "\n## %s\n\n%s| | CPU µs | of G | p50 ms | p99 ms | of G |\n|---|--:|--:|--:|--:|--:|\n", title(load), b.source(load))
		for _, n := range targetNames {
			if b.values(load, n.target, p50Micros) == nil {
				continue
			}
			fmt.Fprintf(t, "| %s | %s | %s | %s | %s | %s |\n", n.name, number(b.median(load, n.target, cpuMicros), 0), number(b.ratio(load, n.target, "pipe", cpuMicros), 2),
				number(b.median(load, n.target, p50Micros)/1e3, 1), number(b.median(load, n.target, p99Micros)/1e3, 1), number(b.ratio(load, n.target, "pipe", p99Micros), 2))
		}
	}
}

func (b *book) writeIdle(t *strings.Builder) {
	fmt.Fprintf(t, "\n## Idle memory\n\n%sResident KiB a session, %v after the last message.\n\n| |", b.source(loadIdle(idleSessions[0])), settling)
	for _, n := range idleSessions {
		fmt.Fprintf(t, " %s sessions |", number(float64(n), 0))
	}
	t.WriteString("\n|---|" + strings.Repeat("--:|", len(idleSessions)) + "\n")
	for _, n := range targetNames {
		if b.values(loadIdle(idleSessions[0]), n.target, kibibytes) == nil {
			continue
		}
		fmt.Fprintf(t, "| %s |", n.name)
		for _, sessions := range idleSessions {
			fmt.Fprintf(t, " %s |", number(b.median(loadIdle(sessions), n.target, kibibytes), 1))
		}
		t.WriteString("\n")
	}
}

// writeGrowth writes how the cost of a message follows what lies around it.
func (b *book) writeGrowth(t *strings.Builder) {
	for _, load := range []string{growSessions, growRules, growRooms, growSubscriptions, growChanges} {
		if b.Loads[load] == nil {
			continue
		}
		fmt.Fprintf(t, "\n## %s\n\n%s| | CPU µs a message | mosquitto µs | p50 µs | p99 µs |\n|---|--:|--:|--:|--:|\n", title(load), b.source(load))
		for _, label := range b.labels(load) {
			fmt.Fprintf(t, "| %s | %s | %s | %s | %s |\n", label, number(b.median(load, label, cpuMicros), 2), number(b.median(load, label, brokerCPU), 2),
				number(b.median(load, label, p50Micros), 0), number(b.median(load, label, p99Micros), 0))
		}
	}
}

func (b *book) writeChanges(t *strings.Builder) {
	t.WriteString("\n## Changes of rooms under live sessions\n\nMilliseconds from the call of SADD to the first delivery and of SREM to the last, with a message each half millisecond.\n\n" +
		"| | SADD p50 | p99 | SREM p50 | p99 | Redis commands a change |\n|---|--:|--:|--:|--:|--:|\n")
	for _, c := range changeCases {
		load := loadChanges(c.sessions, c.perSecond)
		if b.Loads[load] == nil {
			continue
		}
		fmt.Fprintf(t, "| %s |", strings.TrimPrefix(load, "changes, "))
		for _, what := range []string{joined, left} {
			fmt.Fprintf(t, " %s | %s |", number(b.median(load, what, p50Micros)/1e3, 2), number(b.median(load, what, p99Micros)/1e3, 2))
		}
		fmt.Fprintf(t, " %s |\n", number(b.median(load, "redis", commands), 1))
	}
}

// source says when a page was measured, at which commit, in how many rounds.
func (b *book) source(load string) string {
	p := b.Loads[load]
	if p == nil {
		return ""
	}
	rounds := 0
	for _, quantities := range p.Values {
		for _, values := range quantities {
			rounds = max(rounds, len(values))
		}
	}
	beside := ""
	if p.Busy > quiet {
		beside = fmt.Sprintf(" Others used %.0f %% of the machine: only the ratios tell something.", 100*p.Busy)
	}
	return fmt.Sprintf("%s, commit %s, rounds: %d.%s\n\n", p.When, p.Commit, rounds, beside)
}

func title(load string) string {
	return strings.ToUpper(load[:1]) + load[1:]
}

// number writes a value with thousands set apart; a dash where there is none.
func number(v float64, decimals int) string {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return "–"
	}
	text := fmt.Sprintf("%.*f", decimals, v)
	whole, fraction, cut := strings.Cut(text, ".")
	for i := len(whole) - 3; i > 0 && whole[i-1] != '-'; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	if cut {
		return whole + "." + fraction
	}
	return whole
}

// machine says in a few words what this one is.
func machine() string {
	cpu := "a CPU of unknown make"
	if info, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(info)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				cpu = strings.TrimSpace(value)
				break
			}
		}
	}
	system := runtime.GOOS
	if release, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		major, _, _ := strings.Cut(strings.TrimSpace(string(release)), "-")
		system = "Linux " + major
	}
	return fmt.Sprintf("%d cores of %s, %s, %s", runtime.NumCPU(), cpu, system, runtime.Version())
}
