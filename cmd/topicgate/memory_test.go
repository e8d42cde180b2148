package main

import (
	"testing"
)

func TestTidiesUpOnceAfterABurst(t *testing.T) {
	allocated, tidied := uint64(0), 0
	tidy := tidier{allocated: func() uint64 { return allocated }, tidy: func() { tidied++; allocated += 1 << 10 }}
	for i, step := range []struct {
		name  string
		bytes uint64
		want  int
	}{
		{"starting", 1 << 20, 0},
		{"nothing yet", 0, 0},
		{"a burst", 100 << 20, 0},
		{"it goes on", 100 << 20, 0},
		{"quiet", 1 << 20, 1},
		{"still quiet", 1 << 20, 1},
		{"little by little", quietBytes - 1, 1},
		{"little by little", quietBytes - 1, 1},
		{"little by little", quietBytes - 1, 1},
		{"little by little", quietBytes - 1, 2},
		{"a short burst", tidyAfter, 2},
		{"quiet", 0, 3},
	} {
		allocated += step.bytes
		if tidy.look(); tidied != step.want {
			t.Fatalf("step %d, %s: tidied up %d times; want %d", i, step.name, tidied, step.want)
		}
	}
}

func TestAllocationsAreSeen(t *testing.T) {
	before := allocatedBytes()
	if sink = make([]byte, 1<<20); allocatedBytes()-before < uint64(len(sink)) {
		t.Errorf("allocatedBytes rose by %d for 1 MiB", allocatedBytes()-before)
	}
}

var sink []byte
