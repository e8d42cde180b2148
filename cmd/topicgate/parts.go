package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// parts are what runs in this process. They are started in the order in which one needs the
// other, and stopped the other way round.
type parts struct {
	running []part
	failed  chan error // the first part that ended by itself
}

type part struct {
	stop context.CancelFunc
	done chan struct{}
}

func newParts() *parts { return &parts{failed: make(chan error, 1)} }

// start calls run, which must return when its context ends and not before.
func (p *parts) start(name string, run func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	p.running = append(p.running, part{cancel, done})
	go func() {
		defer close(done)
		err := run(ctx)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			err = errors.New("ended by itself")
		}
		select {
		case p.failed <- fmt.Errorf("%s: %w", name, err):
		default: // one reason is enough
		}
	}()
}

// stop ends all parts, each before those that it needs, and waits for them.
func (p *parts) stop() {
	for _, part := range slices.Backward(p.running) {
		part.stop()
		<-part.done
	}
	p.running = nil
}
