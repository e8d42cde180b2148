package policy

import (
	"maps"
	"slices"
	"strings"
)

// Ruleset is one text of rules, compiled. It is immutable, knows no principal
// and is shared by all sessions.
type Ruleset struct {
	everybody scope
	users     map[string]*scope
	roles     map[string]*scope

	refs     []ref    // every placeholder of the text, once
	setNames []string // of the {set} ones, sorted
	schemas  []string // that directives name, sorted
	words    []string // likewise
	warnings Problems
}

// Warnings are the lines that are valid but mean less, or more, than they seem to.
func (r *Ruleset) Warnings() Problems { return slices.Clone(r.warnings) }

// SetNames are the names of all {set} placeholders, sorted; a principal has a Set of each.
// The slice is the Ruleset's own and must not be changed.
func (r *Ruleset) SetNames() []string { return slices.Clip(r.setNames) }

// Schemas are the names of what directives hold payloads against, sorted: of JSON Schemas. The slice is the Ruleset's
// own and must not be changed.
func (r *Ruleset) Schemas() []string { return slices.Clip(r.schemas) }

// Words are those of sets of forbidden words; see Schemas.
func (r *Ruleset) Words() []string { return slices.Clip(r.words) }

// Len is the number of rules and directives that have an effect.
func (r *Ruleset) Len() int {
	n := r.everybody.lines()
	for _, s := range r.users {
		n += s.lines()
	}
	for _, s := range r.roles {
		n += s.lines()
	}
	return n
}

func (s *scope) lines() int {
	if s.directives == nil {
		return len(s.rules)
	}
	return len(s.rules) + len(s.directives.rules)
}

// scope holds the rules for everybody, of one user or of one role: in the order
// of their lines, and as a trie.
type scope struct {
	title  string // "user alice", "role moderator"; empty: everybody
	rules  []*Rule
	root   node
	depth  int // of the deepest node
	denies bool
	denied []int // placeholders of the rules that deny, each once

	directives *scope // as rules of their own: with a trie, and denied for all placeholders; nil: none
	latest     bool   // of directives: one is Latest
}

// node stands for the levels on the way to it.
type node struct {
	literals map[string]*node
	names    []string // of the literals, sorted; for enumeration
	longest  int      // bytes in the longest name: what is longer need not be hashed
	plus     *node
	edges    []edge           // levels with placeholders, each text once
	byText   map[string]*node // their children
	here     outcome          // of the rules that end here
	below    outcome          // of the rules that go on with '#': this level and all below

	// The edges once more, for decisions: those that begin with a placeholder are
	// tried one by one, those that begin with text are looked up by it.
	open  []edge
	heads []heads
}

type edge struct {
	parts []part
	child *node
}

// heads are the edges of one node that begin with so many bytes of text.
type heads struct {
	size   int
	byText map[string][]edge
}

// operation is what is asked for; it indexes outcome.
type operation uint8

const (
	reading operation = iota
	writing
	denying
	directing // all directives; it indexes nothing
)

// outcome is, for each operation, the first rule that allows (or denies) it.
type outcome [3]*Rule

// add puts r into the trie. The rule that made it superfluous is returned, if any.
func (s *scope) add(r *Rule) (same *Rule) {
	s.rules = append(s.rules, r)
	n, at := &s.root, (*outcome)(nil)
	depth := 0
	for _, l := range r.levels {
		if l.text == "#" {
			at = &n.below
			break
		}
		n = n.child(l)
		at = &n.here
		depth++
	}
	s.depth = max(s.depth, depth)
	if r.rights == deny {
		s.denies = true
		for _, ref := range r.refs() {
			if !slices.Contains(s.denied, ref) {
				s.denied = append(s.denied, ref)
			}
		}
	}

	fresh := false
	for op, bit := range [...]rights{reading: read, writing: write, denying: deny} {
		switch {
		case r.rights&bit == 0:
		case at[op] == nil:
			at[op], fresh = r, true
		default:
			same = at[op]
		}
	}
	if fresh {
		return nil
	}
	return same
}

// child is the node one level below n, made when it is missing.
func (n *node) child(l level) *node {
	switch {
	case l.text == "+":
		if n.plus == nil {
			n.plus = &node{}
		}
		return n.plus
	case l.parts != nil:
		child := n.byText[l.text]
		if child == nil {
			child = &node{}
			if n.byText == nil {
				n.byText = make(map[string]*node)
			}
			n.byText[l.text] = child
			n.edges = append(n.edges, edge{parts: l.parts, child: child})
		}
		return child
	}
	child := n.literals[l.text]
	if child == nil {
		child = &node{}
		if n.literals == nil {
			n.literals = make(map[string]*node)
		}
		n.literals[l.text] = child
		n.longest = max(n.longest, len(l.text))
	}
	return child
}

// seal finishes the trie below n for readers.
func (n *node) seal() {
	n.names = slices.Sorted(maps.Keys(n.literals))
	for _, child := range n.literals {
		child.seal()
	}
	if n.plus != nil {
		n.plus.seal()
	}
	for _, e := range n.edges {
		e.child.seal()
		n.index(e)
	}
}

// index puts an edge where decisions look for it.
func (n *node) index(e edge) {
	head := e.parts[0].literal
	if head == "" {
		n.open = append(n.open, e)
		return
	}
	i, found := slices.BinarySearchFunc(n.heads, len(head), func(h heads, size int) int { return h.size - size })
	if !found {
		n.heads = slices.Insert(n.heads, i, heads{size: len(head), byText: make(map[string][]edge)})
	}
	n.heads[i].byText[head] = append(n.heads[i].byText[head], e)
}

// deniedBy finds a rule that denies all that the levels of an allowing rule can
// ever match, whatever the placeholders stand for: a level is covered by '+' or
// by the same text. first is true at the root, where wildcards do not reach '$'.
func (n *node) deniedBy(levels []level, first bool) *Rule {
	dollar := first && levels[0].parts == nil && strings.HasPrefix(levels[0].text, "$")
	if r := n.below[denying]; r != nil && !dollar {
		return r
	}
	if len(levels) == 0 {
		return n.here[denying]
	}
	l := levels[0]
	if l.text == "#" {
		return nil // covered by '#' alone
	}
	if n.plus != nil && !dollar {
		if r := n.plus.deniedBy(levels[1:], false); r != nil {
			return r
		}
	}
	if l.parts != nil {
		if child := n.byText[l.text]; child != nil {
			return child.deniedBy(levels[1:], false)
		}
		return nil
	}
	if child := n.literals[l.text]; child != nil && l.text != "+" {
		return child.deniedBy(levels[1:], false)
	}
	return nil
}
