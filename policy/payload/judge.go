package payload

import (
	"fmt"

	"topicgate/policy"
)

// Reasons for which a message is refused.
const (
	ReasonSize        = "limit_size"
	ReasonQoS         = "limit_qos"
	ReasonRetain      = "limit_retain"
	ReasonRate        = "limit_rate"
	ReasonSchema      = "check_schema"
	ReasonWords       = "check_words"
	ReasonUnavailable = "check_unavailable" // there is no such schema, or none that is in order
	ReasonStamp       = "stamp_no_object"
)

// Reasons are all of them, so that metrics can start them at 0.
func Reasons() []string {
	return []string{ReasonSize, ReasonQoS, ReasonRetain, ReasonRate, ReasonSchema, ReasonWords, ReasonUnavailable, ReasonStamp}
}

// Refusal is why a message may not pass.
type Refusal struct {
	Rule    *policy.Rule // the directive
	Reason  string
	Pointer string // RFC 6901, to what is wrong in a JSON payload; "": all of it, or it is none
	Detail  string // for the author of the message, in English; it may quote the payload, so it belongs in no log
}

// Checks are what `check` directives name.
type Checks struct {
	Schemas map[string]*Schema // a nil Schema: there is none that can be used
	Words   map[string]*Words  // likewise
}

// Limits holds a message against the `limit` lines among rules, other than their rates. Nil: it may pass.
func Limits(rules []*policy.Rule, bytes int, qos uint8, retain bool) *Refusal {
	for _, r := range rules {
		d := r.Directive()
		if d.Kind != policy.Limit {
			continue
		}
		switch {
		case d.MaxBytes >= 0 && bytes > d.MaxBytes:
			return &Refusal{r, ReasonSize, "", fmt.Sprintf("the message has %d bytes; at most %d are allowed here", bytes, d.MaxBytes)}
		case int(qos) > int(d.MaxQoS):
			return &Refusal{r, ReasonQoS, "", fmt.Sprintf("QoS %d; at most %d is allowed here", qos, d.MaxQoS)}
		case retain && d.NoRetain:
			return &Refusal{r, ReasonRetain, "", "retained messages are not allowed here"}
		}
	}
	return nil
}

// Check holds a payload against the `check` lines among rules. Nil: it may pass.
func Check(rules []*policy.Rule, payload []byte, checks *Checks) *Refusal {
	var text document
	for _, r := range rules {
		d := r.Directive()
		if d.Kind != policy.Check {
			continue
		}
		if d.Schema != "" {
			schema := checks.schema(d.Schema)
			if schema == nil {
				return &Refusal{r, ReasonUnavailable, "", fmt.Sprintf("there is no schema %q to check the message with", d.Schema)}
			}
			if !text.read {
				text = readDocument(payload)
			}
			if pointer, detail, ok := schema.check(text); !ok {
				return &Refusal{r, ReasonSchema, pointer, detail}
			}
		}
		if d.Words != "" {
			words := checks.words(d.Words)
			if words == nil {
				return &Refusal{r, ReasonUnavailable, "", fmt.Sprintf("there are no words %q to check the message with", d.Words)}
			}
			if pointer, detail, ok := words.check(payload); !ok {
				return &Refusal{r, ReasonWords, pointer, detail}
			}
		}
	}
	return nil
}

func (c *Checks) schema(name string) *Schema {
	if c == nil {
		return nil
	}
	return c.Schemas[name]
}

func (c *Checks) words(name string) *Words {
	if c == nil {
		return nil
	}
	return c.Words[name]
}

// Stamps appends to dst the payload that goes on after the `stamp` lines among rules; stamped is false when there are none.
func Stamps(rules []*policy.Rule, dst, payload []byte, username string) (out []byte, stamped bool, refusal *Refusal) {
	out = payload
	for _, r := range rules {
		d := r.Directive()
		if d.Kind != policy.Stamp {
			continue
		}
		if stamped { // dst holds what the next one reads
			dst = nil
		}
		var err error
		if out, err = Stamp(dst, out, d.Member, username); err != nil {
			return nil, false, &Refusal{r, ReasonStamp, "", err.Error()}
		}
		stamped = true
	}
	return out, stamped, nil
}
