package audit

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"
)

// Action is what somebody tried to do.
type Action string

// The actions. A broker's delivery to a client that may not read it is a deliver.
const (
	Connect    Action = "connect"
	Publish    Action = "publish"
	Subscribe  Action = "subscribe"
	Deliver    Action = "deliver"
	Will       Action = "will"
	Disconnect Action = "disconnect"
)

// The values of Event.Decision.
const (
	Allowed = "allowed"
	Refused = "refused"
)

// The reasons of events that stand for events that were lost: for want of room, and because a sink
// will never take them (RefusedError). They have no action, since they may stand for any.
const (
	ReasonQueueFull   = "audit_queue_full"
	ReasonSinkRefused = "audit_sink_refused"
)

// Type is the member "type" of every record, which tells it from a line of the log.
const Type = "audit"

// maxText is how much of a string is kept, in bytes: a Topic Name may have 65,535, and a queue of
// them would not be bounded in any useful sense.
const maxText = 1024

// Event is one operation, or Count of them that were equal within a second. All fields are
// written, after Type, whether they have a meaning for the action or not.
type Event struct {
	Time     time.Time `json:"time"`     // of the first; zero: now
	Instance string    `json:"instance"` // empty: Options.Instance
	Session  string    `json:"session"`
	User     string    `json:"user"`
	Issuer   string    `json:"issuer"`
	ClientID string    `json:"client_id"` // as the client sent it
	Remote   string    `json:"remote"`
	Action   Action    `json:"action"`
	Topic    string    `json:"topic"` // Topic Name or, for a subscribe, Topic Filter
	QoS      uint8     `json:"qos"`
	Retain   bool      `json:"retain"`
	Bytes    int       `json:"bytes"` // of the payload
	Decision string    `json:"decision"`
	Reason   string    `json:"reason"`
	Rule     string    `json:"rule"`  // that decided; empty: none matched
	Count    int       `json:"count"` // 0 means 1
}

// timeFormat is RFC 3339 with milliseconds, always three of them so that text sorts as time.
const timeFormat = "2006-01-02T15:04:05.000Z07:00"

func (e *Event) time() string { return e.Time.UTC().Format(timeFormat) }

// MarshalJSON gives an object with the names of the fields in their order.
func (e Event) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	if err := e.encode(&b); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// encode appends e as a line. No byte of it but its end can move a terminal's cursor or change
// its colours: encoding/json escapes U+0000 to U+001F, and what it leaves of the control characters
// (DEL and U+0080 to U+009F, with which terminals begin sequences too) is escaped here.
func (e *Event) encode(b *bytes.Buffer) error {
	type fields Event
	start := b.Len()
	encoder := json.NewEncoder(b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(struct {
		Type string `json:"type"`
		Time string `json:"time"`
		fields
	}{Type, e.time(), fields(*e)}); err != nil {
		return fmt.Errorf("audit: encode event: %w", err)
	}
	line := b.Bytes()[start:]
	if bytes.IndexByte(line, 0x7F) < 0 && bytes.IndexByte(line, 0xC2) < 0 {
		return nil
	}
	line = bytes.Clone(line)
	b.Truncate(start)
	for len(line) > 0 {
		r, size := utf8.DecodeRune(line)
		if r >= 0x7F && r <= 0x9F {
			fmt.Fprintf(b, `\u%04x`, r)
		} else {
			b.Write(line[:size])
		}
		line = line[size:]
	}
	return nil
}

// flat gives names and values in turn, as a Redis stream entry holds them.
func (e *Event) flat() []string {
	return []string{
		"type", Type, "time", e.time(), "instance", e.Instance, "session", e.Session, "user", e.User,
		"issuer", e.Issuer, "client_id", e.ClientID, "remote", e.Remote, "action", string(e.Action),
		"topic", e.Topic, "qos", strconv.Itoa(int(e.QoS)), "retain", strconv.FormatBool(e.Retain),
		"bytes", strconv.Itoa(e.Bytes), "decision", e.Decision, "reason", e.Reason, "rule", e.Rule,
		"count", strconv.Itoa(e.Count),
	}
}

// bound cuts every string that is longer than maxText.
func (e *Event) bound() {
	for _, s := range [...]*string{
		&e.Instance, &e.Session, &e.User, &e.Issuer, &e.ClientID, &e.Remote, (*string)(&e.Action),
		&e.Topic, &e.Decision, &e.Reason, &e.Rule,
	} {
		*s = Bounded(*s)
	}
}

// Bounded cuts what a client has chosen, for records and logs: it keeps the first maxText bytes, no half character at
// their end, and says how long s was.
func Bounded(s string) string {
	end := maxText
	if len(s) <= end {
		return s
	}
	for end > maxText-utf8.UTFMax && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + "…[" + strconv.Itoa(len(s)) + " bytes]"
}

// tellsLoss reports whether e stands for events that were lost.
func (e *Event) tellsLoss() bool {
	return e.Action == "" && (e.Reason == ReasonQueueFull || e.Reason == ReasonSinkRefused)
}

// lossOf sums how many operations the events stand for.
func lossOf(events []Event) (n int) {
	for i := range events {
		n += events[i].Count
	}
	return n
}

// uncounted is lossOf without the events that tell of losses, which are counted already.
func uncounted(events []Event) (n int) {
	for i := range events {
		if !events[i].tellsLoss() {
			n += events[i].Count
		}
	}
	return n
}
