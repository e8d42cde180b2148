package will

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"topicgate/frames"
	"topicgate/gateway/audit"
	"topicgate/gateway/registry"
	"topicgate/gateway/upstream"
	"topicgate/policy"
	"topicgate/policy/store"
)

const (
	// most and mostOfUser bound how many vigils are kept. A Will beyond that is called off at once, by one try.
	most       = 10_000
	mostOfUser = 100
	// callsAtOnce is how many Wills are called off at the same time; no more than questions that registry answers.
	callsAtOnce = 32
)

// Options are what Vigils need to know.
type Options struct {
	Policy   *store.Store
	Brokers  *upstream.Brokers
	Registry *registry.Registry // nil: there is no other instance
	// Live reports whether a client is served by this instance.
	Live func(registry.Client) bool
	// Credentials are what a broker is told of a user.
	Credentials func(username string) (name, password string)
	// CalledOff hears of each Will that had to be called off, why, and whether it could be.
	CalledOff func(reason string, ok bool)
	Audit     *audit.Log // nil: none
	Instance  string     // for Audit
	Logger    *slog.Logger
}

// Left is what a session leaves at a broker: an MQTT Session with a Will.
type Left struct {
	Principal  policy.Principal
	Session    string // its id
	Remote     string // address of the client
	UpstreamID string
	Broker     string
	Since      time.Time // when the broker accepted it
	Expiry     uint32    // the Session Expiry Interval in seconds
	Will       *Will
}

// Vigils are all that are kept.
type Vigils struct {
	Options
	turns *semaphore.Weighted // callsAtOnce
	ctx   context.Context     // until Close
	stop  context.CancelFunc

	mu     sync.Mutex
	kept   map[place]*vigil
	users  map[string]int // how many, by username
	closed bool
	jobs   sync.WaitGroup // begun before closed
}

// place is where a Will waits: one at a broker for each Client Identifier.
type place struct{ upstreamID, broker string }

// NewVigils makes them; there are none yet.
func NewVigils(o Options) *Vigils {
	k := &Vigils{Options: o, turns: semaphore.NewWeighted(callsAtOnce), kept: map[place]*vigil{}, users: map[string]int{}}
	k.ctx, k.stop = context.WithCancel(context.Background())
	return k
}

// Keep begins a vigil for what a session has left behind, if its Will waits. It does not block.
func (k *Vigils) Keep(left Left) {
	if left.Will == nil || left.Will.Delay == 0 || left.Expiry == 0 {
		return
	}
	v := newVigil(k, left)
	begun, kept := k.begin(v)
	switch {
	case !begun:
	case !kept:
		v.due = time.Now().Add(timeout) // it has no place to wait in
		k.run(func() { v.callOff("quota") })
	case k.Live(v.client(0)): // looked at after the vigil has begun: whoever comes from now on ends it
		k.end(v)
	default:
		k.run(v.watch)
	}
}

// begin counts a vigil in place of an older one; false, false: there is a newer one, or the gateway ends. true, false:
// there are too many.
func (k *Vigils) begin(v *vigil) (begun, kept bool) {
	k.mu.Lock()
	older := k.kept[v.place()]
	if k.closed || older != nil && older.Since.After(v.Since) {
		k.mu.Unlock()
		return false, false
	}
	if older == nil && (len(k.kept) >= most || k.users[v.Principal.Username] >= mostOfUser) {
		k.mu.Unlock()
		return true, false
	}
	if older == nil {
		k.users[v.Principal.Username]++
	}
	k.kept[v.place()] = v
	k.mu.Unlock()
	if older != nil {
		older.close()
	}
	return true, true
}

// end ends a vigil; false: it has ended before.
func (k *Vigils) end(v *vigil) bool {
	k.mu.Lock()
	kept := k.kept[v.place()] == v
	if kept {
		delete(k.kept, v.place())
		if k.users[v.Principal.Username]--; k.users[v.Principal.Username] == 0 {
			delete(k.users, v.Principal.Username)
		}
	}
	k.mu.Unlock()
	if kept {
		v.close()
	}
	return kept
}

// Returned is told of a client that a broker has accepted, once Live knows it: a Will of its that waited there has been
// called off by that.
func (k *Vigils) Returned(upstreamID, broker string) {
	k.mu.Lock()
	v := k.kept[place{upstreamID, broker}]
	k.mu.Unlock()
	if v != nil {
		k.end(v)
	}
}

// Has reports whether there is a vigil for a session that its broker has accepted after client.Since.
func (k *Vigils) Has(client registry.Client) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	v := k.kept[place{client.ID, client.Broker}]
	return v != nil && v.Since.After(client.Since)
}

// run begins a job, unless the gateway ends.
func (k *Vigils) run(job func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.closed {
		k.jobs.Go(job)
	}
}

// Close ends all vigils. Their Wills fire.
func (k *Vigils) Close() {
	k.mu.Lock()
	k.closed = true
	all := make([]*vigil, 0, len(k.kept))
	for _, v := range k.kept {
		all = append(all, v)
	}
	k.mu.Unlock()
	k.stop()
	for _, v := range all {
		k.end(v)
	}
	k.jobs.Wait()
}

// visit takes an MQTT Session over for a moment.
func (k *Vigils) visit(ctx context.Context, v *vigil) error {
	name, password := k.Credentials(v.Principal.Username)
	return k.Brokers.Visit(ctx, v.Broker, frames.Connect{ClientID: v.UpstreamID, HasUsername: name != "", Username: name,
		HasPassword: password != "", Password: []byte(password), Properties: frames.Properties(nil).AppendUint(frames.PropSessionExpiryInterval, v.expiresIn())})
}
