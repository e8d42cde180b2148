package store

import (
	"fmt"
	"maps"
	"slices"

	"topicgate/policy"
	"topicgate/policy/payload"
)

// keyKind is what a key holds and how it is read.
type keyKind uint8

const (
	textKind    keyKind = iota // GETRANGE: rule text for everybody
	linesKind                  // SSCAN: rule lines of a user or a role
	setKind                    // SSCAN: values of a {set}
	rolesKind                  // the same, for the set that also adds roles
	blockedKind                // SMISMEMBER: one username in the set of blocked ones
	revokedKind                // EXISTS: one token
	schemaKind                 // GETRANGE: a JSON Schema
	wordsKind                  // SSCAN: forbidden words
)

// keyValue is what one key held when it was last read. Immutable.
type keyValue struct {
	text    string          // textKind, schemaKind
	members []string        // linesKind, rolesKind, wordsKind: sorted
	rules   *policy.Ruleset // textKind, linesKind; nil: none
	set     policy.Set      // setKind, rolesKind
	yes     bool            // blockedKind, revokedKind
	schema  *payload.Schema // schemaKind; nil: none
	words   *payload.Words  // wordsKind; nil: none that can be used
	unknown bool            // blockedKind: could not be decided, ever

	tooLarge bool // and was not read; nothing is allowed to who needs it

	problem string   // why the key does not count as it stands, for status and log; "" when it does
	notes   []string // what is skipped or odd in it, for the log
}

// same tells whether w decides everything as v does.
func (v *keyValue) same(w *keyValue) bool {
	return v == w || v != nil && w != nil && v.text == w.text && v.yes == w.yes && v.unknown == w.unknown && v.problem == w.problem &&
		slices.Equal(v.members, w.members) && maps.Equal(v.set, w.set)
}

// emptyValue is shared by all keys that hold nothing: most users have no rules of their own.
var emptyValue = &keyValue{}

// textValue parses a rule text. One that does not parse, or a key of another
// type, leaves the rules of old in force.
func textValue(source, text string, old *keyValue) *keyValue {
	if text == "" {
		return emptyValue
	}
	if len(text) > maxText {
		return badText(fmt.Sprintf("the text is longer than %d bytes", maxText), "", old)
	}
	if old != nil && old.text == text && old.problem == "" {
		return old
	}
	rules, err := policy.Parse(source, text)
	if err != nil {
		return badText(err.Error(), text, old)
	}
	return &keyValue{text: text, rules: rules, notes: problemTexts(rules.Warnings())}
}

func badText(problem, text string, old *keyValue) *keyValue {
	v := &keyValue{text: text, problem: problem}
	if old != nil {
		v.rules = old.rules
	}
	return v
}

func linesValue(source string, members []string, old *keyValue) *keyValue {
	if len(members) == 0 {
		return emptyValue
	}
	slices.Sort(members) // the order in which Redis lists a set means nothing
	members = slices.Compact(members)
	if old != nil && old.problem == "" && slices.Equal(old.members, members) {
		return old
	}
	rules, problems := policy.ParseLines(source, members)
	return &keyValue{members: members, rules: rules, notes: problemTexts(problems)}
}

func setValue(members []string, roles bool, old *keyValue) *keyValue {
	if len(members) == 0 {
		return emptyValue
	}
	set, skipped := policy.NewSet(members)
	v := &keyValue{set: set}
	if roles {
		slices.Sort(members)
		v.members = slices.Compact(members) // unlike a value that expands, a role may hold anything
	}
	if n := len(skipped); n > 0 {
		v.notes = []string{fmt.Sprintf("%d of %d values may not stand in a topic and are skipped, such as %q", n, len(members), slices.Min(skipped))}
	}
	return v
}

// tooLarge stands for what is not read.
func tooLarge(problem string) *keyValue { return &keyValue{problem: problem, tooLarge: true} }

// maxNotes bounds what one key may say in the log.
const maxNotes = 5

func problemTexts(problems policy.Problems) []string {
	var texts []string
	for _, p := range problems[:min(len(problems), maxNotes)] {
		texts = append(texts, p.String())
	}
	if more := len(problems) - maxNotes; more > 0 {
		texts = append(texts, fmt.Sprintf("and %d more", more))
	}
	return texts
}

var trueValue = &keyValue{yes: true}

func boolValue(b bool) *keyValue {
	if b {
		return trueValue
	}
	return emptyValue
}

// badBlocked stands for a blocked set that is no set. Who was asked about before
// keeps the last good answer; about others nothing can be said, and they are not
// let in.
func badBlocked(old *keyValue) *keyValue {
	v := &keyValue{problem: "the key is no set; nobody new is let in", unknown: true}
	if old != nil {
		v.yes, v.unknown = old.yes, old.unknown
	}
	return v
}
