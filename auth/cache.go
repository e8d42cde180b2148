package auth

import (
	"crypto/sha256"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

const (
	// cacheEntries and cacheBytes bound the cache of verified tokens; the least recently used one goes.
	// The bytes are those of the tokens, of which their claims are up to three quarters.
	cacheEntries = 10_000
	cacheBytes   = 16 << 20
	// waitingEntries bounds what is remembered of undecided tokens. Who floods it makes others be told
	// "undecided" once more, nothing else.
	waitingEntries = 10_000
)

// digest identifies a token without keeping it.
type digest = [sha256.Size]byte

// verified is a token that once passed. It counts until it expires, and while the keys that its issuer
// publishes are the same; an opaque one, which no key has signed, for a while.
type verified struct {
	identity   Identity
	issuer     *issuer   // nil: opaque
	generation uint64    // of the issuer's keys
	until      time.Time // "exp", without skew, or earlier
	bytes      int
}

// cache keeps verified tokens, and never a failure.
type cache struct {
	mu     sync.Mutex
	bytes  int
	tokens *simplelru.LRU[digest, *verified]
}

func newCache() *cache {
	c := &cache{}
	c.tokens = newLRU(cacheEntries, func(_ digest, v *verified) { c.bytes -= v.bytes })
	return c
}

func newLRU[V any](entries int, onEvict simplelru.EvictCallback[digest, V]) *simplelru.LRU[digest, V] {
	lru, err := simplelru.NewLRU(entries, onEvict)
	if err != nil {
		panic("BUG: " + err.Error()) // only for a size below one
	}
	return lru
}

func (c *cache) get(token digest, now time.Time) (Identity, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	v, ok := c.tokens.Get(token)
	if !ok {
		return Identity{}, false
	}
	if !now.Before(v.until) || v.issuer != nil && v.generation != v.issuer.generation() {
		c.tokens.Remove(token)
		return Identity{}, false
	}
	return v.identity, true
}

func (c *cache) put(token digest, v *verified) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tokens.Remove(token) // replacing would not call onEvict
	c.tokens.Add(token, v)
	for c.bytes += v.bytes; c.bytes > cacheBytes; {
		c.tokens.RemoveOldest()
	}
}

// waiting remembers how many fetches of its issuer's keys had begun when an undecided token was first seen.
type waiting struct {
	mu    sync.Mutex
	since *simplelru.LRU[digest, uint64]
}

func newWaiting() *waiting {
	return &waiting{since: newLRU[uint64](waitingEntries, nil)}
}

func (w *waiting) get(token digest) (since uint64, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.since.Get(token)
}

func (w *waiting) put(token digest, since uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.since.Contains(token) {
		w.since.Add(token, since)
	}
}

func (w *waiting) remove(token digest) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.since.Remove(token)
}
