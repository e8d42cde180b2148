package subs

import (
	"sync"
	"sync/atomic"

	"topicgate/frames"
	"topicgate/gateway/dialect"
	"topicgate/policy"
)

// Bounds of what a client can make the gateway remember of its subscriptions.
const (
	// A filter, asked for or held, weighs its text and filterOverhead. Beyond maxWeight further subscriptions are
	// over the quota, and what is there is held as it was asked for, not in pieces.
	maxWeight      = 32 << 20
	filterOverhead = 256

	// maxWaiting is how many packets may wait for the broker's answer before a review waits too: a broker that
	// answers none is asked no more.
	maxWaiting = 1024
)

// Settings are the operator's, the same for all tables.
type Settings struct {
	// Strict refuses a filter that is not wholly inside what may be read; else it is narrowed.
	Strict bool
	// NarrowMax is how many filters one subscription may be held as.
	NarrowMax int
	// MaxSubscriptions is how many Topic Filters one client may have; 0: no limit.
	MaxSubscriptions int
	// Dialect is the broker's: what it would take for something else is never asked for.
	Dialect dialect.Dialect
}

// Terms are what CONNECT and CONNACK have settled.
type Terms struct {
	Version       frames.Version
	Identifiers   bool // the broker knows Subscription Identifiers, and the version has them
	NoRetained    bool // the broker has none, and is not asked for them
	BrokerMaximum int  // longest packet that the broker takes, in bytes
}

// Table is what one client has asked for, and what the broker holds in its stead.
//
// A filter of the client's is held upstream as pieces: as it is, narrowed to what may be read, or as nothing at
// all. Pieces follow the policy; what the client asked for stays. A piece that several subscriptions have in
// common is held once, for all of them.
//
// The zero value is empty; Begin comes before everything else.
type Table struct {
	settings *Settings
	terms    Terms

	order sync.Mutex // the Turn

	// Changed by who has the Turn, under mu; read by who has either.
	asked    map[string]*subscription // by Topic Filter as the client wrote it
	held     map[string]*held         // by Topic Filter as the broker knows it
	locals   []*subscription          // those of asked to the gateway's own topics; few such filters can be written
	weight   int                      // of asked and held, in bytes
	aliases  aliases
	reviewed *policy.Access // with which all of asked was last reviewed, or came to be
	flagged  bool           // a subscription has Retain As Published: retained messages may be live ones

	mu      sync.Mutex
	parts   map[uint16]*part // packets that wait for the broker's answer, by Packet Identifier
	catchUp *catchUp         // nil: nothing is under way
	refused *refusals        // by the broker, since the last plan; nil: none

	follows  atomic.Int32 // subscriptions that follow the policy
	listened atomic.Bool  // locals is not empty
	rewrites atomic.Bool  // there are, or were, aliases
}

// subscription is one that the client has.
type subscription struct {
	frames.Subscription        // as asked
	id                  uint32 // Subscription Identifier; 0: none
	group               string // "$share/<group>/" or nothing
	rest                string // the filter without it
	covers              []string
	pieces              []*held
	over                bool           // they would be too many
	access              *policy.Access // which says what it covers; nil: it was in force before this connection, and is not known
	vague               bool           // it is not, and neither do covers tell what could be read
	refused             bool           // the broker wanted nothing of it: the next review removes it
	asker               *exchange      // which made it and is not answered yet; guarded by Table.mu
}

// narrowed is what of a subscription may be read with an Access.
type narrowed struct {
	covers []string // filters without the share group; the subscription's, when they are too many
	pieces []string // how they are to be held upstream: no topic is matched by two
	over   bool     // they are too many
	access *policy.Access
}

// held is a subscription that the broker has, or is getting.
type held struct {
	filter  string
	owners  owners
	former  []*subscription     // the last owners, when there are none: messages may still be under way
	sent    frames.Subscription // as last asked for; the filter is empty if the broker does not have it
	fetch   *fetch              // not held, but there for a moment, for retained messages
	wants   wants
	id      uint32 // the Subscription Identifier that the broker puts into its messages
	refused bool   // the broker did: the next plan that touches it asks again
	lost    bool   // what the broker has of it nobody knows: likewise

	// Guarded by Table.mu.
	granted bool  // a SUBSCRIBE was
	waiting int32 // SUBSCRIBEs that are not answered
}

// refusals are what the broker did not want.
type refusals struct {
	held          []*held
	subscriptions []*subscription // of which it wanted nothing
}

// refuse notes more of them. t.mu is held.
func (t *Table) refuse() *refusals {
	if t.refused == nil {
		t.refused = &refusals{}
	}
	return t.refused
}

// wants is what the owners of a held filter ask for, added up.
type wants struct {
	qos     [3]int32 // owners by QoS
	local   int32    // owners that do not say No Local
	flagged int32    // owners with Retain As Published
}

func (w *wants) add(s *frames.Subscription, n int32) {
	w.qos[min(s.QoS, 2)] += n
	if !s.NoLocal {
		w.local += n
	}
	if s.RetainAsPublished {
		w.flagged += n
	}
}

// total is how many they are.
func (w *wants) total() int32 { return w.qos[0] + w.qos[1] + w.qos[2] }

// options is how a filter is to be asked for upstream so that what each of its owners wants is among what comes.
func (w *wants) options(filter string) frames.Subscription {
	s := frames.Subscription{TopicFilter: filter, NoLocal: w.local == 0, RetainAsPublished: w.flagged > 0}
	for qos, n := range w.qos {
		if n > 0 {
			s.QoS = frames.QoS(qos)
		}
	}
	return s
}

func weigh(filter string) int { return len(filter) + filterOverhead }

// Begin sets what the table has to know of its surroundings, before anything is asked.
func (t *Table) Begin(settings *Settings, terms Terms) { t.settings, t.terms = settings, terms }

// Turn is the right to change a table: who has it has the order of what the broker is told. It ends with End.
type Turn struct{ t *Table }

// Turn waits for the turn.
func (t *Table) Turn() Turn {
	t.order.Lock()
	return Turn{t}
}

// TryTurn takes the turn if nobody has it.
func (t *Table) TryTurn() (Turn, bool) { return Turn{t}, t.order.TryLock() }

// End gives the turn back.
func (n Turn) End() { n.t.order.Unlock() }

// Empty reports whether the client has no subscription that follows the policy.
func (n Turn) Empty() bool { return len(n.t.asked) == len(n.t.locals) }

// Follows reports whether the client has subscriptions that follow the policy; it takes no lock. Who asks for the first
// is served by the policy as it is then.
func (t *Table) Follows() bool { return t.follows.Load() > 0 }

// Followers is how many subscriptions of the client follow the policy: what a review costs grows with it.
func (t *Table) Followers() int { return int(t.follows.Load()) }

// Congested reports whether so many packets wait for the broker's answer that a review should wait for one too.
func (t *Table) Congested() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.parts) >= maxWaiting
}

// Settled reports whether the broker has answered all that it was asked.
func (t *Table) Settled() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.parts) == 0
}

// Unanswered is filters that the broker was asked for and has not answered, no more than most. A broker that hangs up where
// others refuse (RabbitMQ's topic permissions) says by nothing else which it was.
func (t *Table) Unanswered(most int) (filters []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, p := range t.parts {
		if p.answer != frames.TypeSuback {
			continue
		}
		for _, e := range p.entries {
			if len(filters) == most {
				return filters
			}
			filters = append(filters, e.options.TopicFilter)
		}
	}
	return filters
}

// Awaits reports whether an answer to a packet of the client's with this Packet Identifier is awaited.
func (t *Table) Awaits(packetID uint16) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.parts[packetID]
	return p != nil && p.exchange != nil && p.exchange.packetID == packetID
}

// longestFilter is how many bytes of filter a SUBSCRIBE to the broker can hold.
func (t *Table) longestFilter() int {
	return min(frames.MaxStringBytes, t.terms.BrokerMaximum-packetOverhead-3)
}

// owners is a set of subscriptions, in no order. The zero value is empty.
type owners struct {
	list []*subscription
	at   map[*subscription]int // in list; nil while the list is short
}

// shortList is how many owners are found by looking at all.
const shortList = 16

func (o *owners) find(s *subscription) (int, bool) {
	if o.at != nil {
		i, ok := o.at[s]
		return i, ok
	}
	for i, other := range o.list {
		if other == s {
			return i, true
		}
	}
	return 0, false
}

// add puts in s, which is not in.
func (o *owners) add(s *subscription) {
	o.list = append(o.list, s)
	switch {
	case o.at != nil:
		o.at[s] = len(o.list) - 1
	case len(o.list) > shortList:
		o.at = make(map[*subscription]int, len(o.list))
		for i, other := range o.list {
			o.at[other] = i
		}
	}
}

// remove takes s out, if it is in.
func (o *owners) remove(s *subscription) {
	i, ok := o.find(s)
	if !ok {
		return
	}
	last := len(o.list) - 1
	moved := o.list[last]
	o.list[i], o.list[last] = moved, nil
	o.list = o.list[:last]
	if o.at != nil {
		o.at[moved] = i
		delete(o.at, s)
	}
}
