package main

import (
	"encoding/json"
	"fmt"
	"io"

	"topicgate/config"
	"topicgate/policy"
	"topicgate/policy/store"
)

// answer is what "policy explain" found, in the form of its --json.
type answer struct {
	User       string       `json:"user"`
	Operation  string       `json:"operation"`
	Topic      string       `json:"topic"`
	Allowed    bool         `json:"allowed"`
	Summary    string       `json:"summary"`
	Rule       string       `json:"rule,omitempty"`
	Standing   string       `json:"standing"`
	Mode       string       `json:"subscribe_mode,omitempty"`
	Upstream   []string     `json:"upstream_filters,omitempty"` // what the client would be subscribed to at the broker
	Considered []considered `json:"considered"`
	Directives []string     `json:"directives,omitempty"` // that a publish has to meet
	Message    *verdict     `json:"message,omitempty"`

	explanation policy.Explanation
}

type considered struct {
	Rule    string `json:"rule"`
	Section string `json:"section,omitempty"`
	Matches bool   `json:"matches"`
	Why     string `json:"why"`
}

func newAnswer(c config.Config, q question, e policy.Explanation, standing store.Standing) *answer {
	a := &answer{
		User: q.principal.Username, Operation: q.op, Topic: q.topic,
		Allowed: e.Decision.Allowed, Rule: e.Decision.Rule.String(), Standing: standing.String(),
		Considered:  make([]considered, 0, len(e.Considered)),
		explanation: e,
	}
	for _, r := range e.Considered {
		a.Considered = append(a.Considered, considered{r.Rule.String(), r.Section, r.Matches, r.Why})
	}
	for _, d := range e.Directives {
		a.Directives = append(a.Directives, d.String())
	}
	a.Summary = map[bool]string{true: "allowed", false: "denied"}[a.Allowed]
	if q.op == "subscribe" {
		a.Mode = string(c.SubscribeMode)
		a.subscribe(c)
	}
	if standing != store.Good {
		a.Allowed, a.Upstream = false, nil
		a.Summary = map[store.Standing]string{
			store.Blocked:     "denied: the user is blocked",
			store.Revoked:     "denied: the token is revoked",
			store.Unavailable: "denied: Redis is away",
		}[standing]
	}
	return a
}

// hold adds what directives say of the message.
func (a *answer) hold(v *verdict) {
	a.Message = v
	if !v.Passes {
		a.Allowed = false
		a.Summary = "denied: a directive refuses the message"
	}
}

// subscribe says what becomes of a subscription in the configured mode.
func (a *answer) subscribe(c config.Config) {
	asked := a.Topic
	e := &a.explanation
	if len(e.Narrowed) > c.NarrowMax {
		e.Narrowed, e.Complete = e.Narrowed[:c.NarrowMax], false
	}
	switch {
	case c.SubscribeMode == config.SubscribeStrict:
		a.Summary += " in strict mode"
		if a.Allowed {
			a.Upstream = []string{asked}
		}
	case !e.Complete:
		a.Allowed, a.Upstream = true, []string{asked}
		a.Summary = fmt.Sprintf("allowed in narrow mode: over %s, so subscribed as asked, and cut at delivery", count(c.NarrowMax, "filter"))
	case len(e.Narrowed) == 0:
		a.Allowed, a.Summary = false, "denied in narrow mode: nothing of it may be read"
	default:
		a.Allowed, a.Upstream = true, e.Narrowed
		a.Summary = "allowed in narrow mode, as " + count(len(e.Narrowed), "filter")
	}
}

func (a *answer) print(w io.Writer) error {
	_, err := fmt.Fprintf(w, "%s\n%s%s", a.Summary, a.Message.lines(), a.explanation)
	return err
}

func (a *answer) printJSON(w io.Writer) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(a)
}
