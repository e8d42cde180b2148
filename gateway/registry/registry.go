package registry

import (
	"context"
	"crypto/rand"
	"log/slog"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// Registry tells operators, by way of Redis, which sessions live on this instance:
//
//	<prefix>instances      set     the ids of all processes
//	<prefix>instance:<id>  string  the name of the instance; ends unless its process puts that off
//	<prefix>sessions:<id>  hash    session id -> SessionInfo as JSON; likewise
//
// A process that dies leaves nothing that does not end by itself, by the clock of Redis and no other.
// Ids are random: two processes may have one name.
//
// Sessions only make marks. One goroutine writes what is marked, many sessions in one round trip; what
// Redis has lost or could not be told (it was away, it was emptied, it failed over) shows itself at the next
// beat by the number of fields, and is written again. A nil registry does nothing.
type Registry struct {
	// Immutable after New.
	client redis.UniversalClient
	keys   registryKeys
	id     string
	name   string
	log    *slog.Logger
	timing registryTiming

	kick chan struct{} // something is marked
	stop context.CancelFunc
	done sync.WaitGroup

	// Owned by run.
	checked time.Time // when all was last written
	failing bool      // the last write failed

	mu      sync.Mutex
	live    map[string]*SessionInfo // by session id
	changed map[string]struct{}     // session ids, since the last write
	whole   bool                    // all is to be written; then nothing is marked
	asked   map[string]chan bool    // questions to the other instances, by id, and the answers
}

// Host is the gateway that the registry speaks for. Its functions are called from one goroutine and must not block.
type Host struct {
	Obey func(Order)       // ends the sessions that an order names
	Has  func(Client) bool // whether a client has connected here
}

// registryTiming holds what tests want shorter.
type registryTiming struct {
	gather  time.Duration // from the first mark to the write: who comes in a storm comes in one pipeline
	beat    time.Duration // between two writes at most
	ttl     time.Duration // of the keys
	retry   time.Duration // after a failure
	check   time.Duration // between two writes of everything, as a last resort
	ping    time.Duration // of the control connection
	silence time.Duration // of the control connection, before it is opened anew
}

var usualRegistryTiming = registryTiming{
	gather:  100 * time.Millisecond,
	beat:    5 * time.Second,
	ttl:     20 * time.Second,
	retry:   time.Second,
	check:   5 * time.Minute,
	ping:    2 * time.Second,
	silence: 5 * time.Second,
}

const (
	// registryTimeout bounds one write, and the farewell.
	registryTimeout = 5 * time.Second
	// registryMarks is how many changes are noted one by one; more make a write of everything.
	registryMarks = 10_000
	// registryFields and registryCommands bound a command and a pipeline.
	registryFields, registryCommands = 100, 10
)

// registryKeys names what the registry has in Redis. None of it may lie under a prefix that the policy store
// tracks (acl, user:, blocked, revoked:, gw:), or each write would come back as an invalidation.
type registryKeys struct{ prefix string }

func (k registryKeys) instances() string         { return k.prefix + "instances" }
func (k registryKeys) instance(id string) string { return k.prefix + "instance:" + id }
func (k registryKeys) sessions(id string) string { return k.prefix + "sessions:" + id }
func (k registryKeys) control() string           { return k.prefix + "ctl" }

// New makes a registry; nil without Redis.
func New(client redis.UniversalClient, prefix, name string, log *slog.Logger) *Registry {
	if client == nil {
		return nil
	}
	return &Registry{
		client:  client,
		keys:    registryKeys{prefix},
		id:      rand.Text(),
		name:    name,
		log:     log,
		timing:  usualRegistryTiming,
		kick:    make(chan struct{}, 1),
		live:    map[string]*SessionInfo{},
		changed: map[string]struct{}{},
		asked:   map[string]chan bool{},
	}
}

// Start begins to write, and to hear orders and questions, until Close.
func (r *Registry) Start(host Host) {
	if r == nil {
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	r.stop = stop
	r.done.Go(func() { r.run(ctx) })
	r.done.Go(func() { r.listen(ctx, host) })
}

// Close takes this instance out of the registry.
func (r *Registry) Close() {
	if r == nil {
		return
	}
	r.stop()
	r.done.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), registryTimeout)
	defer cancel()
	forgetInstance(ctx, r.client, r.keys, r.id)
}

// forgetInstance removes what an instance has in Redis. What can't be removed ends by itself.
func forgetInstance(ctx context.Context, client redis.UniversalClient, keys registryKeys, id string) {
	_, _ = client.Pipelined(ctx, func(p redis.Pipeliner) error {
		p.Del(ctx, keys.instance(id))
		p.Del(ctx, keys.sessions(id))
		p.SRem(ctx, keys.instances(), id)
		return nil
	})
}

// Add registers a session.
func (r *Registry) Add(info *SessionInfo) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.live[info.Session] = info
	r.mark(info.Session)
}

// Replace changes what is known of a session, unless it has ended.
func (r *Registry) Replace(info *SessionInfo) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.live[info.Session] != nil {
		r.live[info.Session] = info
		r.mark(info.Session)
	}
}

// Remove takes a session out of the registry, if it is in it.
func (r *Registry) Remove(id string) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.live[id] != nil {
		delete(r.live, id)
		r.mark(id)
	}
}

// mark notes that something is to be written. mu is held.
func (r *Registry) mark(id string) {
	if !r.whole {
		r.changed[id] = struct{}{}
	}
	if len(r.changed) > registryMarks {
		r.everything()
	}
	select {
	case r.kick <- struct{}{}:
	default: // one waiting signal is as good as two
	}
}

// everything notes that all is to be written. mu is held.
func (r *Registry) everything() {
	r.whole = true
	r.changed = map[string]struct{}{}
}
