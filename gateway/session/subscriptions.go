package session

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"topicgate/frames"
	"topicgate/policy"
)

// Bounds of what a client can make the gateway remember of its subscriptions.
const (
	// A filter, asked for or held, weighs its text and filterOverhead. Beyond maxSubscriptionBytes further
	// subscriptions are over the quota, and what is there is held as it was asked for, not in pieces.
	maxSubscriptionBytes = 32 << 20
	filterOverhead       = 256

	maxOpenExchanges  = 64       // SUBSCRIBEs and UNSUBSCRIBEs that wait for the broker; more wait unread
	maxSubscribeBytes = 64 << 10 // of one SUBSCRIBE or UNSUBSCRIBE of the gateway's own making
)

// subscriptions are what the client asked for and what the broker has been asked for in its stead.
//
// A filter of the client's is held upstream as pieces: as it is, narrowed to what may be read, or as
// nothing at all. Pieces follow the policy; what the client asked for stays. A piece that several
// subscriptions have in common is held once, for all of them.
type subscriptions struct {
	// order is held while the tables below change and the packets that come of it are sent, so that the
	// broker sees them in the same order. It is taken before mu, and never by the pump towards the client,
	// which must go on whatever the broker does.
	order sync.Mutex

	mu        sync.Mutex
	asked     map[string]*subscription // by Topic Filter as the client wrote it
	held      map[string]*heldFilter   // by Topic Filter as the broker knows it
	weight    int                      // of both, in bytes
	aliases   map[uint32]*heldFilter   // by Subscription Identifiers of the gateway's own, in use or used last
	fetched   []*heldFilter            // the last fetches, while there are identifiers to tell them by
	reviewed  *policy.Access           // with which all of asked was last reviewed, or came to be
	flagged   bool                     // a subscription has Retain As Published: retained messages may be live ones
	parts     map[uint16]*part         // packets that wait for the broker's answer, by Packet Identifier
	exchanges int                      // of the client's, that wait
	sending   bool                     // a review has changed the tables, and the broker is yet to hear of it
	unheard   bool                     // that failed: what the broker has nobody knows
	changed   sync.Cond                // an exchange or a review's sending has ended, or the session; L is mu

	requested reviewRequest

	withoutIDs bool // the broker knows no Subscription Identifiers; set before the session begins

	quiet []*quiet // while retained messages may come again to a client without identifiers

	rewritten atomic.Bool   // there are aliases
	locals    atomic.Int32  // subscriptions to the gateway's own topics
	changes   atomic.Uint64 // of what snapshot gives
}

// subscription is one that the client has.
type subscription struct {
	frames.Subscription        // as asked
	id                  uint32 // Subscription Identifier; 0: none
	group               string // "$share/<group>/" or nothing
	rest                string // the filter without it
	narrowed
	asker   *exchange // which made it and is not answered yet
	refused bool      // the broker wanted nothing of it: the next review removes it
}

// narrowed is what of a subscription may be read now.
type narrowed struct {
	covers []string       // filters without the share group; the subscription's, when they are too many
	pieces []string       // how they are held upstream: no topic is matched by two
	over   bool           // they are too many
	access *policy.Access // which says so; nil: it was in force before this connection, and is not known
}

// heldFilter is a subscription that the broker has, or is getting.
type heldFilter struct {
	filter  string
	owners  []*subscription
	former  []*subscription     // before it was unsubscribed: messages may still be under way
	sent    frames.Subscription // as last asked for; the filter is empty if never
	id      uint32              // the Subscription Identifier that the broker puts into its messages
	waiting int                 // SUBSCRIBEs that are not answered
	granted bool                // one was
	fetch   bool                // not held: there for a moment, for retained messages
	live    bool                // which is the moment before the same filter is held
	fetched *fetched            // what; nil, though fetch is set: it is long past
}

func (b *subscriptions) init() {
	if b.asked == nil {
		b.asked, b.held, b.parts = map[string]*subscription{}, map[string]*heldFilter{}, map[uint16]*part{}
		b.changed.L = &b.mu
	}
}

func weigh(filter string) int { return len(filter) + filterOverhead }

// full reports whether a subscription to filter would be one too many (limit 0: none is).
func (b *subscriptions) full(filter string, limit int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.asked[filter] != nil {
		return false
	}
	return limit > 0 && len(b.asked) >= limit || b.weight > maxSubscriptionBytes
}

// put notes what the client asks for, in place of what it asked for with the same filter before
// [MQTT-3.8.4-3].
func (b *subscriptions) put(asked frames.Subscription, id uint32) (sub *subscription, isNew bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.init()
	b.changes.Add(1)
	sub = b.asked[asked.TopicFilter]
	if isNew = sub == nil; isNew {
		sub = &subscription{rest: asked.TopicFilter}
		if _, rest, shared := frames.SplitShare(asked.TopicFilter); shared {
			sub.group, sub.rest = strings.TrimSuffix(asked.TopicFilter, rest), rest
		}
		b.asked[asked.TopicFilter] = sub
		b.requested.of.Store(int32(len(b.asked)))
		b.weight += weigh(asked.TopicFilter)
		if sub.local() {
			b.locals.Add(1)
		}
	}
	sub.Subscription, sub.id, sub.refused = asked, id, false
	b.flagged = b.flagged || asked.RetainAsPublished
	return sub, isNew
}

// remove forgets sub. b.mu is held.
func (b *subscriptions) remove(sub *subscription, r *request, slot int) {
	b.assign(sub, narrowed{}, r, slot, onlyChanges)
	delete(b.asked, sub.TopicFilter)
	b.requested.of.Store(int32(len(b.asked)))
	b.weight -= weigh(sub.TopicFilter)
	if sub.local() {
		b.locals.Add(-1)
	}
}

// When a subscription's pieces are assigned: because the policy changed, or because the client asks for it.
const (
	onlyChanges = false
	askAgain    = true
)

// assign puts n in place of what sub had so far and notes in r which held filters that touches, for the
// answer's slot (none: -1). b.mu is held.
func (b *subscriptions) assign(sub *subscription, n narrowed, r *request, slot int, again bool) {
	b.changes.Add(1)
	before := sub.narrowed
	sub.narrowed = n
	wanted := setOf(n.pieces)
	for _, piece := range before.pieces {
		if h := b.held[piece]; h != nil && !wanted[piece] {
			r.touch(h, slot)
			h.owners = slices.DeleteFunc(h.owners, func(o *subscription) bool { return o == sub })
		}
	}
	had := setOf(before.pieces)
	var old filterIndex // of what the client has had the retained messages
	if !again {
		for _, piece := range before.pieces {
			old.add(strings.TrimPrefix(piece, sub.group))
		}
	}
	fresh := map[string]bool{} // pieces that bring their retained messages
	for _, piece := range n.pieces {
		if had[piece] && !again {
			continue
		}
		h := b.held[piece]
		if h == nil {
			h = &heldFilter{filter: piece}
			b.held[piece] = h
			b.weight += weigh(piece)
		}
		if !had[piece] {
			h.owners = append(h.owners, sub)
		}
		retain := sub.RetainHandling
		if retain == retainIfNew && !had[piece] && h.sent.TopicFilter != "" {
			retain = retainAlways // another subscription's filter is not new to the broker
		}
		if _, overlaps := old.overlapping(strings.TrimPrefix(piece, sub.group)); overlaps && !again {
			retain = retainNever
			r.again = true
		}
		fresh[strings.TrimPrefix(piece, sub.group)] = retain != retainNever || r.version != frames.V5 // which has no Retain Handling
		r.subscribe(h, slot, retain)
	}
	if !again {
		r.fetchGained(sub, before, fresh)
	}
}

func setOf(list []string) map[string]bool {
	set := make(map[string]bool, len(list))
	for _, s := range list {
		set[s] = true
	}
	return set
}

// release forgets h, which nobody wants any more, or which the broker has refused. b.mu is held.
func (b *subscriptions) release(h *heldFilter) {
	if b.held[h.filter] != h {
		return
	}
	delete(b.held, h.filter)
	b.weight -= weigh(h.filter)
	for _, o := range h.owners {
		// A copy: snapshots share the slice.
		o.pieces = slices.DeleteFunc(slices.Clone(o.pieces), func(p string) bool { return p == h.filter })
		b.changes.Add(1)
	}
}

// options is how h is to be asked for upstream: so that what each of its owners wants is among what
// comes. b.mu is held.
func (h *heldFilter) options() frames.Subscription {
	options := h.owners[0].Subscription
	options.TopicFilter = h.filter
	for _, o := range h.owners[1:] {
		options.QoS = max(options.QoS, o.QoS)
		options.NoLocal = options.NoLocal && o.NoLocal
		options.RetainAsPublished = options.RetainAsPublished || o.RetainAsPublished
	}
	return options
}

// close notes that the session has ended. It takes no lock: letGo does, for whoever waits.
func (b *subscriptions) close() { b.requested.closed.Store(true) }

// letGo wakes up who waits for an answer, after close.
func (b *subscriptions) letGo() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.init()
	b.changed.Broadcast()
}
