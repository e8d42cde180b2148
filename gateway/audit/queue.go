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
	loss    Event // pattern of the events that stand for lost ones
	log     *slog.Logger
	dropped func(n int)
	wake    chan struct{} // something was put, or no more will be

	mu      sync.Mutex
	batches [][]Event
	size    int // events in batches
	shares  shares
	lost    int // operations that no event stands for yet
	refused int // those that the sink will never take; told together with what comes next
	warned  time.Time
	closed  bool
}

func newQueue(sink Sink, max int, instance string, log *slog.Logger, dropped func(n int)) *queue {
	return &queue{
		sink: sink, max: max, loss: Event{Instance: instance}, log: log, dropped: dropped,
		wake: make(chan struct{}, 1), shares: newShares(max),
	}
}

// put takes as many of events as there is room for, and of each party's no more than its share.
func (q *queue) put(events []Event) {
	var kept []Event // nil while it is all of them
	dropped := 0
	q.mu.Lock()
	if q.refused > 0 && len(events) > 0 {
		q.tell(ReasonSinkRefused, &q.refused)
	}
	room := q.max - q.size
	for i := range events {
		e := &events[i]
		of := partyOf(e)
		ok, own := room > 0, false
		if ok {
			ok, own = q.shares.room(of, e.Count)
		}
		switch {
		case ok:
			room--
			q.shares.enter(of)
			if kept != nil {
				kept = append(kept, *e)
			}
			continue
		case kept == nil:
			kept = append(make([]Event, 0, len(events)), events[:i]...)
		}
		if !own {
			q.lost += e.Count
		}
		if !e.tellsLoss() { // else it is counted already
			dropped += e.Count
		}
	}
	if kept == nil {
		kept = events
	}
	q.size += len(kept)
	for len(kept) > 0 {
		n := min(len(kept), maxBatch)
		q.batches = append(q.batches, kept[:n:n])
		kept = kept[n:]
	}
	q.mu.Unlock()
	q.count(dropped, ReasonQueueFull)
	q.signal()
}

// lose counts n operations that the sink will not hear of one by one.
func (q *queue) lose(n int) {
	if n == 0 {
		return
	}
	q.mu.Lock()
	q.lost += n
	q.mu.Unlock()
	q.count(n, ReasonQueueFull)
	q.signal()
}

// count tells of n lost operations, and puts an event for them if there is room.
func (q *queue) count(n int, reason string) {
	q.mu.Lock()
	q.settle()
	warn := n > 0 && (q.warned.IsZero() || time.Since(q.warned) >= warnInterval)
	if warn {
		q.warned = time.Now()
	}
	q.mu.Unlock()
	if n > 0 {
		q.dropped(n)
	}
	if warn {
		q.log.Warn("audit events lost", "count", n, "reason", reason)
	}
}

// settle puts an event for what was lost as soon as there is room. q.mu is held.
func (q *queue) settle() { q.tell(ReasonQueueFull, &q.lost) }

// tell puts an event for n lost operations, and makes n nothing, if there is room. q.mu is held.
func (q *queue) tell(reason string, n *int) {
	if *n == 0 || q.size >= q.max {
		return
	}
	e := q.loss
	e.Time, e.Reason, e.Count = time.Now(), reason, *n
	q.append(e)
	*n = 0
}

// append puts one event more. q.mu is held.
func (q *queue) append(e Event) {
	q.batches, q.size = append(q.batches, []Event{e}), q.size+1
	q.shares.enter(partyOf(&e))
}

// leave makes the room that a batch had free again, and tells what its parties have lost. q.mu is held.
func (q *queue) leave(batch []Event) {
	q.size -= len(batch)
	for i := range batch {
		of := partyOf(&batch[i])
		if lost := q.shares.leave(of); lost > 0 { // there is room: an event has left for each one that comes
			e := of.loss(lost)
			e.Instance = q.loss.Instance
			q.append(e)
		}
	}
	q.settle()
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
			q.batches = q.batches[1:]
			q.leave(batch)
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

// refuse counts events that the sink will never take. What only tells of a loss is no new one; and the event that tells
// of this loss waits for others, since a sink that refuses would be told of nothing else but its own refusals.
func (q *queue) refuse(events []Event, err error) {
	q.mu.Lock()
	q.refused += lossOf(events)
	q.mu.Unlock()
	q.count(uncounted(events), err.Error())
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
		if refused, ok := errors.AsType[*RefusedError](err); ok {
			q.refuse(batch[:refused.Events], err)
			if batch = batch[refused.Events:]; len(batch) == 0 {
				return 0
			}
			continue
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
	return uncounted(batch)
}
