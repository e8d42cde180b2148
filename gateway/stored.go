package gateway

import "topicgate/frames"

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
}

// valid reports whether the client could have asked for this.
func (t *storedSubscription) valid() bool {
	for _, filter := range append([]string{t.Filter}, t.Pieces...) {
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
		stored = append(stored, storedSubscription{
			Filter: sub.TopicFilter, QoS: sub.QoS, NoLocal: sub.NoLocal, RetainAsPublished: sub.RetainAsPublished,
			RetainHandling: sub.RetainHandling, ID: sub.id, Pieces: sub.pieces,
		})
	}
	return stored
}

// restore takes over the subscriptions of a resumed MQTT Session and brings them up to date: what may no
// longer be read is unsubscribed before anything else is sent, what has come to it meanwhile is
// subscribed. It is called before the pumps start. What is stored is checked as if a client had sent it.
func (s *session) restore(stored []storedSubscription) {
	s.subs.mu.Lock()
	for _, t := range stored {
		if !t.valid() {
			continue
		}
		sub := s.subs.put(frames.Subscription{TopicFilter: t.Filter, QoS: t.QoS, NoLocal: t.NoLocal,
			RetainAsPublished: t.RetainAsPublished, RetainHandling: t.RetainHandling}, t.ID)
		s.subs.own(sub, t.Pieces)
		for _, piece := range t.Pieces {
			s.subs.optionsOf(piece, sub.Subscription, t.ID)
		}
	}
	s.subs.mu.Unlock()
	s.review()
}
