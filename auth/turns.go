package auth

import "runtime"

// turnsPerCPU is how many tokens for each CPU are worked on at a time.
const turnsPerCPU = 8

// turns bounds how many tokens are parsed or verified at the same time: a storm of them, good or bad, is worked off
// in order and leaves the CPUs to others in between. A turn is computing alone, never the wait for an issuer, so the
// wait for one is short.
type turns chan struct{}

func newTurns() turns { return make(turns, turnsPerCPU*runtime.GOMAXPROCS(0)) }

// take waits for a turn, which the function that it returns ends.
func (t turns) take() (give func()) {
	t <- struct{}{}
	return t.give
}

func (t turns) give() { <-t }
