//go:build linux

package main

import (
	"encoding/json"
	"errors"
	"io/fs"
	"math"
	"os"
	"time"
)

// book holds what was measured: by load, target and quantity, a value for each round. It is kept as a file, so that a part can be
// measured again without the rest.
type book struct {
	Loads map[string]*page
}

// page is what was measured under one load.
type page struct {
	When   string // date
	Commit string
	Busy   float64                         // share of the machine that others used just before
	Values map[string]map[string][]float64 // by target and quantity
}

// Quantities.
const (
	cpuMicros  = "cpu_us"     // of the target, for each message or connect
	brokerCPU  = "broker_us"  // of mosquitto, for each message
	ownCPU     = "own_us"     // of the load generator, for each message
	perSecond  = "per_second" // messages
	p50Micros  = "p50_us"
	p99Micros  = "p99_us"
	maxMicros  = "max_us"
	lost       = "lost"
	duplicated = "duplicated"
	reordered  = "reordered"
	kibibytes  = "kib" // of resident memory, for each session
	commands   = "commands"
)

func newBook() *book { return &book{Loads: map[string]*page{}} }

func openBook(path string) (*book, error) {
	b := newBook()
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return b, nil
	}
	if err != nil {
		return nil, err
	}
	return b, json.Unmarshal(text, b)
}

func (b *book) save(path string) error {
	text, err := json.MarshalIndent(b, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}

// turn begins a fresh page for a load.
func (b *book) turn(load string) *page {
	p := &page{When: time.Now().UTC().Format(time.DateOnly), Commit: commit(), Values: map[string]map[string][]float64{}}
	b.Loads[load] = p
	return p
}

func (p *page) note(target, quantity string, value float64) {
	if p.Values[target] == nil {
		p.Values[target] = map[string][]float64{}
	}
	p.Values[target][quantity] = append(p.Values[target][quantity], value)
}

func (p *page) noteOutcome(target string, o outcome) {
	n := float64(o.Delivered)
	p.note(target, cpuMicros, o.microseconds())
	p.note(target, brokerCPU, micros(o.BrokerCPU)/n)
	p.note(target, ownCPU, micros(o.OwnCPU)/n)
	p.note(target, perSecond, o.perSecond())
	p.note(target, p50Micros, micros(o.P50))
	p.note(target, p99Micros, micros(o.P99))
	p.note(target, lost, float64(o.Faults.Lost))
	p.note(target, duplicated, float64(o.Faults.Duplicated))
	p.note(target, reordered, float64(o.Faults.Reordered))
}

func micros(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e3 }

// values returns what was noted; nil if nothing was.
func (b *book) values(load, target, quantity string) []float64 {
	if p := b.Loads[load]; p != nil {
		return p.Values[target][quantity]
	}
	return nil
}

// median returns the median over the rounds; NaN if nothing was noted.
func (b *book) median(load, target, quantity string) float64 {
	return median(b.values(load, target, quantity))
}

// compare returns the median over the rounds of f of both targets' values of the same round: what disturbs a round disturbs both.
func (b *book) compare(load, target, other, quantity string, f func(target, other float64) float64) float64 {
	x, y := b.values(load, target, quantity), b.values(load, other, quantity)
	var compared []float64
	for i := range min(len(x), len(y)) {
		compared = append(compared, f(x[i], y[i]))
	}
	return median(compared)
}

func (b *book) ratio(load, target, other, quantity string) float64 {
	return b.compare(load, target, other, quantity, func(x, y float64) float64 { return x / y })
}

// total returns the sum of a quantity over all loads of a target.
func (b *book) total(target, quantity string) float64 {
	sum, any := 0.0, false
	for load := range b.Loads {
		for _, v := range b.values(load, target, quantity) {
			sum += v
			any = true
		}
	}
	if !any {
		return math.NaN()
	}
	return sum
}
