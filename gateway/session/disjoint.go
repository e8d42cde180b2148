package session

import (
	"maps"
	"slices"
	"strings"
)

// disjoint merges filters that have topics in common, so that no message comes by two of them: brokers
// may deliver it once for each [MQTT-3.3.4-5]. What the merged filter matches besides is cut at
// delivery.
func disjoint(filters []string) []string {
	if len(filters) < 2 {
		return filters
	}
	var index filterIndex
	for _, filter := range filters {
		for {
			other, found := index.overlapping(filter)
			if !found {
				break
			}
			index.remove(other)
			filter = hull(filter, other)
		}
		index.add(filter)
	}
	return index.all(nil)
}

// filterIndex finds, among Topic Filters that have no topics in common, one that has some in common
// with another, without looking at all of them. The zero value is empty.
type filterIndex struct {
	next map[string]*filterIndex
	here string // the filter that ends here
}

func (x *filterIndex) add(filter string) {
	n := x
	for level := range strings.SplitSeq(filter, "/") {
		if n.next == nil {
			n.next = map[string]*filterIndex{}
		}
		if n.next[level] == nil {
			n.next[level] = &filterIndex{}
		}
		n = n.next[level]
	}
	n.here = filter
}

func (x *filterIndex) remove(filter string) {
	level, rest, more := strings.Cut(filter, "/")
	child := x.next[level]
	if more {
		child.remove(rest)
	} else {
		child.here = ""
	}
	if child.here == "" && len(child.next) == 0 {
		delete(x.next, level)
	}
}

func (x *filterIndex) all(dst []string) []string {
	if x.here != "" {
		dst = append(dst, x.here)
	}
	for _, level := range slices.Sorted(maps.Keys(x.next)) {
		dst = x.next[level].all(dst)
	}
	return dst
}

// overlapping finds a filter that has topics in common with filter.
func (x *filterIndex) overlapping(filter string) (string, bool) {
	found := x.find(strings.Split(filter, "/"), true)
	return found, found != ""
}

func (x *filterIndex) find(levels []string, root bool) string {
	dollar := root && strings.HasPrefix(levels[0], "$") // wildcards do not match it [MQTT-4.7.2-1]
	if hash := x.next["#"]; hash != nil && !dollar {
		return hash.here
	}
	if len(levels) == 0 {
		return x.here
	}
	level, rest := levels[0], levels[1:]
	switch level {
	case "#":
		if x.here != "" && !root {
			return x.here
		}
		rest = levels
		fallthrough
	case "+":
		for name, child := range x.next {
			if root && strings.HasPrefix(name, "$") {
				continue
			}
			if found := child.find(rest, false); found != "" {
				return found
			}
		}
		return ""
	}
	if child := x.next[level]; child != nil {
		if found := child.find(rest, false); found != "" {
			return found
		}
	}
	if plus := x.next["+"]; plus != nil && !dollar {
		return plus.find(rest, false)
	}
	return ""
}

// hull is a filter that matches what a and b match, and as little else as one can.
func hull(a, b string) string {
	var levels []string
	for {
		la, restA, moreA := strings.Cut(a, "/")
		lb, restB, moreB := strings.Cut(b, "/")
		switch {
		case la == "#" || lb == "#":
			return strings.Join(append(levels, "#"), "/")
		case la == lb:
			levels = append(levels, la)
		default:
			levels = append(levels, "+")
		}
		if !moreA || !moreB {
			if moreA != moreB { // one of them goes on with '#', or they would not overlap
				levels = append(levels, "#")
			}
			return strings.Join(levels, "/")
		}
		a, b = restA, restB
	}
}
