package session

import (
	"math/rand/v2"
	"sync"
	"time"
)

// Sessions that lose their broker together would send all their clients back at once. Their ends are spread: the n-th of
// a second waits for up to n times herdStep, and for herdSpread at most. One that is alone hardly waits.
const (
	herdSpread = time.Second
	herdStep   = 2 * time.Millisecond
)

// herd counts the sessions that end of one cause. The zero value is ready for use.
type herd struct {
	mu    sync.Mutex
	begun time.Time // the first of those that are counted
	count int
}

// pause is how long one more of them waits before its client is sent away.
func (h *herd) pause() time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	if now := time.Now(); now.Sub(h.begun) > herdSpread {
		h.begun, h.count = now, 0
	}
	h.count++
	return rand.N(min(herdSpread, time.Duration(h.count)*herdStep))
}
