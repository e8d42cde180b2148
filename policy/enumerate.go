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
