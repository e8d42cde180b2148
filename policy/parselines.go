package policy

import (
	"fmt"
	"slices"
)

// ParseLines reads the members of a Redis set of rule lines, such as
// "read news/#", with placeholders; source is the set's key. Their order means
// nothing. An invalid member is left out alone and reported; the problems do not
// hold warnings, which the Ruleset has.
func ParseLines(source string, lines []string) (*Ruleset, Problems) {
	p := newParser(source)
	lines = slices.Clone(lines)
	slices.Sort(lines)
	for _, line := range slices.Compact(lines) {
		p.startLine(line)
		p.parseMember()
	}
	return p.finish(), p.problems
}

func (p *parser) parseMember() {
	if p.text == "" {
		p.fail(0, "empty", "write \"read FILTER\", \"write FILTER\", \"readwrite FILTER\" or \"deny FILTER\"")
		return
	}
	if !p.checkText() {
		return
	}
	word, filter, at := cutWord(p.text)
	access, known := accessWords[word]
	switch {
	case word == "topic" || word == "pattern":
		p.fail(0, fmt.Sprintf("%q is not written in a Redis set", word), "begin with read, write, readwrite or deny")
	case directiveKinds[word] != 0:
		p.fail(0, "directives are not written in a Redis set", "write them in the rule text: a line of a set that is wrong is skipped alone, which would take a restriction away")
	case !known:
		p.fail(0, fmt.Sprintf("unknown access word %q", word), "read, write, readwrite or deny, then the filter")
	case filter == "":
		p.fail(0, "no filter after "+word, "")
	default:
		if levels, ok := p.parseFilter(filter, at, true); ok {
			p.add(&p.rules.everybody, access, levels, p.source)
		}
	}
}
