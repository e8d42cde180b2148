package policy

import (
	"slices"
	"strings"

	"topicgate/frames"
)

// maxNarrowSteps bounds the work of one Narrow by the topics and values looked
// at, for rules whose enumeration is large though its result is small.
const maxNarrowSteps = 200_000

// Narrow gives what of a Topic Filter may be read, as filters none of which
// covers another, sorted: together they match the topics that the filter and some
// rule that allows reading match, but for results that deny rules leave nothing
// of. What a deny cuts out of a result is still in it, to be dropped at delivery.
//
// When there are more than max, or finding them would take too long, complete is
// false and filters are some of them. The filter is without $share/<group>/.
func (a *Access) Narrow(topicFilter string, max int) (filters []string, complete bool) {
	if a == nil || a.reason != "" || frames.CheckTopicFilter(topicFilter) != nil {
		return nil, true
	}
	levels := strings.Split(topicFilter, "/")
	x := narrowing{access: a, filter: levels, max: max, steps: maxNarrowSteps}
	if last := len(levels) - 1; levels[last] == "#" {
		x.filter, x.open = levels[:last], true
	}
	states := make([]state, len(a.views))
	for i := range a.views {
		states[i] = state{view: &a.views[i], node: &a.views[i].root}
	}
	x.descend(states, 0)
	slices.Sort(x.found)
	return x.found, !x.over
}

// narrowing walks the filter and all tries at once, level by level, and so finds
// the results with the broad before the narrow: at each node first what '#' gives,
// which makes all else there superfluous, then what '+' gives, then the rest. A
// result is therefore never covered by a later one.
type narrowing struct {
	access *Access
	filter []string // levels, without a '#' at the end
	open   bool     // there was one
	max    int
	steps  int // left

	path  []string // levels of the result so far
	found []string
	index frames.FilterIndex // of found
	over  bool
}

// state is a place in the trie of one view, with the values chosen on the way.
type state struct {
	view     *view
	node     *node
	bindings bindings
}

// descend goes on at the states, all of which x.path leads to, with level i of
// the filter.
func (x *narrowing) descend(states []state, i int) {
	if x.steps--; x.steps < 0 {
		x.over = true
	}
	if x.over {
		return
	}
	root := len(x.path) == 0
	dollar := root && i < len(x.filter) && strings.HasPrefix(x.filter[i], "$")
	if !dollar && some(states, func(n *node) bool { return n.below[reading] != nil }) {
		rest := x.filter[i:]
		if x.open {
			rest = append(slices.Clone(rest), "#")
		}
		x.emit(rest)
		return
	}
	if i == len(x.filter) {
		if some(states, func(n *node) bool { return n.here[reading] != nil }) {
			x.emit(nil)
		}
		if !x.open {
			return
		}
	}
	if i < len(x.filter) && x.filter[i] != "+" {
		x.follow(states, x.filter[i], i+1, !dollar)
		return
	}
	i = min(i+1, len(x.filter))
	x.step(plusOf(nil, states), "+", i)
	x.enumerate(states, func(name string) bool {
		if !root || !strings.HasPrefix(name, "$") { // [MQTT-4.7.2-1]
			x.follow(states, name, i, false)
		}
		return !x.over
	})
}

// follow goes one level on, by a name. Unless wild, rules with '+' stay behind:
// what they give was found under "+". wild is false too for a first level that
// begins with '$', where placeholders do not count either.
func (x *narrowing) follow(states []state, name string, i int, wild bool) {
	var next []state
	dollar := len(x.path) == 0 && strings.HasPrefix(name, "$")
	text := []byte(name)
	for _, s := range states {
		if child := s.node.literals[name]; child != nil {
			next = append(next, state{view: s.view, node: child, bindings: s.bindings})
		}
		if dollar {
			continue
		}
		for _, e := range s.node.edges {
			b := bindings{chosen: s.bindings.chosen}
			expand(e.parts, text, s.view.values, &b, func() {
				next = append(next, state{view: s.view, node: e.child, bindings: b})
			})
			x.over = x.over || b.tries > maxTries
		}
	}
	if wild {
		next = plusOf(next, states)
	}
	x.step(next, name, i)
}

func (x *narrowing) step(next []state, name string, i int) {
	if len(next) == 0 {
		return
	}
	x.path = append(x.path, name)
	x.descend(next, i)
	x.path = x.path[:len(x.path)-1]
}

// plusOf appends what '+' in the rules leads to.
func plusOf(next, states []state) []state {
	for _, s := range states {
		if s.node.plus != nil {
			next = append(next, state{view: s.view, node: s.node.plus, bindings: s.bindings})
		}
	}
	return next
}

func some(states []state, is func(*node) bool) bool {
	return slices.ContainsFunc(states, func(s state) bool { return is(s.node) })
}

// emit adds path and rest to the results, unless nothing of it is left by deny
// rules or an earlier result covers it.
func (x *narrowing) emit(rest []string) {
	levels := slices.Concat(x.path, rest)
	filter := strings.Join(levels, "/")
	if filter == "" { // `/#` and the filter + meet in no topic [MQTT-4.7.3-1]
		return
	}
	if x.access.denies {
		if _, denied := x.access.cover(filter); denied != nil {
			return
		}
	}
	if x.index.Covers(filter) {
		return
	}
	if len(x.found) >= x.max {
		x.over = true
		return
	}
	x.index.Add(filter)
	x.found = append(x.found, filter)
}
