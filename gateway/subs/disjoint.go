package subs

import (
	"strings"

	"topicgate/frames"
)

// disjoint merges filters that have topics in common, so that no message comes by two of them: brokers
// may deliver it once for each [MQTT-3.3.4-5]. What the merged filter matches besides is cut at
// delivery. It is nil where that would take too long.
func disjoint(filters []string) []string {
	if len(filters) < 2 {
		return filters
	}
	var index frames.FilterIndex
	steps := overlapSteps * len(filters)
	for _, filter := range filters {
		for {
			other, found := index.Overlapping(filter, &steps)
			if !found {
				break
			}
			index.Remove(other)
			filter = hull(filter, other)
		}
		if steps <= 0 {
			return nil
		}
		index.Add(filter)
	}
	return index.AppendAll(nil)
}

// hull is a filter that matches what a and b match, and as little else as one can.
func hull(a, b string) string {
	var levels []string
	for {
		la, restA, moreA := strings.Cut(a, "/")
		lb, restB, moreB := strings.Cut(b, "/")
		switch {
		case la == "#" || lb == "#":
			return strings.Join(append(levels, "#"), "/")
		case la == lb:
			levels = append(levels, la)
		default:
			levels = append(levels, "+")
		}
		if !moreA || !moreB {
			if moreA != moreB { // one of them goes on with '#', or they would not overlap
				levels = append(levels, "#")
			}
			return strings.Join(levels, "/")
		}
		a, b = restA, restB
	}
}
