package config

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/caarlos0/env/v11"
)

// Problem is one mistake, or one thing to think about.
type Problem struct {
	Variable string // full name
	Message  string // without the variable's name; never a secret's text
}

// Error gives variable and message.
func (p Problem) Error() string { return p.Variable + ": " + p.Message }

// Problems is every mistake found, in the order of the settings.
type Problems []Problem

// Error gives one problem on each line.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.Error()
	}
	return strings.Join(lines, "\n")
}

func (ps *Problems) add(name, format string, args ...any) {
	*ps = append(*ps, Problem{Variable: Prefix + name, Message: fmt.Sprintf(format, args...)})
}

// Load reads the settings from environ, as os.Environ gives it. The error is Problems with
// every mistake there is.
func Load(environ []string) (Config, error) {
	c, problems := load(environ)
	if len(problems) > 0 {
		return Config{}, problems
	}
	return c, nil
}

// LoadPolicy is Load for a program that only asks the policy: settings that have no bearing on
// it may be missing or wrong, and none is required.
func LoadPolicy(environ []string) (Config, error) {
	c, problems := load(environ)
	problems = slices.DeleteFunc(problems, func(p Problem) bool {
		f, known := fieldOf(strings.TrimSuffix(strings.TrimPrefix(p.Variable, Prefix), "_FILE"))
		if !known {
			f, known = fieldOf(strings.TrimPrefix(p.Variable, Prefix))
		}
		missing := f.Tag.Get("required") != "" && !c.Given(f.Tag.Get("env"))
		return known && (f.Tag.Get("part") != "policy" || missing)
	})
	if len(problems) > 0 {
		return Config{}, problems
	}
	return c, nil
}

func load(environ []string) (Config, Problems) {
	var c Config
	var problems Problems
	vars := readEnviron(environ, &problems)
	c.given = vars.given
	err := env.ParseWithOptions(&c, env.Options{Prefix: Prefix, Environment: vars.values, FuncMap: parsers})
	collect(err, &problems)
	for f := range fields() {
		name := f.Tag.Get("env")
		_, present := vars.values[Prefix+name]
		switch {
		case f.Tag.Get("required") != "" && !c.Given(name):
			problems.add(name, "is required: %s", f.Tag.Get("doc"))
		case f.Tag.Get("empty") == "none" && present && !c.Given(name):
			// env/v11 takes the default for an empty value.
			reflect.ValueOf(&c).Elem().FieldByIndex(f.Index).SetZero()
		}
	}
	// Cross-field rules and bounds look at fields that could be read; of the others enough is
	// said already.
	broken := make(map[string]bool, len(problems))
	for _, p := range problems {
		broken[p.Variable] = true
	}
	var found, warnings Problems
	checkBounds(&c, &found)
	c.check(&found)
	c.warn(&warnings)
	for _, p := range found {
		if !broken[p.Variable] {
			problems = append(problems, p)
		}
	}
	c.Warnings = warnings
	sortBySetting(problems)
	return c, problems
}

// collect turns what env/v11 says into problems. It names Go fields where we name variables.
func collect(err error, problems *Problems) {
	if err == nil {
		return
	}
	all := []error{err}
	if aggregate, ok := errors.AsType[env.AggregateError](err); ok {
		all = aggregate.Errors
	}
	for _, err := range all {
		parse, ok := errors.AsType[env.ParseError](err)
		if !ok {
			panic("BUG: config: tags that env cannot read: " + err.Error())
		}
		f, _ := reflect.TypeFor[Config]().FieldByName(parse.Name)
		mistakes := []error{parse.Err}
		if joined, ok := parse.Err.(interface{ Unwrap() []error }); ok {
			mistakes = joined.Unwrap() // a list with several bad elements
		}
		for _, mistake := range mistakes {
			problems.add(f.Tag.Get("env"), "%v", mistake)
		}
	}
}

// fields yields the settings in the order of the struct.
func fields() func(yield func(reflect.StructField) bool) {
	return func(yield func(reflect.StructField) bool) {
		for _, f := range reflect.VisibleFields(reflect.TypeFor[Config]()) {
			if name := f.Tag.Get("env"); len(f.Index) == 1 && name != "" && name != "-" && !yield(f) {
				return
			}
		}
	}
}

// fieldOf finds a setting by its variable without Prefix.
func fieldOf(name string) (reflect.StructField, bool) {
	for f := range fields() {
		if f.Tag.Get("env") == name {
			return f, true
		}
	}
	return reflect.StructField{}, false
}

func isSecret(f reflect.StructField) bool { return f.Type == reflect.TypeFor[Secret]() }

// sortBySetting puts problems in the order of the struct, unknown variables last.
func sortBySetting(problems Problems) {
	rank := make(map[string]int)
	for f := range fields() {
		name := Prefix + f.Tag.Get("env")
		rank[name] = len(rank) + 1
		if isSecret(f) {
			rank[name+"_FILE"] = rank[name]
		}
	}
	at := func(p Problem) int {
		if r := rank[p.Variable]; r > 0 {
			return r
		}
		return len(rank) + 1
	}
	slices.SortStableFunc(problems, func(a, b Problem) int { return at(a) - at(b) })
}

// readFile returns a secret's file without its final newline.
func readFile(path string) (string, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	text := strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r")
	if text == "" {
		return "", fmt.Errorf("%s is empty", path)
	}
	return text, nil
}
