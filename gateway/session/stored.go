package session

import (
	"slices"

	"topicgate/frames"
	"topicgate/policy"
)

// storedSubscriptions is what is stored, as JSON.
type storedSubscriptions struct {
	Subscriptions []storedSubscription `json:"subscriptions"`

	// What of them could be read, where their filters do not say so; nil: they do, or it is too much.
	Readable *policy.Readable `json:"readable,omitempty"`
}

// Bounds of Readable.
const (
	maxReadable        = 4096 // Topic Filters
	maxReadableBytes   = 256 << 10
	maxReadableSources = 16 // Topic Filters that it is found for, each of which may take a while
)

// storedSubscription is a subscription as it outlives the connection: what the client asked for, and the
// Topic Filters by which the broker's MQTT Session holds it.
type storedSubscription struct {
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

// valid reports whether the client could have asked for this.
func (t *storedSubscription) valid() bool {
	for _, filter := range slices.Concat([]string{t.Filter}, t.Pieces, t.Covers) {
		if frames.CheckTopicFilter(filter) != nil {
			return false
		}
	}
	return t.QoS <= 2 && t.RetainHandling <= 2
}

// version changes whenever snapshot would give something else.
func (b *subscriptions) version() uint64 { return b.changes.Load() }

// snapshot is what is to be known of the subscriptions when the MQTT Session is resumed. known is false while the
// broker has not heard of it, and if nobody knows whether it has. A quick one leaves out what takes a while to find;
// whole is false if there was such a thing.
func (b *subscriptions) snapshot(quick bool) (s storedSubscriptions, known, whole bool) {
	stored, access, unclear, known := b.listStored()
	s.Subscriptions = stored
	switch {
	case !known || !unclear:
		return s, known, true
	case quick:
		return s, known, false
	}
	s.Readable = readable(access, stored) // b.mu is not held
	return s, known, true
}

// listStored gives the subscriptions and what they were last reviewed with. unclear says that their covers
// do not tell what could be read.
func (b *subscriptions) listStored() (stored []storedSubscription, access *policy.Access, unclear, known bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	stored, access, known = make([]storedSubscription, 0, len(b.asked)), b.reviewed, !b.sending && !b.unheard
	for _, sub := range b.asked {
		t := storedSubscription{
			Filter: sub.TopicFilter, QoS: sub.QoS, NoLocal: sub.NoLocal, RetainAsPublished: sub.RetainAsPublished,
			RetainHandling: sub.RetainHandling, ID: sub.id, Pieces: sub.pieces,
		}
		if !slices.Equal(sub.covers, sub.pieces) {
			t.Covers = sub.covers
		}
		for _, piece := range sub.pieces {
			if h := b.held[piece]; h != nil && h.id != sub.id {
				if t.PieceIDs == nil {
					t.PieceIDs = map[string]uint32{}
				}
				t.PieceIDs[piece] = h.id
			}
		}
		stored = append(stored, t)
		unclear = unclear || len(sub.covers) > 0 && (sub.over || access.Denies())
	}
	return stored, access, unclear, known
}

// readable writes down what of subscriptions may be read; nil if that is too much.
func readable(access *policy.Access, stored []storedSubscription) *policy.Readable {
	var filters []string
	for _, t := range stored {
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

// restore takes over the subscriptions of a resumed MQTT Session and brings them up to date: what may no
// longer be read is unsubscribed before anything else is sent, what has come to it meanwhile is
// subscribed. It is called before the pumps start. What is stored is checked as if a client had sent it.
func (s *Session) restore(stored *storedSubscriptions) {
	var before *policy.Access
	if stored.Readable != nil {
		before = stored.Readable.Access()
	}
	for _, t := range stored.Subscriptions {
		if t.valid() {
			s.subs.take(&t, before)
		}
	}
	s.review(func() {}) // nobody else waits for this goroutine
}

// take takes over what the broker has already; access is what could be read then, nil if it is not known.
func (b *subscriptions) take(t *storedSubscription, access *policy.Access) {
	sub, _ := b.put(frames.Subscription{TopicFilter: t.Filter, QoS: t.QoS, NoLocal: t.NoLocal,
		RetainAsPublished: t.RetainAsPublished, RetainHandling: t.RetainHandling}, t.ID)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reviewed = access
	var unused request
	n := narrowed{covers: t.Covers, pieces: t.Pieces, access: access}
	if n.covers == nil {
		n.covers = t.Pieces
	}
	b.assign(sub, n, &unused, -1, askAgain)
	for _, piece := range t.Pieces {
		h := b.held[piece]
		h.id, h.granted = t.ID, true
		if id, ok := t.PieceIDs[piece]; ok {
			h.id = id
			b.adopt(h)
		}
		h.sent = h.options()
	}
}
