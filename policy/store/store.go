package store

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/time/rate"

	"topicgate/policy"
)

// Options say where the rules come from.
type Options struct {
	RedisURL   string        // see ParseRedisURL; "" or "none": rules from the file alone, roles from the token
	Prefix     string        // of all keys, e.g. "topicgate:"
	PolicyFile string        // rules before those in Redis; "": none
	StaleMax   time.Duration // Redis away for longer: everything is denied until it is back
	Instance   string        // name of this gateway; the value of its canary key
	TLS        *tls.Config   // towards Redis, for rediss://; nil: the system's roots
	Logger     *slog.Logger  // nil: none
	Observe    func(Event)
}

// Store gives each session its Access and keeps it current.
//
// A key that a session needs is an entry of the cache, shared by all sessions
// that need it and forgotten with the last of them. The watcher marks entries
// that changed; a few builders read what is marked, many keys in one round
// trip, and build anew the Access of those grants for which something is
// different. The last rule text that parsed stays in force, whatever follows it.
type Store struct {
	// Immutable after New.
	options Options
	log     *slog.Logger
	keys    keyNames
	client  redis.UniversalClient // for what is read together, and the canaries; nil: rules from the file alone
	alone   redis.UniversalClient // for scans
	others  redis.UniversalClient // for who else uses Redis
	nothing *policy.Access
	timing  timing

	file  atomic.Pointer[policy.Ruleset] // nil without a policy file
	away  atomic.Bool                    // fail closed; see watcher.judge
	cache cache
	watch *watcher // nil without Redis

	loads loadQueue     // of Opens
	odd   *rate.Limiter // log lines about odd keys, of which there may be one for each user

	mu        sync.Mutex
	fileError string // of the last Reload

	blockedChanged chan struct{} // see BlockedChanged; nil without Redis
}

// timing holds what tests want shorter.
type timing struct {
	read     time.Duration // one round trip
	open     time.Duration // all of Open
	openWait time.Duration // Open, for the watcher
	canary   time.Duration // between two canaries
	deaf     time.Duration // without an invalidation of a canary
	judge    time.Duration // between two looks at all that
	fresh    time.Duration // for which a read that went well shows that the next one will, too
	discover time.Duration // between two looks at the Cluster's masters
	reread   time.Duration // of everything cached, as a last resort
}

var usualTiming = timing{
	read:     3 * time.Second,
	open:     8 * time.Second,
	openWait: 2 * time.Second,
	canary:   time.Second,
	deaf:     2700 * time.Millisecond, // so that with the time between two looks it is noticed within 3 s
	judge:    200 * time.Millisecond,
	fresh:    5 * time.Second,
	discover: 2 * time.Second,
	reread:   5 * time.Minute,
}

// New reads the policy file, whose mistakes are returned as Problems, and
// does not wait for Redis: Open does.
func New(o Options) (*Store, error) {
	s := &Store{
		options: o,
		log:     o.Logger,
		keys:    keyNames{o.Prefix},
		nothing: policy.NothingAllowed(),
		timing:  usualTiming,
		odd:     rate.NewLimiter(1, 10),
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.cache.init()
	s.loads.init()
	if err := s.loadFile(); err != nil {
		return nil, err
	}
	if !s.hasRedis() {
		return s, nil
	}
	options, err := ParseRedisURL(o.RedisURL)
	if err != nil {
		return nil, err
	}
	limitClient(options)
	if options.TLSConfig != nil && o.TLS != nil {
		options.TLSConfig = o.TLS.Clone()
	}
	redis.SetLogger(clientLog{s.log}) // go-redis has one logger for the whole process
	data := *options
	data.Protocol = 2 // nothing is pushed to it: each reply would be looked at for that
	s.client = boundedClient(&data, data.PoolSize)
	s.alone = boundedClient(&data, scanners)
	s.others = redis.NewUniversalClient(&data)
	s.blockedChanged = make(chan struct{}, 1)
	s.watch = newWatcher(s, options, rand.Text())
	s.cache.pin(s.keys)
	return s, nil
}

// Run watches Redis and keeps all grants current. When it returns, after ctx
// ended, everything that it started has ended; grants keep their last Access.
func (s *Store) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	for range builders {
		wg.Go(func() { s.work(ctx) })
	}
	if s.watch != nil {
		wg.Go(func() { s.watch.run(ctx) })
		for range maxReads {
			wg.Go(func() { s.serveLoads(ctx) })
		}
		for range scanners {
			wg.Go(func() { s.readAlone(ctx) })
		}
	}
	<-ctx.Done()
	s.loads.close()
	s.cache.stop()
	wg.Wait()
	s.cache.failAll(errStopped)
	return nil
}

// Close closes the connections of Client. It is for after Run and for whoever
// else uses that client.
func (s *Store) Close() error {
	if s.client == nil {
		return nil
	}
	return errors.Join(s.client.Close(), s.alone.Close(), s.others.Close())
}

// Client is the connection pool to Redis, for the audit stream and the registry
// of sessions; nil without Redis. Each of its commands has a time limit.
func (s *Store) Client() redis.UniversalClient { return s.others }

// Reload reads the policy file again, and puts it in force for all grants. A file
// that is missing or does not parse leaves the old one in force.
func (s *Store) Reload() error {
	if err := s.loadFile(); err != nil {
		return err
	}
	c := &s.cache
	c.mu.Lock()
	defer c.mu.Unlock()
	for g := range c.grants {
		c.wantBuild(g, time.Now())
	}
	return nil
}

func (s *Store) hasRedis() bool { return s.options.RedisURL != "" && s.options.RedisURL != "none" }

func (s *Store) loadFile() error {
	path := s.options.PolicyFile
	if path == "" {
		return nil
	}
	text, err := os.ReadFile(path)
	var rules *policy.Ruleset
	if err == nil {
		rules, err = policy.Parse(path, string(text))
		if err == nil && !s.hasRedis() && len(rules.Schemas())+len(rules.Words()) > 0 {
			err = fmt.Errorf("%s: what `check` lines name lives in Redis, and there is none", path)
		}
	} else {
		err = fmt.Errorf("policy file: %w", err)
	}
	s.observe(Event{Kind: EventPolicy, OK: err == nil})
	detail := ""
	if err != nil {
		detail = err.Error()
	}
	s.mu.Lock()
	s.fileError = detail
	s.mu.Unlock()
	if err != nil {
		return err
	}
	s.file.Store(rules)
	s.log.Info("policy loaded", "source", path, "rules", rules.Len())
	for _, note := range problemTexts(rules.Warnings()) {
		s.log.Warn("policy warning", "source", path, "detail", note)
	}
	return nil
}

// CachedKeys is the number of keys in the cache; for the blocked set, that of
// the usernames asked about.
func (s *Store) CachedKeys() int { return s.cache.size() }

func (s *Store) observe(e Event) {
	if s.options.Observe != nil {
		e.Time = time.Now()
		s.options.Observe(e)
	}
}
