package auth

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"golang.org/x/sync/semaphore"
	"golang.org/x/time/rate"
)

// Introspection is where an issuer says what its opaque tokens mean (RFC 7662).
type Introspection struct {
	URL string
	// ClientID and ClientSecret are sent by HTTP Basic (RFC 6749 section 2.3.1); an empty ClientID: nothing is.
	ClientID, ClientSecret string
}

const (
	// introspectionTurns is how many requests are under way at a time. Who wants another waits in order, as long as its
	// client has time.
	introspectionTurns = 16
	// introspectionTimeout bounds one.
	introspectionTimeout = 5 * time.Second
	// introspectionFresh is how long what a provider said of a good token counts, if its exp is not earlier.
	introspectionFresh = time.Minute
	// inactiveFresh is how long a token stays refused without another request.
	inactiveFresh = 10 * time.Second
	// introspectionPause is how long nobody asks for a token again after a request for it has failed, nor for any token
	// after one that shows that the provider cannot answer or does not want to.
	introspectionPause = time.Second
	introspectionTold  = 10 * time.Second
	// maxOpaqueBytes bounds a token that is asked about; real ones have some dozens of bytes.
	maxOpaqueBytes = 8 << 10
	// maxIntrospectionBytes bounds an answer: there is no signature that vouches for it, and claims are kept.
	maxIntrospectionBytes = maxTokenBytes
)

// introspector asks one issuer what its opaque tokens mean. Tokens are known by their hashes alone, but in the request.
type introspector struct {
	// Immutable.
	Introspection
	issuer *issuer
	client *http.Client
	logger *slog.Logger
	turns  *semaphore.Weighted
	// cached finds what an inquiry has brought, as long as that counts; judge says what an answer means, and keeps it if
	// it is good.
	cached func(digest, time.Time) (Identity, bool)
	judge  func(digest, ClaimsSet, time.Time) (Identity, error)
	told   rate.Sometimes // of failures, at most one in introspectionTold

	// ctx ends with the Verifier; asking counts requests under way.
	ctx    context.Context
	cancel context.CancelFunc
	asking sync.WaitGroup

	// Guarded by mu.
	mu        sync.Mutex
	closed    bool
	inquiries map[digest]*inquiry // under way, introspectionTurns at most
	bad       *simplelru.LRU[digest, badAnswer]
	failedAt  time.Time // when err came
	err       error     // of the last request, if that shows something about the provider
}

// inquiry is one request that any number of callers wait for.
type inquiry struct {
	done chan struct{} // closed when it has ended

	// Valid then.
	err      error     // a *[Refused], for a token that is not active, or an *[Undecided]
	claims   ClaimsSet // without err
	identity Identity  // that they give
	refusal  error     // or a *[Refused]
}

// badAnswer is what keeps a token from being asked for again.
type badAnswer struct {
	err   error
	until time.Time
}

func newIntrospector(i *issuer, asked Introspection) *introspector {
	client := *i.client
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse } // a token goes nowhere else
	n := &introspector{Introspection: asked, issuer: i, client: &client, logger: i.logger, turns: semaphore.NewWeighted(introspectionTurns),
		inquiries: make(map[digest]*inquiry), bad: newLRU[badAnswer](waitingEntries, nil), told: rate.Sometimes{Interval: introspectionTold}}
	n.ctx, n.cancel = context.WithCancel(context.Background())
	return n
}

// isOpaque says that token is one to ask about: what holds a JWT is judged as that, or refused, and an access token has
// the characters of RFC 6750 section 2.1 alone.
func isOpaque(token string) bool {
	return token != "" && len(token) <= maxOpaqueBytes && !HoldsToken(token) && strings.Trim(strings.TrimRight(token, "="), tokenCharacters) == ""
}

const tokenCharacters = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-._~+/"

// inquire returns an inquiry that has ended: about this token, made for this caller or for another. An error is why
// there is none.
func (n *introspector) inquire(ctx context.Context, id digest, token string) (*inquiry, error) {
	q, err := n.look(id, token, false)
	if q == nil && err == nil {
		if err := n.turns.Acquire(ctx, 1); err != nil {
			return nil, &Undecided{Reason: ReasonIssuerDown, Err: fmt.Errorf("waiting to ask: %w", context.Cause(ctx))}
		}
		q, err = n.look(id, token, true)
	}
	if err != nil {
		return nil, err
	}
	select {
	case <-q.done:
		return q, nil
	case <-ctx.Done():
		return nil, &Undecided{Reason: ReasonIssuerDown, Err: context.Cause(ctx)}
	}
}

// look returns what is known of a token: the request that is under way, or why none is made. It makes one if the caller
// has a turn, which the request takes over.
func (n *introspector) look(id digest, token string, turn bool) (*inquiry, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	now := time.Now()
	bad, known := n.bad.Get(id)
	q := n.inquiries[id]
	var err error
	switch {
	case n.closed:
		err = &Undecided{Reason: ReasonIssuerDown, Err: errClosed}
	case known && now.Before(bad.until):
		err = bad.err
	case q != nil:
	case n.err != nil && now.Sub(n.failedAt) < introspectionPause:
		err = &Undecided{Reason: ReasonIssuerDown, Err: n.err}
	case turn:
		if identity, ok := n.cached(id, now); ok { // since the caller looked, while it waited
			q = answered(identity)
			break
		}
		turn = false
		q = &inquiry{done: make(chan struct{})}
		n.inquiries[id] = q
		n.asking.Go(func() {
			defer n.turns.Release(1)
			n.settle(q, id, n.answer(q, id, token))
		})
	}
	if turn {
		n.turns.Release(1)
	}
	if err != nil {
		return nil, err
	}
	return q, nil
}

// answered is an inquiry about a token that another one has found good.
func answered(identity Identity) *inquiry {
	q := &inquiry{done: make(chan struct{}), identity: identity}
	q.claims, _ = ParseClaimsSet([]byte(identity.Claims)) // which was read before
	close(q.done)
	return q
}

// answer asks, and has the answer judged.
func (n *introspector) answer(q *inquiry, id digest, token string) (err error) {
	if q.claims, err = n.ask(token); err == nil {
		q.identity, q.refusal = n.judge(id, q.claims, time.Now())
	}
	return err
}

// settle keeps what a request brought and wakes those who wait for it.
func (n *introspector) settle(q *inquiry, id digest, err error) {
	q.err = err
	_, word := err.(*Refused)
	decided := err == nil || word
	if !decided {
		err = fmt.Errorf("introspection: %w", brief(err))
		q.err = &Undecided{Reason: ReasonIssuerDown, Err: err}
	}
	n.mu.Lock()
	delete(n.inquiries, id)
	now := time.Now()
	switch {
	case word:
		n.bad.Add(id, badAnswer{q.err, now.Add(inactiveFresh)})
	case decided && q.refusal != nil:
		n.bad.Add(id, badAnswer{q.refusal, now.Add(inactiveFresh)})
	case !decided:
		n.bad.Add(id, badAnswer{q.err, now.Add(introspectionPause)})
	}
	before := n.err
	if decided {
		n.err = nil
	} else if concernsAll(err) {
		n.err, n.failedAt = err, now
	}
	after := n.err
	n.mu.Unlock()
	close(q.done)

	switch {
	case n.ctx.Err() != nil: // shutting down
	case !decided && before == nil: // perhaps one token after the other
		n.told.Do(func() { n.logger.Warn("introspection failed", "err", err) })
	case !decided:
		n.logger.Debug("introspection failed", "err", err)
	case before != nil && after == nil:
		n.logger.Info("introspection works again")
	}
}

// trouble is why the provider does not answer; nil: nothing is known that it would not.
func (n *introspector) trouble() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.err
}

// close ends the requests under way; later ones are not made.
func (n *introspector) close() {
	n.mu.Lock()
	n.closed = true
	n.mu.Unlock()
	n.cancel()
	n.asking.Wait()
}

// verifyOpaque is verify for an opaque token.
func (v *Verifier) verifyOpaque(ctx context.Context, id digest, token string) (Identity, error) {
	q, err := v.introspector.inquire(ctx, id, token)
	switch {
	case err != nil:
		return Identity{}, err
	case q.err != nil:
		return Identity{}, q.err
	}
	return q.identity, q.refusal
}
