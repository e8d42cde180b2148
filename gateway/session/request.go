package session

import (
	"slices"
	"strings"

	"topicgate/frames"
)

// Retain Handling (section 3.8.3.1).
const (
	retainAlways = 0
	retainIfNew  = 1
	retainNever  = 2
)

// request gathers what a SUBSCRIBE, an UNSUBSCRIBE or a review changes upstream.
type request struct {
	version     frames.Version
	identifiers bool // Subscription Identifiers can be used

	touched []*touched
	byHeld  map[*heldFilter]*touched
	unknown []entry                    // filters to unsubscribe that only the broker may know
	gained  map[*subscription][]string // filters of what came to be covered, where its retained messages are wanted
	fetches []fetch
	had     []had // what was covered, by subscriptions that the policy changes
	again   bool  // retained messages of that may come again
	step    step  // that a review makes
	longest int   // bytes of filter that the broker takes; of a review
}

// touched is a held filter whose owners have changed or ask for it again.
type touched struct {
	held      *heldFilter
	before    []*subscription // its owners
	slots     []int           // of the client's packet that hang on the broker's answer
	subscribe bool            // even if nothing changes
	retain    uint8           // Retain Handling; the most generous of those that want it
}

// fetch asks for retained messages in what a subscription came to cover without new pieces.
type fetch struct {
	sub     *subscription
	filters []string
	had     []had // what of them came, or comes, without it
}

func (r *request) touch(h *heldFilter, slot int) *touched {
	t := r.byHeld[h]
	if t == nil {
		if r.byHeld == nil {
			r.byHeld = map[*heldFilter]*touched{}
		}
		t = &touched{held: h, before: slices.Clone(h.owners), retain: retainNever}
		r.byHeld[h] = t
		r.touched = append(r.touched, t)
	}
	if slot >= 0 && !slices.Contains(t.slots, slot) {
		t.slots = append(t.slots, slot)
	}
	return t
}

func (r *request) subscribe(h *heldFilter, slot int, retain uint8) {
	t := r.touch(h, slot)
	t.subscribe, t.retain = true, min(t.retain, retain)
}

// outgoing is a SUBSCRIBE or UNSUBSCRIBE to be sent, in one packet or more.
type outgoing struct {
	kind    frames.Type
	id      uint32 // Subscription Identifier of a SUBSCRIBE
	entries []entry

	begins, ends *quiet // with the answer to the first packet, to the last
}

type entry struct {
	options frames.Subscription // of an UNSUBSCRIBE, the filter
	held    *heldFilter         // nil: the gateway knows nothing of it
	slots   []int
}

// plan turns r into packets: what is left for good first, then what is new, then what something new has
// taken the place of, so that no message is lost in between. b.mu is held.
func (b *subscriptions) plan(r *request) []outgoing {
	var left, replaced []entry
	var subscribes []outgoing // by Subscription Identifier, of which a packet has but one
	join := func(id uint32, e entry) {
		i := slices.IndexFunc(subscribes, func(o outgoing) bool { return o.id == id })
		if i < 0 {
			i = len(subscribes)
			subscribes = append(subscribes, outgoing{kind: frames.TypeSubscribe, id: id})
		}
		subscribes[i].entries = append(subscribes[i].entries, e)
	}
	for _, f := range r.fetches {
		// A filter that is held is asked for once more after it, as it is to be; others are unsubscribed.
		held, others := &heldFilter{live: true}, &heldFilter{}
		for _, h := range []*heldFilter{held, others} {
			h.owners, h.fetch = []*subscription{f.sub}, true
		}
		filters := f.filters
		if b.flagged && r.identifiers {
			filters = b.reworded(filters, r.longest)
		}
		for _, filter := range filters {
			h := others
			if known := b.held[filter]; known == nil {
				replaced = append(replaced, entry{options: frames.Subscription{TopicFilter: filter}, held: others})
			} else if h = held; r.identifiers {
				r.subscribe(known, -1, retainNever)
				if t := r.byHeld[known]; t.retain == retainIfNew {
					t.retain = retainAlways // after the fetch it is not new to the broker
				}
			} else {
				r.subscribe(known, -1, retainAlways)
				continue
			}
			if h.waiting++; h.waiting == 1 && r.identifiers {
				h.id = b.newAlias(h)
				b.keep(h, f, r.step)
			}
			options := frames.Subscription{TopicFilter: filter, QoS: f.sub.QoS}
			if h == held { // mosquitto 2.0 keeps these two as they come first, whatever is asked for afterwards
				last := b.held[filter].options()
				options.NoLocal, options.RetainAsPublished = last.NoLocal, last.RetainAsPublished
			}
			join(h.id, entry{options: options, held: h})
		}
	}
	var fresh filterIndex // of the new filters; any of those that overlap will do
	for _, t := range r.touched {
		h := t.held
		if len(h.owners) == 0 {
			continue
		}
		options, id := h.options(), b.identifierOf(h)
		options.RetainHandling = t.retain
		if !t.subscribe && !h.differs(options, id, r.version) {
			continue
		}
		if h.sent.TopicFilter == "" {
			_, rest, _ := frames.SplitShare(h.filter)
			fresh.add(rest)
		}
		h.sent, h.id = options, id
		h.waiting++
		join(id, entry{options: options, held: h, slots: t.slots})
	}
	for _, t := range r.touched {
		if len(t.held.owners) > 0 {
			continue
		}
		b.release(t.held)
		t.held.former = t.before
		if t.held.sent.TopicFilter == "" {
			continue
		}
		e := entry{options: frames.Subscription{TopicFilter: t.held.filter}, held: t.held, slots: t.slots}
		_, rest, _ := frames.SplitShare(t.held.filter)
		if _, overlaps := fresh.overlapping(rest); overlaps {
			replaced = append(replaced, e)
		} else {
			left = append(left, e)
		}
	}
	left = append(left, r.unknown...)
	alike := (r.again || len(r.fetches) > 0) && !r.identifiers // one cannot tell by what a message comes
	if alike && len(replaced) == 0 {                           // the answer to a packet is needed that comes after all
		replaced = append(replaced, entry{options: frames.Subscription{TopicFilter: topicNone}})
	}

	var all []outgoing
	if len(left) > 0 {
		all = append(all, outgoing{kind: frames.TypeUnsubscribe, entries: left})
	}
	all = append(all, subscribes...)
	if len(replaced) > 0 {
		all = append(all, outgoing{kind: frames.TypeUnsubscribe, entries: replaced})
	}
	if alike {
		q := &quiet{step: r.step}
		if r.again {
			q.had = r.had
		}
		b.quiet = append(b.quiet, q)
		all[0].begins, all[len(all)-1].ends = q, q
	}
	return all
}

// reworded puts, where it can, other filters that match the same in place of those that are held. With Retain As
// Published a live message may look like a stored one; it comes by what is held then, never by a fetch. b.mu is held.
func (b *subscriptions) reworded(filters []string, longest int) (list []string) {
	for _, filter := range filters {
		base, open := strings.CutSuffix(filter, "#")
		below, parent := base+"+/#", strings.TrimSuffix(base, "/") // which '#' matches too, unless it is no topic
		if !open || b.held[filter] == nil || b.held[below] != nil || b.held[parent] != nil || len(below) > longest {
			list = append(list, filter)
			continue
		}
		if list = append(list, below); parent != "" {
			list = append(list, parent)
		}
	}
	return list
}

// differs reports whether the broker has to hear of these options, which nobody has just asked for.
func (h *heldFilter) differs(options frames.Subscription, id uint32, v frames.Version) bool {
	if v != frames.V5 {
		// Less is not worth it: the broker would send all retained messages again.
		return options.QoS > h.sent.QoS
	}
	options.RetainHandling = h.sent.RetainHandling
	return options != h.sent || id != h.id
}
