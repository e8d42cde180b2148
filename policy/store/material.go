package store

import (
	"fmt"
	"maps"
	"slices"

	"topicgate/policy"
	"topicgate/policy/payload"
)

// What `check` directives name, a schema or a set of words, is compiled once for all sessions. One that is of no use
// leaves the last good one in force; where there has been none, messages that have to be held against it are refused. A key
// that is not there is no schema, and no words.

// schemaValue compiles a JSON Schema.
func schemaValue(_, text string, old *keyValue) *keyValue {
	if text == "" {
		return emptyValue
	}
	if old != nil && old.text == text && old.problem == "" {
		return old
	}
	schema, err := payload.NewSchema(text)
	if err != nil {
		return badSchema(err.Error(), text, old)
	}
	return &keyValue{text: text, schema: schema}
}

func badSchema(problem, text string, old *keyValue) *keyValue {
	v := &keyValue{text: text, problem: problem}
	if old != nil {
		v.schema = old.schema
	}
	return v
}

// wordsValue makes the members of a set searchable.
func wordsValue(members []string, old *keyValue) *keyValue {
	if len(members) == 0 {
		return emptyValue
	}
	slices.Sort(members)
	members = slices.Compact(members)
	if old != nil && old.problem == "" && slices.Equal(old.members, members) {
		return old
	}
	words, skipped := payload.NewWords(members)
	v := &keyValue{members: members, words: words}
	if n := len(skipped); n > 0 {
		v.notes = []string{fmt.Sprintf("%d of %d entries hold no word, or more than can be looked for, and are skipped, such as %.100q", n, len(members), skipped[0])}
	}
	return v
}

// keepWords has the last good words stay in the place of a key that is no set, or too large: what all sessions share
// must not deny everything to all of them.
func (a *answer) keepWords(old *keyValue) {
	if a.value == nil || a.value.problem == "" {
		return
	}
	v := &keyValue{problem: a.value.problem}
	if v.problem == wrongTypeSet {
		v.problem = "the key is no set"
	}
	if old != nil {
		v.words = old.words
	}
	a.value = v
}

var noWords, _ = payload.NewWords(nil)

// forbidden are the words of a wordsKind; nil: nobody knows them.
func (v *keyValue) forbidden() *payload.Words {
	if v.words == nil && v.problem == "" {
		return noWords
	}
	return v.words
}

// Checked returns what Access does, and with it what its `check` directives name.
func (g *Grant) Checked() (*policy.Access, *payload.Checks) {
	if g.store.away.Load() || g.behind.Load() {
		return g.store.nothing, nil
	}
	if c := g.checked.Load(); c != nil {
		return c.access, c.checks
	}
	return g.access.Load(), nil
}

// checked is an Access together with what its directives name.
type checked struct {
	access *policy.Access
	checks *payload.Checks
}

// put puts access and what belongs to it in force, and tells whether the latter is another. Whoever has seen the
// directives of an Access finds with Checked what they name, or a later Access.
func (g *Grant) put(access *policy.Access, checks *payload.Checks) (differs bool) {
	had := g.checked.Load()
	if checks == nil {
		g.access.Store(access)
		g.checked.Store(nil)
		return had != nil
	}
	g.checked.Store(&checked{access, checks})
	g.access.Store(access)
	return had == nil || !maps.Equal(had.checks.Schemas, checks.Schemas) || !maps.Equal(had.checks.Words, checks.Words)
}
