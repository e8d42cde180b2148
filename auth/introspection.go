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
	done   chan struct{} // closed when it has ended
	claims ClaimsSet     // valid then; those of an active token
	err    error         // a *[Refused] or *[Undecided]
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

// claims returns what the provider says of an active token. The error is a *[Refused] or an *[Undecided].
func (n *introspector) claims(ctx context.Context, id digest, token string) (ClaimsSet, error) {
	q, err := n.inquire(ctx, id, token)
	if err != nil {
		return ClaimsSet{}, err
	}
	select {
	case <-q.done:
		return q.claims, q.err
	case <-ctx.Done():
		return ClaimsSet{}, &Undecided{Reason: ReasonIssuerDown, Err: context.Cause(ctx)}
	}
}

// inquire joins the request for a token that is under way, or makes one when it is its turn.
func (n *introspector) inquire(ctx context.Context, id digest, token string) (*inquiry, error) {
	if q, err := n.look(id, token, false); q != nil || err != nil {
		return q, err
	}
	if err := n.turns.Acquire(ctx, 1); err != nil {
		return nil, &Undecided{Reason: ReasonIssuerDown, Err: fmt.Errorf("waiting to ask: %w", context.Cause(ctx))}
	}
	return n.look(id, token, true)
}

// look returns what is known of a token: the request that is under way, or why none is made. It makes one if the caller
// has a turn, which it takes over.
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
		turn = false // the request has it
		q = &inquiry{done: make(chan struct{})}
		n.inquiries[id] = q
		n.asking.Go(func() {
			defer n.turns.Release(1)
			claims, err := n.ask(token)
			n.settle(q, id, claims, err)
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

// settle keeps what a request brought and wakes those who wait for it.
func (n *introspector) settle(q *inquiry, id digest, claims ClaimsSet, err error) {
	q.claims, q.err = claims, err
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

// introspect asks the issuer what an opaque token means, and holds the answer to what is asked of a JWT.
func (v *Verifier) introspect(ctx context.Context, id digest, token string) (*parsed, error) {
	claims, err := v.introspector.claims(ctx, id, token)
	if err != nil {
		return nil, err
	}
	p := &parsed{claims: claims}
	var ok bool
	if p.issuer, ok = claims.Text("iss"); !ok {
		return nil, refused(ReasonMalformed, "iss is not a string")
	}
	if p.issuer == "" { // it may be left out (RFC 7662 section 2.2): who else should have given the token?
		p.issuer = v.introspector.issuer.Name
	}
	return p, nil
}

// verifyOpaque is verify for an opaque token.
func (v *Verifier) verifyOpaque(ctx context.Context, id digest, token string, now time.Time) (Identity, error) {
	p, err := v.introspect(ctx, id, token)
	if err != nil {
		return Identity{}, err
	}
	i := v.introspector.issuer
	if p.issuer != i.Name {
		return Identity{}, v.unknownIssuer(p)
	}
	if err := v.check(p, now); err != nil {
		return Identity{}, err
	}
	identity, err := v.identity(i, p)
	if err != nil {
		return Identity{}, err
	}
	until := now.Add(introspectionFresh)
	if p.expires.Before(until) {
		until = p.expires
	}
	v.cache.put(id, &verified{identity: identity, issuer: i, generation: i.generation(), until: until, bytes: len(token) + len(identity.Claims)})
	return identity, nil
}
