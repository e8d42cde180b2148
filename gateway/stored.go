package gateway

import (
	"slices"

	"topicgate/frames"
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

// snapshot is what is to be known of the subscriptions when the MQTT Session is resumed.
func (b *subscriptions) snapshot() []storedSubscription {
	b.mu.Lock()
	defer b.mu.Unlock()
	stored := make([]storedSubscription, 0, len(b.asked))
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
	}
	return stored
}

// restore takes over the subscriptions of a resumed MQTT Session and brings them up to date: what may no
// longer be read is unsubscribed before anything else is sent, what has come to it meanwhile is
// subscribed. It is called before the pumps start. What is stored is checked as if a client had sent it.
func (s *session) restore(stored []storedSubscription) {
	for _, t := range stored {
		if t.valid() {
			s.subs.take(&t)
		}
	}
	s.review(func() {}) // nobody else waits for this goroutine
}

// take takes over what the broker has already.
func (b *subscriptions) take(t *storedSubscription) {
	sub, _ := b.put(frames.Subscription{TopicFilter: t.Filter, QoS: t.QoS, NoLocal: t.NoLocal,
		RetainAsPublished: t.RetainAsPublished, RetainHandling: t.RetainHandling}, t.ID)
	b.mu.Lock()
	defer b.mu.Unlock()
	var unused request
	n := narrowed{covers: t.Covers, pieces: t.Pieces}
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
