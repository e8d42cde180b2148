//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// outcome is what one load through one target came to.
type outcome struct {
	Delivered uint64
	Took      time.Duration
	CPU       time.Duration // of the target, in Took
	BrokerCPU time.Duration
	OwnCPU    time.Duration // of the load generator
	P50, P99  time.Duration
	Faults    faults
}

// microseconds returns the CPU time of the target for each message.
func (o outcome) microseconds() float64 {
	return float64(o.CPU.Nanoseconds()) / 1e3 / float64(o.Delivered)
}

// perSecond returns the messages delivered in a second.
func (o outcome) perSecond() float64 { return float64(o.Delivered) / o.Took.Seconds() }

// play puts a target under a load.
func (w *world) play(ctx context.Context, t *target, l load, users []user) (o outcome, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("%s through %s: %w", l.name, t.name, err)
		}
	}()
	c, err := w.gather(t, l, users)
	defer c.close()
	if err != nil {
		return o, err
	}
	c.listen()
	publishing, stop := context.WithCancel(ctx)
	defer stop()
	published := make(chan struct{})
	go func() {
		defer close(published)
		if err := c.publish(publishing); err != nil {
			c.fail(fmt.Errorf("publisher writes: %w", err))
		}
	}()
	if err := c.pass(ctx, l.warmUp); err != nil {
		return o, err
	}
	before, err := w.look(t, c)
	if err != nil {
		return o, err
	}
	c.measuring.Store(true)
	if err := c.pass(ctx, l.measure); err != nil {
		return o, err
	}
	after, err := w.look(t, c)
	if err != nil {
		return o, err
	}
	c.measuring.Store(false)
	stop()
	<-published
	c.drained()
	o = outcome{Delivered: after.delivered - before.delivered, Took: after.at.Sub(before.at), CPU: after.target - before.target,
		BrokerCPU: after.broker - before.broker, OwnCPU: after.own - before.own}
	c.close() // the readers' tallies are ours now
	latency := &histogram{}
	for _, g := range c.groups {
		for _, r := range g.readers {
			latency.merge(&r.latency)
			o.Faults = o.Faults.plus(r.tally.close(g.sent.Load()))
		}
	}
	o.P50, o.P99 = latency.percentile(0.5), latency.percentile(0.99)
	if o.Delivered == 0 {
		return o, errors.New("no message arrived")
	}
	return o, nil
}

// pass lets time pass, unless a client fails meanwhile.
func (c *crowd) pass(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case err := <-c.failed:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// publish publishes until ctx ends.
func (c *crowd) publish(ctx context.Context) error {
	if c.load.rate > 0 {
		return c.pace(ctx)
	}
	ended := make(chan error, len(c.groups))
	for _, g := range c.groups {
		go func() { ended <- g.flood(ctx) }()
	}
	var errs []error
	for range c.groups {
		errs = append(errs, <-ended)
	}
	return errors.Join(errs...)
}

// pace publishes at the load's rate, the groups in turn, one message a write. A slot that comes too late is made up for at once. It has a thread
// of its own in fact, as it sleeps in the kernel: Go's timers are only good to a millisecond when nothing else happens.
func (c *crowd) pace(ctx context.Context) error {
	start, interval := time.Now(), float64(time.Second)/c.load.rate
	for k := 0; ; k++ {
		due := time.Duration(float64(k) * interval)
		for wait := due - time.Since(start); wait > 0; wait = due - time.Since(start) {
			if ctx.Err() != nil {
				return nil
			}
			at := syscall.NsecToTimespec(min(wait, 10*time.Millisecond).Nanoseconds())
			_ = syscall.Nanosleep(&at, nil) // interrupted: the loop looks again
		}
		if ctx.Err() != nil {
			return nil
		}
		g := c.groups[k%len(c.groups)]
		n := g.sent.Load()
		if n-g.arrived() >= g.window {
			continue // so late that the target is not keeping up; the throughput tells
		}
		g.sent.Store(n + 1)
		if err := g.publisher.send(g.letter.number(n, sinceBegan())); err != nil {
			return err
		}
	}
}

// glance is what everybody had used at one moment.
type glance struct {
	at                  time.Time
	delivered           uint64
	target, broker, own time.Duration
}

func (w *world) look(t *target, c *crowd) (g glance, err error) {
	var errs [3]error
	g.target, errs[0] = cpuTimes(t.pids)
	g.broker, errs[1] = cpuTime(w.broker.pid())
	g.own, errs[2] = cpuTime(os.Getpid())
	g.at, g.delivered = time.Now(), c.delivered()
	return g, errors.Join(errs[:]...)
}
