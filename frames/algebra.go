package frames

import "strings"

// levels walks the levels of a Topic Filter or Topic Name from the front.
type levels struct {
	level string // the current one
	rest  string // what follows its separator
	more  bool   // whether there is a separator
	ended bool   // past the last level
	first bool
}

func levelsOf(s string) levels {
	l := levels{rest: s, more: true}
	l.next()
	l.first = true
	return l
}

func (l *levels) next() {
	l.first = false
	if !l.more {
		*l = levels{ended: true}
		return
	}
	l.level, l.rest, l.more = strings.Cut(l.rest, "/")
}

// isHash says that the current level is '#'.
func (l *levels) isHash() bool { return !l.ended && l.level == "#" }

// takes says whether l, a wildcard, may stand for other's literal level: at the
// first level, none that begins with '$' [MQTT-4.7.2-1].
func (l *levels) takes(other *levels) bool {
	return !(l.first && strings.HasPrefix(other.level, "$"))
}

// Covers says whether outer matches every Topic Name that inner matches, by the rules
// of [Match]. Time is linear in the shorter of both.
func Covers(outer, inner string) bool {
	if outer == "" || inner == "" {
		return false
	}
	o, i := levelsOf(outer), levelsOf(inner)
	for ; ; o.next() {
		switch {
		case o.isHash():
			return o.takes(&i)
		case o.ended || i.ended:
			return o.ended && i.ended
		case i.isHash():
			// Of what has no '#' here, only "+/#" has it all, and only where the
			// level above, which '#' matches too, is no Topic Name: above the
			// first level and above the second of "/#" [MQTT-4.7.3-1].
			return (o.first || inner == "/#") && o.level == "+" && o.rest == "#"
		case o.level == "+":
			if !o.takes(&i) {
				return false
			}
		case o.level != i.level:
			return false
		}
		i.next()
	}
}

// Overlaps says whether some Topic Name is matched by both filters.
func Overlaps(a, b string) bool { return walkIntersection(a, b, func(string) {}) }

// Intersect returns filters that together match exactly the Topic Names that both
// filters match: none when they do not overlap, else one. An intersection that is
// longer than a string may be on the wire is left out.
func Intersect(a, b string) []string {
	var out strings.Builder
	add := func(part string) {
		if out.Len() <= MaxStringBytes+1 {
			out.WriteByte('/') // also in front; taken off below
			out.WriteString(part)
		}
	}
	if !walkIntersection(a, b, add) || out.Len() > MaxStringBytes+1 {
		return nil
	}
	return []string{out.String()[1:]}
}

// walkIntersection calls add with the levels of the intersection (the last call may
// have several, separated), and says whether there is one.
//
// It is always a single filter: at each level a literal beats '+', and '#' leaves the
// rest to the other filter, be it further levels, '#' or, the level above '#', none.
func walkIntersection(a, b string, add func(string)) bool {
	if a == "" || b == "" {
		return false
	}
	x, y := levelsOf(a), levelsOf(b)
	size := -1 // of the intersection so far, with its separators
	for ; ; x.next() {
		if y.isHash() || !y.ended && y.level == "+" && !x.isHash() {
			x, y = y, x // the wider one is x
		}
		switch {
		case x.ended && y.ended:
			return true
		case x.isHash() && y.ended:
			return size > 0 // "+" and "/#" have the empty level in common, which is no topic
		case x.isHash():
			if !x.takes(&y) {
				return false
			}
			add(y.level)
			if y.more {
				add(y.rest)
			}
			return true
		case x.ended || y.ended:
			return false
		case x.level == "+":
			if !x.takes(&y) {
				return false
			}
		case x.level != y.level:
			return false
		}
		add(y.level)
		size += 1 + len(y.level)
		y.next()
	}
}
