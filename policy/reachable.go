package policy

import "strings"

// Reachable reports whether the rules could ever allow to read some of a Topic Filter: now, or once the
// sets that they name hold other values. When they could not, a subscription to the filter is
// refused; otherwise it may cover nothing for the time being. What deny rules cut out does not
// count. The filter is without $share/<group>/.
func (a *Access) Reachable(topicFilter string) bool {
	if a == nil || a.reason != "" {
		return false
	}
	levels := strings.Split(topicFilter, "/")
	for i := range a.views {
		if a.views[i].reaches(&a.views[i].root, levels, true) {
			return true
		}
	}
	return false
}

// reaches walks the trie along the levels of a filter that are left. Each node is visited at most
// once for each level of the filter that can lead to it.
func (v *view) reaches(n *node, levels []string, root bool) bool {
	dollar := root && strings.HasPrefix(levels[0], "$") // reached by its own name only [MQTT-4.7.2-1]
	if n.below[reading] != nil && !dollar {
		return true
	}
	if len(levels) == 0 {
		return n.here[reading] != nil
	}
	name, rest := levels[0], levels[1:]
	wild := name == "+" || name == "#"
	if name == "#" {
		if n.here[reading] != nil && !root {
			return true
		}
		rest = levels // '#' goes on to match all that is below
	}
	if wild {
		for text, child := range n.literals {
			if (!root || !strings.HasPrefix(text, "$")) && v.reaches(child, rest, false) {
				return true
			}
		}
	} else if child := n.literals[name]; child != nil && v.reaches(child, rest, false) {
		return true
	}
	if dollar {
		return false
	}
	if n.plus != nil && v.reaches(n.plus, rest, false) {
		return true
	}
	for i := range n.edges {
		e := &n.edges[i]
		if (wild || v.couldBe(e.parts, name)) && v.reaches(e.child, rest, false) {
			return true
		}
	}
	return false
}

// couldBe reports whether a template may make up name, a set holding whatever it takes.
func (v *view) couldBe(parts []part, name string) bool {
	for _, p := range parts {
		if p.ref >= 0 && v.refs[p.ref].kind == refSet {
			return true
		}
	}
	var chosen bindings
	found := false
	expand(parts, []byte(name), v.values, &chosen, func() { found = true })
	return found
}
