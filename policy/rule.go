package policy

import (
	"fmt"
	"strings"
)

// access is what a rule says about the topics it matches.
type access uint8

const (
	read access = 1 << iota
	write
	deny // alone: cuts reading and writing, as in mosquitto
)

// Rule is one line that allows or denies. It is immutable and shared by all
// sessions that it concerns.
type Rule struct {
	Source string // "file:line", or the Redis key whose member it is
	Text   string // the line without leading and trailing blanks

	name   string // Source and Text, joined once: asking for it must not allocate
	access access
	levels []level
	order  int // place in its Ruleset: of several that allow, the first is named
}

// String names the very line: "rules.acl:12: pattern read chat/#". A nil Rule,
// that of a Decision that no rule made, is "".
func (r *Rule) String() string {
	if r == nil {
		return ""
	}
	return r.name
}

// Problem is something wrong with one line: an error, for which the line is
// refused, or a warning about a line that means less, or more, than it seems to.
type Problem struct {
	Source       string // file or Redis key
	Line, Column int    // from 1; Column counts characters; Line 0: a member of a Redis set
	Text         string // the line
	Message      string
	Hint         string // what to write instead; may be empty
	Warning      bool
}

// String is "file:line:column: message (hint)"; a member of a Redis set, which
// has no line number, is quoted instead.
func (p Problem) String() string {
	var b strings.Builder
	if p.Line > 0 {
		fmt.Fprintf(&b, "%s:%d:%d: ", p.Source, p.Line, p.Column)
	} else {
		fmt.Fprintf(&b, "%s: %q:%d: ", p.Source, p.Text, p.Column)
	}
	if p.Warning {
		b.WriteString("warning: ")
	}
	b.WriteString(p.Message)
	if p.Hint != "" {
		b.WriteString(" (" + p.Hint + ")")
	}
	return b.String()
}

// Problems are what is wrong with one text, in the order of its lines.
type Problems []Problem

// Error lists all problems, one a line.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}
