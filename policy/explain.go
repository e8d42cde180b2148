package policy

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"topicgate/frames"
)

// Explanation tells how a decision came about.
type Explanation struct {
	Op       string // "publish", "receive" or "subscribe"
	Topic    string // as asked; of a shared subscription too
	Invalid  string // why nothing could be decided: not a topic, not an operation
	Decision Decision

	// Considered are the rules of everybody, of the user and of its roles, in the
	// order of source.
	Considered []Considered

	// Directives are what the message has to meet besides, of a publish that is allowed.
	Directives []*Rule

	// Of a subscription, in `narrow` mode: what is subscribed to upstream. Unless
	// Complete there are more than these, and the filter is subscribed to as it is.
	Narrowed []string
	Complete bool
}

// Considered is one rule that was looked at.
type Considered struct {
	Rule    *Rule
	Section string // "user alice", "role moderator"; empty: for everybody
	Matches bool   // the topic, or of a filter some topics
	Why     string // it decided, or did not

	levels int // that agree
}

// explainMax is how many narrowed filters an Explanation lists.
const explainMax = 1000

// Explain answers as Publish, Receive or Subscribe (op in lower case) does, and
// says of every rule that concerns the principal why it did or did not decide. It
// looks at one rule after the other: for people, not for the data path.
func (a *Access) Explain(op string, topic string) Explanation {
	e := Explanation{Op: op, Topic: topic, Complete: true}
	name, want := topic, read
	switch op {
	case "publish", "receive":
		if err := frames.CheckTopicName(topic); err != nil {
			e.Invalid = err.Error()
			return e
		}
		if op == "publish" {
			want = write
			e.Decision = a.Publish([]byte(topic))
			if e.Decision.Allowed {
				e.Directives, _ = a.Directives([]byte(topic))
			}
		} else {
			e.Decision = a.Receive([]byte(topic))
		}
	case "subscribe":
		if err := frames.CheckTopicFilter(topic); err != nil {
			e.Invalid = err.Error()
			return e
		}
		if _, filter, shared := frames.SplitShare(topic); shared {
			name = filter
		}
		e.Decision = a.Subscribe(name)
		e.Narrowed, e.Complete = a.Narrow(name, explainMax)
	default:
		e.Invalid = fmt.Sprintf("unknown operation %q: publish, receive or subscribe", op)
		return e
	}
	if a == nil {
		return e
	}
	for i := range a.views {
		v := &a.views[i]
		for _, r := range v.scope.rules {
			p := newProbe(v, name, op == "subscribe")
			p.match(r.levels, 0, true)
			e.Considered = append(e.Considered, Considered{
				Rule: r, Section: v.title, Matches: p.extent != nothing, levels: p.deepest,
				Why: p.verdict(r, want, e.Decision),
			})
		}
	}
	return e
}

// verdict says in a few words what a rule means to the decision.
func (p *probe) verdict(r *Rule, want rights, d Decision) string {
	whole := p.extent == whole
	switch {
	case p.extent == nothing:
		return p.why
	case r.rights == deny && whole:
		return "denies it"
	case r.rights == deny:
		return "denies part of it: that is dropped at delivery"
	case r.rights&want == 0:
		return map[rights]string{
			read:  "matches, but allows only writing",
			write: "matches, but allows only reading",
		}[want]
	case !d.Allowed && d.Rule != nil:
		return "allows it, but a deny wins"
	case whole && d.Rule == r:
		return "allows it"
	case whole:
		return "allows it too"
	case d.Allowed:
		return "allows part of it"
	}
	return "allows part of it, and the rest is not allowed"
}

// explainShown is how many rules String lists.
const explainShown = 30

// String is the explanation for people: the decision, what narrowing leaves, and
// the rules that came closest.
func (e Explanation) String() string { return strings.Join(e.Lines(), "\n") + "\n" }

// Lines are the lines of String.
func (e Explanation) Lines() []string {
	lines := []string{e.headline()}
	add := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	if e.Invalid != "" || e.Decision.Reason != "" {
		return lines
	}
	if first, _, _ := strings.Cut(e.Topic, "/"); first == "$topicgate" {
		add("topics under $topicgate/ are served by the gateway itself; rules do not concern them")
	}
	if e.Op == "subscribe" {
		switch {
		case !e.Complete:
			add("narrow mode: more than %d filters; subscribed upstream as it is, and cut at delivery", len(e.Narrowed))
		case len(e.Narrowed) == 0:
			add("narrow mode: refused too, no rule allows any of it")
		default:
			add("narrow mode: subscribed upstream as")
			for _, f := range e.Narrowed {
				add("  %s", f)
			}
		}
	}
	if len(e.Directives) > 0 {
		add("what is published there has to meet")
		for _, d := range e.Directives {
			add("  %s", d)
		}
	}
	if len(e.Considered) == 0 {
		add("no rule concerns this principal")
		return lines
	}
	add("rules looked at, the closest first:")
	for _, c := range e.closest() {
		section := ""
		if c.Section != "" {
			section = " [" + c.Section + "]"
		}
		add("  %s%s", c.Rule, section)
		add("      %s", c.Why)
	}
	if more := len(e.Considered) - explainShown; more > 0 {
		add("  and %d more that agree in no more levels", more)
	}
	return lines
}

func (e Explanation) headline() string {
	subject := e.Op + " " + e.Topic + ": "
	if e.Op == "subscribe" && e.Invalid == "" {
		subject = e.Op + " " + e.Topic + " (strict mode): "
	}
	d := e.Decision
	switch {
	case e.Invalid != "":
		return subject + "invalid: " + e.Invalid
	case d.Reason != "":
		return subject + "denied: " + d.Reason
	case d.Allowed:
		return subject + "allowed by " + d.Rule.String()
	case d.Rule != nil:
		return subject + "denied by " + d.Rule.String()
	case e.Op == "subscribe":
		return subject + "denied: the rules do not allow all of it"
	}
	return subject + "denied: no rule allows it"
}

// closest are the rules to show: the one that decided, those that match, then
// those that agree in most levels; in the order of source where that is equal.
func (e Explanation) closest() []Considered {
	rank := func(c Considered) int {
		switch {
		case c.Rule == e.Decision.Rule:
			return 0
		case c.Matches:
			return 1
		}
		return 2
	}
	list := slices.Clone(e.Considered)
	slices.SortStableFunc(list, func(a, b Considered) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(b.levels, a.levels))
	})
	return list[:min(len(list), explainShown)]
}
