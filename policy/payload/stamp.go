package payload

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/go-json-experiment/json/jsontext"
)

var errNoObject = errors.New("the message has to be a JSON object, for the name of its sender goes into it")

// Stamp appends to dst a payload, a JSON object, with one member set to username: in the place of the first of that
// name, or as the first of all. Further members of that name are left out, also when it is written with escapes; names
// are compared exactly, as RFC 8259 has it. All else stays byte for byte. dst must not overlap payload.
func Stamp(dst, payload []byte, name, username string) ([]byte, error) {
	if tooDeep(payload) {
		return nil, fmt.Errorf("the JSON is nested deeper than %d levels", MaxDepth)
	}
	d := jsontext.NewDecoder(bytes.NewBuffer(payload), jsontext.AllowDuplicateNames(true))
	if start, err := d.ReadToken(); err != nil || start.Kind() != '{' {
		return nil, errNoObject
	}
	inside := int(d.InputOffset())
	done := 0 // bytes of payload that dst has
	found := false
	next := func() (begin, end int, err error) {
		raw, err := d.ReadValue()
		end = int(d.InputOffset())
		return end - len(raw), end, err
	}
	members := 0
	for ; d.PeekKind() == '"'; members++ {
		begin, end, err := next()
		if err != nil {
			return nil, errNoObject
		}
		same := names(payload[begin:end], name)
		valueBegin, valueEnd, err := next()
		if err != nil {
			return nil, errNoObject
		}
		switch {
		case !same:
			continue
		case !found:
			found = true
			dst = append(dst, payload[done:begin]...)
			if dst, err = jsontext.AppendQuote(dst, name); err != nil {
				return nil, err
			}
			dst = append(dst, payload[end:valueBegin]...)
			if dst, err = jsontext.AppendQuote(dst, username); err != nil {
				return nil, err
			}
		default:
			comma := bytes.LastIndexByte(payload[:begin], ',') // nothing but blanks can be between
			dst = append(dst, payload[done:comma]...)
		}
		done = valueEnd
	}
	if end, err := d.ReadToken(); err != nil || end.Kind() != '}' {
		return nil, errNoObject
	}
	if _, err := d.ReadToken(); err != io.EOF {
		return nil, errNoObject
	}
	if !found {
		dst = append(dst, payload[:inside]...)
		var err error
		if dst, err = jsontext.AppendQuote(dst, name); err == nil {
			dst, err = jsontext.AppendQuote(append(dst, ':'), username)
		}
		if err != nil {
			return nil, err
		}
		if members > 0 {
			dst = append(dst, ',')
		}
		done = inside
	}
	return append(dst, payload[done:]...), nil
}

// names reports whether a JSON string is a name.
func names(raw []byte, name string) bool {
	if bytes.IndexByte(raw, '\\') < 0 {
		return string(raw[1:len(raw)-1]) == name
	}
	text, err := jsontext.AppendUnquote(nil, raw)
	return err == nil && string(text) == name
}
