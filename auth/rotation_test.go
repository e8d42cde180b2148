package auth

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// bubble runs f with a running verifier of a provider that publishes key, on a clock of its own.
func bubble(t *testing.T, keys []signer, f func(t *testing.T, b *testbed)) {
	t.Helper()
	rsaKey() // not on the bubble's clock
	bubbleWith(t, newProvider(testIssuer, keys...), func(*Options) {}, f)
}

// bubbleWith is bubble with another provider and other options.
func bubbleWith(t *testing.T, p *provider, edit func(*Options), f func(t *testing.T, b *testbed)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := newTestbed(t, p, edit)
		b.start(t)
		synctest.Wait()
		f(t, b)
	})
}

// pass lets time go by and everything that is due happen.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (b *testbed) wantFetches(t *testing.T, when string, want int) {
	t.Helper()
	if _, got := b.provider.counts(); got != want {
		t.Errorf("%s: %d requests for keys; want %d", when, got, want)
	}
}

func TestKeysAreThereBeforeTheFirstToken(t *testing.T) {
	key := newKey("a")
	bubble(t, []signer{key}, func(t *testing.T, b *testbed) {
		b.wantFetches(t, "after start", 1)
		b.provider.fail(down)
		b.want(t, "first", key.token(), "ok")
		b.wantFetches(t, "after the first token", 1)
	})
}

func TestFirstTokenJoinsTheFetchOfTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key := newKey("a")
		p := newProvider(testIssuer, key)
		b := newTestbed(t, slow(p))
		b.start(t)
		synctest.Wait()
		b.want(t, "first, while keys are fetched", key.token(), "ok")
		b.wantFetches(t, "after the first token", 1)
	})
}

func TestVerifierWorksWithoutRun(t *testing.T) {
	key := newKey("a")
	b := newTestbed(t, newProvider(testIssuer, key))
	if got := b.Status()[testIssuer]; got != "keys not fetched yet" {
		t.Errorf("Status() = %q", got)
	}
	b.want(t, "first", key.token(), "ok")
	b.want(t, "second", key.token(claims{"jti": "token-2"}), "ok")
	b.wantFetches(t, "after two tokens", 1)
}

func TestFloodOfUnknownKeysCausesAFetchInTenSeconds(t *testing.T) {
	key := newKey("a")
	bubble(t, []signer{key}, func(t *testing.T, b *testbed) {
		bad := newKey("")
		before := time.Now()
		for i := range 1000 {
			bad.id = fmt.Sprintf("fresh-%d", i)
			got := b.reason(t, bad.token())
			if got != ReasonKeyNotYetKnown && got != ReasonNoSuchKey {
				t.Fatalf("Verify(bad token %d): %s", i, got)
			}
			time.Sleep(30 * time.Millisecond)
		}
		if took := time.Since(before); took != 30*time.Second {
			t.Fatalf("the flood took %v; want 30s", took)
		}
		b.wantFetches(t, "after 1,000 bad tokens in 30 s", 1+2) // at start, and at 10 and 20 s
		b.want(t, "good", key.token(), "ok")
	})
}

func TestFloodOfBadSignaturesCausesAFetchInTenSeconds(t *testing.T) {
	key := newKey("a")
	bubble(t, []signer{key}, func(t *testing.T, b *testbed) {
		forger := newKey("a")
		for i := range 1000 {
			b.want(t, "forged", forger.token(claims{"jti": fmt.Sprint(i)}), ReasonBadSignature)
			time.Sleep(30 * time.Millisecond)
		}
		b.wantFetches(t, "after 1,000 forged tokens in 30 s", 1+2)
	})
}

func TestCallersShareOneFetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key := newKey("a")
		b := newTestbed(t, slow(newProvider(testIssuer, key)))
		b.start(t)
		pass(time.Minute)
		next := newKey("b")
		b.provider.publish(key, next)
		var callers sync.WaitGroup
		for i := range 500 {
			callers.Go(func() { b.want(t, "of the new key", next.token(claims{"jti": fmt.Sprint(i)}), "ok") })
		}
		callers.Wait()
		b.wantFetches(t, "after 500 tokens at once", 2)
	})
}

func TestRotationIsSeenAtOnceWhenNoFetchWasRecent(t *testing.T) {
	old := newKey("a")
	bubble(t, []signer{old}, func(t *testing.T, b *testbed) {
		pass(10 * time.Second)
		next := newKey("b")
		b.provider.publish(old, next)
		b.want(t, "of the new key", next.token(), "ok")
		b.want(t, "of the old key", old.token(), "ok")
	})
}

func TestRotationRightAfterNoiseIsSeenWithinTenSeconds(t *testing.T) {
	old := newKey("a")
	bubble(t, []signer{old}, func(t *testing.T, b *testbed) {
		pass(time.Minute)
		b.want(t, "noise", newKey("noise").token(), ReasonNoSuchKey) // takes the one fetch
		next := newKey("b")
		b.provider.publish(old, next)
		token := next.token()
		for range 10 { // a client that comes back each second
			b.want(t, "of the new key, too early", token, ReasonKeyNotYetKnown)
			pass(time.Second)
		}
		b.want(t, "of the new key, 10 s later", token, "ok")
	})
}

func TestRetriedWorthlessTokenIsRefusedByAnybodysFetch(t *testing.T) {
	key := newKey("a")
	bubble(t, []signer{key}, func(t *testing.T, b *testbed) {
		token := newKey("worthless").token()
		b.want(t, "worthless, just after a fetch", token, ReasonKeyNotYetKnown)
		b.want(t, "worthless, again", token, ReasonKeyNotYetKnown)
		pass(10 * time.Second)
		b.want(t, "other noise", newKey("noise").token(), ReasonNoSuchKey)
		b.wantFetches(t, "after noise", 2)
		b.want(t, "worthless, after a fetch for somebody else", token, ReasonNoSuchKey)
		b.wantFetches(t, "after the retry", 2)
	})
}

func TestSameKeyIDWithANewKeyIsSeen(t *testing.T) {
	old := newKey("a")
	bubble(t, []signer{old}, func(t *testing.T, b *testbed) {
		pass(10 * time.Second)
		next := newKey("a")
		b.provider.publish(next)
		b.want(t, "of the new key", next.token(), "ok")
		b.want(t, "of the old key", old.token(), ReasonBadSignature)
	})
}

func TestTokenWithoutKeyIDIsTriedWithEveryKey(t *testing.T) {
	first, second := newKey("a"), newKey("b")
	bubble(t, []signer{first, second}, func(t *testing.T, b *testbed) {
		unnamed := second
		unnamed.id = ""
		b.want(t, "without kid", unnamed.token(), "ok")
		b.want(t, "without kid, forged", newKey("").token(), ReasonKeyNotYetKnown)
	})
}

func TestFetchThatBeganBeforeTheTokenCameRefusesNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key := newKey("a")
		b := newTestbed(t, slow(newProvider(testIssuer, key)))
		b.start(t)
		synctest.Wait() // the fetch is under way
		b.want(t, "unknown", newKey("b").token(), ReasonKeyNotYetKnown)
	})
}

func TestWithdrawnKeyStopsWorkingWithin15Minutes(t *testing.T) {
	old, next := newKey("a"), newKey("b")
	bubble(t, []signer{old, next}, func(t *testing.T, b *testbed) {
		token := old.token()
		b.want(t, "of the old key", token, "ok")
		b.provider.publish(next)
		b.want(t, "of the old key, in the cache", token, "ok")
		pass(15 * time.Minute)
		if got := b.reason(t, token); got == "ok" {
			t.Error("a token of a withdrawn key passes after 15 minutes")
		}
		pass(10 * time.Second)
		b.want(t, "of the withdrawn key", token, ReasonNoSuchKey)
	})
}

func TestRenewalThatChangesNothingKeepsTheCache(t *testing.T) {
	first, second := newKey("a"), newKey("b")
	bubble(t, []signer{first, second}, func(t *testing.T, b *testbed) {
		token := first.token()
		b.want(t, "good", token, "ok")
		b.provider.publish(second, first) // another order is no change
		pass(20 * time.Minute)
		b.wantFetches(t, "after 20 minutes", 2)
		b.want(t, "good", token, "ok")
		if got := b.lastResult(); got != "cached" {
			t.Errorf("result after a renewal = %q; want cached", got)
		}
	})
}

func TestKeysStayWhileTheIssuerIsDown(t *testing.T) {
	key := newKey("a")
	bubble(t, []signer{key}, func(t *testing.T, b *testbed) {
		b.provider.fail(down)
		pass(24 * time.Hour)
		b.want(t, "of the known key", key.token(), "ok")
		b.want(t, "of an unknown key", newKey("b").token(), ReasonIssuerDown)
		b.want(t, "forged", newKey("a").token(), ReasonIssuerDown)
		b.want(t, "expired", newKey("b").token(claims{"exp": 1}), ReasonExpired)
		status := b.Status()[testIssuer]
		if !strings.Contains(status, "connection refused") || !strings.Contains(status, "stay in use") {
			t.Errorf("Status() = %q", status)
		}
		if n := strings.Count(b.logged(), "level=WARN msg=\"issuer keys not fetched\""); n != 1 {
			t.Errorf("%d warnings for one outage; want 1", n)
		}
		b.provider.fail(nil)
		pass(retryMax)
		if got := b.Status()[testIssuer]; got != "ok" {
			t.Errorf("Status() after the outage = %q; want ok", got)
		}
	})
}

func TestIssuerDownAtStartIsRetriedWithGrowingPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key := newKey("a")
		p := newProvider(testIssuer, key)
		p.fail(down)
		b := newTestbed(t, p)
		b.start(t)
		for _, step := range []struct{ after, requests int }{
			{0, 1}, {1, 2}, {2, 3}, {4, 4}, {8, 5}, {16, 6}, {30, 7}, {30, 8},
		} {
			pass(time.Duration(step.after) * time.Second)
			if got, _ := p.counts(); got != step.requests {
				t.Errorf("%d s later: %d attempts; want %d", step.after, got, step.requests)
			}
		}
		b.want(t, "while the issuer is down", key.token(), ReasonIssuerDown)
		p.fail(nil)
		pass(retryMax)
		p.fail(down)
		b.want(t, "after it came up", key.token(), "ok")
	})
}

func TestTokenFindsTheIssuerThatCameUpBetweenRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key := newKey("a")
		p := newProvider(testIssuer, key)
		p.fail(down)
		b := newTestbed(t, p)
		b.start(t)
		pass(2 * time.Minute) // attempts at 61, 91, 121 s
		pass(11 * time.Second)
		p.fail(nil)
		b.want(t, "of an issuer that came up", key.token(), "ok")
	})
}

func TestSilentIssuerIsGivenUpAfterTenSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProvider(testIssuer)
		p.fail(silent)
		b := newTestbed(t, p)
		start := time.Now()
		_, err := b.Verify(t.Context(), newKey("a").token())
		if got := reasonOf(t, err); got != ReasonIssuerDown || time.Since(start) != fetchTimeout {
			t.Errorf("Verify() = %v after %v; want %s after 10s", err, time.Since(start), ReasonIssuerDown)
		}
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("errors.Is(%v, DeadlineExceeded) = false", err)
		}
	})
}

func TestCallerWhoseContextEndsStopsWaitingAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key := newKey("a")
		b := newTestbed(t, slow(newProvider(testIssuer, key)))
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		start := time.Now()
		var other sync.WaitGroup
		other.Go(func() { b.want(t, "of the patient caller", key.token(), "ok") })
		_, err := b.Verify(ctx, key.token())
		if got := reasonOf(t, err); got != ReasonIssuerDown || time.Since(start) != 100*time.Millisecond {
			t.Errorf("Verify() = %v after %v; want %s after 100ms", err, time.Since(start), ReasonIssuerDown)
		}
		other.Wait()
	})
}

func TestEmptyKeySetLeavesTokensUndecided(t *testing.T) {
	key := newKey("a")
	bubble(t, nil, func(t *testing.T, b *testbed) {
		token := key.token()
		pass(10 * time.Second)
		b.want(t, "of an issuer without keys", token, ReasonKeyNotYetKnown)
		if got := b.Status()[testIssuer]; got != "the issuer publishes no usable key" {
			t.Errorf("Status() = %q", got)
		}
		b.provider.publish(key)
		pass(10 * time.Second)
		b.want(t, "once the issuer has keys", token, "ok")
	})
}

func TestRenewalFollowsJWKSURI(t *testing.T) {
	key := newKey("a")
	bubble(t, []signer{key}, func(t *testing.T, b *testbed) {
		b.provider.mu.Lock()
		b.provider.jwksPath = "/moved"
		b.provider.mu.Unlock()
		next := newKey("b")
		b.provider.publish(next)
		pass(15 * time.Minute)
		b.provider.fail(down)
		b.want(t, "of the key at the new address", next.token(), "ok")
	})
}

func TestNothingIsFetchedAfterRunEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key := newKey("a")
		p := newProvider(testIssuer, key)
		b := newTestbed(t, p)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- b.Run(ctx) }()
		synctest.Wait()
		p.fail(silent)
		pass(renewInterval) // a fetch that hangs is under way
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run() = %v; want nil", err)
		}
		_, before := p.counts()
		pass(time.Hour)
		b.want(t, "of a known key", key.token(), "ok")
		b.want(t, "of an unknown key", newKey("b").token(), ReasonIssuerDown)
		b.wantFetches(t, "after Run ended", before)
	})
}
