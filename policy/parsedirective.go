package policy

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxMember bounds the name of a member that a stamp sets.
const maxMember = 256

var directiveKinds = map[string]DirectiveKind{"limit": Limit, "check": Check, "stamp": Stamp, "latest": Latest}

// directiveOptions are what may follow the filter of each kind, one of them at least.
var directiveOptions = map[DirectiveKind][]string{
	Limit: {"max_size", "max_qos", "retain", "rate"},
	Check: {"schema", "words"},
	Stamp: {"json"},
}

// parseDirective reads what follows `limit`, `check`, `stamp` or `latest`. Unlike a `pattern`, a directive is of the
// section that it stands in: only the lines before the first `user` and `role` are for everybody.
func (p *parser) parseDirective(keyword, args string, at int) {
	kind := directiveKinds[keyword]
	filter, rest, restAt := cutWord(args)
	if option, _, _ := strings.Cut(filter, "="); filter == "" || option != filter && slices.Contains(directiveOptions[kind], option) {
		p.fail(0, "no filter after "+keyword, directiveHint(keyword, kind))
		return
	}
	d := &Directive{Kind: kind, MaxBytes: -1, MaxQoS: 2}
	restAt += at
	seen := make(map[string]bool)
	for rest != "" {
		word, next, nextAt := cutWord(rest)
		name, value, isOption := strings.Cut(word, "=")
		switch {
		case !isOption:
			p.fail(restAt, fmt.Sprintf("%q is no option", word), "a directive's filter holds no blank (write + for such a level); behind it come options such as "+optionExample(kind))
			return
		case seen[name]:
			p.fail(restAt, fmt.Sprintf("%s stands here twice", name), "")
			return
		}
		seen[name] = true
		if problem, hint := d.set(name, value); problem != "" {
			p.fail(restAt, problem, hint)
			return
		}
		rest, restAt = next, restAt+nextAt
	}
	if len(seen) == 0 && kind != Latest {
		p.fail(0, keyword+" says nothing", directiveHint(keyword, kind))
		return
	}
	levels, ok := p.parseFilter(filter, at, true)
	if !ok {
		return
	}
	target := p.scope
	if p.section == top {
		target = &p.rules.everybody
	}
	p.order++
	source := fmt.Sprintf("%s:%d", p.source, p.line)
	r := &Rule{Source: source, Text: p.text, name: source + ": " + p.text, rights: read, levels: levels, line: p.line, order: p.order, directive: d}
	if same := target.addDirective(r); same != nil {
		p.warn(0, "says nothing new: "+same.String(), "")
	}
	p.rules.needs(d)
}

// set takes one option.
func (d *Directive) set(name, value string) (problem, hint string) {
	wrong := func(hint string) (string, string) { return fmt.Sprintf("%s=%s is not understood", name, value), hint }
	switch {
	case !slices.Contains(directiveOptions[d.Kind], name):
		return fmt.Sprintf("unknown option %q", name), optionHint(d.Kind, name)
	case value == "":
		return name + " has no value", "write " + optionExample(d.Kind) + ", without blanks around '='"
	}
	switch name {
	case "max_size":
		n, ok := parseSize(value)
		if !ok {
			return wrong("bytes, or with KiB or MiB: max_size=16KiB")
		}
		d.MaxBytes = n
	case "max_qos":
		if value != "0" && value != "1" {
			return wrong("0 or 1; 2 is no limit")
		}
		d.MaxQoS = int8(value[0] - '0')
	case "retain":
		if value != "no" {
			return wrong("retain=no refuses retained messages; without it they pass")
		}
		d.NoRetain = true
	case "rate":
		rate, ok := parseRate(value)
		if !ok {
			return wrong("whole messages of one user in a second, minute or hour: rate=2/s, rate=30/m, rate=100/h")
		}
		d.Rate = rate
	case "schema", "words":
		for i := range len(value) {
			if c := value[i]; !isLetter(c) && (c < '0' || c > '9') && c != '_' && c != '-' {
				return fmt.Sprintf("%q is no name", value), "names are letters, digits, _ and -"
			}
		}
		if len(value) > maxMember {
			return "the name is too long", fmt.Sprintf("at most %d bytes", maxMember)
		}
		if name == "schema" {
			d.Schema = value
		} else {
			d.Words = value
		}
	case "json":
		if len(value) > maxMember {
			return "the name is too long", fmt.Sprintf("at most %d bytes", maxMember)
		}
		d.Member = value
	}
	return "", ""
}

func parseSize(text string) (bytes int, ok bool) {
	unit := 1
	if digits, found := strings.CutSuffix(text, "KiB"); found {
		text, unit = digits, 1<<10
	} else if digits, found := strings.CutSuffix(text, "MiB"); found {
		text, unit = digits, 1<<20
	}
	n, err := strconv.ParseUint(text, 10, 31)
	if err != nil || int(n) > math.MaxInt32/unit {
		return 0, false
	}
	return int(n) * unit, true
}

func parseRate(text string) (Rate, bool) {
	digits, unit, _ := strings.Cut(text, "/")
	per := map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour}[unit]
	n, err := strconv.ParseUint(digits, 10, 31)
	if err != nil || n == 0 || per == 0 {
		return Rate{}, false
	}
	return Rate{Messages: int(n), Per: per}, true
}

func optionExample(k DirectiveKind) string {
	return map[DirectiveKind]string{Limit: "max_size=16KiB", Check: "schema=NAME", Stamp: "json=FIELD"}[k]
}

func optionHint(k DirectiveKind, name string) string {
	for other, options := range directiveOptions {
		if slices.Contains(options, name) {
			return fmt.Sprintf("it is of %s", map[DirectiveKind]string{Limit: "limit", Check: "check", Stamp: "stamp"}[other])
		}
	}
	switch strings.NewReplacer("-", "", "_", "").Replace(strings.ToLower(name)) {
	case "maxsize", "size", "maxbytes":
		return "did you mean max_size?"
	case "maxqos", "qos":
		return "did you mean max_qos?"
	}
	if k == Latest {
		return "latest takes none"
	}
	return "there are " + strings.Join(directiveOptions[k], ", ")
}

func directiveHint(keyword string, k DirectiveKind) string {
	if k == Latest {
		return "write \"latest FILTER\""
	}
	return fmt.Sprintf("write \"%s FILTER %s\"", keyword, optionExample(k))
}

// addDirective puts r among the directives of s. The one that says the same is returned, if any.
func (s *scope) addDirective(r *Rule) (same *Rule) {
	if s.directives == nil {
		s.directives = &scope{title: s.title}
	}
	d := s.directives
	for _, ref := range r.refs() {
		if !slices.Contains(d.denied, ref) {
			d.denied = append(d.denied, ref)
		}
	}
	d.latest = d.latest || r.directive.Kind == Latest
	for first := d.add(r); first != nil; first = first.next {
		if *first.directive == *r.directive {
			same = first
		}
		if first.next == nil {
			first.next = r
			break
		}
	}
	return same
}

// needs notes what a directive is to be held against.
func (r *Ruleset) needs(d *Directive) {
	if d.Schema != "" {
		r.schemas = append(r.schemas, d.Schema)
	}
	if d.Words != "" {
		r.words = append(r.words, d.Words)
	}
}

// warnDirectives tells of directives of a scope that no publish which this text allows has to meet.
func (p *parser) warnDirectives(s *scope) {
	if s.directives == nil {
		return
	}
	everybody := &p.rules.everybody
	others := []*scope{everybody}
	if s != everybody {
		others = append(others, s)
	}
	for _, u := range p.rules.users {
		if s == everybody || !s.ofUser() && s != u {
			others = append(others, u)
		}
	}
	for _, r := range p.rules.roles {
		if r != s {
			others = append(others, r)
		}
	}
	m := meeting{left: maxMeetings, writes: true}
	for _, r := range s.directives.rules {
		if r.directive.Kind == Latest {
			continue
		}
		met := false
		for _, other := range others {
			if met = m.meets(&other.root, r.levels, true) != nil; met {
				break
			}
		}
		if !met && m.left >= 0 {
			p.warnOf(r, "never applies: no rule of this text allows to publish there", "unless rules in Redis or in another text do")
		}
	}
}
