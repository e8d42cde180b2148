package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

const (
	introspectionURL = "https://issuer.example/introspect"
	elsewhereURL     = "https://issuer.example/elsewhere" // which nobody is to be sent to with a token
	opaqueToken      = "ory_at_3xkJ1vYq0.Zp8xLOxBtZp8-_~+/=="
)

// introspection is the endpoint of an issuer in memory.
type introspection struct {
	*provider

	mu     sync.Mutex
	tokens []string // that were asked about, in order
	now    int      // requests under way
	most   int      // of them at a time
	answer func(*http.Request, string) (*http.Response, error)
}

func (n *introspection) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.String() == elsewhereURL {
		return says()(req, "")
	}
	if req.URL.String() != introspectionURL {
		return n.provider.RoundTrip(req)
	}
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	form, err := url.ParseQuery(string(body))
	if err != nil || req.Method != http.MethodPost || len(form["token"]) != 1 || form.Get("token_type_hint") != "access_token" ||
		req.Header.Get("Content-Type") != "application/x-www-form-urlencoded" || req.URL.RawQuery != "" {
		return nil, fmt.Errorf("%s with %q is no request of RFC 7662", req.Method, body)
	}
	n.mu.Lock()
	n.tokens = append(n.tokens, form.Get("token"))
	n.now++
	n.most = max(n.most, n.now)
	answer := n.answer
	n.mu.Unlock()
	defer func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.now--
	}()
	return answer(req, form.Get("token"))
}

func (n *introspection) answers(f func(*http.Request, string) (*http.Response, error)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.answer = f
}

func (n *introspection) asked() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.tokens)
}

// says answers each request with the claims of a good token, changed by edits.
func says(edits ...claims) func(*http.Request, string) (*http.Response, error) {
	return func(*http.Request, string) (*http.Response, error) {
		return answer(http.StatusOK, string(must(json.Marshal(goodClaims(append([]claims{{"active": true}}, edits...)...))))), nil
	}
}

func answers(status int, body string) func(*http.Request, string) (*http.Response, error) {
	return func(*http.Request, string) (*http.Response, error) { return answer(status, body), nil }
}

func introspects(t *testing.T, f func(t *testing.T, b *testbed, n *introspection)) {
	t.Helper()
	n := &introspection{provider: newProvider(testIssuer, newKey("a")), answer: says()}
	bubbleWith(t, n.provider, func(o *Options) {
		o.Issuers[0].Introspection = &Introspection{URL: introspectionURL, ClientID: "gate way", ClientSecret: "s%cret:"}
		o.HTTPClient = &http.Client{Transport: n}
		o.UserAgent = "topicgate/1"
	}, func(t *testing.T, b *testbed) { f(t, b, n) })
}

func TestOpaqueTokenIsWhatItsIssuerSays(t *testing.T) {
	introspects(t, func(t *testing.T, b *testbed, n *introspection) {
		exp := time.Now().Add(time.Hour).Unix()
		n.answers(func(req *http.Request, _ string) (*http.Response, error) {
			if name, password, _ := req.BasicAuth(); name != "gate+way" || password != "s%25cret%3A" { // RFC 6749 section 2.3.1
				t.Errorf("credentials %q, %q", name, password)
			}
			if agent := req.UserAgent(); agent != "topicgate/1" {
				t.Errorf("User-Agent: %s", agent)
			}
			return says(claims{"iss": nil, "exp": exp, "roles": nil, "scope": "a b"})(req, "")
		})
		id, err := b.Verify(t.Context(), opaqueToken)
		if err != nil || id.Username != "alice" || id.Subject != "alice" || id.Issuer != testIssuer || !id.Expiry.Equal(time.Unix(exp, 0).Add(testSkew)) || id.TokenID != "token-1" {
			t.Fatalf("Verify() = %+v, %v", id, err)
		}
		if n.tokens[0] != opaqueToken {
			t.Errorf("asked about %q", n.tokens[0])
		}
		if log := b.logged(); leaks(opaqueToken, log) != "" || strings.Contains(log, "s%cret") {
			t.Errorf("the log holds the token or the secret: %s", log)
		}
	})
}

func TestAnswerCountsForAMinuteAndNeverBeyondItsExpiry(t *testing.T) {
	introspects(t, func(t *testing.T, b *testbed, n *introspection) {
		b.want(t, "new", opaqueToken, "ok")
		pass(introspectionFresh - time.Second)
		b.want(t, "a minute later", opaqueToken, "ok")
		if n.asked() != 1 || b.lastResult() != "cached" {
			t.Errorf("asked %d times, last result %s; want once, cached", n.asked(), b.lastResult())
		}
		n.answers(answers(200, `{"active":false}`))
		pass(time.Second)
		b.want(t, "revoked meanwhile", opaqueToken, ReasonInactive)

		n.answers(says(claims{"exp": time.Now().Unix() + 20}))
		b.want(t, "that ends soon", "another", "ok")
		pass(20*time.Second + testSkew)
		before := n.asked()
		b.want(t, "that has ended", "another", ReasonExpired)
		if n.asked() != before+1 {
			t.Errorf("asked %d times more; want once, since what was known has ended", n.asked()-before)
		}
	})
}

func TestInactiveTokenIsRefusedWithoutAnotherRequest(t *testing.T) {
	introspects(t, func(t *testing.T, b *testbed, n *introspection) {
		n.answers(answers(200, `{"active":false}`))
		for range 100 {
			b.want(t, "inactive", opaqueToken, ReasonInactive)
		}
		if n.asked() != 1 {
			t.Errorf("asked %d times; want once", n.asked())
		}
		pass(inactiveFresh)
		n.answers(says())
		b.want(t, "later", opaqueToken, "ok")
	})
}

func TestJWTIsNeverSentToTheIssuer(t *testing.T) {
	introspects(t, func(t *testing.T, b *testbed, n *introspection) {
		key := newKey("stranger")
		for what, token := range map[string]string{
			"unknown key": key.token(), "another issuer's": key.token(claims{"iss": "https://other.example"}), "with more behind it": key.token() + ".x",
			"with more before it": "x." + key.token(), "symmetric": hs256(`{"alg":"HS256"}`, "{}", []byte("x")), "empty": "", "words": "a password", "other characters": "pässwort",
			"too long": strings.Repeat("x", maxOpaqueBytes+1),
		} {
			if got := b.reason(t, token); got == "ok" {
				t.Errorf("%s: ok", what)
			}
		}
		if n.asked() > 0 {
			t.Errorf("asked about %q", n.tokens)
		}
	})
}

func TestCallersShareARequest(t *testing.T) {
	introspects(t, func(t *testing.T, b *testbed, n *introspection) {
		n.answers(func(req *http.Request, token string) (*http.Response, error) {
			time.Sleep(time.Second)
			return says()(req, token)
		})
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() { b.want(t, "shared", opaqueToken, "ok") })
		}
		gone, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		wg.Go(func() {
			if _, err := b.Verify(gone, opaqueToken); reasonOf(t, err) != ReasonIssuerDown {
				t.Errorf("Verify() of one who did not wait = %v", err)
			}
		})
		wg.Wait()
		if n.asked() != 1 {
			t.Errorf("asked %d times; want once", n.asked())
		}
	})
}

func TestRequestsAtATimeAreBounded(t *testing.T) {
	introspects(t, func(t *testing.T, b *testbed, n *introspection) {
		n.answers(func(req *http.Request, token string) (*http.Response, error) {
			time.Sleep(time.Second)
			return says(claims{"sub": token})(req, token)
		})
		var wg sync.WaitGroup
		for i := range 10 * introspectionTurns {
			wg.Go(func() {
				name := fmt.Sprintf("user-%d", i)
				if id, err := b.Verify(t.Context(), name); err != nil || id.Username != name {
					t.Errorf("Verify(%s) = %q, %v", name, id.Username, err)
				}
			})
		}
		// Who goes away meanwhile leaves no request behind that nobody waits for.
		gone, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		synctest.Wait()
		for i := range 100 {
			wg.Go(func() { _, _ = b.Verify(gone, fmt.Sprintf("gone-%d", i)) })
		}
		wg.Wait()
		if n.most != introspectionTurns || n.asked() != 10*introspectionTurns {
			t.Errorf("%d requests, %d at a time; want %d, %d", n.asked(), n.most, 10*introspectionTurns, introspectionTurns)
		}
	})
}

func TestThoseWhoWaitForATurnShareARequestToo(t *testing.T) {
	introspects(t, func(t *testing.T, b *testbed, n *introspection) {
		n.answers(func(req *http.Request, token string) (*http.Response, error) {
			time.Sleep(time.Second)
			return says()(req, token)
		})
		var wg sync.WaitGroup
		for i := range introspectionTurns {
			wg.Go(func() { b.want(t, "first", fmt.Sprintf("first-%d", i), "ok") })
		}
		synctest.Wait()
		for range 2 * introspectionTurns {
			wg.Go(func() { b.want(t, "later", opaqueToken, "ok") })
		}
		wg.Wait()
		if n.asked() != introspectionTurns+1 {
			t.Errorf("asked %d times; want %d", n.asked(), introspectionTurns+1)
		}
	})
}

func TestKeysThatChangeMakeNobodyAskAgain(t *testing.T) {
	introspects(t, func(t *testing.T, b *testbed, n *introspection) {
		b.want(t, "new", opaqueToken, "ok")
		later := newKey("later")
		n.publish(later)
		pass(fetchInterval)
		b.want(t, "of a later key", later.token(), "ok")
		b.want(t, "after the keys have changed", opaqueToken, "ok")
		if n.asked() != 1 {
			t.Errorf("asked %d times; want once", n.asked())
		}
	})
}

// Those who get their turn one after the other find what the first of them has brought.
func TestThoseWhoGetTheirTurnLateAskNoMore(t *testing.T) {
	introspects(t, func(t *testing.T, b *testbed, n *introspection) {
		n.answers(func(req *http.Request, token string) (*http.Response, error) {
			var seconds int
			if _, err := fmt.Sscanf(token, "for-%d", &seconds); err != nil {
				seconds = 1
			}
			time.Sleep(time.Duration(seconds) * time.Second)
			return says()(req, token)
		})
		var wg sync.WaitGroup
		// One turn gets free after a second, the next one after four; both are waited for.
		for i := range introspectionTurns {
			token := fmt.Sprintf("for-4-%d", i)
			if i == 0 {
				token = "for-1"
			}
			wg.Go(func() { b.want(t, "first", token, "ok") })
		}
		synctest.Wait()
		for range introspectionTurns {
			wg.Go(func() { b.want(t, "later", opaqueToken, "ok") })
			synctest.Wait()
		}
		wg.Wait()
		if n.asked() != introspectionTurns+1 {
			t.Errorf("asked %d times; want %d", n.asked(), introspectionTurns+1)
		}
	})
}

func TestRefusedTokenIsNotAskedAboutAgainAtOnce(t *testing.T) {
	introspects(t, func(t *testing.T, b *testbed, n *introspection) {
		n.answers(says(claims{"aud": "web"}))
		for range 10 {
			b.want(t, "for others", opaqueToken, ReasonWrongAudience)
		}
		if n.asked() != 1 {
			t.Errorf("asked %d times; want once", n.asked())
		}
	})
}

func TestProviderThatIsAwayIsLeftAloneForAWhile(t *testing.T) {
	introspects(t, func(t *testing.T, b *testbed, n *introspection) {
		n.answers(answers(503, ""))
		for i := range 1000 {
			b.want(t, "while it is away", fmt.Sprintf("t%d", i), ReasonIssuerDown)
			pass(10 * time.Millisecond)
		}
		if n.asked() > 11 {
			t.Errorf("asked %d times in 10 s; want about one in a second", n.asked())
		}
		if status := b.Status()[testIssuer]; !strings.Contains(status, "introspection: ") {
			t.Errorf("Status() = %q; want it to tell", status)
		}
		n.answers(says())
		pass(introspectionPause)
		b.want(t, "when it is back", "t1", "ok")
		if status := b.Status()[testIssuer]; status != "ok" {
			t.Errorf("Status() = %q; want ok", status)
		}
		if log := b.logged(); strings.Count(log, "level=WARN") != 1 || !strings.Contains(log, "introspection works again") {
			t.Errorf("the log does not tell once of the outage and of its end: %s", log)
		}
	})
}

// Whoever finds a token that the provider chokes on must not keep out others by it.
func TestTokenThatTheProviderChokesOnConcernsNobodyElse(t *testing.T) {
	introspects(t, func(t *testing.T, b *testbed, n *introspection) {
		for _, broken := range []func(*http.Request, string) (*http.Response, error){answers(500, ""), answers(400, ""), answers(200, "x")} {
			n.answers(broken)
			b.want(t, "poison", "poison", ReasonIssuerDown)
			asked := n.asked()
			b.want(t, "poison again", "poison", ReasonIssuerDown)
			if n.asked() != asked {
				t.Error("asked again at once about a token that failed")
			}
			n.answers(says())
			b.want(t, "another's", fmt.Sprintf("good-%d", asked), "ok")
			pass(introspectionPause)
		}
	})
}

func TestNothingIsAskedAfterRunEnded(t *testing.T) {
	n := &introspection{provider: newProvider(testIssuer, newKey("a")), answer: says()}
	b := newTestbed(t, n.provider, func(o *Options) {
		o.Issuers[0].Introspection = &Introspection{URL: introspectionURL}
		o.HTTPClient = &http.Client{Transport: n}
	})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.Run(ctx); err != nil {
		t.Error(err)
	}
	b.want(t, "after the end", opaqueToken, ReasonIssuerDown)
	if n.asked() > 0 {
		t.Error("asked after the end")
	}
}

func TestOneIssuerAtMostIsAskedAboutOpaqueTokens(t *testing.T) {
	asked := &Introspection{URL: introspectionURL}
	for name, issuers := range map[string][]Issuer{
		"two":        {{Name: testIssuer, Introspection: asked}, {Name: "https://other.example", Introspection: asked}},
		"no address": {{Name: testIssuer, Introspection: &Introspection{URL: "/introspect"}}},
	} {
		if _, err := NewVerifier(Options{Issuers: issuers, Audiences: []string{"a"}}); err == nil {
			t.Errorf("NewVerifier with %s succeeded; want an error", name)
		}
	}
	v, err := NewVerifier(Options{Issuers: []Issuer{{Name: testIssuer, Introspection: asked}}, Audiences: []string{"a"}})
	if err != nil || !v.Ready() {
		t.Errorf("NewVerifier() = %v; want it to be ready without a key", err)
	}
	v.introspector.err = errors.New("away")
	if v.Ready() {
		t.Error("Ready() though the issuer does not answer")
	}
}
