package subs

import (
	"encoding/json"
	"slices"
	"strings"

	"topicgate/frames"
	"topicgate/policy"
)

// MaxRecordBytes bounds a Record as it is kept, in JSON. What is longer is not kept: the client is asked to ask anew.
const MaxRecordBytes = 64 << 10

// Record is what a client is subscribed to as it outlives the connection, as long as its MQTT Session does.
type Record struct {
	// Broker is the address of the one that has the MQTT Session.
	Broker string `json:"broker,omitempty"`
	// Open: the broker is about to be asked for what is here, and may have something else.
	Open bool `json:"open,omitempty"`
	// Strangers: the broker may hold what no record tells of, since one was once open, or another broker's.
	Strangers     bool       `json:"strangers,omitempty"`
	Subscriptions []Recorded `json:"subscriptions"`
	// Leaving are Topic Filters that nobody wants and an open record's broker may still have.
	Leaving []string `json:"leaving,omitempty"`
	// Vague: the covers of the subscriptions do not tell what could be read of them.
	Vague bool `json:"vague,omitempty"`
	// Readable tells it, unless it is too much.
	Readable *policy.Readable `json:"readable,omitempty"`

	// Older: there may have been a newer one. What is here is better than nothing, and the client is to ask anew.
	Older bool `json:"-"`
}

// Recorded is one subscription: what the client asked for, and the Topic Filters by which the broker holds it.
type Recorded struct {
	Filter            string     `json:"filter"`
	QoS               frames.QoS `json:"qos,omitempty"`
	NoLocal           bool       `json:"no_local,omitempty"`
	RetainAsPublished bool       `json:"retain_as_published,omitempty"`
	RetainHandling    uint8      `json:"retain_handling,omitempty"`
	ID                uint32     `json:"id,omitempty"` // Subscription Identifier
	Pieces            []string   `json:"pieces,omitempty"`

	Covers   []string          `json:"covers,omitempty"`    // what may be read of it, if that is not the pieces
	PieceIDs map[string]uint32 `json:"piece_ids,omitempty"` // Subscription Identifiers upstream that are not ID
}

// Bounds of Readable.
const (
	maxReadable        = 4096 // Topic Filters
	maxReadableBytes   = 16 << 10
	maxReadableSources = 16 // Topic Filters that it is found for, each of which may take a while
)

// valid reports whether the client could have asked for this.
func (r *Recorded) valid() bool {
	for _, filter := range slices.Concat([]string{r.Filter}, r.Pieces, r.Covers) {
		if frames.CheckTopicFilter(filter) != nil {
			return false
		}
	}
	return r.QoS <= 2 && r.RetainHandling <= 2
}

// ParseRecord reads what Bytes gave.
func ParseRecord(data []byte) (*Record, error) {
	var r Record
	if err := json.Unmarshal(data, &r); err != nil {
		return nil, err
	}
	return &r, nil
}

// Bytes is the record in JSON; false: it is too long to be kept.
func (r *Record) Bytes() ([]byte, bool) {
	data, err := json.Marshal(r)
	return data, err == nil && len(data) <= MaxRecordBytes
}

// Record is what is to be kept before the plan is committed and the broker asked; nil: it would be too long.
func (p *Plan) Record(broker string) *Record {
	r := &recorder{Record: Record{Broker: broker, Open: true, Strangers: p.t.aliases.strangers}, t: p.t}
	r.Vague = p.reviewed.Denies()
	for _, s := range p.t.asked {
		r.Vague = r.Vague || p.changed[s] == nil && s.over
		if p.changed[s] == nil && !r.add(s.TopicFilter, &s.Subscription, s.id, s.covers, p.filtersOf(s.pieces), p.identifier) {
			return nil
		}
	}
	for _, c := range p.subscriptions {
		r.Vague = r.Vague || c.now.over
		if !c.gone && !r.add(c.asked.TopicFilter, &c.asked, c.id, c.now.covers, c.now.pieces, p.identifier) {
			return nil
		}
	}
	for _, o := range p.packets {
		if o.kind == frames.TypeUnsubscribe && !r.leave(o.entries) {
			return nil
		}
	}
	p.t.mu.Lock()
	defer p.t.mu.Unlock()
	for _, part := range p.t.parts {
		if part.answer == frames.TypeUnsuback && !r.leave(part.entries) {
			return nil
		}
	}
	return &r.Record
}

func (p *Plan) filtersOf(pieces []*held) []string {
	filters := make([]string, len(pieces))
	for i, h := range pieces {
		filters[i] = h.filter
	}
	return filters
}

// identifier is the Subscription Identifier under which a filter is held once the plan is committed.
func (p *Plan) identifier(filter string) uint32 {
	if c := p.byHeld[filter]; c != nil && c.sent != nil {
		return c.id
	}
	if h := p.t.held[filter]; h != nil {
		return h.id
	}
	return 0
}

// Record is what is to be kept of subscriptions about which the broker has answered everything; false: it has not.
// The record is nil if it would be too long. It may take a while.
func (t *Table) Record(broker string) (record *Record, settled bool) {
	r, access, unclear, settled := t.record(broker)
	if r == nil || !settled {
		return nil, settled
	}
	if r.Vague = unclear; unclear {
		r.Readable = readable(access, r.Subscriptions) // no lock is held
		if _, fits := r.Bytes(); !fits {
			r.Readable = nil
		}
	}
	return &r.Record, true
}

// record gives the subscriptions and what they were last reviewed with. unclear says that their covers do not
// tell what could be read.
func (t *Table) record(broker string) (r *recorder, access *policy.Access, unclear, settled bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.parts) > 0 {
		return nil, nil, false, false
	}
	r = &recorder{Record: Record{Broker: broker, Strangers: t.aliases.strangers}, t: t}
	identifier := func(filter string) uint32 { return t.held[filter].id }
	for _, s := range t.asked {
		pieces := make([]string, 0, len(s.pieces))
		for _, h := range s.pieces {
			if h.granted {
				pieces = append(pieces, h.filter)
			}
		}
		if !r.add(s.TopicFilter, &s.Subscription, s.id, s.covers, pieces, identifier) {
			return nil, nil, false, true
		}
		unclear = unclear || len(s.covers) > 0 && (s.over || t.reviewed.Denies())
	}
	return r, t.reviewed, unclear, true
}

// recorder puts a Record together and gives up when it becomes too long.
type recorder struct {
	Record
	t    *Table
	size int
}

func (r *recorder) add(filter string, s *frames.Subscription, id uint32, covers, pieces []string, identifier func(string) uint32) bool {
	if Reserved(filter) { // retained by nobody, and asked for by each page anew
		pieces, covers = nil, nil
	}
	rec := Recorded{
		Filter: filter, QoS: s.QoS, NoLocal: s.NoLocal, RetainAsPublished: s.RetainAsPublished,
		RetainHandling: s.RetainHandling, ID: id, Pieces: pieces,
	}
	if !slices.Equal(covers, pieces) {
		rec.Covers = covers
	}
	for _, piece := range pieces {
		if upstream := identifier(piece); upstream != id {
			if rec.PieceIDs == nil {
				rec.PieceIDs = map[string]uint32{}
			}
			rec.PieceIDs[piece] = upstream
			r.size += len(piece) + 12
		}
		r.size += len(piece) + 3
	}
	for _, cover := range rec.Covers {
		r.size += len(cover) + 3
	}
	r.size += len(filter) + 16
	r.Subscriptions = append(r.Subscriptions, rec)
	return r.size <= MaxRecordBytes
}

// leave notes what is being unsubscribed.
func (r *recorder) leave(entries []entry) bool {
	for _, e := range entries {
		if filter := e.options.TopicFilter; filter != TopicNone {
			r.Leaving = append(r.Leaving, filter)
			r.size += len(filter) + 3
		}
	}
	return r.size <= MaxRecordBytes
}

// readable writes down what of subscriptions may be read; nil if that is too much.
func readable(access *policy.Access, recorded []Recorded) *policy.Readable {
	var filters []string
	for _, t := range recorded {
		_, rest, _ := frames.SplitShare(t.Filter)
		inside := func(outer string) bool { return frames.Covers(outer, rest) }
		if len(t.Pieces) == 0 || slices.ContainsFunc(filters, inside) {
			continue
		}
		filters = slices.DeleteFunc(filters, func(inner string) bool { return frames.Covers(rest, inner) })
		if filters = append(filters, rest); len(filters) > maxReadableSources {
			return nil
		}
	}
	r, complete := access.Readable(filters, maxReadable)
	size := 0
	for _, filter := range slices.Concat(r.Allowed, r.Denied) {
		size += len(filter)
	}
	if !complete || size > maxReadableBytes {
		return nil
	}
	return &r
}

// Resume takes over the subscriptions of a resumed MQTT Session that broker has, and plans what brings them up to
// date: what may no longer be read is unsubscribed before anything else is sent, what has come to it meanwhile is
// subscribed. A record that is open, or another broker's, is no knowledge of what the broker holds: all pieces are
// asked for again, without their retained messages. What is recorded is checked as if a client had sent it.
func (n Turn) Resume(r *Record, broker string, access *policy.Access) *Plan {
	knows := !r.Open && r.Broker == broker
	var before *policy.Access
	if r.Readable != nil {
		before = r.Readable.Access()
	}
	for i := range r.Subscriptions {
		if r.Subscriptions[i].valid() {
			n.t.take(&r.Subscriptions[i], before, r.Vague && before == nil, knows)
		}
	}
	if (!knows || r.Strangers) && n.t.terms.Identifiers {
		n.t.expectStrangers()
	}
	p := n.plan()
	p.review(access)
	for _, filter := range r.Leaving {
		if frames.CheckTopicFilter(filter) == nil && p.known(filter) == nil && n.t.settings.Dialect.TakesTopicFilter(filter) {
			p.unknown = append(p.unknown, entry{options: frames.Subscription{TopicFilter: filter}})
		}
	}
	return p.finish()
}

func (t *Table) expectStrangers() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.countIdentifiers()
	t.aliases.strangers = true
	t.rewrites.Store(true)
}

// take takes over what the broker has already, or may have unless one knows; access is what could be read then, nil if
// that is not known, and vague if neither its covers tell.
func (t *Table) take(r *Recorded, access *policy.Access, vague, knows bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.asked == nil {
		t.asked, t.held, t.parts = map[string]*subscription{}, map[string]*held{}, map[uint16]*part{}
	}
	if t.asked[r.Filter] != nil {
		return
	}
	if t.terms.Version == frames.V5 && !t.terms.Identifiers { // another broker knew them
		r.ID, r.PieceIDs = 0, nil
	}
	t.reviewed = access
	s := &subscription{rest: r.Filter, id: r.ID, covers: r.Covers, access: access, vague: vague, Subscription: frames.Subscription{TopicFilter: r.Filter,
		QoS: r.QoS, NoLocal: r.NoLocal, RetainAsPublished: r.RetainAsPublished, RetainHandling: r.RetainHandling}}
	if _, rest, shared := frames.SplitShare(r.Filter); shared {
		s.group, s.rest = strings.TrimSuffix(r.Filter, rest), rest
	}
	t.asked[r.Filter] = s
	t.weight += weigh(r.Filter)
	t.flagged = t.flagged || s.RetainAsPublished
	t.aliases.note(s.id, 1)
	if Reserved(s.rest) {
		t.locals = append(t.locals, s)
		t.listened.Store(true)
		return
	}
	t.follows.Add(1)
	if s.covers == nil {
		s.covers = r.Pieces
	}
	for _, piece := range r.Pieces {
		h := t.held[piece]
		if h == nil {
			h = &held{filter: piece, id: r.ID, granted: knows, lost: !knows}
			t.held[piece] = h
			t.weight += weigh(piece)
		} else if _, twice := h.owners.find(s); twice {
			continue
		}
		h.owners.add(s)
		h.wants.add(&s.Subscription, 1)
		s.pieces = append(s.pieces, h)
		if id, ok := r.PieceIDs[piece]; ok && t.aliases.of(id) == nil {
			h.id = id
			t.adopt(h)
		}
		h.sent = h.wants.options(piece)
	}
}

// adopt takes over the alias that h has in a resumed MQTT Session. t.mu is held.
func (t *Table) adopt(h *held) {
	if t.aliases.held == nil {
		t.aliases.held = map[uint32]*held{}
	}
	t.aliases.held[h.id] = h
	t.rewrites.Store(true)
}
