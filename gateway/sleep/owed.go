package sleep

import (
	"context"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// maxOwedBytes bounds what is owed to a Redis that refuses writes, each record weighing owedOverhead more than it has
// bytes. What is beyond stays as it is there.
const (
	maxOwedBytes = 16 << 20
	owedOverhead = 128
)

// owedBatch is how many records are forgotten in one round trip.
const owedBatch = 100

// owed is what could not be written, or is not urgent: the newest word about each record, until the keeper has taken it.
type owed struct {
	mu      sync.Mutex
	records map[string]owedRecord
	bytes   int
	paying  chan struct{} // closed when what is being written has been; nil: nothing is
	wake    chan struct{} // there is something
}

// owedRecord is what is to be kept.
type owedRecord struct {
	data []byte // nil: nothing
	ttl  time.Duration
}

func (r owedRecord) weight(id string) int { return len(id) + len(r.data) + owedOverhead }

// owe notes r, unless it is too much, in place of what was owed of this id before; again that only if there is nothing
// newer.
func (o *owed) owe(id string, r owedRecord, again bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	before, known := o.records[id]
	if known && again {
		return
	}
	weight := r.weight(id)
	if known {
		weight -= before.weight(id)
	}
	if o.bytes+weight > maxOwedBytes {
		if known { // an older word is worse than none
			o.drop(id, before)
		}
		return
	}
	o.records[id] = r
	o.bytes += weight
	select {
	case o.wake <- struct{}{}:
	default: // one waiting signal is as good as two
	}
}

// begin waits until nothing is being written that was owed, and forgets what is owed of this id: a newer word is about
// to be written.
func (o *owed) begin(id string) {
	for {
		o.mu.Lock()
		paying := o.paying
		if paying == nil {
			if r, known := o.records[id]; known {
				o.drop(id, r)
			}
			o.mu.Unlock()
			return
		}
		o.mu.Unlock()
		<-paying
	}
}

// drop takes a record out. o.mu is held.
func (o *owed) drop(id string, r owedRecord) {
	delete(o.records, id)
	o.bytes -= r.weight(id)
}

// word is what is owed of this id, when nothing that was owed is being written.
func (o *owed) word(ctx context.Context, id string) (r owedRecord, known bool, err error) {
	for {
		o.mu.Lock()
		r, known = o.records[id]
		paying := o.paying
		o.mu.Unlock()
		if known || paying == nil {
			return r, known, nil
		}
		select {
		case <-paying: // it may be among that
		case <-ctx.Done():
			return r, false, ctx.Err()
		}
	}
}

// take takes out some of what is owed; done is to be called when it has been written, or could not be.
func (o *owed) take() (some map[string]owedRecord, done func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	some = map[string]owedRecord{}
	for id, r := range o.records {
		if len(some) == owedBatch {
			break
		}
		some[id] = r
		o.drop(id, r)
	}
	paying := make(chan struct{})
	o.paying = paying
	return some, func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.paying = nil
		close(paying)
	}
}

// pay writes what is owed until end is closed, and then once more.
func (s *Store) pay(end <-chan struct{}) {
	pauses := backoff.ExponentialBackOff{InitialInterval: 100 * time.Millisecond, Multiplier: 2, RandomizationFactor: 0.5, MaxInterval: 10 * time.Second}
	for {
		select {
		case <-s.owed.wake:
		case <-end:
			s.payAll()
			return
		}
		for {
			select {
			case <-time.After(pauses.NextBackOff()): // who comes in a storm goes in one round trip
			case <-end:
				s.payAll()
				return
			}
			if s.payAll() {
				pauses.Reset()
				break
			}
		}
	}
}

// payAll writes all that is owed; false: it could not.
func (s *Store) payAll() bool {
	for {
		some, done := s.owed.take()
		ok := s.paySome(some)
		done()
		if len(some) == 0 || !ok {
			return ok
		}
	}
}

func (s *Store) paySome(some map[string]owedRecord) bool {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	var forgotten []string
	for id, r := range some {
		if r.data == nil {
			forgotten = append(forgotten, id)
		}
	}
	ok := true
	if len(forgotten) > 0 && s.keeper.Forget(ctx, forgotten...) != nil {
		ok = false
		for _, id := range forgotten {
			s.owed.owe(id, owedRecord{}, true)
		}
	}
	for id, r := range some {
		if r.data == nil {
			continue
		}
		if !ok || s.keeper.Keep(ctx, id, r.data, r.ttl) != nil {
			ok = false
			s.owed.owe(id, r, true)
		}
	}
	return ok
}
