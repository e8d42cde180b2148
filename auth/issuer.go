package auth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// fetchInterval is the least time between the start of two fetches that tokens cause.
	fetchInterval = 10 * time.Second
	// renewInterval is below the 15 minutes after which a withdrawn key must have stopped working, so
	// that a slow answer is in by then.
	renewInterval = 14 * time.Minute
	// retryMin, doubled up to retryMax, is the pause after a failed renewal.
	retryMin = time.Second
	retryMax = 30 * time.Second
	// maxToldKeys bounds how many unusable keys of one key set are described.
	maxToldKeys = 8
)

// issuer holds the keys of one issuer and decides when to fetch them.
type issuer struct {
	// Immutable.
	Issuer
	client *http.Client
	logger *slog.Logger

	// keys is nil until the first fetch that succeeded; replaced by fetches, loaded for every token.
	keys atomic.Pointer[keySet]
	// begun counts fetches; written under mu.
	begun atomic.Uint64

	// Owned by the fetch under way, of which there is at most one.
	jwksURL   string
	otherName string // that the discovery document gave the issuer

	// Guarded by mu.
	mu        sync.Mutex
	closed    bool
	lastBegun time.Time
	underWay  *fetch
	asked     bool     // a fetch has ended
	err       error    // of the last fetch that ended
	unusable  []string // described, of the last fetch that succeeded

	// ctx ends with the Verifier; fetches counts those under way.
	ctx     context.Context
	cancel  context.CancelFunc
	fetches sync.WaitGroup
}

// fetch is one round of HTTP requests that any number of callers wait for.
type fetch struct {
	done chan struct{} // closed when it has ended
	err  error         // valid then
}

func newIssuer(asked Issuer, client *http.Client, logger *slog.Logger) *issuer {
	i := &issuer{Issuer: asked, client: client, logger: logger.With("issuer", asked.Name), jwksURL: asked.KeysURL}
	i.ctx, i.cancel = context.WithCancel(context.Background())
	return i
}

func (i *issuer) generation() uint64 {
	if set := i.keys.Load(); set != nil {
		return set.generation
	}
	return 0
}

// verify decides about a; package documentation, "Refused or undecided". The error is a *[Refused] or an
// *[Undecided]. It goes round at most three times: with the keys at hand, after a fetch that was under way,
// after one that began later.
func (i *issuer) verify(ctx context.Context, a *attempt) error {
	for {
		known := false
		set := i.keys.Load()
		if set != nil {
			var holds bool
			if holds, known = a.try(set); holds {
				a.generation = set.generation
				return nil
			}
			if set.number > a.since && len(set.keys) > 0 {
				return i.refuse(known)
			}
		}
		f, lastErr := i.refresh(false)
		switch {
		case f != nil:
		case lastErr != nil:
			return &Undecided{Reason: ReasonIssuerDown, Err: lastErr}
		case known:
			return i.refuse(known)
		default:
			return &Undecided{Reason: ReasonKeyNotYetKnown, Err: errFetchedJustNow}
		}
		select {
		case <-f.done:
		case <-ctx.Done():
			return &Undecided{Reason: ReasonIssuerDown, Err: context.Cause(ctx)}
		}
		if f.err != nil {
			return &Undecided{Reason: ReasonIssuerDown, Err: f.err}
		}
	}
}

var (
	errFetchedJustNow = errors.New("keys were fetched less than 10s ago")
	errClosed         = errors.New("verifier is closed")
)

func (i *issuer) refuse(known bool) error {
	if known {
		return refused(ReasonBadSignature, "the signature does not hold")
	}
	return refused(ReasonNoSuchKey, "no key that the issuer publishes verifies the signature")
}

// refresh joins the fetch under way or begins one. Not scheduled, it returns none when the last one began
// too recently, but the error with which that ended.
func (i *issuer) refresh(scheduled bool) (*fetch, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.closed {
		return nil, errClosed
	}
	if i.underWay != nil {
		return i.underWay, nil
	}
	now := time.Now()
	if !scheduled && i.begun.Load() > 0 && now.Sub(i.lastBegun) < fetchInterval {
		return nil, i.err
	}
	i.lastBegun = now
	number := i.begun.Add(1)
	f := &fetch{done: make(chan struct{})}
	i.underWay = f
	i.fetches.Go(func() {
		keys, rest, err := i.load(scheduled)
		i.settle(f, number, keys, rest, err)
	})
	return f, nil
}

// load asks the issuer. Renewals look at the discovery document again, as jwks_uri may move; what tokens
// cause is one request for the keys.
func (i *issuer) load(renewal bool) (keys []key, rest []unusable, err error) {
	ctx, cancel := context.WithTimeout(i.ctx, fetchTimeout)
	defer cancel()
	if i.KeysURL == "" && (i.jwksURL == "" || renewal) {
		jwksURL, err := i.discover(ctx)
		switch {
		case err == nil:
			i.jwksURL = jwksURL
		case i.jwksURL == "":
			return nil, nil, fmt.Errorf("discovery failed: %w", brief(err))
		default: // what was known before may well be right
			i.logger.Warn("discovery failed", "err", brief(err))
		}
	}
	document, err := i.get(ctx, i.jwksURL)
	if err == nil {
		keys, rest, err = parseKeys(document)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("keys not fetched: %w", brief(err))
	}
	return keys, rest, nil
}

// settle stores what the fetch brought and wakes those who wait for it.
func (i *issuer) settle(f *fetch, number uint64, keys []key, rest []unusable, err error) {
	i.mu.Lock()
	failedBefore := i.asked && i.err != nil
	changed := false
	if err == nil {
		set := &keySet{keys: keys, number: number, generation: 1}
		old := i.keys.Load()
		if old != nil {
			set.generation = old.generation
		}
		if changed = old == nil || !sameKeys(old.keys, keys); changed && old != nil {
			set.generation++
		}
		i.keys.Store(set)
	}
	told := i.unusable
	if err == nil {
		i.unusable = describe(rest)
	}
	untold := slices.DeleteFunc(slices.Clone(i.unusable), func(u string) bool { return slices.Contains(told, u) })
	i.asked, i.err, i.underWay = true, err, nil
	f.err = err
	i.mu.Unlock()
	close(f.done)

	switch {
	case err != nil && i.ctx.Err() != nil: // shutting down
	case err != nil && !failedBefore:
		i.logger.Warn("issuer keys not fetched", "err", err)
	case err != nil:
		i.logger.Debug("issuer keys not fetched", "err", err)
	case changed && len(keys) == 0:
		i.logger.Warn("issuer keys changed", "keys", 0, "unusable", len(rest))
	case changed:
		i.logger.Info("issuer keys changed", "keys", len(keys), "unusable", len(rest))
	case failedBefore:
		i.logger.Info("issuer keys fetched again", "keys", len(keys))
	}
	for _, key := range untold {
		i.logger.Warn("issuer key is unusable", "key", key)
	}
}

// describe names the keys that one would expect to be usable, each with the reason why it is not: for a log, in
// bounded words that hold printable characters alone. Keys for encryption are nothing to talk about.
func describe(rest []unusable) []string {
	var texts []string
	for _, u := range rest {
		if u.err == errNotForSignatures {
			continue
		}
		if len(texts) == maxToldKeys {
			return append(texts, "and others")
		}
		texts = append(texts, fmt.Sprintf("kid %s: %s", quoted(u.id), brief(u.err)))
	}
	return texts
}

// run keeps the keys fresh until ctx ends.
func (i *issuer) run(ctx context.Context) {
	retry := retryMin
	for {
		f, err := i.refresh(true)
		if err != nil {
			return
		}
		select {
		case <-f.done:
		case <-ctx.Done():
			return
		}
		pause := renewInterval
		if f.err != nil {
			pause, retry = retry, min(2*retry, retryMax)
		} else {
			retry = retryMin
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
	}
}

// close ends the fetch under way; later ones are not begun.
func (i *issuer) close() {
	i.mu.Lock()
	i.closed = true
	i.mu.Unlock()
	i.cancel()
	i.fetches.Wait()
	i.client.CloseIdleConnections()
}

// status says in one line how the issuer is.
func (i *issuer) status() string {
	i.mu.Lock()
	defer i.mu.Unlock()
	set := i.keys.Load()
	switch {
	case i.err != nil && set != nil:
		return i.err.Error() + "; the last known keys stay in use"
	case i.err != nil:
		return i.err.Error()
	case set == nil:
		return "keys not fetched yet"
	case len(set.keys) == 0:
		return "the issuer publishes no usable key"
	}
	return "ok"
}
