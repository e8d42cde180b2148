package policy

import (
	"bytes"
	"strings"
)

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
		r := reach{view: &a.views[i]}
		if r.from(&r.view.root, levels, atRoot) {
			return true
		}
	}
	return false
}

// reach looks for a rule that has topics in common with one filter.
type reach struct {
	view  *view
	tries int // spent on levels of several placeholders; over maxTries whatever is asked is reachable
}

// place is where on its way from is: some answers differ at the beginning.
type place uint8

const (
	atRoot  place = iota
	atBlank       // after one level, which is empty: no topic ends here [MQTT-4.7.3-1]
	below
)

// from walks the trie along the levels of a filter that are left. Each node is visited at most
// once for each level of the filter that can lead to it.
func (r *reach) from(n *node, levels []string, at place) bool {
	if len(levels) == 0 {
		return at != atBlank && (n.here[reading] != nil || n.below[reading] != nil)
	}
	name, rest := levels[0], levels[1:]
	dollar := at == atRoot && strings.HasPrefix(name, "$") // reached by its own name only [MQTT-4.7.2-1]
	if n.below[reading] != nil && !dollar {
		return true
	}
	wild := name == "+" || name == "#"
	if name == "#" {
		if n.here[reading] != nil && at == below {
			return true
		}
		rest = levels // '#' goes on to match all that is below
	}
	next := func(text string) place {
		if at == atRoot && text == "" {
			return atBlank
		}
		return below
	}
	if wild {
		for text, child := range n.literals {
			if (at != atRoot || !strings.HasPrefix(text, "$")) && r.from(child, rest, next(text)) {
				return true
			}
		}
	} else if child := n.literals[name]; child != nil && r.from(child, rest, next(name)) {
		return true
	}
	if dollar {
		return false
	}
	if n.plus != nil && r.from(n.plus, rest, next(name)) {
		return true
	}
	for i := range n.edges {
		e := &n.edges[i]
		if (wild && r.hasValues(e.parts) || !wild && r.couldBe(e.parts, []byte(name))) && r.from(e.child, rest, below) {
			return true
		}
	}
	return false
}

// hasValues reports whether a template can make up anything: what is no set has its values for good.
func (r *reach) hasValues(parts []part) bool {
	for _, p := range parts {
		if p.ref >= 0 && r.view.refs[p.ref].kind != refSet && r.view.values[p.ref].one == "" && len(r.view.values[p.ref].many) == 0 {
			return false
		}
	}
	return true
}

// couldBe reports whether a template may make up text, sets holding whatever it takes. That a placeholder
// has one value in all the places of a rule is left out of account.
func (r *reach) couldBe(parts []part, text []byte) bool {
	if r.tries++; r.tries > maxTries {
		return true
	}
	if len(parts) == 0 {
		return len(text) == 0
	}
	p, rest := &parts[0], parts[1:]
	if p.ref < 0 {
		after, ok := bytes.CutPrefix(text, []byte(p.literal))
		return ok && r.couldBe(rest, after)
	}
	v := &r.view.values[p.ref]
	if r.view.refs[p.ref].kind == refSet {
		for n := 1; n <= min(len(text), maxValueBytes); n++ {
			if expandable(string(text[:n])) && r.couldBe(rest, text[n:]) {
				return true
			}
		}
		return false
	}
	if v.many == nil {
		after, ok := bytes.CutPrefix(text, []byte(v.one))
		return ok && v.one != "" && r.couldBe(rest, after)
	}
	for n := 1; n <= min(len(text), maxValueBytes); n++ {
		if _, ok := v.many[string(text[:n])]; ok && r.couldBe(rest, text[n:]) {
			return true
		}
	}
	return false
}
