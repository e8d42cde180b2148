package integration

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"topicgate/frames"
)

// What the gateway tells each client on topics of its own.
const (
	topicAccess   = "$topicgate/access"
	topicRejected = "$topicgate/rejected"
	topicExpiring = "$topicgate/expiring"
	topicToken    = "$topicgate/token"
)

// told is a message on one of these topics.
type told struct {
	Action, Topic, Reason string   // rejected
	Rule, Pointer         string   // likewise, by a directive
	Filter                string   // access
	Covers                []string // access
	Expires               string   // expiring
}

// hears reads what the gateway next tells on a topic and leaves other messages to receive.
func (w *wire) hears(topic string) (v told) {
	w.t.Helper()
	for {
		if v, ok := w.heard(topic); ok {
			return v
		}
		w.inbox = append(w.inbox, w.expect(frames.TypePublish))
	}
}

// heard takes what the gateway told on a topic out of what has been read already.
func (w *wire) heard(topic string) (v told, ok bool) {
	w.t.Helper()
	for i, packet := range w.inbox {
		p, err := frames.ParsePublish(packet, w.version)
		if err != nil {
			w.t.Fatalf("%s: PUBLISH: %v", w.name, err)
		}
		if string(p.TopicName) != topic {
			continue
		}
		if err := json.Unmarshal(p.Payload, &v); err != nil || p.QoS != 0 || p.Retain {
			w.t.Fatalf("%s: %s: %s, QoS %d, RETAIN %v, %v; want JSON, 0, false", w.name, topic, p.Payload, p.QoS, p.Retain, err)
		}
		w.inbox = slices.Delete(w.inbox, i, i+1)
		return v, true
	}
	return v, false
}

// covers waits until the gateway has told that a subscription covers just this.
func (w *wire) covers(filter string, want ...string) {
	w.t.Helper()
	slices.Sort(want)
	for {
		v := w.hears(topicAccess)
		slices.Sort(v.Covers)
		if v.Filter == filter && slices.Equal(v.Covers, want) {
			return
		}
	}
}

// mayPublish asks the gateway by a PUBLISH. 3.x has no Reason Code to answer with: w listens to what is
// rejected, which is told before the acknowledgement.
func (w *wire) mayPublish(topic string) bool {
	w.t.Helper()
	code := w.publish(message(topic, "probe", 1))
	v, rejected := w.heard(topicRejected)
	if rejected && (v.Action != "publish" || v.Topic != topic) || w.version == frames.V5 && rejected != (code >= 0x80) {
		w.t.Fatalf("%s: PUBLISH to %s: PUBACK %#x, told %+v", w.name, topic, uint8(code), v)
	}
	return !rejected
}

// judged waits until the gateway's answer to a PUBLISH shows that a change of the policy has arrived.
func (w *wire) judged(topic string, allowed bool) {
	w.t.Helper()
	eventually(w.t, fmt.Sprintf("%s: PUBLISH to %s allowed: %v", w.name, topic, allowed), func() bool { return w.mayPublish(topic) == allowed })
}

// receivesUntil reads messages up to one, and returns those before it as "topic payload", sorted.
func (w *wire) receivesUntil(topic, payload string) (before []string) {
	w.t.Helper()
	for {
		p := w.receive()
		if string(p.TopicName) == topic && string(p.Payload) == payload {
			slices.Sort(before)
			return before
		}
		before = append(before, strings.Join([]string{string(p.TopicName), string(p.Payload)}, " "))
	}
}
