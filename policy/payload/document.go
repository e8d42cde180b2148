package payload

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// MaxDepth is how deep arrays and objects may be nested in a payload that is checked or stamped, and in a schema.
const MaxDepth = 64

// maxNumber bounds a number's text: who computes with it needs room and time for each digit, also for those that an exponent stands for.
const maxNumber = 64

// document is a JSON payload in the form that schemas are asked about.
type document struct {
	read    bool
	value   any
	depth   int    // of arrays and objects in one another
	problem string // why it is none
}

// readDocument reads one JSON text (RFC 8259). Members of the same name are refused: readers take one or the other.
func readDocument(payload []byte) document {
	d := document{read: true}
	if d.depth = depth(payload); d.depth > MaxDepth {
		d.problem = fmt.Sprintf("the JSON is nested deeper than %d levels", MaxDepth)
		return d
	}
	decoder := jsontext.NewDecoder(bytes.NewBuffer(payload))
	value, problem := readValue(decoder)
	if problem == "" {
		if _, err := decoder.ReadToken(); err != io.EOF {
			problem = "there is more behind the JSON"
		}
	}
	if problem != "" {
		d.problem = problem
		return d
	}
	d.value = value
	return d
}

const noJSON = "the message is no valid JSON"

func readValue(d *jsontext.Decoder) (value any, problem string) {
	switch d.PeekKind() {
	case '{':
		_, _ = d.ReadToken()
		object := make(map[string]any)
		for d.PeekKind() == '"' {
			name, err := d.ReadToken()
			if err != nil {
				return nil, noJSON
			}
			text := name.String()
			if object[text], problem = readValue(d); problem != "" {
				return nil, problem
			}
		}
		if _, err := d.ReadToken(); err != nil {
			return nil, noJSON
		}
		return object, ""
	case '[':
		_, _ = d.ReadToken()
		array := []any{}
		for k := d.PeekKind(); k != ']' && k != 0; k = d.PeekKind() {
			element, problem := readValue(d)
			if problem != "" {
				return nil, problem
			}
			array = append(array, element)
		}
		if _, err := d.ReadToken(); err != nil {
			return nil, noJSON
		}
		return array, ""
	case '"':
		token, err := d.ReadToken()
		if err != nil {
			return nil, noJSON
		}
		return token.String(), ""
	case '0':
		raw, err := d.ReadValue()
		if err != nil {
			return nil, noJSON
		}
		if !modest(raw) {
			return nil, "a number has too many digits"
		}
		return json.Number(raw), ""
	case 'n', 't', 'f':
		token, err := d.ReadToken()
		if err != nil {
			return nil, noJSON
		}
		if token.Kind() == 'n' {
			return nil, ""
		}
		return token.Bool(), ""
	}
	return nil, noJSON
}

// modest tells a number that takes no more than a line to write out.
func modest(number []byte) bool {
	if len(number) > maxNumber {
		return false
	}
	i := bytes.IndexAny(number, "eE")
	if i < 0 {
		return true
	}
	return len(strings.TrimLeft(string(number[i+1:]), "+-0")) <= 3
}

func tooDeep(text []byte) bool { return depth(text) > MaxDepth }

// depth counts brackets outside of strings, as far as MaxDepth and one more. Of what is no JSON it may say anything.
func depth(text []byte) (most int) {
	depth := 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '{', '[':
			if depth++; depth > most {
				if most = depth; most > MaxDepth {
					return most
				}
			}
		case '}', ']':
			depth--
		case '"':
			for i++; i < len(text) && text[i] != '"'; i++ {
				if text[i] == '\\' {
					i++
				}
			}
		}
	}
	return most
}
