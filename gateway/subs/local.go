package subs

import (
	"slices"

	"topicgate/frames"
)

// Topics under "$topicgate/" are served by the gateway itself: each client sees its own, and nothing of
// them goes upstream or comes from there.
const (
	localTopics   = "$topicgate"
	TopicToken    = "$topicgate/token"    // publish a fresh token here
	TopicRejected = "$topicgate/rejected" // one message for each refused operation
	TopicAccess   = "$topicgate/access"   // what a narrowed subscription now covers
	TopicExpiring = "$topicgate/expiring" // a minute before the token ends
	TopicNone     = "$topicgate/none"     // nobody is ever subscribed to this
)

// Reserved reports whether a Topic Name or Topic Filter is the gateway's own.
func Reserved[T ~string | ~[]byte](topic T) bool {
	if len(topic) < len(localTopics) || string(topic[:len(localTopics)]) != localTopics {
		return false
	}
	return len(topic) == len(localTopics) || topic[len(localTopics)] == '/'
}

// served reports whether a filter of the gateway's own topics can be subscribed to: it matches one that the
// gateway publishes, and is not shared. There are few such filters.
func served(filter string) bool {
	return slices.ContainsFunc([]string{TopicRejected, TopicAccess, TopicExpiring}, func(topic string) bool {
		return frames.Match(filter, topic)
	})
}

// Hears returns the Subscription Identifiers under which the client listens to a topic of the gateway's; ok is
// false when it does not.
func (t *Table) Hears(topic string) (ids []uint32, ok bool) {
	if !t.listened.Load() {
		return nil, false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range t.locals {
		if frames.Match(s.rest, topic) {
			ok = true
			if s.id != 0 {
				ids = append(ids, s.id)
			}
		}
	}
	return ids, ok
}

// Listens reports whether the client listens to any topic of the gateway's; it takes no lock.
func (t *Table) Listens() bool { return t.listened.Load() }
