package session

import (
	"time"

	"topicgate/frames"
	"topicgate/policy"
	"topicgate/policy/payload"
)

// directed is what a session keeps whose publishes have met directives. It belongs to up, and at the end to leave.
type directed struct {
	serial  uint64 // of the Access that gave rules
	topic   string
	rules   []*policy.Rule
	scratch []byte // for stamped payloads
	rates   *userRates
	host    *Host
}

const (
	// keptScratch is how much of a stamped payload's room is kept for the next one.
	keptScratch = 16 << 10
	// heavyPayload is from how many bytes on the work on a payload waits for its turn.
	heavyPayload = 16 << 10
)

// direct holds an allowed PUBLISH against the directives for its topic: limits, then checks, then stamps. The payload
// that it returns goes on in the place of the client's, until the next PUBLISH; nil: that of the client does.
func (u *up) direct(publish *frames.Publish, topicName []byte) (stamped []byte, r *rejection, err error) {
	// Once more, with an Access and what belongs to it: both may have changed since.
	access, checks := u.grant.Checked()
	if d := access.Publish(topicName); !d.Allowed {
		return nil, denied(d), nil
	}
	own := u.ownDirected()
	if serial := access.Serial(); own.serial != serial || own.topic != string(topicName) {
		rules, reason := access.Directives(topicName)
		if reason != "" {
			return nil, denied(policy.Decision{Reason: reason}), nil
		}
		own.serial, own.topic, own.rules = serial, string(topicName), rules
	}
	if refusal := payload.Limits(own.rules, len(publish.Payload), uint8(publish.QoS), publish.Retain); refusal != nil {
		return nil, rejectedBy(refusal), nil
	}
	if r := u.overRate(own.rules); r != nil {
		return nil, r, nil
	}
	if len(publish.Payload) >= heavyPayload {
		if err := u.awaitPayloadTurn(len(publish.Payload)); err != nil {
			return nil, nil, err
		}
		defer u.host.payloads.end()
	}
	if refusal := payload.Check(own.rules, publish.Payload, checks); refusal != nil {
		return nil, rejectedBy(refusal), nil
	}
	out, isStamped, refusal := payload.Stamps(own.rules, own.scratch[:0], publish.Payload, u.whose.username())
	switch {
	case refusal != nil:
		return nil, rejectedBy(refusal), nil
	case !isStamped:
		return nil, nil, nil
	}
	if own.scratch = nil; cap(out) <= keptScratch {
		own.scratch = out
	}
	return out, nil, nil
}

func (s *Session) ownDirected() *directed {
	if s.up.directed == nil {
		s.up.directed = &directed{host: s.host}
	}
	return s.up.directed
}

// overRate counts a message of the user's. Nil: the rates among rules allow it.
func (s *Session) overRate(rules []*policy.Rule) *rejection {
	for _, rule := range rules {
		if rule.Directive().Rate == (policy.Rate{}) {
			continue
		}
		own := s.ownDirected()
		if own.rates == nil {
			own.rates = s.host.rates.enter(s.whose.username())
		}
		over, wait := own.rates.take(rules)
		if over == nil {
			return nil
		}
		return &rejection{reason: payload.ReasonRate, rule: over, directive: over.Text, code: frames.QuotaExceeded, retry: wait,
			detail: "too many messages; try again in " + wait.Round(time.Millisecond).String()}
	}
	return nil
}

// leave gives back what is shared with other sessions.
func (d *directed) leave() {
	if d != nil && d.rates != nil {
		d.host.rates.leave(d.rates)
		d.rates = nil
	}
}

// awaitPayloadTurn waits until the session may work on a long payload. What was judged before goes out first.
func (u *up) awaitPayloadTurn(bytes int) error {
	turn := u.host.payloads.begin(u.whose.username(), bytes)
	if turn == nil {
		return nil
	}
	if err := u.idle(); err != nil {
		u.host.payloads.giveUp(turn)
		return err
	}
	select {
	case <-turn.given:
		return nil
	case <-u.end.done:
		u.host.payloads.giveUp(turn)
		return u.cause()
	}
}
