package main

import (
	"context"
	"fmt"
	"sync"
	"time"
)

const (
	// troublePause is how long a child that has ended stays away: long enough to be seen.
	troublePause = 2 * time.Second
	// mostEnds of one child within endsWithin are borne; one more ends the demo.
	mostEnds   = 10
	endsWithin = time.Minute
)

// kept is a child that is started again when it has ended, by itself or since a visitor asked for that trouble.
type kept struct {
	begin func() (*child, error)
	probe func(context.Context) error // whether it answers
	after func(context.Context) error // once it does; nil: nothing

	mu      sync.Mutex
	current *child
	ends    []time.Time // the latest
}

// start starts the child and returns once it answers.
func (k *kept) start(ctx context.Context) error {
	c, err := k.begin()
	if err != nil {
		return err
	}
	k.mu.Lock()
	k.current = c
	k.mu.Unlock()
	if err := c.ready(ctx, k.probe); err != nil || k.after == nil {
		return err
	}
	return k.after(ctx)
}

// keep starts the child again whenever it has ended, until ctx does. The error says why it no longer can.
func (k *kept) keep(ctx context.Context) error {
	for {
		c := k.child()
		select {
		case <-c.ended:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if k.tooMany(time.Now()) {
			return fmt.Errorf("more than %d times in a minute: %w", mostEnds, c.earlyEnd())
		}
		select {
		case <-time.After(troublePause):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if err := k.start(ctx); err != nil && !k.child().hasEnded() { // else it counts as one more end
			return err
		}
	}
}

// tooMany notes an end, and reports whether there were too many.
func (k *kept) tooMany(now time.Time) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.ends = append(k.ends, now)
	if len(k.ends) <= mostEnds {
		return false
	}
	oldest := k.ends[0]
	k.ends = k.ends[1:]
	return now.Sub(oldest) < endsWithin
}

func (k *kept) child() *child {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.current
}

// kill ends the child at once, as a machine that fails would.
func (k *kept) kill() {
	if c := k.child(); c != nil {
		_ = c.cmd.Process.Kill() // an error means that it has ended already
	}
}
