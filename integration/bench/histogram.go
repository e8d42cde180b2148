//go:build linux

package main

import (
	"math"
	"math/bits"
	"slices"
	"time"
)

// histogram counts durations in buckets 1/32 as wide as what is in them. The zero value is empty.
type histogram struct {
	counts [64 * subBuckets]uint32
	total  uint64
}

const (
	subBucketBits = 5
	subBuckets    = 1 << subBucketBits
)

func bucketOf(d time.Duration) int {
	v := uint64(max(d, 0))
	if v < subBuckets {
		return int(v)
	}
	shift := bits.Len64(v) - 1 - subBucketBits
	return (shift+1)*subBuckets + int(v>>shift)&(subBuckets-1)
}

// middleOf returns the middle of a bucket.
func middleOf(bucket int) time.Duration {
	if bucket < subBuckets {
		return time.Duration(bucket)
	}
	shift := bucket/subBuckets - 1
	low := uint64(subBuckets+bucket%subBuckets) << shift
	return time.Duration(low + 1<<shift/2)
}

func (h *histogram) add(d time.Duration) {
	h.counts[bucketOf(d)]++
	h.total++
}

func (h *histogram) merge(o *histogram) {
	for i, n := range o.counts {
		h.counts[i] += n
	}
	h.total += o.total
}

// percentile returns the duration that a share p (0 to 1) of those counted does not exceed; 0 when none were.
func (h *histogram) percentile(p float64) time.Duration {
	rank := max(uint64(math.Ceil(p*float64(h.total))), 1)
	var seen uint64
	for i, n := range h.counts {
		if seen += uint64(n); seen >= rank {
			return middleOf(i)
		}
	}
	return 0
}

// percentile is the same of a list.
func percentile(durations []time.Duration, p float64) time.Duration {
	if len(durations) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(durations))
	return sorted[max(int(math.Ceil(p*float64(len(sorted)))), 1)-1]
}

// median returns the middle of values, of two middles their mean; NaN without any.
func median(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	m := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[m]
	}
	return (sorted[m-1] + sorted[m]) / 2
}
