package auth

import (
	"errors"
	"net/http"
	"runtime"
	"testing"
	"testing/synctest"
)

func TestTokensWaitForTheirTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key := newKey("a")
		b := newTestbed(t, newProvider(testIssuer, key))
		known, fresh := key.token(), key.token(claims{"jti": "token-2"})
		b.want(t, "first", known, "ok")
		all := int64(turnsPerCPU * runtime.GOMAXPROCS(0))
		if !b.turns.free.TryAcquire(all) {
			t.Fatalf("there are not %d turns", all)
		}
		done := make(chan error, 1)
		go func() {
			_, err := b.Verify(t.Context(), fresh)
			done <- err
		}()
		synctest.Wait()
		select {
		case err := <-done:
			t.Fatalf("Verify() = %v without a turn", err)
		default:
		}
		b.want(t, "a token that is cached needs none", known, "ok")
		b.turns.give()
		if err := <-done; err != nil {
			t.Errorf("Verify() = %v; want nil", err)
		}
		b.turns.free.Release(all - 1)
	})
}

// Tokens of an unknown key wait for their issuer. Whoever floods the gateway with them holds up no others.
func TestWhoWaitsForTheIssuerHasNoTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key, unknown := newKey("a"), newKey("b")
		p := newProvider(testIssuer, key)
		b := newTestbed(t, p)
		b.want(t, "first", key.token(), "ok")
		hanging := make(chan struct{})
		p.mu.Lock()
		p.fault = func(*http.Request) (*http.Response, error) {
			<-hanging
			return nil, errors.New("no answer")
		}
		p.mu.Unlock()
		i := b.issuers[0]
		i.mu.Lock()
		i.lastBegun = i.lastBegun.Add(-fetchInterval)
		i.mu.Unlock()
		done := make(chan error)
		flood := turnsPerCPU*runtime.GOMAXPROCS(0) + 1
		for range flood {
			go func() {
				_, err := b.Verify(t.Context(), unknown.token())
				done <- err
			}()
		}
		synctest.Wait()
		b.want(t, "a known key", key.token(claims{"jti": "token-2"}), "ok")
		close(hanging)
		for range flood {
			if reason := reasonOf(t, <-done); reason != ReasonIssuerDown {
				t.Errorf("a token of the flood: %s; want %s", reason, ReasonIssuerDown)
			}
		}
	})
}
