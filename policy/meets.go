package policy

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// maxMeetings bounds the work of looking for denials that meet what other sections allow.
const maxMeetings = 1_000_000

// warnMeetings tells of each rule that denies what, also in part, a rule of another section allows, unless that one
// never allows anything anyway. In mosquitto sections count one after the other: the user's own lines, then patterns.
func (p *parser) warnMeetings(useless map[*Rule]bool) {
	rs := p.rules
	sections := []*scope{&rs.everybody}
	for _, scopes := range []map[string]*scope{rs.users, rs.roles} {
		for _, name := range slices.Sorted(maps.Keys(scopes)) {
			sections = append(sections, scopes[name])
		}
	}
	m := meeting{useless: useless, left: maxMeetings}
	for _, s := range sections {
		if !s.denies {
			continue
		}
		for _, r := range s.rules {
			if r.rights != deny {
				continue
			}
			for _, other := range sections {
				if other == s || s.ofUser() && other.ofUser() {
					continue // nobody is two users
				}
				if met := m.meets(&other.root, r.levels, true); met != nil {
					p.warnOf(r, fmt.Sprintf("wins over what %s is allowed by %s: deny wins, in whatever section it stands", other.name(), met), mosquittoHint(s, other))
					break
				}
			}
			if m.left < 0 {
				p.warnOf(r, "there are too many rules to tell which denials win over what other sections allow", "")
				return
			}
		}
	}
}

func (p *parser) warnOf(r *Rule, message, hint string) {
	p.rules.warnings = append(p.rules.warnings, Problem{
		Source: p.source, Line: r.line, Column: 1, Text: r.Text, Warning: true, Message: message, Hint: hint,
	})
}

func (s *scope) ofUser() bool { return strings.HasPrefix(s.title, "user ") }

func (s *scope) name() string {
	if s.title == "" {
		return "everybody"
	}
	return s.title
}

// meeting looks for allowing rules that have topics in common with a denying one.
type meeting struct {
	useless map[*Rule]bool
	left    int  // steps
	writes  bool // only what allows writing counts
}

// mosquittoHint tells where mosquitto decides otherwise.
func mosquittoHint(denying, allowing *scope) string {
	if denying.title == "" && allowing.ofUser() {
		return "in mosquitto the user's own lines come first, and allow it"
	}
	return ""
}

// meets finds a rule below n that allows a topic that the levels of a denying rule match, whatever the placeholders
// of both stand for. first is true at the root, where wildcards do not reach '$'.
func (m *meeting) meets(n *node, levels []level, first bool) *Rule {
	if m.left--; m.left < 0 || n == nil {
		return nil
	}
	spelt := len(levels) > 0 && levels[0].parts == nil && levels[0].text != "+" && levels[0].text != "#"
	dollar := first && spelt && strings.HasPrefix(levels[0].text, "$")
	if !dollar {
		if r := m.allowing(&n.below); r != nil {
			return r
		}
	}
	if len(levels) == 0 {
		return m.allowing(&n.here)
	}
	l, rest := levels[0], levels[1:]
	if l.text == "#" {
		rest = levels // which goes on to match all that is below
		if r := m.allowing(&n.here); r != nil && !first {
			return r
		}
	}
	if spelt {
		if child := n.literals[l.text]; child != nil {
			if r := m.meets(child, rest, false); r != nil {
				return r
			}
		}
	} else {
		for _, name := range n.names {
			if first && strings.HasPrefix(name, "$") || l.parts != nil && !mayMake(l.parts, name) {
				continue
			}
			if r := m.meets(n.literals[name], rest, false); r != nil {
				return r
			}
		}
	}
	if dollar {
		return nil
	}
	if n.plus != nil {
		if r := m.meets(n.plus, rest, false); r != nil {
			return r
		}
	}
	for i := range n.edges {
		if e := &n.edges[i]; !spelt || mayMake(e.parts, l.text) {
			if r := m.meets(e.child, rest, false); r != nil {
				return r
			}
		}
	}
	return nil
}

// allowing is the rule of an outcome that allows, unless it never does.
func (m *meeting) allowing(o *outcome) *Rule {
	for _, op := range []operation{reading, writing} {
		if r := o[op]; r != nil && !m.useless[r] && (op == writing || !m.writes) {
			return r
		}
	}
	return nil
}

// mayMake tells whether the text at the ends of a template is that of a name.
func mayMake(parts []part, name string) bool {
	return strings.HasPrefix(name, parts[0].literal) && strings.HasSuffix(name, parts[len(parts)-1].literal)
}
