package policy

// enumerate calls yield once for each name that a literal or a placeholder of the
// states stands for, until it returns false.
func (x *narrowing) enumerate(states []state, yield func(name string) bool) {
	var seen map[string]struct{} // nil when there is but one source, which hardly repeats itself
	if sources(states) > 1 {
		seen = make(map[string]struct{})
	}
	once := func(name string) bool {
		if x.steps--; x.steps < 0 {
			x.over = true
			return false
		}
		if seen != nil {
			if _, again := seen[name]; again {
				return true
			}
			seen[name] = struct{}{}
		}
		return yield(name)
	}
	for i := range states {
		s := &states[i]
		for _, name := range s.node.names {
			if !once(name) {
				return
			}
		}
		for _, e := range s.node.edges {
			b := s.bindings
			if !names(e.parts, "", s.view.values, &b, once) {
				return
			}
		}
	}
}

// sources counts the places that names come from.
func sources(states []state) int {
	n := 0
	for _, s := range states {
		n += min(1, len(s.node.names)) + len(s.node.edges)
	}
	return n
}

// names calls yield for prefix followed by all that parts can stand for; it is
// false when yield was.
func names(parts []part, prefix string, values []meaning, b *bindings, yield func(string) bool) bool {
	if len(parts) == 0 {
		return yield(prefix)
	}
	p, rest := &parts[0], parts[1:]
	switch {
	case p.ref < 0:
		return names(rest, prefix+p.literal, values, b, yield)
	case p.bound:
		return names(rest, prefix+string(b.chosen[p.slot]), values, b, yield)
	}
	use := func(text string) bool {
		if p.slot >= 0 {
			b.chosen[p.slot] = []byte(text)
		}
		return names(rest, prefix+text, values, b, yield)
	}
	v := &values[p.ref]
	if v.many == nil {
		return v.one == "" || use(v.one)
	}
	for text := range v.many {
		if expandable(text) && !use(text) { // a Set need not be made by NewSet
			return false
		}
	}
	return true
}

// filterIndex finds, among filters, one that covers another.
type filterIndex struct {
	next map[string]*filterIndex
	here bool // a filter ends here
	all  bool // a filter goes on with '#'
}

func (x *filterIndex) add(levels []string) {
	for _, l := range levels {
		if l == "#" {
			x.all = true
			return
		}
		if x.next == nil {
			x.next = make(map[string]*filterIndex)
		}
		if x.next[l] == nil {
			x.next[l] = &filterIndex{}
		}
		x = x.next[l]
	}
	x.here = true
}

// covers says whether some filter covers, or is, the one of these levels. The '$'
// rule needs no look: of one Topic Filter's results either all begin with the same
// level, or none begins with '$'.
func (x *filterIndex) covers(levels []string) bool {
	if x.all {
		return true
	}
	if len(levels) == 0 {
		return x.here
	}
	l := levels[0]
	if l == "#" {
		return false
	}
	if plus := x.next["+"]; plus != nil && plus.covers(levels[1:]) {
		return true
	}
	next := x.next[l]
	return next != nil && l != "+" && next.covers(levels[1:])
}
