package store

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/push"
)

// server is one server that is listened to: the only one, or a master of a Cluster.
type server struct {
	addr   string // "": wherever the options lead
	cancel context.CancelFunc

	// Guarded by watcher.mu.
	canary  string       // key that lives on this server; "": none of our keys does
	close   func() error // ends the connection; nil: there is none
	opened  time.Time    // when the connection was
	heard   bool         // the subscription was confirmed, so tracking is on
	proven  bool         // a canary came back since, so it is the server that our writes go to
	asked   time.Time    // when the oldest canary not yet seen was sent; zero: none is
	seen    time.Time    // all changes before that are known
	reason  string       // why all is read again once proven
	lastErr error
}

// watcher listens for changes, by CLIENT TRACKING in broadcasting mode on a
// connection that always reads (a subscribed one), and knows how far that can
// be trusted.
//
// A connection that is broken, half open, or left behind on an old master tells
// nothing. So each second a canary key is written through the client that reads
// go through: no invalidation of it for three seconds, and the connection is
// opened anew. Whatever was read before the first canary of a new connection is
// read again.
type watcher struct {
	// Immutable.
	store    *Store
	options  *redis.UniversalOptions
	process  string // names the canary keys of this process
	tracking []any
	kick     chan struct{} // a canary is wanted now
	look     chan struct{} // the masters may have changed
	doubt    chan struct{} // can Redis be read at all?

	mu       sync.Mutex
	nodes    map[string]*server // by addr
	checked  time.Time          // Cluster: when the masters were last known
	slots    string             // Cluster: which master had which slots
	live     bool
	liveC    chan struct{} // closed while live
	since    time.Time     // when live last changed
	lastErr  error         // Cluster: of the last look
	readErr  error         // of the last read; nil: it went well
	readGood time.Time     // when the last read began of which something went well
	writeErr string        // why Redis refuses writes; "": it does not
	tried    error         // of the last attempt to read what a session does
	triedAt  time.Time

	trying sync.Mutex // one attempt at a time
}

func newWatcher(s *Store, options *redis.UniversalOptions, process string) *watcher {
	w := &watcher{
		store:    s,
		options:  options,
		process:  process,
		tracking: []any{"client", "tracking", "on", "bcast"},
		kick:     make(chan struct{}, 1),
		look:     make(chan struct{}, 1),
		doubt:    make(chan struct{}, 1),
		nodes:    make(map[string]*server),
		liveC:    make(chan struct{}),
		since:    time.Now(),
	}
	for _, prefix := range s.keys.tracked(process) {
		w.tracking = append(w.tracking, "prefix", prefix)
	}
	return w
}

func (w *watcher) run(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	now := time.Now()
	cluster, ok := w.store.client.(*redis.ClusterClient)
	w.mu.Lock()
	w.since = now
	if ok {
		w.checked = now
		wg.Go(func() { w.discover(ctx, cluster, &wg) })
	} else {
		w.add(ctx, "", w.store.keys.canary(w.process, "0"), now, &wg)
	}
	w.mu.Unlock()
	wg.Go(func() { w.singCanaries(ctx) })
	wg.Go(func() { w.judgeAll(ctx) })
	wg.Go(func() { w.doubts(ctx) })
	<-ctx.Done()
}

// add begins to listen to a node, of which changes since then may be unknown.
// w.mu is held.
func (w *watcher) add(ctx context.Context, addr, canary string, since time.Time, wg *sync.WaitGroup) {
	ctx, cancel := context.WithCancel(ctx)
	n := &server{addr: addr, canary: canary, cancel: cancel, seen: since, reason: ResetStart}
	w.nodes[addr] = n
	wg.Go(func() {
		pauses := newPauses()
		for ctx.Err() == nil {
			err := w.listen(ctx, n)
			if w.lost(n, err) {
				pauses.Reset()
			}
			select {
			case <-ctx.Done():
			case <-time.After(pauses.NextBackOff()):
			}
		}
	})
}

// listen holds one connection, and returns when it is no good any more.
func (w *watcher) listen(ctx context.Context, n *server) error {
	client := watchClient(w.options, n.addr, w.tracking)
	defer client.Close()
	if err := client.RegisterPushNotificationHandler("invalidate", invalidations{w, n}, false); err != nil {
		return err
	}
	// A subscription makes the connection one that reads. Messages there are canaries; see sing.
	sub := client.Subscribe(ctx, w.store.keys.gateway(w.process))
	defer sub.Close()
	defer context.AfterFunc(ctx, func() { _ = sub.Close() })()
	w.mu.Lock()
	n.opened, n.close = time.Now(), sub.Close
	w.mu.Unlock()
	for {
		// Without a time limit: one that struck in the middle of a push message
		// would leave the reader there. judge closes what has gone silent.
		message, err := sub.Receive(ctx)
		if err != nil {
			return err
		}
		switch message := message.(type) {
		case *redis.Subscription:
			w.subscribed(n)
		case *redis.Message:
			w.canarySeen(n, message.Payload)
		}
	}
}

// subscribed notes that tracking is on. Invalidations that came before, while the
// connection was set up, may have been lost; those after it are not.
func (w *watcher) subscribed(n *server) {
	w.mu.Lock()
	n.heard, n.proven, n.asked = true, false, time.Time{}
	sterile := n.canary == ""
	w.mu.Unlock()
	if sterile {
		w.prove(n, time.Now())
	} else {
		signal(w.kick)
	}
}

// lost notes the end of n's connection, and tells whether it had been a good one.
func (w *watcher) lost(n *server, err error) (wasGood bool) {
	w.mu.Lock()
	wasGood = n.proven
	if n.reason == "" {
		n.reason = ResetLost
	}
	n.heard, n.proven, n.close, n.lastErr = false, false, nil, err
	w.mu.Unlock()
	w.update()
	signal(w.look)
	return wasGood
}

// invalidations receives the push messages of one node's connection. It is that
// connection's reader, and so only makes marks.
type invalidations struct {
	w *watcher
	n *server
}

func (i invalidations) HandlePushNotification(_ context.Context, _ push.NotificationHandlerContext, message []any) error {
	s := i.w.store
	if len(message) < 2 {
		return errors.New("invalidate without keys")
	}
	if message[1] == nil { // FLUSHALL, FLUSHDB
		s.reset(ResetFlush, time.Now())
		return nil
	}
	list, ok := message[1].([]any)
	if !ok {
		return errors.New("invalidate without a list of keys")
	}
	for _, item := range list {
		key, _ := item.(string)
		if strings.HasPrefix(key, s.keys.gateway(i.w.process)) {
			i.w.canarySeen(i.n, key)
		} else {
			blocked := key == s.keys.blocked()
			s.cache.mark(key, blocked)
			if blocked {
				signal(s.blockedChanged)
			}
		}
	}
	return nil
}

// reset has everything cached read again: changes since then may be unknown.
func (s *Store) reset(reason string, since time.Time) {
	n := s.cache.markAll(since)
	signal(s.blockedChanged)
	s.observe(Event{Kind: EventReset, OK: true, Reason: reason, Keys: n})
	s.log.Debug("policy cache is read again", "reason", reason, "keys", n)
}

// signal is a send that does not block: one waiting signal is as good as two.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
