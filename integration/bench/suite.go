//go:build linux

package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"topicgate/frames"
)

// suite is a part of the benchmark that can be asked for by name.
type suite struct {
	name string
	run  func(*bench, context.Context) error
}

var suites = []suite{
	{"throughput", (*bench).throughput},
	{"fan", (*bench).fan},
	{"rate", (*bench).rate},
	{"latency", (*bench).latency},
	{"policy", (*bench).policy},
	{"connect", (*bench).connects},
	{"storm", (*bench).storms},
	{"idle", (*bench).idle},
	{"growth", (*bench).growth},
	{"changes", (*bench).changes},
	{"herd", (*bench).herd},
	{"attacks", (*bench).attacks},
}

// bench is one run of it.
type bench struct {
	*world
	*book
	rounds   int
	window   time.Duration // how long a load is measured
	out      io.Writer
	profiles string   // directory for them; empty: none
	only     []string // targets to compare; empty: all
}

// Names of loads.
const (
	loadQoS0    = "QoS 0, 64 B"
	loadQoS1    = "QoS 1, 64 B"
	loadKiB     = "QoS 0, 1 KiB"
	loadV5      = "QoS 0, 64 B, MQTT 5"
	loadFan     = "fan-out 1:100, 64 B"
	loadRate    = "100 pairs, 10,000 msg/s"
	loadLatency = "10 pairs, 1,000 msg/s"
	loadPolicy  = "QoS 0, 64 B, policy on and off"
)

// maximum is a load of ten pairs as fast as they can.
func (b *bench) maximum(name string) load {
	return load{name: name, version: frames.V311, bytes: 64, groups: 10, readers: 1, window: 64, warmUp: 500 * time.Millisecond, measure: b.window}
}

func (b *bench) throughput(ctx context.Context) error {
	qos1, kib, v5 := b.maximum(loadQoS1), b.maximum(loadKiB), b.maximum(loadV5)
	qos1.qos, kib.bytes, v5.version = 1, 1024, frames.V5
	for _, l := range []load{b.maximum(loadQoS0), qos1, kib, v5} {
		if err := b.interleave(ctx, l, "tcp", "listener", "pipe", "nginx", "topicgate", "open", "topicgate-unix"); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) fan(ctx context.Context) error {
	l := b.maximum(loadFan)
	l.groups, l.readers = 1, 100
	return b.interleave(ctx, l, "tcp", "listener", "pipe", "nginx", "topicgate", "open", "topicgate-unix")
}

func (b *bench) rate(ctx context.Context) error {
	l := b.maximum(loadRate)
	l.groups, l.rate, l.window, l.measure = 100, 10_000, 1000, 2*b.window
	return b.interleave(ctx, l, "tcp", "listener", "pipe", "nginx", "topicgate", "open", "topicgate-unix")
}

func (b *bench) latency(ctx context.Context) error {
	l := b.maximum(loadLatency)
	l.rate, l.window, l.measure = 1000, 1000, 2*b.window
	return b.interleave(ctx, l, "tcp", "listener", "pipe", "nginx", "topicgate", "topicgate-unix")
}

// policy is the first load once more, in many short turns: what a decision takes is less than what two turns differ by.
func (b *bench) policy(ctx context.Context) error {
	l := b.maximum(loadPolicy)
	l.repeats, l.measure = 8, b.window/4
	return b.interleave(ctx, l, "topicgate", "open")
}

// quiet is what a machine may do besides without disturbing.
const quiet = 0.05

// turn begins a fresh page for a load, and looks first whether anything else is going on.
func (b *bench) turn(load string) *page {
	busy, err := busyShare(time.Second)
	if err != nil {
		busy = 1 // not known
	}
	p := b.book.turn(load)
	p.Busy = busy
	return p
}

// interleave plays a load through targets in turn, round by round; each round begins with another.
func (b *bench) interleave(ctx context.Context, l load, names ...string) error {
	users, err := b.issuer.users(0, l.groups*(1+l.readers))
	if err != nil {
		return err
	}
	if err := b.enroll(ctx, users, 0, commonRoom); err != nil {
		return err
	}
	names = b.chosenOf(names)
	page := b.turn(l.name)
	rounds := max(1, l.repeats) * b.rounds
	for r := range rounds {
		for k := range names {
			name := names[(k+r)%len(names)]
			t, err := b.target(ctx, name)
			if err != nil {
				return err
			}
			profile := b.profile(t, l, r)
			o, err := b.play(ctx, t, l, users)
			profile.stop()
			if err != nil {
				return err
			}
			page.noteOutcome(name, o)
		}
	}
	b.show(l.name, rounds, names)
	return nil
}

// chosenOf returns those of names that were asked for, and the other gateway's if there is one.
func (b *bench) chosenOf(names []string) []string {
	if b.beside != "" {
		names = append(slices.Clone(names), "beside")
	}
	if len(b.only) == 0 {
		return names
	}
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !slices.Contains(b.only, name) })
}

// show prints the medians of a load.
func (b *bench) show(load string, rounds int, names []string) {
	fmt.Fprintf(b.out, "\n%s (medians of %d)\n%-14s %10s %9s %7s %9s %9s %9s %9s %s\n", load, rounds,
		"", "msg/s", "CPU us", "of G", "broker us", "own us", "p50 us", "p99 us", "lost, duplicated, reordered")
	for _, name := range names {
		fmt.Fprintf(b.out, "%-14s %10.0f %9.2f %7.2f %9.2f %9.2f %9.0f %9.0f", name, b.median(load, name, perSecond), b.median(load, name, cpuMicros),
			b.ratio(load, name, "pipe", cpuMicros), b.median(load, name, brokerCPU), b.median(load, name, ownCPU),
			b.median(load, name, p50Micros), b.median(load, name, p99Micros))
		for _, q := range []string{lost, duplicated, reordered} {
			fmt.Fprintf(b.out, " %.0f", slices.Max(b.values(load, name, q)))
		}
		fmt.Fprintln(b.out)
	}
}
