package gateway

import "context"

// turns bounds how many do something at a time. The others wait, in the order in which they came.
type turns chan struct{}

func newTurns(n int) turns { return make(turns, n) }

// take waits for a turn, which give ends, until ctx has ended.
func (t turns) take(ctx context.Context) error {
	if t.try() {
		return nil
	}
	select {
	case t <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// try takes a turn if one is free.
func (t turns) try() bool {
	select {
	case t <- struct{}{}:
		return true
	default:
		return false
	}
}

func (t turns) give() { <-t }
