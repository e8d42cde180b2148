package payload

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
)

// MaxSchema is how long the text of a schema may be, in bytes.
const MaxSchema = 256 << 10

// Schema is a compiled JSON Schema. It is immutable.
type Schema struct {
	compiled *jsonschema.Schema
	depth    int // that a payload may have; see visits.go
}

const dialect = "https://json-schema.org/draft/2020-12/schema"

// NewSchema compiles a JSON Schema of 2020-12. `format` and `content...` are annotations, as the standard has it by
// default. References lead into the text itself or to the standard's own schemas, nowhere else.
func NewSchema(text string) (s *Schema, err error) {
	if len(text) > MaxSchema {
		return nil, fmt.Errorf("the schema is longer than %d bytes", MaxSchema)
	}
	doc := readDocument([]byte(text))
	if doc.problem != "" {
		return nil, errors.New(strings.Replace(doc.problem, "the message", "the schema", 1))
	}
	if object, ok := doc.value.(map[string]any); ok && object["$schema"] != nil && object["$schema"] != dialect && object["$schema"] != dialect+"#" {
		return nil, fmt.Errorf("$schema is %.100q; want %q, or none", fmt.Sprint(object["$schema"]), dialect)
	}
	defer func() { // of a library that reads what somebody wrote
		if r := recover(); r != nil {
			s, err = nil, fmt.Errorf("the schema cannot be compiled: %v", r)
		}
	}()
	const name = "topicgate:schema"
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.UseLoader(noLoader{})
	if err := c.AddResource(name, doc.value); err != nil {
		return nil, plain(err)
	}
	compiled, err := c.Compile(name)
	if err != nil {
		return nil, plain(err)
	}
	return &Schema{compiled, depthOf(compiled)}, nil
}

// plain is an error of the compiler's on one line.
func plain(err error) error {
	if invalid, ok := errors.AsType[*jsonschema.SchemaValidationError](err); ok {
		err = invalid.Err
	}
	if broken, ok := errors.AsType[*jsonschema.ValidationError](err); ok {
		pointer, detail := explain(broken)
		return fmt.Errorf("at %q: %s", pointer, detail)
	}
	return errors.New(bounded(strings.Join(strings.Fields(err.Error()), " "), 300))
}

// noLoader loads nothing from files or networks.
type noLoader struct{}

func (noLoader) Load(url string) (any, error) {
	return nil, fmt.Errorf("a schema refers to its own text only, not to %.200q", url)
}

// check tells whether a decoded document is as the schema has it.
func (s *Schema) check(doc document) (pointer, detail string, ok bool) {
	switch {
	case doc.problem != "":
		return "", doc.problem, false
	case doc.depth > s.depth:
		return "", fmt.Sprintf("the JSON is nested deeper than the %d levels that this schema can be asked about", s.depth), false
	}
	defer func() {
		if recover() != nil { // a mistake of the library's refuses one message
			pointer, detail, ok = "", "the message could not be checked", false
		}
	}()
	err := s.compiled.Validate(doc.value)
	if err == nil {
		return "", "", true
	}
	broken, isValidation := errors.AsType[*jsonschema.ValidationError](err)
	if !isValidation {
		return "", "the message could not be checked", false
	}
	pointer, detail = explain(broken)
	return pointer, detail, false
}

const (
	maxPointer = 256
	maxDetail  = 200
)

// explain goes to the first thing that is wrong.
func explain(e *jsonschema.ValidationError) (pointer, detail string) {
	for len(e.Causes) > 0 {
		e = e.Causes[0]
	}
	for _, name := range e.InstanceLocation {
		pointer += "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
		if len(pointer) > maxPointer {
			break
		}
	}
	return bounded(pointer, maxPointer), bounded(e.ErrorKind.LocalizedString(message.NewPrinter(language.English)), maxDetail)
}

// bounded cuts text to so many bytes.
func bounded(text string, most int) string {
	text = strings.ToValidUTF8(text, "\ufffd")
	if len(text) <= most {
		return text
	}
	for most > 0 && !utf8.RuneStart(text[most]) {
		most--
	}
	return text[:most] + "…"
}
