//go:build linux

package main

import (
	"math"
	"testing"
	"time"
)

func TestTallyAccountsForEveryMessage(t *testing.T) {
	tests := []struct {
		name string
		seen []uint64
		sent uint64
		want faults
	}{
		{"all in order", []uint64{0, 1, 2}, 3, faults{}},
		{"nothing came", nil, 3, faults{Lost: 3}},
		{"the first is missing", []uint64{1, 2}, 3, faults{Lost: 1}},
		{"some in the middle are missing", []uint64{0, 3}, 4, faults{Lost: 2}},
		{"the last are missing", []uint64{0}, 3, faults{Lost: 2}},
		{"one twice", []uint64{0, 1, 1, 2}, 3, faults{Duplicated: 1}},
		{"an old one again", []uint64{0, 1, 2, 0}, 3, faults{Duplicated: 1}},
		{"two changed places", []uint64{0, 2, 1, 3}, 4, faults{Reordered: 1}},
		{"late, and then again", []uint64{0, 2, 1, 1}, 3, faults{Duplicated: 1, Reordered: 1}},
		{"all wrong", []uint64{3, 1, 1}, 5, faults{Lost: 3, Duplicated: 1, Reordered: 1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var tally tally
			for _, n := range tt.seen {
				tally.see(n)
			}
			if got := tally.close(tt.sent); got != tt.want {
				t.Errorf("after %v of %d: %+v; want %+v", tt.seen, tt.sent, got, tt.want)
			}
		})
	}
}

func TestHistogramKeepsDurationsToThreePerCent(t *testing.T) {
	for d := time.Duration(1); d < time.Hour; d = d*5/4 + 1 {
		got := middleOf(bucketOf(d))
		if off := math.Abs(float64(got-d)) / float64(d); off > 0.03 {
			t.Errorf("middleOf(bucketOf(%d)) = %d, off by %.1f %%", d, got, 100*off)
		}
	}
	if got := bucketOf(math.MaxInt64); got >= len((&histogram{}).counts) {
		t.Errorf("bucketOf(the longest duration) = %d; there are %d", got, len((&histogram{}).counts))
	}
	if got := bucketOf(-1); got != 0 {
		t.Errorf("bucketOf(-1) = %d; want 0", got)
	}
}

func TestPercentilesOfHistogramAndList(t *testing.T) {
	var h, even, odd histogram
	var list []time.Duration
	for k := range 100 {
		d := time.Duration(k+1) * time.Millisecond
		list = append(list, d)
		if k%2 == 0 {
			even.add(d)
		} else {
			odd.add(d)
		}
	}
	h.merge(&even)
	h.merge(&odd)
	for p, want := range map[float64]time.Duration{0: 1, 0.01: 1, 0.5: 50, 0.99: 99, 1: 100} {
		want *= time.Millisecond
		if got := percentile(list, p); got != want {
			t.Errorf("percentile(1ms...100ms, %v) = %v; want %v", p, got, want)
		}
		if got := h.percentile(p); math.Abs(float64(got-want)) > 0.03*float64(want) {
			t.Errorf("histogram of 1ms...100ms, percentile(%v) = %v; want about %v", p, got, want)
		}
	}
	if got := (&histogram{}).percentile(0.5); got != 0 {
		t.Errorf("percentile of an empty histogram = %v; want 0", got)
	}
	if got := percentile(nil, 0.5); got != 0 {
		t.Errorf("percentile of nothing = %v; want 0", got)
	}
}

func TestMedian(t *testing.T) {
	for _, tt := range []struct {
		values []float64
		want   float64
	}{
		{[]float64{3}, 3}, {[]float64{5, 1, 3}, 3}, {[]float64{4, 1, 3, 2}, 2.5},
	} {
		if got := median(tt.values); got != tt.want {
			t.Errorf("median(%v) = %v; want %v", tt.values, got, tt.want)
		}
	}
	if got := median(nil); !math.IsNaN(got) {
		t.Errorf("median of nothing = %v; want NaN", got)
	}
}
