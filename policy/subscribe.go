package policy

import (
	"bytes"
	"strings"

	"topicgate/frames"
)

// Subscribe says whether a whole Topic Filter may be subscribed to: every topic
// that it matches must be matched by some rule that allows reading. What deny
// rules cut out of it is dropped at delivery; only when they leave nothing is
// the filter denied by them. The filter is without $share/<group>/.
//
// Rules may cover a filter together: `a` and `a/+/#` cover a/#.
func (a *Access) Subscribe(topicFilter string) Decision {
	if reason := a.refusal(); reason != "" {
		return Decision{Reason: reason}
	}
	if frames.CheckTopicFilter(topicFilter) != nil {
		return Decision{}
	}
	allowed, denied := a.cover(topicFilter)
	if denied != nil {
		return Decision{Rule: denied}
	}
	return Decision{Allowed: allowed != nil, Rule: allowed}
}

// cover asks whether all topics of a filter are allowed, and whether all are
// denied; each is answered by the rule that covers the deepest of them, or nil.
//
// A '+' is asked about as a level that no literal and no value equals. A '#' is
// asked about as every number of such levels, up to one more than the tries are
// deep: beyond, only rules that end with '#' match, and those match all the rest.
func (a *Access) cover(filter string) (allowed, denied *Rule) {
	base, open := strings.CutSuffix(filter, "#")
	topic := []byte(strings.TrimSuffix(base, "/"))
	if open {
		switch base { // no topic is empty
		case "":
			topic = []byte("+")
		case "/":
			topic = []byte("/+")
		}
	} else {
		topic = []byte(filter)
	}
	allowed, denied = a.readers(topic)
	if !open {
		return allowed, denied
	}
	for n := bytes.Count(topic, []byte("/")) + 1; n <= a.depth && (allowed != nil || denied != nil); n++ {
		topic = append(topic, "/+"...)
		one, other := a.readers(topic)
		if allowed != nil {
			allowed = one
		}
		if denied != nil {
			denied = other
		}
	}
	return allowed, denied
}

// readers are the first rules that allow and deny reading a topic.
func (a *Access) readers(topic []byte) (allowed, denied *Rule) {
	w := walk{op: reading}
	w.over(a.views, topic)
	if w.bindings.tries > maxTries {
		return nil, w.denied
	}
	return w.allowed, w.denied
}
