package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/term"

	"topicgate/gateway/audit"
)

// auditColumns are those of the table. Records come one by one, so the columns have fixed widths, and what is longer
// moves the rest of its line.
var auditColumns = []struct {
	name  string
	width int // 0: the last
}{
	{"TIME", 24}, {"USER", 12}, {"ACTION", 10}, {"DECISION", 8}, {"REASON", 18}, {"TOPIC", 32}, {"COUNT", 5}, {"RULE", 24}, {"CLIENT ID", 16}, {"REMOTE", 0},
}

// ECMA-48 section 8.3.117, select graphic rendition.
const (
	bold, red, green, yellow, plain = "\x1b[1m", "\x1b[31m", "\x1b[32m", "\x1b[33m", "\x1b[0m"
)

// coloured reports whether w is a terminal, and colours are wanted there (https://no-color.org).
func coloured(w io.Writer, environ []string) bool {
	file, ok := w.(*os.File)
	unwanted := slices.ContainsFunc(environ, func(variable string) bool {
		value, set := strings.CutPrefix(variable, "NO_COLOR=")
		return set && value != "" || variable == "TERM=dumb"
	})
	return ok && !unwanted && term.IsTerminal(int(file.Fd()))
}

// auditPrinter writes records as a table or as lines of JSON.
type auditPrinter struct {
	w              io.Writer
	asJSON, colour bool
	begun          bool
}

func newAuditPrinter(w io.Writer, asJSON, colour bool) *auditPrinter {
	return &auditPrinter{w: w, asJSON: asJSON, colour: colour}
}

// print writes those events that are wanted, by one Write.
func (p *auditPrinter) print(events []audit.Event, want auditQuery) error {
	var b bytes.Buffer
	for i := range events {
		e := &events[i]
		switch {
		case !want.wants(e):
		case p.asJSON:
			line, err := json.Marshal(e)
			if err != nil {
				return err
			}
			b.Write(append(line, '\n'))
		default:
			p.row(&b, e)
		}
	}
	if b.Len() == 0 {
		return nil
	}
	_, err := p.w.Write(b.Bytes())
	return err
}

// end says so when there was nothing to print.
func (p *auditPrinter) end() error {
	if p.asJSON || p.begun {
		return nil
	}
	_, err := fmt.Fprintln(p.w, "no audit records")
	return err
}

func (p *auditPrinter) row(b *bytes.Buffer, e *audit.Event) {
	if !p.begun {
		p.begun = true
		names := make([]string, len(auditColumns))
		for i, column := range auditColumns {
			names[i] = column.name
		}
		p.line(b, bold, names)
	}
	colour := map[string]string{audit.Refused: red, audit.Allowed: green}[e.Decision]
	if e.Action == "" { // records that were lost
		colour = yellow
	}
	p.line(b, colour, []string{
		e.Time.UTC().Format("2006-01-02T15:04:05.000Z"), e.User, string(e.Action), e.Decision, e.Reason, e.Topic, strconv.Itoa(max(e.Count, 1)), e.Rule, e.ClientID, e.Remote,
	})
}

// line writes one line; clients have their say in most of its cells.
func (p *auditPrinter) line(b *bytes.Buffer, colour string, cells []string) {
	if p.colour && colour != "" {
		b.WriteString(colour)
		defer func() { b.Truncate(b.Len() - 1); b.WriteString(plain + "\n") }()
	}
	for i, text := range cells {
		if i > 0 {
			b.WriteString("  ")
		}
		fmt.Fprintf(b, "%-*s", auditColumns[i].width, cell(text))
	}
	b.WriteByte('\n')
}
