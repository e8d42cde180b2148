package policy

import (
	"fmt"
	"maps"
	"strings"
)

// parseFilter reads a Topic Filter, at an offset of the line's text; with
// placeholders when it is that of a pattern.
func (p *parser) parseFilter(filter string, at int, pattern bool) (levels []level, ok bool) {
	refs, warnings := len(p.refs), len(p.rules.warnings)
	defer func() {
		if !ok { // the line leaves nothing behind but its error
			maps.DeleteFunc(p.refs, func(_ ref, number int) bool { return number >= refs })
			p.rules.warnings = p.rules.warnings[:warnings]
		}
	}()
	if len(filter) > maxFilter {
		p.fail(at, fmt.Sprintf("the filter is longer than %d bytes", maxFilter), "")
		return nil, false
	}
	if n := countLevels(filter, pattern); n > maxLevels {
		p.fail(at, fmt.Sprintf("the filter has %d levels; at most %d are supported", n, maxLevels), "")
		return nil, false
	}
	b := filterParser{parser: p, slots: make(map[int]int)}
	rest, more := filter, true
	for more {
		var text string
		text, rest, more = cutRuleLevel(rest, pattern)
		l := level{text: text}
		if pattern {
			if l.parts, ok = b.parseTemplate(text, at); !ok {
				return nil, false
			}
		}
		if !p.checkWildcards(text, at, more) {
			return nil, false
		}
		levels = append(levels, l)
		at += len(text) + len("/")
	}
	if !p.checkFirst(levels[0], at-len(filter)-len("/")) {
		return nil, false
	}
	if !pattern {
		p.warnPlaceholders(filter, at-len(filter)-len("/"))
	}
	return levels, true
}

// cutRuleLevel cuts off the first level of a rule's filter. The name of a claim may be a URL: in a pattern the '/' in
// {claim.https://example.com/tenant} ends no level.
func cutRuleLevel(filter string, pattern bool) (level, rest string, more bool) {
	for i := 0; i < len(filter); i++ {
		switch {
		case filter[i] == '/':
			return filter[:i], filter[i+1:], true
		case pattern && strings.HasPrefix(filter[i:], "{claim."):
			if end := strings.IndexAny(filter[i+1:], "{}"); end >= 0 && filter[i+1+end] == '}' {
				i += 1 + end
			}
		}
	}
	return filter, "", false
}

func countLevels(filter string, pattern bool) int {
	n := 0
	for more := true; more; n++ {
		_, filter, more = cutRuleLevel(filter, pattern)
	}
	return n
}

// checkWildcards refuses wildcards that are not a whole level, and a '#' before
// the last [MQTT-4.7.1-1] [MQTT-4.7.1-2].
func (p *parser) checkWildcards(text string, at int, more bool) bool {
	if i := strings.IndexByte(text, '#'); i >= 0 {
		switch {
		case text != "#":
			hint := ""
			if i > 0 && strings.ContainsRune(blanks, rune(text[i-1])) {
				hint = "a comment is a line of its own"
			}
			p.fail(at+i, "'#' must be a whole level", hint)
			return false
		case more:
			p.fail(at, "'#' must be the last level", "")
			return false
		}
	}
	if i := strings.IndexByte(text, '+'); i >= 0 && text != "+" {
		p.fail(at+i, "'+' must be a whole level", "")
		return false
	}
	return true
}

// checkFirst looks at the first level, which may mean more than a name.
func (p *parser) checkFirst(l level, at int) bool {
	switch {
	case l.text == "$share":
		p.fail(at, "rules do not name $share", "a shared subscription is judged by the filter behind $share/<group>/: write that one")
		return false
	case l.text == "$topicgate":
		p.warn(at, "topics under $topicgate/ are served by the gateway itself: no rule concerns them", "")
	case l.parts != nil && strings.HasPrefix(l.text, "$"):
		p.warn(at, "never matches: a topic that begins with '$' is reached only by a rule without placeholders in its first level", "")
	}
	return true
}

// filterParser gives the placeholders of one rule their places.
type filterParser struct {
	*parser
	slots map[int]int // by ref
}

// parseTemplate cuts one level into text and placeholders; a level without
// placeholders has no parts.
func (b *filterParser) parseTemplate(text string, at int) (parts []part, ok bool) {
	begin, placeholders := 0, 0
	literal := func(end int) {
		if end > begin {
			parts = append(parts, part{literal: text[begin:end], ref: -1, slot: -1})
		}
	}
	for i := 0; i < len(text); {
		r, size, ok := b.parsePlaceholder(text, i, at)
		if !ok {
			return nil, false
		}
		if size == 0 {
			i++
			continue
		}
		literal(i)
		next, ok := b.place(r, at+i)
		if !ok {
			return nil, false
		}
		parts = append(parts, next)
		placeholders++
		i += size
		begin = i
	}
	if placeholders == 0 {
		return nil, true
	}
	literal(len(text))
	return parts, true
}

// place gives a placeholder its number in the ruleset and, when it may have
// several values, the slot in which the chosen one is kept.
func (b *filterParser) place(r ref, at int) (part, bool) {
	number, known := b.refs[r]
	if !known {
		number = len(b.refs)
		b.refs[r] = number
	}
	if r.kind == refUsername || r.kind == refClientID {
		return part{ref: number, slot: -1}, true
	}
	slot, bound := b.slots[number]
	if !bound {
		slot = len(b.slots)
		if slot == maxChoices {
			b.fail(at, fmt.Sprintf("more than %d different {} placeholders in one rule", maxChoices), "")
			return part{}, false
		}
		b.slots[number] = slot
	}
	return part{ref: number, slot: slot, bound: bound}, true
}

// parsePlaceholder reads the placeholder that begins at text[i]; its size is 0
// when none does.
func (b *filterParser) parsePlaceholder(text string, i, at int) (r ref, size int, ok bool) {
	switch text[i] {
	case '%':
		if i+1 == len(text) || !isLetter(text[i+1]) {
			return ref{}, 0, true // literal, as in mosquitto
		}
		switch text[i+1] {
		case 'u':
			return ref{kind: refUsername}, 2, true
		case 'c':
			b.warn(at+i, "%c, the client id, is chosen by the client: it isolates nobody", "use %u where only the user may go")
			return ref{kind: refClientID}, 2, true
		case 'U', 'n', 'N':
			b.fail(at+i, fmt.Sprintf("unknown placeholder %q", text[i:i+2]), "did you mean %u?")
		default:
			b.fail(at+i, fmt.Sprintf("unknown placeholder %q", text[i:i+2]), "did you mean %c?")
		}
		return ref{}, 0, false
	case '}':
		b.fail(at+i, "'}' without '{'", "")
		return ref{}, 0, false
	case '{':
		name, _, closed := strings.Cut(text[i+1:], "}")
		if !closed {
			b.fail(at+i, "'{' is not closed within its level", "")
			return ref{}, 0, false
		}
		r, ok := b.parseName(name, at+i)
		return r, len(name) + 2, ok
	}
	return ref{}, 0, true
}

// parseName reads what stands between braces.
func (b *filterParser) parseName(name string, at int) (r ref, ok bool) {
	r = ref{kind: refSet, name: name}
	allowed := "-_"
	if path, claim := strings.CutPrefix(name, "claim."); claim {
		r = ref{kind: refClaim, name: path}
		allowed = "-_.:/~"
		if path == "" || path[0] == '.' || path[len(path)-1] == '.' || strings.Contains(path, "..") {
			b.fail(at, fmt.Sprintf("claim path %q has an empty name", path), "write {claim.NAME} or {claim.NAME.NAME}")
			return ref{}, false
		}
	}
	if name == "" {
		b.fail(at, "no name between '{' and '}'", "write {NAME} for a Redis set, {claim.NAME} for a claim of the token")
		return ref{}, false
	}
	for i := range len(r.name) {
		if c := r.name[i]; !isLetter(c) && (c < '0' || c > '9') && strings.IndexByte(allowed, c) < 0 {
			b.fail(at, fmt.Sprintf("%q is no name", name), "set names are letters, digits, _ and -; claims are {claim.NAME}, with dots between names")
			return ref{}, false
		}
	}
	switch strings.ToLower(name) {
	case "username", "user", "u":
		b.warn(at, fmt.Sprintf("{%s} is a Redis set of that name", name), "did you mean %u?")
	case "client_id", "clientid", "client-id", "c":
		b.warn(at, fmt.Sprintf("{%s} is a Redis set of that name", name), "did you mean %c?")
	}
	return r, true
}

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

// warnPlaceholders tells of what would be a placeholder in a pattern line, but is
// literal in a topic line.
func (p *parser) warnPlaceholders(filter string, at int) {
	for i := range len(filter) {
		rest := filter[i:]
		name, _, closed := strings.Cut(rest, "}")
		switch {
		case strings.HasPrefix(rest, "%u"), strings.HasPrefix(rest, "%c"):
			p.warn(at+i, fmt.Sprintf("topic lines take no placeholders: %s is literal here", rest[:2]), "as in mosquitto; write \"pattern\"")
		case rest[0] == '{' && closed && len(name) > 1 && (!strings.Contains(name, "/") || strings.HasPrefix(name, "{claim.")):
			p.warn(at+i, fmt.Sprintf("topic lines take no placeholders: %s} is literal here", name), "write \"pattern\"")
		}
	}
}
