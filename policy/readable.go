package policy

import (
	"slices"
	"strings"

	"topicgate/frames"
)

// Readable is what an Access allowed to read, written out as Topic Filters, so that it outlives the process.
type Readable struct {
	Allowed []string `json:"allowed,omitempty"`
	Denied  []string `json:"denied,omitempty"` // cuts what it matches out of Allowed
}

// Readable writes out what of some Topic Filters may be read. Of more than max filters, or what takes too long
// to find, it says nothing: complete is false. The filters are without $share/<group>/.
func (a *Access) Readable(topicFilters []string, max int) (r Readable, complete bool) {
	if a == nil || a.reason != "" {
		return Readable{}, true
	}
	allowed, denied := narrowAll(a, topicFilters, max), []string{}
	if allowed != nil && a.denies {
		denied = narrowAll(a.beyond(&Access{}, deny), topicFilters, max-len(allowed))
	}
	if allowed == nil || denied == nil {
		return Readable{}, false
	}
	return Readable{Allowed: allowed, Denied: denied}, true
}

// narrowAll is what a allows of all the filters, each once; nil if that is too much.
func narrowAll(a *Access, topicFilters []string, max int) []string {
	all := []string{}
	for _, topicFilter := range topicFilters {
		filters, complete := a.Narrow(topicFilter, max)
		if !complete {
			return nil
		}
		all = append(all, filters...)
		slices.Sort(all)
		if all = slices.Compact(all); len(all) > max {
			return nil
		}
	}
	return all
}

// Access is one that allows to read what r says and no more. What is not a Topic Filter allows and denies
// nothing.
func (r Readable) Access() *Access {
	a := &Access{written: len(r.Allowed) + len(r.Denied), serial: serials.Add(1)}
	s := &scope{}
	add := func(what rights, filters []string) {
		for _, filter := range filters {
			if frames.CheckTopicFilter(filter) != nil || strings.Count(filter, "/") >= maxLevels {
				continue
			}
			var levels []level
			for text := range strings.SplitSeq(filter, "/") {
				levels = append(levels, level{text: text})
			}
			s.add(&Rule{rights: what, levels: levels, order: len(s.rules)})
		}
	}
	add(read, r.Allowed)
	add(deny, r.Denied)
	a.view(s, &view{}, nil)
	a.denies = s.denies
	return a
}
