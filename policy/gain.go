package policy

import (
	"slices"
	"strings"
)

// Gain is what one Access allows to read and an earlier one did not.
type Gain struct {
	now, before *Access
	more        *Access // allows what rules of now allow that before has not
	lifted      *Access // allows what rules of before denied that now has not
}

// Since finds what differs between before and a, which costs a look at each value of a
// set that has changed. It is nil when nothing does.
func (a *Access) Since(before *Access) *Gain {
	if a == before || a == nil || a.reason != "" {
		return nil
	}
	g := &Gain{now: a, before: before, more: a, lifted: &Access{}}
	if before != nil && before.reason == "" {
		g.lifted = before.beyond(a, deny)
		if before.written == 0 { // else its rules are others, though they may say the same
			g.more = a.beyond(before, read)
		}
		if len(g.more.views) == 0 && len(g.lifted.views) == 0 {
			return nil
		}
	}
	return g
}

// Within gives Topic Filters that together match every topic of g that a Topic Filter
// matches. They are within the filter, sorted, and come of the difference alone: a room
// more gives its filter, whatever other rooms there are, and a deny that is gone gives what
// it had cut out. They may match topics besides that were allowed before, or that are not
// allowed now.
//
// When there are more than max, or finding them would take too long, complete is
// false. The filter is without $share/<group>/. A nil Gain gives none.
func (g *Gain) Within(topicFilter string, max int) (filters []string, complete bool) {
	if g == nil {
		return nil, true
	}
	limit := max
	if g.before != nil {
		limit += g.before.written // which are found again
	}
	filters, complete = g.more.Narrow(topicFilter, limit)
	if !complete {
		return nil, false
	}
	denied := func(filter string) bool {
		_, denied := g.now.cover(filter)
		return denied != nil
	}
	filters = slices.DeleteFunc(filters, func(filter string) bool { return denied(filter) || g.before.covers(filter) })
	lifted, complete := g.lifted.Narrow(topicFilter, limit)
	if !complete {
		return nil, false
	}
	for _, filter := range slices.DeleteFunc(lifted, denied) {
		left, whole := g.now.Narrow(filter, max)
		if !whole {
			left = []string{filter}
		}
		filters = append(filters, left...)
	}
	slices.Sort(filters)
	filters = slices.Compact(filters)
	return filters, len(filters) <= max
}

// beyond is an Access that allows to read just what those rules of a with the given access
// say and the same rules of other do not: rules that other has not, and values that a
// placeholder has not there.
func (a *Access) beyond(other *Access, what rights) *Access {
	var known map[ruleKey]bool // of other, made when it is needed
	b := &Access{}
	for i := range a.views {
		v := &a.views[i]
		shared := slices.ContainsFunc(other.views, func(o view) bool { return o.scope == v.scope })
		if !shared && known == nil {
			known = other.keys(what)
		}
		fresh := make([]meaning, len(v.refs)) // of the placeholders, where it is more
		more := make([]bool, len(v.refs))
		some := false
		for j, r := range v.refs {
			fresh[j], more[j] = v.values[j].beyond(other.resolve(r))
			some = some || more[j]
		}
		if shared && !some {
			continue
		}
		whole := &scope{}                    // rules that are new
		parts := make([]*scope, len(v.refs)) // rules with new values of one placeholder
		for _, r := range v.rules {
			switch {
			case r.rights&what == 0:
			case !shared && !known[keyOf(r)]:
				whole.add(r.reading())
			default:
				for _, ref := range r.refs() {
					if !more[ref] {
						continue
					}
					if parts[ref] == nil {
						parts[ref] = &scope{}
					}
					parts[ref].add(r.reading())
				}
			}
		}
		b.view(whole, v, v.values)
		for ref, s := range parts {
			values := slices.Clone(v.values)
			values[ref] = fresh[ref]
			b.view(s, v, values)
		}
	}
	return b
}

// covers reports whether rules of a allow all of a filter, deny rules left out of account.
func (a *Access) covers(filter string) bool {
	if a == nil || a.reason != "" {
		return false
	}
	allowed, _ := a.cover(filter)
	return allowed != nil
}

// view adds rules to a that is being made, with the values that they have here. A nil or
// empty scope adds nothing.
func (a *Access) view(s *scope, like *view, values []meaning) {
	if s == nil || len(s.rules) == 0 {
		return
	}
	s.root.seal()
	a.views = append(a.views, view{scope: s, refs: like.refs, values: values, order: like.order})
	a.depth = max(a.depth, s.depth)
}

// ruleKey is what a rule says, wherever it stands.
type ruleKey struct {
	filter  string
	pattern bool // it has placeholders
}

func keyOf(r *Rule) ruleKey {
	texts := make([]string, len(r.levels))
	pattern := false
	for i, l := range r.levels {
		texts[i] = l.text
		pattern = pattern || l.parts != nil
	}
	return ruleKey{strings.Join(texts, "/"), pattern}
}

// keys are the rules of a with the given access.
func (a *Access) keys(what rights) map[ruleKey]bool {
	keys := map[ruleKey]bool{}
	for i := range a.views {
		for _, r := range a.views[i].rules {
			if r.rights&what != 0 {
				keys[keyOf(r)] = true
			}
		}
	}
	return keys
}

// reading is the rule as one that allows to read.
func (r *Rule) reading() *Rule { return &Rule{rights: read, levels: r.levels} }

// refs are the placeholders of a rule, each once.
func (r *Rule) refs() (refs []int) {
	for _, l := range r.levels {
		for _, p := range l.parts {
			if p.ref >= 0 && !slices.Contains(refs, p.ref) {
				refs = append(refs, p.ref)
			}
		}
	}
	return refs
}

// beyond is what m can stand for and other cannot; some is whether that is anything.
func (m meaning) beyond(other meaning) (fresh meaning, some bool) {
	if m.many == nil {
		_, known := other.many[m.one]
		return m, m.one != "" && m.one != other.one && !known
	}
	if sameMap(m.many, other.many) {
		return meaning{}, false
	}
	fresh.many = Set{}
	for value := range m.many {
		if _, known := other.many[value]; !known && value != other.one {
			fresh.many[value] = struct{}{}
		}
	}
	return fresh, len(fresh.many) > 0
}
