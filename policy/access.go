package policy

import (
	"bytes"
	"sync/atomic"
)

// ReasonUnavailable is the Reason of a Decision that was made without rules,
// since they could not be had.
const ReasonUnavailable = "policy_unavailable"

// ReasonTooLarge is the Reason of a Decision that was made without rules, since something that they
// need, of this principal's, is larger than what is read.
const ReasonTooLarge = "policy_too_large"

// ReasonClaimElsewhere is the Reason of a Decision that was made without rules, since one that denies
// needs a claim which the token says is to be had from somebody else.
const ReasonClaimElsewhere = "policy_claim_elsewhere"

// ReasonAmbiguous is the Reason of a Decision about a topic that could be made up
// from the members of several sets in one level in more ways than are tried.
const ReasonAmbiguous = "policy_ambiguous"

// Access is what one principal may do. It is immutable and may be used by any
// number of goroutines. A nil Access allows nothing.
type Access struct {
	principal Principal
	decoded   *decoded // of the principal's claims, what rules asked for so far
	sets      map[string]Set
	views     []view
	// directives are the views of scopes that hold some; nil: a publish has no more to meet than rules.
	directives []view
	latest     bool   // one of them is Latest
	depth      int    // of the deepest trie
	denies     bool   // some rule does
	written    int    // filters that it was made of, if of a Readable
	reason     string // not empty: no rule is asked
	serial     uint64
}

// view is one scope as one principal sees it.
type view struct {
	*scope
	refs   []ref
	values []meaning // of the refs
	order  int       // of the ruleset
}

// Decision is the answer to one question.
type Decision struct {
	Allowed  bool
	Directed bool   // of an allowed Publish: ask Directives what the message must look like
	Rule     *Rule  // the line that decided; nil: no rule matched
	Reason   string // "", or why the rules could not decide: ReasonUnavailable, ReasonTooLarge, ReasonClaimElsewhere, ReasonAmbiguous
}

// NothingAllowed denies everything for want of rules: fail closed.
func NothingAllowed() *Access { return NothingAllowedFor(ReasonUnavailable) }

// NothingAllowedFor denies everything for a reason, which each Decision tells.
func NothingAllowedFor(reason string) *Access {
	return &Access{reason: reason, serial: serials.Add(1)}
}

// serials numbers the Accesses of this process.
var serials atomic.Uint64

// Serial tells an Access from all others that this process has made, gone ones too: who remembers a
// decision need not keep its Access alive. That of a nil Access is 0.
func (a *Access) Serial() uint64 {
	if a == nil {
		return 0
	}
	return a.serial
}

// Publish says whether a message may be published to topicName, which is a valid
// Topic Name. It does not allocate; its cost grows neither with the number of
// rules beside the topic nor with the size of sets nor with the topic's levels.
func (a *Access) Publish(topicName []byte) Decision {
	d := a.decide(topicName, writing)
	if d.Allowed && a.directives != nil {
		d.Directed = a.directed(topicName)
	}
	return d
}

// Receive says whether a message of topicName may be delivered; otherwise it is
// as Publish.
func (a *Access) Receive(topicName []byte) Decision { return a.decide(topicName, reading) }

// Denies reports whether some rule denies.
func (a *Access) Denies() bool { return a != nil && a.denies }

// refusal is why no rule is asked; "": they are.
func (a *Access) refusal() string {
	if a == nil {
		return ReasonUnavailable
	}
	return a.reason
}

func (a *Access) decide(topicName []byte, op operation) Decision {
	if reason := a.refusal(); reason != "" {
		return Decision{Reason: reason}
	}
	w := walk{op: op}
	w.over(a.views, topicName)
	if w.bindings.tries > maxTries {
		return Decision{Reason: ReasonAmbiguous}
	}
	if w.denied != nil {
		return Decision{Rule: w.denied}
	}
	return Decision{Allowed: w.allowed != nil, Rule: w.allowed}
}

// walk looks for the rules that match one topic. It visits a node at most once,
// unless a level can be made up from two sets in several ways.
//
// A level "+" of the topic stands for any level at all: only wildcards match it,
// as they do all its values. So a topic with "+" in it asks about a whole filter.
type walk struct {
	op       operation
	values   []meaning
	order    int // of the ruleset looked at
	bindings bindings

	allowed, denied           *Rule // the first in order of source
	allowedOrder, deniedOrder int

	found []*Rule // of directing
	some  bool    // there is one
	anyOf bool    // to know that is enough
	reads bool    // those that are asked of deliveries, not those of publishes
}

// over looks at the tries of views, one after the other.
func (w *walk) over(views []view, topic []byte) {
	if len(topic) == 0 {
		return // [MQTT-4.7.3-1]
	}
	for i := range views {
		v := &views[i]
		w.values, w.order = v.values, v.order
		if topic[0] != '$' {
			w.visit(&v.root, topic, true)
			continue
		}
		// [MQTT-4.7.2-1], and more: placeholders do not reach it either.
		name, rest, more := cutLevel(topic)
		if child := v.root.literals[string(name)]; child != nil {
			w.visit(child, rest, more)
		}
	}
}

// visit goes on with rest at n, unless the topic has ended: more is false then.
func (w *walk) visit(n *node, rest []byte, more bool) {
	w.take(&n.below)
	if !more {
		w.take(&n.here)
		return
	}
	name, rest, more := cutLevel(rest)
	if n.plus != nil {
		w.visit(n.plus, rest, more)
	}
	if len(name) == 1 && name[0] == '+' {
		return
	}
	if len(name) <= n.longest {
		if child := n.literals[string(name)]; child != nil {
			w.visit(child, rest, more)
		}
	}
	w.try(n.open, name, rest, more)
	for i := range n.heads {
		h := &n.heads[i]
		if len(name) < h.size {
			break // they are sorted
		}
		w.try(h.byText[string(name[:h.size])], name, rest, more)
	}
}

// try goes on behind the edges that a level's name can be made up by.
func (w *walk) try(edges []edge, name, rest []byte, more bool) {
	for i := range edges {
		e := &edges[i]
		expand(e.parts, name, w.values, &w.bindings, func() { w.visit(e.child, rest, more) })
	}
}

func (w *walk) take(o *outcome) {
	if w.op == directing {
		w.collect(o[reading])
		return
	}
	if r := o[w.op]; r != nil && before(r, w.order, w.allowed, w.allowedOrder) {
		w.allowed, w.allowedOrder = r, w.order
	}
	if r := o[denying]; r != nil && before(r, w.order, w.denied, w.deniedOrder) {
		w.denied, w.deniedOrder = r, w.order
	}
}

// before says whether r comes before the rule found so far, or is the first.
func before(r *Rule, order int, found *Rule, foundOrder int) bool {
	return found == nil || order < foundOrder || order == foundOrder && r.order < found.order
}

func cutLevel(topic []byte) (name, rest []byte, more bool) {
	if i := bytes.IndexByte(topic, '/'); i >= 0 {
		return topic[:i], topic[i+1:], true
	}
	return topic, nil, false
}
