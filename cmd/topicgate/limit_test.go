package main

import (
	"math"
	"testing"
)

func TestSessionsWithinALimitOfOpenFiles(t *testing.T) {
	for limit, want := range map[uint64]int{64: 0, 1024: 480, 1 << 20: 524256, math.MaxUint64: 1073741791} {
		if got := sessionsWithin(limit); got != want {
			t.Errorf("sessionsWithin(%d) = %d; want %d", limit, got, want)
		}
	}
}
