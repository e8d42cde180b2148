package auth

import (
	"crypto/sha256"
	"log/slog"
	"strconv"
	"testing"
	"time"
)

func TestCachedTokenDoesNotOutliveItsExpiry(t *testing.T) {
	key := newKey("a")
	bubble(t, []signer{key}, func(t *testing.T, b *testbed) {
		token := key.token(claims{"exp": time.Now().Unix() + 60})
		b.want(t, "new", token, "ok")
		for _, step := range []struct {
			pass         time.Duration
			want, result string
		}{
			{59 * time.Second, "ok", "cached"},
			{time.Second, "ok", "ok"}, // within skew, but no more from the cache
			{29 * time.Second, "ok", "ok"},
			{time.Second, ReasonExpired, ReasonExpired},
		} {
			pass(step.pass)
			b.want(t, "later", token, step.want)
			if got := b.lastResult(); got != step.result {
				t.Errorf("result %v later = %q; want %q", step.pass, got, step.result)
			}
		}
	})
}

func TestFailuresAreNotCached(t *testing.T) {
	key := newKey("a")
	bubble(t, []signer{key}, func(t *testing.T, b *testbed) {
		token := key.token(claims{"nbf": time.Now().Unix() + 60})
		b.want(t, "too early", token, ReasonNotYetValid)
		pass(time.Minute)
		b.want(t, "in time", token, "ok")

		late := newKey("b")
		token = late.token()
		b.want(t, "of a key that is not published", token, ReasonNoSuchKey)
		b.provider.publish(key, late)
		pass(fetchInterval)
		b.want(t, "noise", newKey("c").token(), ReasonNoSuchKey) // makes the keys be fetched
		b.want(t, "of a key published since", token, "ok")
	})
}

func TestCacheIsBounded(t *testing.T) {
	c := newCache()
	i := newIssuer(Issuer{Name: testIssuer}, nil, slog.New(slog.DiscardHandler))
	now := time.Now()
	put := func(n, bytes int) digest {
		id := sha256.Sum256([]byte(strconv.Itoa(n)))
		c.put(id, &verified{issuer: i, until: now.Add(time.Hour), bytes: bytes})
		return id
	}
	first := put(0, 1000)
	for n := 1; n <= cacheEntries; n++ {
		put(n, 1000)
	}
	if n := c.tokens.Len(); n != cacheEntries || c.bytes != 1000*cacheEntries {
		t.Errorf("cache holds %d tokens of %d bytes; want %d of %d", n, c.bytes, cacheEntries, 1000*cacheEntries)
	}
	if _, ok := c.get(first, now); ok {
		t.Error("the least recently used token was kept")
	}
	for n := range 1000 {
		put(n, maxTokenBytes)
		put(n, maxTokenBytes) // twice is once
	}
	if c.bytes > cacheBytes || c.bytes != maxTokenBytes*c.tokens.Len() {
		t.Errorf("cache holds %d tokens of %d bytes; want at most %d bytes", c.tokens.Len(), c.bytes, cacheBytes)
	}
}

func TestMemoryOfUndecidedTokensIsBoundedAndKeepsTheFirstTime(t *testing.T) {
	w := newWaiting()
	id := sha256.Sum256([]byte("token"))
	w.put(id, 1)
	w.put(id, 2)
	if since, ok := w.get(id); !ok || since != 1 {
		t.Errorf("get() = %d, %v; want 1, true", since, ok)
	}
	for n := range waitingEntries {
		w.put(sha256.Sum256([]byte(strconv.Itoa(n))), 3)
	}
	if _, ok := w.get(id); ok || w.since.Len() != waitingEntries {
		t.Errorf("%d tokens are remembered, the first: %v; want %d, false", w.since.Len(), ok, waitingEntries)
	}
}
