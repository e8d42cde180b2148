package policy

import (
	"bytes"
	"maps"
	"reflect"
	"strings"
	"unicode/utf8"
)

// Bounds of a rule. They bound what one decision can cost, whatever the topic.
const (
	maxLevels     = 200   // of a filter; mosquitto's TOPIC_HIERARCHY_LIMIT
	maxChoices    = 8     // different {set} and {claim} placeholders in one rule
	maxFilter     = 65535 // bytes; a UTF-8 Encoded String, MQTT 5.0 section 1.5.4
	maxValueBytes = 1024  // of a value that a placeholder stands for
	maxTries      = 16384 // look-ups to tell apart the sets that share a level, for one topic
)

// level is one level of a rule's filter: a wildcard, a literal, or, when it has
// parts, a template.
type level struct {
	text  string // as written
	parts []part
}

// part is a piece of a template: literal text or a placeholder.
type part struct {
	literal string
	ref     int  // index into Ruleset.refs; -1: literal
	slot    int  // of the bindings: which of several values was chosen; -1: there is but one, as for %u
	bound   bool // the value was chosen by an earlier part of the rule and is the same here
}

// ref is a placeholder, once for each Ruleset that names it.
type ref struct {
	kind refKind
	name string // of the set, or the claim's dotted path
}

type refKind uint8

const (
	refUsername refKind = iota
	refClientID
	refSet
	refClaim
)

func (r ref) String() string {
	switch r.kind {
	case refUsername:
		return "%u"
	case refClientID:
		return "%c"
	case refSet:
		return "{" + r.name + "}"
	default:
		return "{claim." + r.name + "}"
	}
}

// meaning is what a placeholder stands for, for one principal: one text, one of
// several, or, when both are empty, nothing.
type meaning struct {
	one  string
	many Set
}

func (m meaning) same(other meaning) bool {
	if m.one != other.one || (m.many == nil) != (other.many == nil) || len(m.many) != len(other.many) {
		return false
	}
	return sameMap(m.many, other.many) || maps.Equal(m.many, other.many)
}

func sameMap(a, b Set) bool { return reflect.ValueOf(a).Pointer() == reflect.ValueOf(b).Pointer() }

// bindings are the values chosen so far on a path through a trie. A slot belongs
// to the first placeholder of its name on the path, so siblings may reuse it.
type bindings struct {
	chosen [maxChoices][]byte
	tries  int // spent; over maxTries nothing expands any more
}

// expand calls yield for each way in which the parts make up text, with the
// values chosen for it in b.
//
// A set costs one look-up when it is the only placeholder with several values
// that is left in the level, else one for each place where its value may end. So
// many of the latter are needed only when a level names several sets whose members
// begin with one another, or when somebody makes up a topic against such a rule.
func expand(parts []part, text []byte, values []meaning, b *bindings, yield func()) {
	for i := range parts {
		p := &parts[i]
		if p.ref < 0 {
			if len(text) < len(p.literal) || string(text[:len(p.literal)]) != p.literal {
				return
			}
			text = text[len(p.literal):]
			continue
		}
		if p.bound {
			if !bytes.HasPrefix(text, b.chosen[p.slot]) {
				return
			}
			text = text[len(b.chosen[p.slot]):]
			continue
		}
		v := &values[p.ref]
		if v.many == nil {
			n := len(v.one)
			if n == 0 || len(text) < n || string(text[:n]) != v.one {
				return
			}
			if p.slot >= 0 {
				b.chosen[p.slot] = text[:n]
			}
			text = text[n:]
			continue
		}
		if rest, ok := fixedLen(parts[i+1:], values, b, p.slot); ok {
			n := len(text) - rest
			if n <= 0 || n > maxValueBytes {
				return
			}
			if _, ok := v.many[string(text[:n])]; !ok {
				return
			}
			b.chosen[p.slot] = text[:n]
			text = text[n:]
			continue
		}
		for n := 1; n <= min(len(text), maxValueBytes); n++ {
			if b.tries++; b.tries > maxTries {
				return
			}
			if _, ok := v.many[string(text[:n])]; ok {
				b.chosen[p.slot] = text[:n]
				expand(parts[i+1:], text[n:], values, b, yield)
			}
		}
		return
	}
	if len(text) == 0 {
		yield()
	}
}

// fixedLen is the length in bytes of what parts expand to; ok is false when that
// depends on a choice: of another placeholder, or of the one in slot, which is
// being made.
func fixedLen(parts []part, values []meaning, b *bindings, slot int) (n int, ok bool) {
	for i := range parts {
		p := &parts[i]
		switch {
		case p.ref < 0:
			n += len(p.literal)
		case p.bound && p.slot == slot:
			return 0, false
		case p.bound:
			n += len(b.chosen[p.slot])
		case values[p.ref].many != nil:
			return 0, false
		default:
			n += len(values[p.ref].one)
		}
	}
	return n, true
}

// expandable says whether a value may stand in a level: it must not be empty,
// bring a wildcard, a new level or a control character, be no UTF-8, nor be longer
// than maxValueBytes.
func expandable(value string) bool {
	return value != "" && len(value) <= maxValueBytes && utf8.ValidString(value) &&
		!strings.ContainsFunc(value, func(r rune) bool { return r == '+' || r == '#' || r == '/' || isControl(r) })
}

// isControl reports the control characters of MQTT 5.0 section 1.5.4.
func isControl(r rune) bool { return r < 0x20 || r >= 0x7f && r < 0xa0 }
