package frames

import (
	"maps"
	"slices"
	"strings"
)

// FilterIndex holds Topic Filters so that those which have to do with another are found without looking at all
// of them. The zero value is empty. Filters are without $share/<group>/.
type FilterIndex struct {
	next map[string]*FilterIndex // by level, '+' among them
	here bool                    // a filter ends here
	all  bool                    // a filter goes on with '#', its last level
}

// Add puts a filter in; one that is there already stays once.
func (x *FilterIndex) Add(filter string) {
	n := x
	for level := range strings.SplitSeq(filter, "/") {
		if level == "#" {
			n.all = true
			return
		}
		child := n.next[level]
		if child == nil {
			if n.next == nil {
				n.next = map[string]*FilterIndex{}
			}
			child = &FilterIndex{}
			n.next[level] = child
		}
		n = child
	}
	n.here = true
}

// Remove takes a filter out that is in.
func (x *FilterIndex) Remove(filter string) {
	level, rest, more := strings.Cut(filter, "/")
	child := x.next[level]
	switch {
	case level == "#":
		x.all = false
		return
	case child == nil:
		return
	case more:
		child.Remove(rest)
	default:
		child.here = false
	}
	if child.Empty() {
		delete(x.next, level)
	}
}

// Empty reports whether no filter is in.
func (x *FilterIndex) Empty() bool { return !x.here && !x.all && len(x.next) == 0 }

// AppendAll appends all filters to dst, level by level: '#' first, the others in the order of their bytes.
func (x *FilterIndex) AppendAll(dst []string) []string { return x.appendBelow(dst, "", true) }

func (x *FilterIndex) appendBelow(dst []string, path string, root bool) []string {
	if x.here {
		dst = append(dst, path)
	}
	if !root {
		path += "/"
	}
	if x.all {
		dst = append(dst, path+"#")
	}
	for _, level := range slices.Sorted(maps.Keys(x.next)) {
		dst = x.next[level].appendBelow(dst, path+level, false)
	}
	return dst
}

// Covers reports whether one of the filters covers filter, which may be a Topic Name: then, whether one
// matches it. The work grows with the levels of filter, not with the number of filters.
func (x *FilterIndex) Covers(filter string) bool {
	return filter != "" && x.covers(filter, true, true)
}

func (x *FilterIndex) covers(rest string, more, root bool) bool {
	dollar := root && strings.HasPrefix(rest, "$") // wildcards do not match it [MQTT-4.7.2-1]
	if x.all && !dollar {
		return true
	}
	if !more {
		return x.here
	}
	level, rest, more := strings.Cut(rest, "/")
	if level == "#" {
		return false // what else covers it, "+/#", has been asked for by no one who needs to know
	}
	if plus := x.next["+"]; plus != nil && !dollar && plus.covers(rest, more, false) {
		return true
	}
	if level == "+" {
		return false
	}
	child := x.next[level]
	return child != nil && child.covers(rest, more, false)
}

// Overlapping finds a filter that has topics in common with filter. A filter with wildcards may have to be
// compared with many; steps is how many levels may still be looked at, and is counted down. Once it is not
// positive, nothing is found any more, whatever there is. (The parent level of "/#" counts as a topic here, though it
// is empty and so none: "+" is taken to overlap with that filter.)
func (x *FilterIndex) Overlapping(filter string, steps *int) (other string, found bool) {
	return x.overlapping(strings.Split(filter, "/"), "", true, steps)
}

func (x *FilterIndex) overlapping(levels []string, path string, root bool, steps *int) (string, bool) {
	if *steps--; *steps <= 0 {
		return "", false
	}
	join := func(level string) string {
		if root {
			return level
		}
		return path + "/" + level
	}
	dollar := root && strings.HasPrefix(levels[0], "$") // wildcards do not match it [MQTT-4.7.2-1]
	if x.all && !dollar {
		return join("#"), true
	}
	if len(levels) == 0 {
		return path, x.here
	}
	level, rest := levels[0], levels[1:]
	switch level {
	case "#":
		if x.here && !root {
			return path, true
		}
		rest = levels
		fallthrough
	case "+":
		for name, child := range x.next {
			if root && strings.HasPrefix(name, "$") {
				continue
			}
			if other, found := child.overlapping(rest, join(name), false, steps); found {
				return other, true
			}
		}
		return "", false
	}
	if child := x.next[level]; child != nil {
		if other, found := child.overlapping(rest, join(level), false, steps); found {
			return other, true
		}
	}
	if plus := x.next["+"]; plus != nil && !dollar {
		return plus.overlapping(rest, join("+"), false, steps)
	}
	return "", false
}
