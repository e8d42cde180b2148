package audit

import (
	"cmp"
	"context"
	"errors"
	"hash/maphash"
	"log/slog"
	"sync"
	"time"
)

const (
	// foldWindow is for how long equal events are folded into one: the first waits for so long.
	foldWindow = time.Second

	// maxBatch is how many events a sink is given at a time.
	maxBatch = 256

	// drainTimeout bounds what Run does after its context has ended, drainGrace how much longer it
	// waits for a Write that was told to stop.
	drainTimeout = 5 * time.Second
	drainGrace   = time.Second

	defaultQueueSize = 8192
)

// Sink is a place that events are written to, by one goroutine.
type Sink interface {
	// Write writes events in their order, and neither keeps nor changes the slice, which other
	// sinks read at the same time. After an error the events are written again, those left out
	// that a *WriteError says were written; so a sink may hold an event twice, but misses none. What a
	// *RefusedError names is not.
	Write(ctx context.Context, events []Event) error
	// Close ends the sink after the last Write.
	Close() error
}

// WriteError is a Write that did a part of its work.
type WriteError struct {
	Written int // events, from the first on, that need not be written again
	Err     error
}

func (e *WriteError) Error() string { return e.Err.Error() }
func (e *WriteError) Unwrap() error { return e.Err }

// RefusedError is a Write of events that the sink will never take: they are lost, and counted.
type RefusedError struct {
	Events int // after those that a WriteError around this one says were written
	Err    error
}

func (e *RefusedError) Error() string { return e.Err.Error() }
func (e *RefusedError) Unwrap() error { return e.Err }

// Options is what a Log is made of.
type Options struct {
	Instance  string          // for events that name none
	Sinks     map[string]Sink // by a name for logs and Dropped
	QueueSize int             // events that wait in the fold table and, again, for each sink; 0: 8192
	Logger    *slog.Logger    // nil: none
	// Dropped is told of n operations that a sink will not hear of. It must not block; it is called
	// by any goroutine of Run.
	Dropped func(sink string, n int)
}

// Log takes events for all its sinks. A nil *Log takes and forgets them.
type Log struct {
	instance string
	seed     maphash.Seed
	table    *table
	wake     chan struct{} // the table has its first event, or is half full
	queues   []*queue
}

// New makes a Log that keeps up to QueueSize different events until Run writes them.
func New(o Options) *Log {
	size := cmp.Or(o.QueueSize, defaultQueueSize)
	l := &Log{
		instance: o.Instance,
		seed:     maphash.MakeSeed(),
		table:    newTable(size),
		wake:     make(chan struct{}, 1),
	}
	logger, dropped := o.Logger, o.Dropped
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	if dropped == nil {
		dropped = func(string, int) {}
	}
	for name, sink := range o.Sinks {
		l.queues = append(l.queues, newQueue(sink, size, o.Instance, logger.With("sink", name), func(n int) { dropped(name, n) }))
	}
	return l
}

// Record hands e over and returns at once; what there is no room for is counted. It is safe for
// concurrent use.
func (l *Log) Record(e Event) {
	if l == nil || len(l.queues) == 0 {
		return
	}
	at, count := e.Time, max(e.Count, 1)
	if at.IsZero() {
		at = time.Now()
	}
	e.Time, e.Count = time.Time{}, 0
	if e.Instance == "" {
		e.Instance = l.instance
	}
	e.bound()
	n := l.table.add(maphash.Comparable(l.seed, e), &e, at, count)
	if n == 1 || n == (l.table.max+1)/2 {
		select {
		case l.wake <- struct{}{}:
		default: // Run is about to look anyway
		}
	}
}

// Run writes what is recorded until ctx ends and then, for a bounded time, what is left. Its error
// says that some sinks did not get all of it. It closes the sinks and is called once.
func (l *Log) Run(ctx context.Context) error {
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	errs := make([]error, len(l.queues))
	var writers sync.WaitGroup
	for i, q := range l.queues {
		writers.Go(func() { errs[i] = q.run(work) })
	}
	l.collect(ctx)
	for _, q := range l.queues {
		q.close()
	}

	done := make(chan struct{})
	go func() {
		writers.Wait()
		close(done)
	}()
	defer time.AfterFunc(drainTimeout, stop).Stop()
	select {
	case <-done:
		return errors.Join(errs...)
	case <-time.After(drainTimeout + drainGrace):
		// A blocked standard output cannot be told to stop; the process ends without it.
		return errors.New("audit: a sink does not end")
	}
}

// collect moves the table to the queues until ctx ends: a second after its first event, or when
// it is half full.
func (l *Log) collect(ctx context.Context) {
	var window <-chan time.Time // nil while the table is empty
	for {
		select {
		case <-ctx.Done():
			l.flush()
			return
		case <-l.wake:
			if !l.table.half() {
				if window == nil {
					window = time.After(foldWindow)
				}
				continue
			}
		case <-window:
		}
		window = nil
		l.flush()
	}
}

func (l *Log) flush() {
	events, lost, beyond := l.table.take()
	for i := range events {
		if events[i].Instance == "" {
			events[i].Instance = l.instance
		}
	}
	for _, q := range l.queues {
		if beyond > 0 {
			q.dropped(beyond)
		}
		q.put(events)
		q.lose(lost)
	}
}
