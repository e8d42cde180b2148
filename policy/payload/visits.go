package payload

import "github.com/santhosh-tekuri/jsonschema/v6"

// A schema that refers to itself in several alternatives, as that of a tree with three kinds of nodes does, has each
// node looked at three times as often as the one above. So a payload may be nested only as deep as keeps that bounded.
const (
	// mostVisits is by how many subschemas one value of a payload may be looked at.
	mostVisits = 2_000
	// mostSteps bounds the counting itself. What has not been counted by then is not allowed.
	mostSteps = 1_000_000
)

// visits are how often each subschema may look at one value.
type visits map[*jsonschema.Schema]int

// counting finds out how often.
type counting struct {
	steps int
	path  map[*jsonschema.Schema]bool // of subschemas that look at the same value, to end circles
}

// depthOf is how deep a payload may be nested that s is asked about; at most MaxDepth.
func depthOf(s *jsonschema.Schema) int {
	c := &counting{path: make(map[*jsonschema.Schema]bool)}
	level := make(visits)
	if !c.look(level, new(int), s, 1) {
		return 0
	}
	for depth := range MaxDepth {
		next, ok := c.below(level)
		if !ok {
			return depth
		}
		if len(next) == 0 {
			break
		}
		level = next
	}
	return MaxDepth
}

// look counts that s looks at a value n times, and what does with it. False: that is too often.
func (c *counting) look(at visits, sum *int, s *jsonschema.Schema, n int) bool {
	if s == nil || c.path[s] {
		return true
	}
	c.steps++
	if *sum += n; *sum > mostVisits || c.steps > mostSteps {
		return false
	}
	at[s] += n
	c.path[s] = true
	defer delete(c.path, s)
	for _, other := range []*jsonschema.Schema{s.Ref, s.RecursiveRef, s.Not, s.If, s.Then, s.Else} {
		if !c.look(at, sum, other, n) {
			return false
		}
	}
	if s.DynamicRef != nil && !c.look(at, sum, s.DynamicRef.Ref, n) {
		return false
	}
	for _, list := range [][]*jsonschema.Schema{s.AllOf, s.AnyOf, s.OneOf} {
		for _, other := range list {
			if !c.look(at, sum, other, n) {
				return false
			}
		}
	}
	for _, other := range s.DependentSchemas {
		if !c.look(at, sum, other, n) {
			return false
		}
	}
	return true
}

// below counts for the values in those that level is of: for each name and each place the most there can be. False:
// that is too often.
func (c *counting) below(level visits) (visits, bool) {
	names, places := map[string]bool{"": true}, 0
	for s := range level {
		for name := range s.Properties {
			names[name] = true
		}
		places = max(places, len(s.PrefixItems))
	}
	next := make(visits)
	merge := func(children func(s *jsonschema.Schema) []*jsonschema.Schema) bool {
		at, sum := make(visits), 0
		for s, n := range level {
			c.steps++
			for _, child := range children(s) {
				if !c.look(at, &sum, child, n) {
					return false
				}
			}
		}
		for s, n := range at {
			next[s] = max(next[s], n)
		}
		return c.steps <= mostSteps
	}
	for name := range names {
		if !merge(func(s *jsonschema.Schema) []*jsonschema.Schema { return askedOfMember(s, name) }) {
			return nil, false
		}
	}
	for place := range places + 1 {
		if !merge(func(s *jsonschema.Schema) []*jsonschema.Schema { return askedOfElement(s, place) }) {
			return nil, false
		}
	}
	return next, true
}

// askedOfMember are what s asks about a member; "": of a name that is in no `properties`.
func askedOfMember(s *jsonschema.Schema, name string) (all []*jsonschema.Schema) {
	property := s.Properties[name]
	if property != nil {
		all = append(all, property)
	}
	for pattern, other := range s.PatternProperties {
		if name == "" || pattern.MatchString(name) {
			all = append(all, other)
		}
	}
	if additional, ok := s.AdditionalProperties.(*jsonschema.Schema); ok && property == nil {
		all = append(all, additional)
	}
	return append(all, s.UnevaluatedProperties, s.PropertyNames)
}

// askedOfElement are what s asks about an element.
func askedOfElement(s *jsonschema.Schema, place int) (all []*jsonschema.Schema) {
	if place < len(s.PrefixItems) {
		all = append(all, s.PrefixItems[place])
	} else {
		all = append(all, s.Items2020)
	}
	return append(all, s.Contains, s.UnevaluatedItems)
}
