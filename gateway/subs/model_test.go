package subs

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"topicgate/frames"
	"topicgate/policy"
)

// modelBroker is what a broker does with the packets of one client, as the specifications have it.
type modelBroker struct {
	version     frames.Version
	identifiers bool
	merges      bool            // one copy for all overlapping subscriptions
	refuses     map[string]bool // Topic Filters

	subscriptions map[string]brokerSubscription
	retained      map[string]string // payload by topic

	in  []Packet // not yet read
	out []event  // not yet read by the gateway
}

type brokerSubscription struct {
	frames.Subscription
	id uint32
}

// event is a packet of the broker's.
type event struct {
	answer   frames.Type // of a SUBACK or UNSUBACK
	packetID uint16
	codes    []frames.ReasonCode
	publish  *frames.Publish
}

// step reads one packet.
func (b *modelBroker) step() {
	p := b.in[0]
	b.in = b.in[1:]
	if len(p.subscribe.Filters) == 0 {
		e := event{answer: frames.TypeUnsuback, packetID: p.unsubscribe.PacketID}
		for _, filter := range p.unsubscribe.TopicFilters {
			code := frames.NoSubscriptionExisted
			if _, ok := b.subscriptions[filter]; ok {
				code = frames.Success
			}
			delete(b.subscriptions, filter)
			e.codes = append(e.codes, code)
		}
		if b.version != frames.V5 {
			e.codes = nil
		}
		b.out = append(b.out, e)
		return
	}
	id, _ := p.subscribe.Properties.Uint(frames.PropSubscriptionIdentifier)
	if id != 0 && !b.identifiers {
		panic("a Subscription Identifier for a broker that knows none")
	}
	e := event{answer: frames.TypeSuback, packetID: p.subscribe.PacketID}
	var kept []event
	for _, s := range p.subscribe.Filters {
		if b.refuses[s.TopicFilter] {
			e.codes = append(e.codes, frames.UnspecifiedError)
			continue
		}
		_, had := b.subscriptions[s.TopicFilter]
		b.subscriptions[s.TopicFilter] = brokerSubscription{s, id}
		e.codes = append(e.codes, frames.ReasonCode(s.QoS))
		_, _, shared := frames.SplitShare(s.TopicFilter)
		if shared || b.version == frames.V5 && (s.RetainHandling == retainNever || s.RetainHandling == retainIfNew && had) {
			continue
		}
		for _, topic := range slices.Sorted(maps.Keys(b.retained)) {
			if frames.Match(s.TopicFilter, topic) {
				kept = append(kept, b.message(topic, b.retained[topic], true, id))
			}
		}
	}
	b.out = append(append(b.out, e), kept...)
}

func (b *modelBroker) message(topic, payload string, retain bool, ids ...uint32) event {
	p := &frames.Publish{TopicName: []byte(topic), Payload: []byte(payload), Retain: retain}
	for _, id := range ids {
		if id != 0 {
			p.Properties = p.Properties.AppendUint(frames.PropSubscriptionIdentifier, id)
		}
	}
	return event{publish: p}
}

// publish takes a message of somebody else's.
func (b *modelBroker) publish(topic, payload string, retain bool) {
	if retain {
		b.retained[topic] = payload
	}
	var ids []uint32
	matched, flagged := false, false
	for _, filter := range slices.Sorted(maps.Keys(b.subscriptions)) {
		s := b.subscriptions[filter]
		_, rest, shared := frames.SplitShare(filter)
		if !frames.Match(rest, topic) {
			continue
		}
		if shared || !b.merges {
			b.out = append(b.out, b.message(topic, payload, retain && s.RetainAsPublished, s.id))
			continue
		}
		matched, flagged = true, flagged || s.RetainAsPublished
		ids = append(ids, s.id)
	}
	if matched {
		b.out = append(b.out, b.message(topic, payload, retain && flagged, ids...))
	}
}

// wish is a subscription that a client was granted.
type wish struct {
	asked  frames.Subscription
	rest   string // without the share group
	shared bool
	id     uint32
}

// copies is how one message may have come: the least and the most of each Subscription Identifier, and of packets.
type copies struct {
	ids      map[uint32][2]int
	min, max int
	more     bool // may come
}

type verdict int

const (
	never verdict = iota
	maybe
	always
)

func (c *copies) wants(w wish, v verdict) {
	if v == never {
		return
	}
	if c.ids == nil {
		c.ids = map[uint32][2]int{}
	}
	bounds := c.ids[w.id]
	bounds[1]++
	c.max++
	if v == always {
		bounds[0]++
		c.min = 1
	}
	c.ids[w.id] = bounds
}

// check compares what has come, as packets, with what is wanted.
func (c *copies) check(packets []frames.Publish, identifiers bool) error {
	if n := len(packets); n < c.min || n > c.max && !c.more {
		return fmt.Errorf("came %d times; want %d to %d", n, c.min, c.max)
	}
	if !identifiers || len(packets) == 0 {
		return nil
	}
	seen := map[uint32]int{}
	for _, p := range packets {
		for property := range p.Properties.All() {
			if property.ID == frames.PropSubscriptionIdentifier {
				seen[property.Uint()]++
			}
		}
	}
	for id, n := range seen {
		if bounds := c.ids[id]; n > bounds[1] && !c.more {
			return fmt.Errorf("came %d times for Subscription Identifier %d; want at most %d", n, id, bounds[1])
		}
	}
	for id, bounds := range c.ids {
		if id != 0 && seen[id] < min(bounds[0], 1) { // several of one identifier may be one upstream
			return fmt.Errorf("came %d times for Subscription Identifier %d; want one", seen[id], id)
		}
	}
	return nil
}

var (
	modelTopics = []string{"room/a/msg", "room/a/secret", "room/b/msg", "room/b/public", "room/c/msg", "room/public", "news/x", "news/y", "other"}

	modelFilters = []string{"#", "room/#", "room/+/msg", "room/a/#", "room/a/msg", "+/+", "+/room/#", "room/b/+", "room/+/public",
		"news/+", "news/x", "room/+/#", "$share/g/room/#", "$share/g/news/+", "other"}
)

// modelAccesses are what a user may do, in many ways: they are made once, since a history changes between them.
var modelAccesses = func() (accesses []*policy.Access) {
	texts := []string{
		"pattern read room/{rooms}/#\npattern read room/+/public\n",
		"pattern read room/{rooms}/#\npattern read room/+/public\npattern deny room/+/secret\n",
		"pattern read room/{rooms}/#\npattern read news/#\npattern deny room/b/#\n",
		"pattern read room/{rooms}/msg\npattern read +/x\npattern read room/#\npattern deny room/c/#\n",
		"pattern read news/+\npattern read room/a/#\n",
		"pattern read #\npattern deny room/+/secret\n",
	}
	for _, text := range texts {
		rules, err := policy.Parse("model", text)
		if err != nil {
			panic(err)
		}
		for _, rooms := range []string{"", "a", "b", "a b", "b c", "a b c"} {
			set, _ := policy.NewSet(strings.Fields(rooms))
			accesses = append(accesses, policy.NewAccess(policy.Principal{Username: "alice", ClientID: "c"}, map[string]policy.Set{"rooms": set}, rules))
		}
	}
	return accesses
}()
