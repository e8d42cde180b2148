package policy

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

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
		fmt.Fprintf(&b, "%s: %q, column %d: ", p.Source, p.Text, p.Column)
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

func (ps Problems) sort() {
	slices.SortStableFunc(ps, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Text, b.Text), cmp.Compare(a.Column, b.Column))
	})
}

// fail reports an error at an offset of the line's text.
func (p *parser) fail(offset int, message, hint string) {
	p.problems = append(p.problems, p.problem(offset, message, hint))
}

// warn reports a warning at an offset of the line's text.
func (p *parser) warn(offset int, message, hint string) {
	w := p.problem(offset, message, hint)
	w.Warning = true
	p.rules.warnings = append(p.rules.warnings, w)
}

func (p *parser) problem(offset int, message, hint string) Problem {
	column := utf8.RuneCountInString(p.raw[:p.start+offset]) + 1
	return Problem{Source: p.source, Line: p.line, Column: column, Text: p.text, Message: message, Hint: hint}
}

// cutWord cuts a text at its first blanks; at is where the rest begins.
func cutWord(text string) (word, rest string, at int) {
	end := strings.IndexAny(text, blanks)
	if end < 0 {
		return text, "", len(text)
	}
	rest = strings.TrimLeft(text[end:], blanks)
	return text[:end], rest, len(text) - len(rest)
}
