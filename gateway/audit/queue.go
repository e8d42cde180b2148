package audit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
)

const (
	retryMin = 100 * time.Millisecond
	retryMax = 5 * time.Second

	// warnInterval keeps a queue that overflows all the time from flooding the log too.
	warnInterval = 10 * time.Second
)

// queue holds what one sink has still to write. Its batches are slices of what all queues share.
type queue struct {
	sink    Sink
	max     int   // events; one batch more is in the hands of the sink
	loss    Event // pattern of the event that stands for lost ones
	log     *slog.Logger
	dropped func(n int)
	wake    chan struct{} // something was put, or no more will be

	mu      sync.Mutex
	batches [][]Event
	size    int // events in batches
	lost    int // operations that no event stands for yet
	warned  time.Time
	closed  bool
}

// put takes as many of events as there is room for.
func (q *queue) put(events []Event) {
	q.mu.Lock()
	room := min(len(events), q.max-q.size)
	for rest := events[:room]; len(rest) > 0; {
		n := min(len(rest), maxBatch)
		q.batches, q.size = append(q.batches, rest[:n:n]), q.size+n
		rest = rest[n:]
	}
	q.mu.Unlock()
	q.signal()
	q.lose(lossOf(events[room:]))
}

// lose counts n operations that the sink will not hear of one by one.
func (q *queue) lose(n int) {
	if n == 0 {
		return
	}
	q.dropped(n)
	q.mu.Lock()
	q.lost += n
	q.settle()
	warn := q.warned.IsZero() || time.Since(q.warned) >= warnInterval
	if warn {
		q.warned = time.Now()
	}
	q.mu.Unlock()
	q.signal()
	if warn {
		q.log.Warn("audit events lost", "count", n, "reason", ReasonQueueFull)
	}
}

// settle puts an event for what was lost as soon as there is room. q.mu is held.
func (q *queue) settle() {
	if q.lost == 0 || q.size >= q.max {
		return
	}
	e := q.loss
	e.Time, e.Count = time.Now(), q.lost
	q.batches, q.size, q.lost = append(q.batches, []Event{e}), q.size+1, 0
}

func (q *queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// close lets run end after the last batch.
func (q *queue) close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.signal()
}

// take waits for the next batch; nil: there will be none.
func (q *queue) take() []Event {
	for {
		q.mu.Lock()
		if len(q.batches) > 0 {
			batch := q.batches[0]
			q.batches[0] = nil // what is written need not be kept until the slice grows
			q.batches, q.size = q.batches[1:], q.size-len(batch)
			q.settle()
			q.mu.Unlock()
			return batch
		}
		closed := q.closed
		q.mu.Unlock()
		if closed {
			return nil
		}
		<-q.wake
	}
}

// run writes batches until the queue is closed and empty, and closes the sink. When ctx ends, what
// is left is lost.
func (q *queue) run(ctx context.Context) error {
	left := 0
	for batch := q.take(); batch != nil; batch = q.take() {
		left += q.write(ctx, batch)
	}
	if left > 0 {
		q.dropped(left)
		q.log.Error("audit events lost", "count", left, "reason", "shutdown")
	}
	err := q.sink.Close()
	if left > 0 {
		err = errors.Join(fmt.Errorf("audit: %d events were not written in time", left), err)
	}
	return err
}

// write tries until it succeeds or ctx has ended, and gives what is not written then.
func (q *queue) write(ctx context.Context, batch []Event) (left int) {
	failed := false
	pauses := backoff.ExponentialBackOff{InitialInterval: retryMin, Multiplier: 2, RandomizationFactor: 0.5, MaxInterval: retryMax}
	for ctx.Err() == nil {
		err := q.sink.Write(ctx, batch)
		if err == nil {
			if failed {
				q.log.Info("audit sink works again")
			}
			return 0
		}
		if partial, ok := errors.AsType[*WriteError](err); ok {
			batch = batch[partial.Written:]
		}
		if !failed {
			q.log.Warn("audit sink fails, retrying", "err", err)
			failed = true
		}
		select {
		case <-ctx.Done():
		case <-time.After(pauses.NextBackOff()):
		}
	}
	return lossOf(batch)
}
