package policy

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Parse reads a text of rules; source names it in messages. When lines are
// invalid the text is refused as a whole and the error is Problems, all of them.
//
// As in mosquitto a line is a keyword, blanks and the rest; `pattern` lines are
// for everybody even below `user`, and a '#' begins a comment only as the first
// character of a line.
func Parse(source, text string) (*Ruleset, error) {
	p := newParser(source)
	text = strings.TrimPrefix(text, "\ufeff")
	for line := range strings.SplitSeq(text, "\n") {
		p.line++
		p.startLine(strings.TrimSuffix(line, "\r"))
		p.parseLine()
	}
	if len(p.problems) > 0 {
		return nil, p.problems
	}
	return p.finish(), nil
}

// parser holds what one text has brought so far.
type parser struct {
	source   string
	rules    *Ruleset
	refs     map[ref]int
	problems Problems

	line  int    // from 1; 0 in a Redis set
	raw   string // the line
	text  string // raw without leading and trailing blanks
	start int    // offset of text in raw

	// The section that the line stands in.
	section section
	name    string // of the user or role
	scope   *scope
	order   int
}

type section uint8

const (
	top section = iota // before any user or role
	userSection
	roleSection
)

func newParser(source string) *parser {
	return &parser{
		source: source,
		rules:  &Ruleset{users: make(map[string]*scope), roles: make(map[string]*scope)},
		refs:   make(map[ref]int),
	}
}

func (p *parser) startLine(raw string) {
	p.raw = raw
	left := strings.TrimLeft(raw, blanks)
	p.start = len(raw) - len(left)
	p.text = strings.TrimRight(left, blanks)
}

const blanks = " \t"

// parseLine reads one line of a text.
func (p *parser) parseLine() {
	if p.text == "" || p.text[0] == '#' || !p.checkText() {
		return
	}
	keyword, args, at := cutWord(p.text)
	switch keyword {
	case "topic", "pattern":
		p.parseRule(keyword == "pattern", args, at)
	case "user", "role":
		p.parseSection(keyword, args, at)
	case "limit", "check", "stamp", "latest":
		p.parseDirective(keyword, args, at)
	case "read", "write", "readwrite", "deny":
		p.fail(0, fmt.Sprintf("a line does not begin with %q", keyword),
			fmt.Sprintf("write \"pattern %s\"", p.text))
	default:
		p.fail(0, fmt.Sprintf("unknown keyword %q", keyword), keywordHint(keyword))
	}
}

func keywordHint(keyword string) string {
	switch strings.ToLower(strings.TrimRight(keyword, ":=")) {
	case "topic", "topics":
		return `did you mean "topic"?`
	case "pattern", "patterns":
		return `did you mean "pattern"?`
	case "user", "users", "username":
		return `did you mean "user"?`
	case "role", "roles", "group":
		return `did you mean "role"?`
	case "limit", "limits":
		return `did you mean "limit"?`
	case "check", "checks":
		return `did you mean "check"?`
	case "stamp", "stamps":
		return `did you mean "stamp"?`
	}
	return "a line begins with topic, pattern, user, role, limit, check, stamp, latest, or # for a comment"
}

// checkText refuses what can be in no topic and no name: bytes that are no UTF-8,
// and control characters.
func (p *parser) checkText() bool {
	for i, r := range p.text {
		if r == utf8.RuneError {
			if _, size := utf8.DecodeRuneInString(p.text[i:]); size == 1 {
				p.fail(i, "not UTF-8", "")
				return false
			}
		}
		if isControl(r) && r != '\t' {
			p.fail(i, fmt.Sprintf("control character %U", r), "")
			return false
		}
	}
	return true
}

// parseSection reads what follows `user` or `role`: the rest of the line, blanks included.
func (p *parser) parseSection(keyword, name string, at int) {
	if name == "" {
		p.fail(0, "no name after "+keyword, "")
		return
	}
	scopes := p.rules.users
	p.section, p.name = userSection, name
	if keyword == "role" {
		scopes, p.section = p.rules.roles, roleSection
	} else if !expandable(name) {
		p.warn(at, fmt.Sprintf("no user can be named %q: nobody is meant by this section", name),
			"a username that holds + # / or a control character, or is over 1 KiB, is refused at CONNECT")
	}
	p.scope = scopes[name]
	if p.scope == nil {
		p.scope = &scope{title: keyword + " " + name}
		scopes[name] = p.scope
	}
}

// parseRule reads what follows `topic` or `pattern`.
func (p *parser) parseRule(pattern bool, args string, at int) {
	keyword := "topic"
	if pattern {
		keyword = "pattern"
	}
	if args == "" {
		p.fail(0, "no filter after "+keyword, "")
		return
	}
	word, filter, filterAt := cutWord(args)
	access, known := accessWords[word]
	switch {
	case filter == "": // one word is the filter, whatever it is
		if known {
			p.warn(at, fmt.Sprintf("%q is taken as the filter: nothing follows it", word), "")
		}
		access, filter, filterAt = read|write, word, 0
	case !known:
		p.fail(at, fmt.Sprintf("unknown access word %q", word), accessHint(keyword, word, args))
		return
	}
	at += filterAt
	target := p.scope
	switch {
	case pattern && p.section == userSection:
		p.warn(0, fmt.Sprintf("pattern lines are for everybody, not only for user %s", p.name),
			"as in mosquitto; write \"topic\" for this user alone, or move the line above the first user")
		fallthrough
	case pattern && p.section == top:
		target = &p.rules.everybody
	case p.section == top:
		p.warn(0, "without effect: topic lines before any user or role are for anonymous clients, of which there are none",
			"write \"pattern\" for everybody")
		target = nil
	}
	levels, ok := p.parseFilter(filter, at, pattern)
	if !ok || target == nil {
		return
	}
	p.add(target, access, levels, fmt.Sprintf("%s:%d", p.source, p.line))
}

var accessWords = map[string]rights{"read": read, "write": write, "readwrite": read | write, "deny": deny}

func accessHint(keyword, word, args string) string {
	switch strings.ToLower(word) {
	case "read", "write", "readwrite", "deny":
		return "access words are in lower case"
	case "subscribe", "sub", "ro", "r":
		return `did you mean "read"?`
	case "publish", "pub", "wo", "w":
		return `did you mean "write"?`
	case "rw", "all", "allow", "pubsub":
		return `did you mean "readwrite"?`
	}
	return fmt.Sprintf("read, write, readwrite or deny; a filter that holds a blank needs one: \"%s readwrite %s\"", keyword, args)
}

// add gives a scope the rule that the current line is.
func (p *parser) add(s *scope, access rights, levels []level, source string) {
	p.order++
	r := &Rule{Source: source, Text: p.text, name: source + ": " + p.text, rights: access, levels: levels, line: p.line, order: p.order}
	if same := s.add(r); same != nil {
		p.warn(0, "says nothing new: "+same.String(), "")
	}
}

// finish gives the Ruleset, with the warnings that need all lines.
func (p *parser) finish() *Ruleset {
	rs := p.rules
	rs.refs = make([]ref, len(p.refs))
	for ref, i := range p.refs {
		rs.refs[i] = ref
		if ref.kind == refSet {
			rs.setNames = append(rs.setNames, ref.name)
		}
	}
	slices.Sort(rs.setNames)
	slices.Sort(rs.schemas)
	rs.schemas = slices.Compact(rs.schemas)
	slices.Sort(rs.words)
	rs.words = slices.Compact(rs.words)
	useless := make(map[*Rule]bool)
	p.finishScope(&rs.everybody, useless)
	for _, s := range rs.users {
		p.finishScope(s, useless)
	}
	for _, s := range rs.roles {
		p.finishScope(s, useless)
	}
	p.warnMeetings(useless)
	p.warnDirectives(&rs.everybody)
	for _, scopes := range []map[string]*scope{rs.users, rs.roles} {
		for _, s := range scopes {
			p.warnDirectives(s)
		}
	}
	rs.warnings.sort()
	return rs
}

// finishScope makes the trie ready, and tells of rules that never allow anything, which it adds to useless.
func (p *parser) finishScope(s *scope, useless map[*Rule]bool) {
	s.root.seal()
	if s.directives != nil {
		s.directives.root.seal()
	}
	if !s.denies && !p.rules.everybody.denies {
		return
	}
	for _, r := range s.rules {
		if r.rights == deny {
			continue
		}
		by, hint := s.root.deniedBy(r.levels, true), ""
		if by == nil {
			by = p.rules.everybody.root.deniedBy(r.levels, true)
			hint = mosquittoHint(&p.rules.everybody, s)
		}
		if by != nil {
			useless[r] = true
			p.warnOf(r, "never allows anything: all of it is denied by "+by.String(), hint)
		}
	}
}
