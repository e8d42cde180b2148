package subs

import (
	"fmt"
	"maps"
	"slices"

	"topicgate/frames"
	"topicgate/policy"
)

// What the client is to receive, by the model: noted as it happens, and compared when all is quiet.

// answered is a SUBACK or UNSUBACK at the client.
func (h *history) answered(packetID uint16, packet []byte) {
	p, _, err := frames.Cut(packet, h.terms.Version, 1<<20)
	if err != nil {
		h.fail(fmt.Sprintf("answer % x: %v", packet, err))
	}
	i := slices.IndexFunc(h.pending, func(q request) bool { return q.packetID == packetID })
	if i < 0 {
		h.fail(fmt.Sprintf("an answer to %d, which is not open", packetID))
	}
	q := h.pending[i]
	h.ids.Release(packetID)
	if q.subscribe != nil {
		s, err := frames.ParseSuback(p, h.terms.Version)
		if err != nil || len(s.Reasons) != len(q.subscribe.Filters) || s.PacketID != packetID {
			h.fail(fmt.Sprintf("SUBACK %+v, %v for %+v", s, err, q.subscribe))
		}
		h.note("granted %d: % x", packetID, s.Reasons)
		h.granted(q, s.Reasons)
	} else if u, err := frames.ParseUnsuback(p, h.terms.Version); err != nil || h.terms.Version == frames.V5 && len(u.Reasons) != len(q.unsubscribe.TopicFilters) {
		h.fail(fmt.Sprintf("UNSUBACK %+v, %v for %+v", u, err, q.unsubscribe))
	}
	h.pending = slices.Delete(h.pending, i, i+1)
}

func (h *history) granted(q request, codes []frames.ReasonCode) {
	id, _ := q.subscribe.Properties.Uint(frames.PropSubscriptionIdentifier)
	for i, asked := range q.subscribe.Filters {
		all := h.latest[asked.TopicFilter]
		at := slices.IndexFunc(all, func(c claim) bool { return c.packetID == q.packetID })
		if at < 0 {
			continue // asked back meanwhile
		}
		if failed(codes[i]) {
			h.latest[asked.TopicFilter] = slices.Delete(all, at, at+1)
			continue
		}
		if codes[i] > frames.ReasonCode(asked.QoS) {
			h.fail(fmt.Sprintf("%q was asked for at QoS %d and granted at %d", asked.TopicFilter, asked.QoS, codes[i]))
		}
		_, rest, shared := frames.SplitShare(asked.TopicFilter)
		all[at].granted = &wish{asked: asked, rest: rest, shared: shared, id: id}
	}
	for filter, all := range h.latest {
		for _, c := range all {
			if c.granted != nil { // the last one counts
				h.wishes[filter] = *c.granted
				delete(h.unsure, filter)
			}
		}
	}
}

// hear is what a gateway does with a packet of the broker's.
func (h *history) hear() {
	e := h.broker.out[0]
	h.broker.out = h.broker.out[1:]
	if e.publish == nil {
		heard := h.table.Answer(e.answer, e.packetID, e.codes, true)
		if !heard.Known {
			h.fail(fmt.Sprintf("nobody awaits %s %d", e.answer, e.packetID))
		}
		h.ids.ReleaseOwn(e.packetID)
		h.due = h.due || heard.Review
		switch {
		case !heard.Whole:
		case heard.Relay && e.answer == frames.TypeSuback:
			h.answered(heard.PacketID, frames.Suback{PacketID: e.packetID, Reasons: e.codes}.Append(nil, h.terms.Version))
		case heard.Relay:
			h.answered(heard.PacketID, frames.Unsuback{PacketID: e.packetID, Reasons: e.codes}.Append(nil, h.terms.Version))
		default:
			h.answered(heard.PacketID, heard.Packet)
		}
		return
	}
	p := *e.publish
	if !h.access.Receive(p.TopicName).Allowed {
		return // the gateway's check at delivery
	}
	if _, withheld := h.table.Deliver(&p, p.TopicName, h.access); withheld {
		return
	}
	for property := range p.Properties.All() {
		if property.Uint() > 3 {
			h.fail(fmt.Sprintf("the client hears Subscription Identifier %d, of the gateway's", property.Uint()))
		}
	}
	key := string(p.Payload)
	if p.Retain {
		key = "retained " + key
	}
	h.got[key] = append(h.got[key], p)
}

// brings is whether a subscription brings messages of a topic to who may do what access says.
func (h *history) brings(w wish, access *policy.Access, topic string) bool {
	return frames.Match(w.rest, topic) && access.Receive([]byte(topic)).Allowed && (!h.settings.Strict || access.Subscribe(w.rest).Allowed)
}

func (h *history) wants(key string, w wish, v verdict) {
	if h.refusals || h.unsure[w.asked.TopicFilter] {
		v = min(v, maybe)
	}
	if h.want[key] == nil {
		h.want[key] = &copies{}
	}
	h.want[key].wants(w, v)
}

// live notes that a message is wanted by all subscriptions that bring it.
func (h *history) live(topic, payload string) {
	keys := []string{payload}
	for _, w := range h.wishes {
		if !h.brings(w, h.access, topic) {
			continue
		}
		for _, key := range keys {
			v := always
			if h.flagged {
				v = maybe // it may come with the retain flag
				h.wants("retained "+key, w, v)
			}
			h.wants(key, w, v)
		}
	}
}

// gains notes the retained messages that come since the client may read more, if new ones are always to come.
func (h *history) gains(before *policy.Access, fresh verdict) {
	for topic, payload := range h.broker.retained {
		had := false // by another subscription: without identifiers that is all that one can know
		for _, w := range h.wishes {
			had = had || !h.terms.Identifiers && h.brings(w, before, topic)
		}
		for _, w := range h.wishes {
			was, is := h.brings(w, before, topic), h.brings(w, h.access, topic)
			v := maybe
			switch {
			case had && is && !was:
			case !is, was && fresh == always && !h.flagged:
				v = never
			case !was && !w.shared && w.asked.RetainHandling != retainNever && !h.flagged:
				v = fresh
			}
			h.wants("retained "+payload, w, v)
		}
	}
}

// kept notes the retained messages that come with a SUBSCRIBE that has been answered. Others may share the filter
// upstream that brings them.
func (h *history) kept(s *frames.Subscribe, before map[string]wish, unsure map[string]bool) {
	asks := map[string]bool{}
	for _, f := range s.Filters {
		if w, ok := h.wishes[f.TopicFilter]; ok {
			_, had := before[f.TopicFilter]
			asks[f.TopicFilter] = !w.shared && w.asked.RetainHandling != retainNever && !(w.asked.RetainHandling == retainIfNew && had)
		}
	}
	for topic, payload := range h.broker.retained {
		wanted := false
		for filter, w := range h.wishes {
			wanted = wanted || asks[filter] && h.brings(w, h.access, topic)
		}
		for filter, w := range h.wishes {
			switch {
			case !wanted || !h.brings(w, h.access, topic):
			case asks[filter] && !((h.leftover || unsure[filter]) && w.asked.RetainHandling == retainIfNew): // it may have had it
				h.wants("retained "+payload, w, always)
			default:
				h.wants("retained "+payload, w, maybe)
			}
		}
	}
}

// compare wants the client to have received what the model says.
func (h *history) compare() {
	keys := maps.Clone(h.want)
	for key := range h.got {
		if keys[key] == nil {
			keys[key] = &copies{}
		}
	}
	for key, want := range keys {
		want.more = h.leftover || h.ghosts || h.refusals || h.flagged
		if err := want.check(h.got[key], h.terms.Identifiers); err != nil {
			h.fail(fmt.Sprintf("message %s %v; got %+v", key, err, h.got[key]))
		}
	}
	h.got, h.want = map[string][]frames.Publish{}, map[string]*copies{}
}

// quiet publishes some messages while nothing else happens.
func (h *history) quiet() {
	for range 4 {
		topic := modelTopics[h.choose(len(modelTopics))]
		h.count++
		payload := fmt.Sprint(h.count)
		h.broker.publish(topic, payload, false)
		h.live(topic, payload)
	}
	h.note("four messages, up to %d; the broker holds %v", h.count, slices.Sorted(maps.Keys(h.broker.subscriptions)))
	h.settle()
	h.compare()
}

// consistent wants the broker to hold what the table says, and the table nothing that nobody wants.
func (h *history) consistent() {
	if !h.leftover {
		for filter := range h.broker.subscriptions {
			if h.table.held[filter] == nil {
				h.fail(fmt.Sprintf("the broker holds %q, which nobody wants", filter))
			}
		}
	}
	for filter, held := range h.table.held {
		s, ok := h.broker.subscriptions[filter]
		switch {
		case len(held.owners.list) == 0 || int(held.wants.total()) != len(held.owners.list):
			h.fail(fmt.Sprintf("%q is held for %d, who are %d", filter, held.wants.total(), len(held.owners.list)))
		case !ok && !h.broker.refuses[filter]:
			h.fail(fmt.Sprintf("the broker does not hold %q", filter))
		case ok && s.QoS < held.wants.options(filter).QoS:
			h.fail(fmt.Sprintf("the broker holds %q at QoS %d; want %d", filter, s.QoS, held.wants.options(filter).QoS))
		}
	}
	for filter := range h.wishes {
		if h.table.asked[filter] == nil && !h.refusals {
			h.fail(fmt.Sprintf("the client was granted %q, which is forgotten", filter))
		}
	}
	weight := 0
	for filter := range h.table.asked {
		weight += weigh(filter)
	}
	for filter := range h.table.held {
		weight += weigh(filter)
	}
	if weight != h.table.weight {
		h.fail(fmt.Sprintf("the table weighs %d; it says %d", weight, h.table.weight))
	}
}
