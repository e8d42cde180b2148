package sleep

import (
	"context"
	"maps"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// A broker that was lost may come back with an older state: killed after an older save, or restored. What is then kept of
// an MQTT Session that sleeps there is no knowledge any more, though nobody has touched it. So it is noted, for all
// instances, when a broker was lost.

// lossMargin is by how much a note is ahead: for clocks that go apart, and so that of a thousand sessions that
// lose their broker together one makes it.
const lossMargin = 5 * time.Second

// losses is when brokers were lost.
type losses struct {
	mu   sync.Mutex
	at   map[string]time.Time // by address
	wake chan struct{}        // some are not yet written
}

// Lost says that the connection to a broker has ended, or could not be made: what was kept before may be wrong about what
// it holds. It never blocks. It takes brokers, of which there are few.
func (s *Store) Lost(broker string) {
	l := &s.losses
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if l.at[broker].After(now) {
		return
	}
	l.at[broker] = now.Add(lossMargin)
	select {
	case l.wake <- struct{}{}:
	default: // one waiting signal is as good as two
	}
}

// and is the newer of what is known here and of what others have noted.
func (l *losses) and(noted map[string]time.Time) map[string]time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := maps.Clone(l.at)
	for broker, at := range noted {
		if at.After(all[broker]) {
			all[broker] = at
		}
	}
	return all
}

// tellLosses writes them down until the store is closed, and then once more. What Redis does not take stays known here.
func (s *Store) tellLosses() {
	pauses := backoff.ExponentialBackOff{InitialInterval: 100 * time.Millisecond, Multiplier: 2, RandomizationFactor: 0.5, MaxInterval: 10 * time.Second}
	told := map[string]time.Time{}
	for {
		select {
		case <-s.losses.wake:
		case <-s.end:
			s.tellLossesBut(told)
			return
		}
		for !s.tellLossesBut(told) {
			select {
			case <-time.After(pauses.NextBackOff()):
			case <-s.end:
				return
			}
		}
		pauses.Reset()
	}
}

// tellLossesBut writes those that are not told yet; false: Redis does not take them.
func (s *Store) tellLossesBut(told map[string]time.Time) bool {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	for broker, at := range s.losses.and(nil) {
		if told[broker].Equal(at) {
			continue
		}
		if s.keeper.Lose(ctx, broker, at) != nil {
			return false
		}
		told[broker] = at
	}
	return true
}
