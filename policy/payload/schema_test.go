package payload

import (
	"strings"
	"testing"
)

const chatSchema = `{
  "$schema": "https://json-schema.org/draft/2020-12/schema",
  "type": "object", "required": ["text"], "additionalProperties": false,
  "properties": {
    "text": {"type": "string", "maxLength": 20, "pattern": "^[^<>]*$"},
    "tags": {"type": "array", "items": {"$ref": "#/$defs/tag"}, "uniqueItems": true},
    "n": {"type": "number", "multipleOf": 0.5}
  },
  "$defs": {"tag": {"enum": ["a/b", "c"]}}
}`

func TestSchema(t *testing.T) {
	s, err := NewSchema(chatSchema)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		payload, pointer, detail string // detail: a part of it; empty: the payload is right
	}{
		{`{"text":"hi"}`, "", ""},
		{`{"text":"hi","tags":["a/b","c"],"n":1.5}`, "", ""},
		{`{}`, "", "text"},
		{`{"text":5}`, "/text", "want string"},
		{`{"text":"` + strings.Repeat("x", 21) + `"}`, "/text", "20"},
		{`{"text":"<b>"}`, "/text", "pattern"},
		{`{"text":"hi","tags":["c","d"]}`, "/tags/1", "one of"},
		{`{"text":"hi","tags":["c","c"]}`, "/tags", "equal"},
		{`{"text":"hi","n":1.25}`, "/n", "multiple"},
		{`{"text":"hi","x":1}`, "", "additional"},
		{`{"text":"hi","text":"ho"}`, "", "no valid JSON"},
		{`{"text":"hi"}{}`, "", "more behind"},
		{`{"text":"hi","n":1e1000}`, "", "too many digits"},
		{`{"text":"hi","n":1E-99999}`, "", "too many digits"},
		{`{"text":"hi","n":` + strings.Repeat("1", 65) + `}`, "", "too many digits"},
		{`{"text":"hi","n":5e0000000001}`, "", ""},
		{"", "", "no valid JSON"},
		{"hi", "", "no valid JSON"},
		{"{\"text\":\"\xff\"}", "", "no valid JSON"},
		{`{"text":"\ud800"}`, "", "no valid JSON"},
		{strings.Repeat("[", 10_000), "", "nested deeper"},
	} {
		doc := readDocument([]byte(tt.payload))
		pointer, detail, ok := s.check(doc)
		if ok != (tt.detail == "") || pointer != tt.pointer || !strings.Contains(detail, tt.detail) {
			t.Errorf("%.100s: %q, %q, %v; want %q, %q", tt.payload, pointer, detail, ok, tt.pointer, tt.detail)
		}
	}
}

func TestSchemasThatAreNone(t *testing.T) {
	for _, tt := range []struct{ text, err string }{
		{`{"type": "objekt"}`, `at "/type"`},
		{`{`, "no valid JSON"},
		{`5`, ""},
		{`{"pattern": "(?=x)"}`, ""}, // what backtracks is no RE2
		{`{"$ref": "https://example.com/other"}`, "own text only"},
		{`{"$ref": "file:///etc/passwd"}`, "own text only"},
		{`{"$schema": "https://example.com/dialect"}`, "$schema is"},
		{`{"$schema": "http://json-schema.org/draft-07/schema#"}`, "$schema is"},
		{`{"$ref": "#/$defs/missing"}`, ""},
		{strings.Repeat(`{"not":`, MaxDepth+1) + "true" + strings.Repeat("}", MaxDepth+1), "nested deeper"},
		{`"` + strings.Repeat("x", MaxSchema) + `"`, "longer than"},
	} {
		if s, err := NewSchema(tt.text); err == nil || s != nil || !strings.Contains(err.Error(), tt.err) || strings.Contains(err.Error(), "\n") {
			t.Errorf("NewSchema(%.100s) = %v, %v; want an error of one line with %q", tt.text, s, err, tt.err)
		}
	}
	for _, text := range []string{`true`, `{}`, `{"$ref":"https://json-schema.org/draft/2020-12/schema"}`, `{"$ref":"#"}`} {
		if _, err := NewSchema(text); err != nil {
			t.Errorf("NewSchema(%s): %v", text, err)
		}
	}
}

func TestASchemaThatGoesInCirclesRefuses(t *testing.T) {
	s, err := NewSchema(`{"$ref":"#"}`)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, ok := s.check(readDocument([]byte(`"x"`))); ok {
		t.Error("a schema that says nothing of its own lets everything pass")
	}
}

// A payload is nested only as deep as a schema can be asked about in time that grows with its bytes.
func TestASchemaThatBranchesTakesNoDeepPayloads(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		least      int // depth
		most       int
	}{
		{"flat", chatSchema, MaxDepth, MaxDepth},
		{"a list of itself", `{"items":{"$ref":"#"}}`, MaxDepth, MaxDepth},
		{"a tree with two members", `{"properties":{"left":{"$ref":"#"},"right":{"$ref":"#"}},"additionalProperties":{"$ref":"#"}}`, MaxDepth, MaxDepth},
		{"pairs", `{"prefixItems":[{"$ref":"#"},{"$ref":"#"}],"items":{"$ref":"#"}}`, MaxDepth, MaxDepth},
		{"two alternatives", `{"anyOf":[{"items":{"$ref":"#"}},{"items":{"$ref":"#"}}]}`, 5, 11},
		{"three kinds of nodes", `{"oneOf":[{"$ref":"#/$defs/a"},{"$ref":"#/$defs/b"},{"$ref":"#/$defs/c"}],"$defs":{
			"a":{"properties":{"kind":{"const":"a"},"in":{"items":{"$ref":"#"}}}},
			"b":{"properties":{"kind":{"const":"b"},"in":{"items":{"$ref":"#"}}}},
			"c":{"properties":{"kind":{"const":"c"},"in":{"items":{"$ref":"#"}}}}}}`, 6, 14},
		{"patterns that match the same", `{"patternProperties":{"a":{"$ref":"#"},"b":{"$ref":"#"}}}`, 5, 11},
		{"items and contains", `{"items":{"$ref":"#"},"contains":{"$ref":"#"}}`, 5, 11},
		{"too many at once", `{"allOf":[` + strings.Repeat(`{"$ref":"#/$defs/x"},`, 3000) + `true],"$defs":{"x":{"type":"object"}}}`, 0, 0},
	} {
		s, err := NewSchema(tt.text)
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		if s.depth < tt.least || s.depth > tt.most {
			t.Errorf("%s: depth %d; want %d to %d", tt.name, s.depth, tt.least, tt.most)
		}
		if s.depth == MaxDepth {
			continue
		}
		deep := strings.Repeat("[", s.depth+1) + strings.Repeat("]", s.depth+1)
		if _, detail, ok := s.check(readDocument([]byte(deep))); ok || !strings.Contains(detail, "levels that this schema can be asked about") {
			t.Errorf("%s: a payload nested deeper passes: %q", tt.name, detail)
		}
	}
}

// FuzzSchema wants no text to break anything, and each answer to be bounded.
func FuzzSchema(f *testing.F) {
	f.Add(chatSchema, `{"text":"hi","tags":["c"]}`)
	f.Add(`{"anyOf":[{"$ref":"#/$defs/a"},{"type":"null"}],"$defs":{"a":{"items":{"$ref":"#"}}}}`, `[[[1]]]`)
	f.Add(`{"patternProperties":{"^a":{"const":1}},"dependentSchemas":{"a":{"minProperties":2}}}`, `{"a":1}`)
	f.Fuzz(func(t *testing.T, text, payload string) {
		if len(text)+len(payload) > 2000 {
			return
		}
		s, err := NewSchema(text)
		if err != nil {
			return
		}
		if doc := readDocument([]byte(payload)); doc.problem == "" {
			if pointer, detail, ok := s.check(doc); len(pointer) > maxPointer+3 || len(detail) > maxDetail+3 || ok != (detail == "") {
				t.Errorf("check(%q, %q) = %q, %q, %v", text, payload, pointer, detail, ok)
			}
		}
	})
}

func BenchmarkSchema(b *testing.B) {
	s, err := NewSchema(chatSchema)
	if err != nil {
		b.Fatal(err)
	}
	payload := []byte(`{"text":"hello world","tags":["a/b","c"],"n":12.5}`)
	b.ReportAllocs()
	b.SetBytes(int64(len(payload)))
	for b.Loop() {
		if _, _, ok := s.check(readDocument(payload)); !ok {
			b.Fatal("refused")
		}
	}
}
