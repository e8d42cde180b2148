package auth

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// ClaimsSet holds the members of a JWT Claims Set by their exact names, undecoded. A struct would not do:
// encoding/json matches its fields without regard to case, so "EXP" could stand in for "exp".
type ClaimsSet struct {
	json    string
	members []member // in their order
}

// member is one claim. Both texts are pieces of the JSON, as a rule.
type member struct{ name, raw string }

// usualMembers is how many claims most tokens have at the most.
const usualMembers = 24

func (c ClaimsSet) get(name string) (raw string, ok bool) {
	for _, m := range c.members {
		if m.name == name {
			return m.raw, true
		}
	}
	return "", false
}

// without returns the set as JSON, but for the named members.
func (c ClaimsSet) without(names []string) []byte {
	text := []byte{'{'}
	for _, m := range c.members {
		if slices.Contains(names, m.name) {
			continue
		}
		if len(text) > 1 {
			text = append(text, ',')
		}
		text, _ = jsontext.AppendQuote(text, m.name) // an error is invalid UTF-8, which no name holds
		text = append(append(text, ':'), m.raw...)
	}
	return append(text, '}')
}

// errTwice is the error of ParseClaimsSet for two members of one name.
var errTwice = jsontext.ErrDuplicateName

// ParseClaimsSet reads the payload of a token. Two members of one name are an error, in objects inside too, as RFC
// 7519 section 4 allows: which of them is meant nobody knows, and the one passed over may be the one that denies.
// The error may quote the payload.
func ParseClaimsSet(payload []byte) (ClaimsSet, error) {
	// What decodes strings later would replace it instead of refusing it (RFC 8259 section 8.1).
	if !utf8.Valid(payload) {
		return ClaimsSet{}, errors.New("not UTF-8")
	}
	c := ClaimsSet{json: string(payload)}
	decoder := jsontext.NewDecoder(bytes.NewBuffer(payload), asEncodingJSON...)
	start, err := decoder.ReadToken()
	switch {
	case err != nil:
		return ClaimsSet{}, err
	case start.Kind() == 'n': // an empty set, as in encoding/json
	case start.Kind() != '{':
		return ClaimsSet{}, errors.New("not a JSON object")
	default:
		if err = c.read(decoder); err != nil {
			return ClaimsSet{}, err
		}
	}
	if _, err := decoder.ReadToken(); err != io.EOF {
		return ClaimsSet{}, errors.New("more than a JSON object")
	}
	return c, nil
}

// asEncodingJSON takes what encoding/json takes, but for names that stand there twice. Broken characters can be escaped
// ones alone: half a surrogate pair.
var asEncodingJSON = []jsontext.Options{jsontext.AllowDuplicateNames(false), jsontext.AllowInvalidUTF8(true)}

// read adds the members of the object that has begun.
func (c *ClaimsSet) read(decoder *jsontext.Decoder) error {
	c.members = make([]member, 0, usualMembers)
	for decoder.PeekKind() != '}' {
		raw, err := decoder.ReadValue()
		if err != nil {
			return err
		}
		name := decodeString(c.before(decoder, raw))
		value, err := decoder.ReadValue()
		if err != nil {
			return err
		}
		c.members = append(c.members, member{name, c.before(decoder, value)})
	}
	_, err := decoder.ReadToken()
	return err
}

// before returns the piece of JSON that was read last.
func (c ClaimsSet) before(decoder *jsontext.Decoder, read jsontext.Value) string {
	end := int(decoder.InputOffset())
	return c.json[end-len(read) : end]
}

// decode reads a claim into value; ok is false when it is there and does not fit.
func (c ClaimsSet) decode(name string, value any) (ok bool) {
	raw, present := c.get(name)
	return !present || json.Unmarshal([]byte(raw), value) == nil
}

// Text returns a claim that is a string. ok is false when it is there and is none; null counts as absent.
// It may be a piece of the payload.
func (c ClaimsSet) Text(name string) (value string, ok bool) {
	raw, present := c.get(name)
	switch {
	case !present || raw == "null":
		return "", true
	case raw[0] != '"':
		return "", false
	}
	return decodeString(raw), true
}

// decodeString reads a JSON string; most hold no escape. raw is valid JSON and UTF-8. What two parsers do not agree on
// is a replacement character, which no identifier may hold.
func decodeString(raw string) string {
	if strings.IndexByte(raw, '\\') < 0 {
		return raw[1 : len(raw)-1]
	}
	var value string
	if json.Unmarshal([]byte(raw), &value) != nil {
		return string(utf8.RuneError)
	}
	return value
}

// identifier returns a claim that is a string or a whole number, by its digits as they stand there. ok is false when it
// is there and is neither; null counts as absent.
func (c ClaimsSet) identifier(name string) (value string, ok bool) {
	raw, present := c.get(name)
	if !present || raw == "null" {
		return "", true
	}
	return identifierOf(raw)
}

// identifierOf reads a string, or a whole number that has one way of writing: 7, and not 7.0, 7e0 or -0, which another
// reader takes for the same. Nothing is rounded.
func identifierOf(raw string) (value string, ok bool) {
	if raw[0] == '"' {
		return decodeString(raw), true
	}
	digits := strings.TrimPrefix(raw, "-")
	if strings.Trim(digits, "0123456789") != "" || raw == "-0" { // JSON has no leading zeros
		return "", false
	}
	return raw, true
}

// texts returns a claim, found by its path, that is a string or a list of strings (RFC 7519 section 4.1.3).
func (c ClaimsSet) texts(path string) ([]string, bool) {
	raw, present, blocked := c.lookup(path)
	switch {
	case !present:
		return nil, !blocked
	case raw[0] == '[':
		var values []string
		err := json.Unmarshal([]byte(raw), &values)
		return values, err == nil
	case raw[0] == '"':
		return []string{decodeString(raw)}, true
	}
	return nil, raw == "null"
}

// maxDate is the end of the year 9999: later ones are mistakes, milliseconds for seconds as a rule, and
// would let a session live for ever.
const maxDate = 253402300799

// date returns a NumericDate (RFC 7519 section 2). present is false without the claim.
func (c ClaimsSet) date(name string) (t time.Time, present, ok bool) {
	raw, present := c.get(name)
	if !present || raw == "null" {
		return time.Time{}, false, true
	}
	seconds, err := strconv.ParseFloat(raw, 64) // takes no JSON but a number
	if err != nil || seconds < -maxDate || seconds > maxDate {
		return time.Time{}, true, false
	}
	whole, fraction := math.Modf(seconds)
	return time.Unix(int64(whole), int64(fraction*float64(time.Second))), true, true
}

// lookup finds a claim by its dotted path. Names may hold dots themselves, as in
// "https://example.org/roles": at every level the longest name that is there wins. Where there is none, blocked says
// that the path leads through something that is no object, so that nobody can say what it would have held.
func (c ClaimsSet) lookup(path string) (raw string, ok, blocked bool) {
	if raw, ok := c.get(path); ok {
		return raw, true, false
	}
	for name, rest := range splits(path) {
		raw, ok := c.get(name)
		switch {
		case !ok || raw == "null":
			continue
		case raw[0] != '{':
			blocked = true
			continue
		}
		inner, err := ParseClaimsSet([]byte(raw))
		if err != nil {
			panic("BUG: not a JSON object, though read as one: " + err.Error())
		}
		raw, ok, deeper := inner.lookup(rest)
		if ok {
			return raw, true, false
		}
		blocked = blocked || deeper
	}
	return "", false, blocked
}

// splits yields the two sides of each dot in path, from the last to the first.
func splits(path string) iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		for i := strings.LastIndexByte(path, '.'); i >= 0; i = strings.LastIndexByte(path[:i], '.') {
			if !yield(path[:i], path[i+1:]) {
				return
			}
		}
	}
}
