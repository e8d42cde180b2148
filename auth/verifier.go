package auth

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Issuer is one whose tokens are accepted.
type Issuer struct {
	Name string // "iss" must be exactly this
	// UsernamePrefix begins the usernames in its tokens. Names are unique for one issuer only: that those of several
	// are kept apart, or are meant to be the same users', is for the caller to see to.
	UsernamePrefix string
	// DiscoveryURL is where the discovery document is fetched from, if it is not below Name: its address, with or
	// without the /.well-known/openid-configuration at its end. That it may call the issuer by another name, as those
	// of AD FS do and of a server that is known by another name inside, is what this is for.
	DiscoveryURL string
	// KeysURL is where the keys are fetched from, without discovery.
	KeysURL string
	// Introspection is where it is asked about opaque tokens. These name nobody, so one issuer at most has it. nil: none.
	Introspection *Introspection
}

// Options of a [Verifier].
type Options struct {
	Issuers   []Issuer // at least one
	Audiences []string // at least one; the audience claim must hold one of them

	// Claims are found by dotted paths ("realm_access.roles"); one of exactly that name comes first.
	AudienceClaim string // empty: "aud"
	Users         Users
	RolesClaims   []string // the roles in all of them count; empty: "roles"

	ClockSkew time.Duration // by which clocks may differ: exp, nbf and iat are off by up to it

	HTTPClient *http.Client // for its Transport and timeout; nil: the standard one. Redirects are this package's
	UserAgent  string       // of each request, "topicgate/1.2" for example (RFC 9110 section 10.1.5)
	Logger     *slog.Logger // nil: silent

	// Observe is told the result, one of [Results], and the duration of each Verify. It may be nil.
	Observe func(result string, d time.Duration)
}

// Verifier turns tokens into identities. Its methods may be called from any goroutine.
type Verifier struct {
	// Immutable.
	issuers       []*issuer
	byName        map[string]*issuer
	audiences     map[string]bool
	audienceClaim string
	users         Users
	rolesClaims   []string
	skew          time.Duration
	observe       func(result string, d time.Duration)
	introspector  *introspector // nil: opaque tokens are refused

	cache   *cache
	headers *headers
	waiting *waiting
	turns   turns
}

// NewVerifier checks the options. It uses no network: issuers may be down.
func NewVerifier(o Options) (*Verifier, error) {
	v := &Verifier{
		byName:        make(map[string]*issuer),
		audiences:     make(map[string]bool),
		audienceClaim: cmp.Or(o.AudienceClaim, "aud"),
		users:         o.Users,
		rolesClaims:   slices.Clone(o.RolesClaims),
		skew:          o.ClockSkew,
		observe:       o.Observe,
		cache:         newCache(),
		headers:       newHeaders(),
		waiting:       newWaiting(),
		turns:         newTurns(),
	}
	if len(v.rolesClaims) == 0 {
		v.rolesClaims = []string{"roles"}
	}
	if v.observe == nil {
		v.observe = func(string, time.Duration) {}
	}
	logger := o.Logger
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	if o.HTTPClient == nil {
		transport, ok := http.DefaultTransport.(*http.Transport)
		if !ok {
			return nil, errors.New("auth: the default transport was replaced: set HTTPClient")
		}
		transport = transport.Clone() // own connections, closed by Run
		transport.MaxIdleConnsPerHost = introspectionTurns
		o.HTTPClient = &http.Client{Transport: transport}
	}
	if v.skew < 0 {
		return nil, errors.New("auth: clock skew is negative")
	}
	if len(o.Issuers) == 0 {
		return nil, errors.New("auth: no issuer")
	}
	client := guardedClient(o.HTTPClient, o.UserAgent)
	for _, asked := range o.Issuers {
		insecure, err := asked.check()
		if err != nil {
			return nil, fmt.Errorf("auth: %w", err)
		}
		if v.byName[asked.Name] != nil {
			return nil, fmt.Errorf("auth: issuer %s is listed twice", asked.Name)
		}
		if insecure {
			logger.Warn("issuer without TLS: whoever is between can forge its keys", "issuer", asked.Name)
		}
		i := newIssuer(asked, client, logger)
		v.issuers = append(v.issuers, i)
		v.byName[asked.Name] = i
		if asked.Introspection != nil && v.introspector != nil {
			return nil, errors.New("auth: two issuers with introspection: nobody knows whose an opaque token is")
		} else if asked.Introspection != nil {
			v.introspector = newIntrospector(i, *asked.Introspection)
			v.introspector.cached, v.introspector.judge = v.cache.get, v.judgeOpaque
		}
	}
	for _, audience := range o.Audiences {
		if audience == "" {
			return nil, errors.New("auth: an audience is empty")
		}
		v.audiences[audience] = true
	}
	if len(v.audiences) == 0 { // never "any"
		return nil, errors.New("auth: no audience")
	}
	return v, nil
}

// Run fetches discovery documents and keys ahead and renews them until ctx ends; it returns nil when
// everything that the Verifier started has ended. It is called at most once. A Verifier works without
// it, but then renews keys only when a token needs it; after it, only tokens whose key is known pass.
func (v *Verifier) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	for _, i := range v.issuers {
		wg.Go(func() {
			i.run(ctx)
			i.close()
		})
	}
	wg.Wait()
	if v.introspector != nil {
		v.introspector.close()
	}
	return nil
}

// Verify returns whose token this is. The error is a *[Refused] or an *[Undecided], and contains of the token
// issuer and audience at most, quoted and bounded. ctx bounds the wait for an issuer, no more; when it ends the token is undecided.
func (v *Verifier) Verify(ctx context.Context, token string) (Identity, error) {
	start := time.Now()
	identity, cached, err := v.verify(ctx, token, start)
	v.observe(resultOf(cached, err), time.Since(start))
	return identity, err
}

func (v *Verifier) verify(ctx context.Context, token string, now time.Time) (identity Identity, cached bool, err error) {
	if len(token) > maxTokenBytes {
		return Identity{}, false, tooLarge(token)
	}
	id := digestOf(token)
	if identity, cached = v.cache.get(id, now); cached {
		return identity, true, nil
	}
	if v.introspector != nil && isOpaque(token) {
		identity, err = v.verifyOpaque(ctx, id, token)
		return identity, false, err
	}
	i, p, err := v.parse(token, now)
	if err != nil {
		return Identity{}, false, err
	}
	generation, err := v.verifySignature(ctx, id, i, p)
	if err != nil {
		return Identity{}, false, err
	}
	if !p.jws.headerKnown {
		v.headers.keep(p.jws.encodedHeader, p.jws.header)
	}
	if identity, err = v.identity(i, p); err != nil {
		return Identity{}, false, err
	}
	v.cache.put(id, &verified{identity: identity, issuer: i, generation: generation, until: p.expires, bytes: len(token)})
	return identity, false, nil
}

func tooLarge(token string) error {
	return refused(ReasonTooLarge, fmt.Sprintf("%d bytes, more than %d", len(token), maxTokenBytes))
}

func digestOf(token string) digest { return sha256.Sum256([]byte(token)) }

// parse reads a token and checks all that needs no key.
func (v *Verifier) parse(token string, now time.Time) (*issuer, *parsed, error) {
	v.turns.take()
	defer v.turns.give()
	p, err := parseToken(token, v.headers)
	if err != nil {
		return nil, nil, err
	}
	i := v.byName[p.issuer]
	if i == nil {
		return nil, nil, v.unknownIssuer(p)
	}
	return i, p, v.check(p, now)
}

// verifySignature returns the generation of the issuer's keys that the signature holds with.
func (v *Verifier) verifySignature(ctx context.Context, id digest, i *issuer, p *parsed) (generation uint64, err error) {
	a := &attempt{jws: p.jws, turns: v.turns, since: i.begun.Load()}
	since, retried := v.waiting.get(id)
	if retried {
		a.since = since
	}
	err = i.verify(ctx, a)
	if undecided, ok := err.(*Undecided); ok && undecided.Reason == ReasonKeyNotYetKnown {
		v.waiting.put(id, a.since)
	} else if retried {
		v.waiting.remove(id)
	}
	return a.generation, err
}

// identity is called only after the signature held.
func (v *Verifier) identity(i *issuer, p *parsed) (Identity, error) {
	name, err := v.users.Username(p.claims, i.UsernamePrefix)
	if err != nil {
		return Identity{}, err
	}
	roles, err := p.claims.Roles(v.rolesClaims...)
	if err != nil {
		return Identity{}, err
	}
	return Identity{
		Issuer:   i.Name,
		Subject:  p.subject,
		Username: name,
		Roles:    roles,
		Claims:   p.claims.json,
		TokenID:  p.tokenID,
		Expiry:   p.expires.Add(v.skew),
	}, nil
}

// Ready reports whether there is an issuer whose tokens can be verified: one whose keys are known, or that can be asked
// about opaque ones.
func (v *Verifier) Ready() bool {
	return v.introspector != nil && v.introspector.trouble() == nil || slices.ContainsFunc(v.issuers, func(i *issuer) bool {
		set := i.keys.Load()
		return set != nil && len(set.keys) > 0
	})
}

// Status says for each issuer "ok", or what is wrong.
func (v *Verifier) Status() map[string]string {
	status := make(map[string]string, len(v.issuers))
	for _, i := range v.issuers {
		status[i.Name] = i.status()
	}
	if v.introspector != nil {
		if err := v.introspector.trouble(); err != nil {
			status[v.introspector.issuer.Name] += "; " + err.Error()
		}
	}
	return status
}

// Asked reports whether each issuer's keys have been asked for, with whatever result.
func (v *Verifier) Asked() bool {
	return !slices.ContainsFunc(v.issuers, func(i *issuer) bool {
		i.mu.Lock()
		defer i.mu.Unlock()
		return !i.asked
	})
}
