package dialect

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"topicgate/frames"
)

// Dialect is which broker it is. The zero value is one that takes everything as the specifications have it.
type Dialect uint8

// The dialects.
const (
	MQTT Dialect = iota
	RabbitMQ
	NATS
	EMQX
)

var names = [...]string{MQTT: "mqtt", RabbitMQ: "rabbitmq", NATS: "nats", EMQX: "emqx"}

func (d Dialect) String() string { return names[d] }

// Parse reads the name of a dialect, as String gives it.
func Parse(name string) (Dialect, error) {
	if i := slices.Index(names[:], name); i >= 0 {
		return Dialect(i), nil
	}
	return MQTT, fmt.Errorf("%q is no dialect", name)
}

// Reason is the word for an operation that is refused since the broker would take its topic for another one.
const Reason = "dialect"

// TakesTopicName reports whether the broker takes a Topic Name, of a PUBLISH or a Will, for what it is. It does not allocate.
func (d Dialect) TakesTopicName(topicName []byte) bool { return d == MQTT || d.takes(topicName) }

// TakesTopicFilter reports whether the broker takes a Topic Filter, which may be that of a Shared Subscription, for
// what it is.
func (d Dialect) TakesTopicFilter(filter string) bool {
	if d == MQTT {
		return true
	}
	_, rest, shared := frames.SplitShare(filter)
	return (!shared || d.Shares()) && d.takes([]byte(rest))
}

// Shares reports whether the broker knows Shared Subscriptions at all, as far as one can tell from the dialect. To the
// others "$share/group/chat" is a topic like any other: they would grant it, and nothing would ever come.
func (d Dialect) Shares() bool { return d != RabbitMQ && d != NATS }

// translated is what each broker puts something else in the place of, or cannot have, wherever it stands in a topic. (The
// blanks are those of NATS, and DEL, which it keeps for itself.)
var translated = [...]string{RabbitMQ: ".*", NATS: ".*> \t\n\r\f\x7f", EMQX: ""}

// operations are the first levels that say to EMQX what is to be done with the topic that follows. In version 6 queues
// and streams have come to them.
var operations = []string{"$delayed", "$exclusive", "$queue", "$q", "$stream", "$s"}

func (d Dialect) takes(topic []byte) bool {
	if bytes.ContainsAny(topic, translated[d]) {
		return false
	}
	if len(topic) == 0 || topic[0] != '$' {
		return true
	}
	switch d {
	case NATS:
		return false
	case EMQX:
		first, _, _ := bytes.Cut(topic, []byte("/"))
		return !slices.ContainsFunc(operations, func(o string) bool { return string(first) == o })
	}
	return true
}

// EncodesClientID reports whether the client's part of a Client Identifier has to be encoded: NATS refuses one that
// could not stand in a subject.
func (d Dialect) EncodesClientID() bool { return d == NATS }

// TakesInClientID reports whether text may stand in a Client Identifier as it is.
func (d Dialect) TakesInClientID(text string) bool {
	return d != NATS || !strings.ContainsAny(text, translated[NATS])
}

// EncodesInUsername reports whether c has to be encoded in a username that is otherwise sent as it is. To RabbitMQ what
// stands before the last ':' is the virtual host that the user wants to be in. With it goes '%', or two names could
// become one.
func (d Dialect) EncodesInUsername(c byte) bool { return d == RabbitMQ && (c == ':' || c == '%') }
