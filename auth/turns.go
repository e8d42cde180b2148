package auth

import (
	"context"
	"runtime"

	"golang.org/x/sync/semaphore"
)

// turnsPerCPU is how many tokens for each CPU are worked on at a time.
const turnsPerCPU = 8

// turns bounds how many tokens are parsed or verified at the same time: a storm of them, good or bad, is worked off
// in order and leaves the CPUs to others in between. A turn is computing alone, never the wait for an issuer, so the
// wait for one is short.
type turns struct{ free *semaphore.Weighted }

func newTurns() turns {
	return turns{semaphore.NewWeighted(int64(turnsPerCPU * runtime.GOMAXPROCS(0)))}
}

// take waits for a turn, which give ends.
func (t turns) take() { _ = t.free.Acquire(context.Background(), 1) } // whose only error is the context's

func (t turns) give() { t.free.Release(1) }
