package store

import (
	"fmt"
	"time"
)

// Status is what /readyz shows of the policy.
type Status struct {
	// Ready: a CONNECT can be decided, so Redis answers and the notification
	// connection is live, and nothing is so old that everything is denied.
	Ready  bool
	Detail map[string]string // never empty; wrong keys and texts are named here
}

// Status tells how the store is.
func (s *Store) Status() Status {
	st := Status{Ready: true, Detail: map[string]string{"redis": "none"}}
	if s.watch != nil {
		st.Ready, st.Detail = s.watch.status()
	}
	s.mu.Lock()
	if s.fileError != "" {
		st.Detail["policy_file"] = s.fileError
	}
	s.mu.Unlock()

	c := &s.cache
	c.mu.Lock()
	defer c.mu.Unlock()
	var wrong, large int
	var example, largest string
	for e := range c.problems {
		switch e.kind {
		case textKind:
			detail := e.value.problem
			if e.value.rules == nil {
				detail += "; there is no earlier one, the text allows nothing"
			} else {
				detail += "; the last good one is in force"
			}
			st.Detail["policy_redis"] = detail
		case schemaKind:
			st.Detail["schema_"+e.name] = stillInForce(e.value.problem, e.value.schema != nil)
		case wordsKind:
			st.Detail["words_"+e.name] = stillInForce(e.value.problem, e.value.words != nil)
		case blockedKind:
			st.Detail["blocked"] = e.value.problem
			st.Ready = false
		default:
			if e.value.tooLarge {
				large, largest = large+1, fmt.Sprintf("%q: %s", e.key, e.value.problem)
			} else {
				wrong, example = wrong+1, e.key
			}
		}
	}
	if wrong > 0 {
		st.Detail["wrong_keys"] = fmt.Sprintf("%d keys are no sets and count as empty, such as %q", wrong, example)
	}
	if large > 0 {
		st.Detail["too_large"] = fmt.Sprintf("%d keys are too large, who needs them is denied everything, such as %s", large, largest)
	}
	for g, why := range c.refused {
		st.Detail["denied"] = fmt.Sprintf("%d sessions are denied everything, such as one of %q: %s", len(c.refused), g.principal.Username, why)
		break
	}
	for g, since := range c.behind {
		st.Detail["behind"] = fmt.Sprintf("%d sessions are denied everything, for changes that concern them could not be read, such as one of %q for %s",
			len(c.behind), g.principal.Username, ago(since))
		break
	}
	return st
}

// stillInForce adds what holds in the place of a schema or of words that are of no use.
func stillInForce(problem string, lastGood bool) string {
	if lastGood {
		return problem + "; the last good one is in force"
	}
	return problem + "; there is no earlier one, so what has to be held against it is refused"
}

// tell logs what a change brought.
func (s *Store) tell(change change) {
	e, v := change.e, change.v
	switch {
	case e.kind == textKind && v.problem != "":
		s.observe(Event{Kind: EventPolicy})
		s.log.Error("policy text refused, the last good one stays", "source", e.key, "err", v.problem)
	case e.kind == textKind && change.differs:
		s.observe(Event{Kind: EventPolicy, OK: true})
		rules := 0
		if v.rules != nil {
			rules = v.rules.Len()
		}
		s.log.Info("policy loaded", "source", e.key, "rules", rules)
		for _, note := range v.notes {
			s.log.Warn("policy warning", "source", e.key, "detail", note)
		}
	case (e.kind == schemaKind || e.kind == wordsKind) && v.problem != "":
		s.observe(Event{Kind: EventPolicy})
		s.log.Error("schema or words refused", "key", e.key, "err", stillInForce(v.problem, v.schema != nil || v.words != nil))
	case (e.kind == schemaKind || e.kind == wordsKind) && change.differs:
		s.observe(Event{Kind: EventPolicy, OK: true})
		s.log.Info("schema or words loaded", "key", e.key, "bytes", len(v.text), "members", len(v.members))
		for _, note := range v.notes {
			s.log.Warn("policy warning", "source", e.key, "detail", note)
		}
	case v.tooLarge:
		if s.odd.Allow() {
			s.log.Error("redis key is too large, who needs it is denied everything", "key", e.key, "detail", v.problem)
		}
	case v.problem != "" && s.odd.Allow():
		s.log.Error("redis key is of the wrong type", "key", e.key, "detail", v.problem)
	case v.notes != nil && s.odd.Allow():
		s.log.Warn("redis key holds what is skipped", "key", e.key, "detail", v.notes)
	}
}

// ago is for people.
func ago(t time.Time) string { return time.Since(t).Round(time.Second).String() }
