package policy

import (
	"cmp"
	"slices"
	"time"
)

// DirectiveKind is what a directive asks of a message.
type DirectiveKind uint8

const (
	Limit  DirectiveKind = iota + 1 // size, QoS, retain, rate
	Check                           // content
	Stamp                           // the verified username goes in
	Latest                          // of messages that wait, only the newest counts
)

// Directive is what a line such as `limit chat/+ max_qos=1` asks of each message that is published to a topic which
// its filter matches. It restricts only: what may be published at all is the rules' to say.
type Directive struct {
	Kind DirectiveKind

	// Of a Limit.
	MaxBytes int  // of the payload; -1: no limit
	MaxQoS   int8 // 2: no limit
	NoRetain bool
	Rate     Rate

	// Of a Check. Names of what the payload is held against; "": none.
	Schema, Words string

	// Of a Stamp: the name of the member of a JSON object.
	Member string
}

// Rate is so many messages of one user in a time; the zero value is no limit.
type Rate struct {
	Messages int
	Per      time.Duration
}

// Directive is what the line asks of a message; nil: it allows or denies.
func (r *Rule) Directive() *Directive { return r.directive }

// HasDirectives reports whether some directive concerns the principal.
func (a *Access) HasDirectives() bool { return a != nil && len(a.directives) > 0 }

// Directives gives all directives that a message to topicName has to meet, in the order of their sources. The reason
// is why they could not be found, ReasonAmbiguous: then the message may not pass.
func (a *Access) Directives(topicName []byte) (all []*Rule, reason string) {
	if a == nil || len(a.directives) == 0 {
		return nil, ""
	}
	w := walk{op: directing}
	w.over(a.directives, topicName)
	if w.bindings.tries > maxTries {
		return nil, ReasonAmbiguous
	}
	slices.SortStableFunc(w.found, func(r, s *Rule) int { return cmp.Compare(r.order, s.order) })
	return w.found, ""
}

// HasLatest reports whether Latest says true of some topic, at no cost.
func (a *Access) HasLatest() bool { return a != nil && a.latest }

// Latest reports whether of the messages of QoS 0 to topicName that wait for the principal only the newest counts.
func (a *Access) Latest(topicName []byte) bool {
	if !a.HasLatest() {
		return false
	}
	w := walk{op: directing, anyOf: true, reads: true}
	w.over(a.directives, topicName)
	return w.some && w.bindings.tries <= maxTries
}

// directed reports whether a directive concerns topicName, or might.
func (a *Access) directed(topicName []byte) bool {
	w := walk{op: directing, anyOf: true}
	w.over(a.directives, topicName)
	return w.some || w.bindings.tries > maxTries
}

// collect keeps the directives that stand in one place.
func (w *walk) collect(r *Rule) {
	for ; r != nil; r = r.next {
		if (r.directive.Kind == Latest) != w.reads {
			continue
		}
		if w.some = true; w.anyOf {
			return
		}
		if !slices.Contains(w.found, r) { // a level made up in two ways leads here twice
			w.found = append(w.found, r)
		}
	}
}
