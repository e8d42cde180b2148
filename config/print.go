package config

import (
	"fmt"
	"io"
	"net/url"
	"reflect"
	"strings"
	"time"
)

// Setting is one row of the table of settings.
type Setting struct {
	Variable string // full name
	Type     string
	Default  string // "required" where there is none to take
	Meaning  string // plain text
}

// Settings lists every setting in the order of the struct.
func Settings() []Setting {
	var list []Setting
	for f := range fields() {
		s := Setting{
			Variable: Prefix + f.Tag.Get("env"),
			Type:     typeOf(f),
			Default:  f.Tag.Get("envDefault"),
			Meaning:  f.Tag.Get("doc"),
		}
		if f.Tag.Get("required") != "" {
			s.Default = "required"
		}
		if isSecret(f) {
			s.Meaning += ". Or a file that holds it: '" + s.Variable + "_FILE'"
		}
		list = append(list, s)
	}
	return list
}

func typeOf(f reflect.StructField) string {
	name := f.Tag.Get("type")
	if name == "" {
		name = map[reflect.Type]string{
			reflect.TypeFor[time.Duration](): "duration",
			reflect.TypeFor[int]():           "number",
			reflect.TypeFor[float64]():       "number",
			reflect.TypeFor[bool]():          "true or false",
			reflect.TypeFor[Size]():          "size",
			reflect.TypeFor[Secret]():        "secret",
		}[f.Type]
	}
	// A bound that only keeps out nonsense is left to the error message.
	if least, most := f.Tag.Get("min"), f.Tag.Get("max"); least != "" && f.Tag.Get("envDefault") != "0" {
		name += ", " + least + " to " + most
	}
	return name
}

// Print writes every setting for a reader at a terminal: variable, type, default, meaning.
func Print(w io.Writer) error {
	for _, s := range Settings() {
		head := s.Variable + "  (" + s.Type
		switch s.Default {
		case "":
		case "required":
			head += "; required"
		default:
			head += "; default " + s.Default
		}
		if _, err := fmt.Fprintf(w, "%s)\n%s", head, wrap(s.Meaning, "    ", 80)); err != nil {
			return err
		}
	}
	return nil
}

// wrap breaks text between words into lines of at most width bytes, each indented.
func wrap(text, indent string, width int) string {
	var b strings.Builder
	line := indent
	for _, word := range strings.Fields(text) {
		if len(line) > len(indent) && len(line)+1+len(word) > width {
			b.WriteString(line + "\n")
			line = indent
		}
		if len(line) > len(indent) {
			line += " "
		}
		line += word
	}
	b.WriteString(line + "\n")
	return b.String()
}

// MarkdownTable is the table of this folder's README.md.
func MarkdownTable() string {
	code := func(s string) string {
		if s == "" || s == "required" {
			return s
		}
		return "`" + s + "`"
	}
	var b strings.Builder
	b.WriteString("| variable | type | default | meaning |\n| --- | --- | --- | --- |\n")
	for _, s := range Settings() {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", s.Variable, s.Type, code(s.Default),
			strings.ReplaceAll(strings.ReplaceAll(s.Meaning, "'", "`"), "|", `\|`))
	}
	return b.String()
}

// Value is a setting that the environment gave.
type Value struct {
	Variable string // full name
	Text     string // as understood; secrets redacted
	Source   string // the variable that was read: itself, or its _FILE form
}

// Values lists the settings that were set, in the order of the struct.
func (c *Config) Values() []Value {
	var list []Value
	for f := range fields() {
		name := f.Tag.Get("env")
		if c.Given(name) {
			v := reflect.ValueOf(c).Elem().FieldByIndex(f.Index)
			list = append(list, Value{Variable: Prefix + name, Text: show(v.Interface()), Source: c.given[name]})
		}
	}
	return list
}

// show prints a value as it could be written in the environment.
func show(v any) string {
	if u, ok := v.(url.URL); ok {
		return u.String()
	}
	if list := reflect.ValueOf(v); list.Kind() == reflect.Slice {
		elements := make([]string, list.Len())
		for i := range elements {
			elements[i] = show(list.Index(i).Interface())
		}
		return strings.Join(elements, ",")
	}
	return fmt.Sprint(v)
}
