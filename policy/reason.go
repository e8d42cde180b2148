package policy

import (
	"fmt"
	"slices"
	"strings"
)

// extent is how much of a topic or filter one rule matches.
type extent uint8

const (
	nothing extent = iota
	partly
	whole
)

// probe matches one rule with one topic or filter, and keeps what came of it or,
// when nothing did, why not at the deepest level that was reached.
type probe struct {
	view     *view
	topic    []string
	filter   bool // topic is a Topic Filter
	bindings bindings
	steps    int // values left to try

	extent  extent
	deepest int
	why     string
}

// probeSteps bounds the values that one probe tries.
const probeSteps = 100_000

func newProbe(v *view, topic string, filter bool) *probe {
	return &probe{view: v, topic: strings.Split(topic, "/"), filter: filter, steps: probeSteps}
}

func (p *probe) noun() string {
	if p.filter {
		return "filter"
	}
	return "topic"
}

// match goes on with the rule's remaining levels at level i of the topic; all
// says whether what was passed covers all of the filter's levels so far.
func (p *probe) match(levels []level, i int, all bool) {
	ended := i == len(p.topic)
	switch {
	case len(levels) == 0 && ended:
		p.found(all)
		return
	case len(levels) == 0 && p.topic[i] == "#" && p.filter: // '#' matches the parent level
		p.found(false)
		return
	case len(levels) == 0:
		p.fail(i, "the rule ends after level %d", i)
		return
	}
	l := levels[0]
	if i == 0 && !p.dollar(l) {
		return
	}
	switch {
	case l.text == "#":
		p.found(all)
	case ended:
		p.fail(i, "the %s ends before level %d", p.noun(), i+1)
	case p.filter && p.topic[i] == "#":
		if none := p.empty(levels); none != "" {
			p.fail(i, "%s", none)
			return
		}
		p.found(false)
	case l.text == "+":
		p.match(levels[1:], i+1, all)
	case p.filter && p.topic[i] == "+":
		p.any(levels, i)
	case l.parts == nil:
		if l.text != p.topic[i] {
			p.fail(i, "level %d: want %q, %s has %q", i+1, l.text, p.noun(), p.topic[i])
			return
		}
		p.match(levels[1:], i+1, all)
	default:
		matched := false
		expand(l.parts, []byte(p.topic[i]), p.view.values, &p.bindings, func() {
			matched = true
			p.match(levels[1:], i+1, all)
		})
		if !matched {
			p.fail(i, "level %d: %s", i+1, p.mismatch(l, p.topic[i]))
		}
	}
}

// dollar says whether the '$' rule lets the first level of the rule match.
func (p *probe) dollar(l level) bool {
	first := p.topic[0]
	if strings.HasPrefix(first, "$") && (l.parts != nil || l.text == "+" || l.text == "#") {
		p.fail(0, "level 1: a topic that begins with '$' is reached only by a rule that spells out its first level")
		return false
	}
	if p.filter && (first == "+" || first == "#") && l.parts == nil && strings.HasPrefix(l.text, "$") {
		p.fail(0, "level 1: a wildcard does not match topics that begin with '$'")
		return false
	}
	return true
}

// any goes on where the filter has '+' and the rule a name or placeholders.
func (p *probe) any(levels []level, i int) {
	l := levels[0]
	if l.parts == nil {
		p.match(levels[1:], i+1, false)
		return
	}
	if none := p.empty(levels[:1]); none != "" {
		p.fail(i, "level %d: %s", i+1, none)
		return
	}
	names(l.parts, "", p.view.values, &p.bindings, func(string) bool {
		p.match(levels[1:], i+1, false)
		p.steps--
		return p.extent == nothing && p.steps > 0
	})
}

func (p *probe) found(all bool) {
	extent := partly
	if all {
		extent = whole
	}
	p.extent = max(p.extent, extent)
}

func (p *probe) fail(level int, format string, args ...any) {
	if p.why == "" || level > p.deepest {
		p.deepest, p.why = level, fmt.Sprintf(format, args...)
	}
}

// empty names the first placeholder in levels that stands for nothing, if any.
func (p *probe) empty(levels []level) string {
	for _, l := range levels {
		for _, part := range l.parts {
			if part.ref < 0 {
				continue
			}
			if v := p.view.values[part.ref]; v.one == "" && len(v.many) == 0 {
				return p.view.refs[part.ref].emptiness()
			}
		}
	}
	return ""
}

func (r ref) emptiness() string {
	switch r.kind {
	case refSet:
		return r.String() + " has no members"
	case refClaim:
		return r.String() + " is not in the token, or cannot stand in a topic level"
	default:
		return r.String() + " cannot stand in a topic level"
	}
}

// mismatch says why a level with placeholders is not made up by a name.
func (p *probe) mismatch(l level, name string) string {
	if none := p.empty([]level{l}); none != "" {
		return none
	}
	fixed, several := "", false
	for _, part := range l.parts {
		switch {
		case part.ref < 0:
			fixed += part.literal
		case p.view.values[part.ref].many != nil:
			several = true
		default:
			fixed += p.view.values[part.ref].one
		}
	}
	if !several {
		return fmt.Sprintf("want %s = %s, %s has %s", l.text, fixed, p.noun(), name)
	}
	if len(l.parts) > 1 {
		return fmt.Sprintf("%q is not made up by %s", name, l.text)
	}
	ref, many := p.view.refs[l.parts[0].ref], p.view.values[l.parts[0].ref].many
	if _, member := many[name]; member && l.parts[0].bound {
		return fmt.Sprintf("want %s = %s as before, %s has %s", ref, p.bindings.chosen[l.parts[0].slot], p.noun(), name)
	}
	return fmt.Sprintf("%s: %s is not a member (%s)", ref, name, sample(many))
}

// sample names some members of a set.
func sample(set Set) string {
	const shown = 5
	if len(set) > shown {
		return fmt.Sprintf("there are %d others", len(set))
	}
	list := make([]string, 0, len(set))
	for m := range set {
		list = append(list, m)
	}
	slices.Sort(list)
	return "there are " + strings.Join(list, ", ")
}
