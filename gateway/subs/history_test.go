package subs

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"topicgate/frames"
	"topicgate/policy"
)

// history is one client's life, with all that happens around it.
type history struct {
	choose func(n int) int // 0 to n-1
	log    []string
	told   bool

	settings Settings
	terms    Terms
	table    *Table
	ids      *IDs
	broker   *modelBroker
	older    []map[string]brokerSubscription // what the broker has held
	refusals bool                            // the broker refuses something: what must come only may
	leftover bool                            // the broker may hold what nobody knows of
	ghosts   bool                            // a subscription may be kept that the client was not told of
	unsure   map[string]bool                 // such filters
	flagged  bool                            // a subscription has had Retain As Published
	access   *policy.Access
	due      bool // a review
	record   []byte

	wishes  map[string]wish    // as the client knows them, by filter
	pending []request          // not answered
	latest  map[string][]claim // the requests about a filter but those that were refused
	nextID  uint16
	count   int
	got     map[string][]frames.Publish // since things last settled, by message
	want    map[string]*copies
}

// claim is a SUBSCRIBE to one filter.
type claim struct {
	packetID uint16
	granted  *wish // nil: not answered
}

// request is a SUBSCRIBE or UNSUBSCRIBE of the client's.
type request struct {
	packetID    uint16
	subscribe   *frames.Subscribe
	unsubscribe *frames.Unsubscribe
}

// newHistory begins a history that panics if it does not go as it should.
func newHistory(choose func(int) int, told bool) *history {
	h := &history{choose: choose, told: told, wishes: map[string]wish{}, latest: map[string][]claim{}, unsure: map[string]bool{}, got: map[string][]frames.Publish{}, want: map[string]*copies{}}
	v := []frames.Version{frames.V5, frames.V311}[choose(2)]
	identifiers := v == frames.V5 && choose(4) > 0
	h.settings = Settings{Strict: choose(4) == 0, NarrowMax: []int{1000, 3, 1}[choose(3)]}
	h.terms = Terms{Version: v, Identifiers: identifiers, BrokerMaximum: []int{1 << 20, 100}[choose(2)]}
	h.broker = &modelBroker{version: v, identifiers: identifiers, merges: choose(2) == 0, refuses: map[string]bool{},
		subscriptions: map[string]brokerSubscription{}, retained: map[string]string{}}
	if h.refusals = choose(4) == 0; h.refusals {
		h.broker.refuses[modelFilters[choose(len(modelFilters))]] = true
		h.broker.refuses["room/b/#"] = true
	}
	h.access = modelAccesses[choose(len(modelAccesses))]
	h.note("%s, identifiers %v, %+v, merges %v, refuses %v", v, identifiers, h.settings, h.broker.merges, h.broker.refuses)
	h.begin()
	return h
}

func (h *history) fail(text string) { panic(wrong(strings.Join(h.log, "\n") + "\n" + text)) }

// note keeps what happens, once somebody wants to read it.
func (h *history) note(format string, args ...any) {
	if h.told {
		h.log = append(h.log, fmt.Sprintf(format, args...))
	}
}

func (h *history) begin() {
	h.table, h.ids = &Table{}, &IDs{}
	h.table.Begin(&h.settings, h.terms)
}

func (h *history) play(steps int) {
	for range steps {
		calm := h.choose(2) == 0
		for n := 1 + h.choose(4); n > 0; n-- {
			h.step(calm)
			if calm {
				h.settle()
				h.compare()
			}
		}
		h.settle()
		h.got, h.want = map[string][]frames.Publish{}, map[string]*copies{}
		h.quiet()
	}
}

// step lets one thing happen.
func (h *history) step(calm bool) {
	switch n := h.choose(12); {
	case n < 3:
		h.subscribe(calm)
	case n < 5:
		h.unsubscribe()
	case n < 8:
		before := h.access
		i := h.choose(len(modelAccesses))
		h.access = modelAccesses[i]
		h.due = true
		h.note("policy %d", i)
		if calm {
			h.gains(before, always)
		}
	case n < 10:
		topic := modelTopics[h.choose(len(modelTopics))]
		h.count++
		retain := h.choose(2) == 0
		h.note("publish %d to %s, retain %v", h.count, topic, retain)
		h.broker.publish(topic, fmt.Sprint(h.count), retain)
		if calm {
			h.live(topic, fmt.Sprint(h.count))
		}
	case n == 10:
		h.comeBack(calm)
	default:
		h.some(1 + h.choose(6))
	}
}

// some lets what is under way come some steps further.
func (h *history) some(n int) {
	for ; n > 0; n-- {
		switch c := h.choose(3); {
		case c == 0 && len(h.broker.in) > 0:
			h.broker.step()
		case c == 1 && len(h.broker.out) > 0:
			h.hear()
		case c == 2 && h.due:
			h.review()
		}
	}
}

// settle lets all that is under way arrive.
func (h *history) settle() {
	for i := 0; h.due || len(h.broker.in) > 0 || len(h.broker.out) > 0; i++ {
		if i > 10_000 {
			h.fail("it never settles")
		}
		switch {
		case h.due:
			h.review()
		case len(h.broker.in) > 0:
			h.broker.step()
		default:
			h.hear()
		}
	}
	if !h.table.Settled() || len(h.pending) > 0 {
		h.fail(fmt.Sprintf("answers are missing: %v", h.pending))
	}
	if h.choose(2) == 0 { // else the gateway has not come to it yet
		h.keep()
	}
	h.older = append(h.older, maps.Clone(h.broker.subscriptions))
	h.consistent()
}

// keep stores what has been settled.
func (h *history) keep() {
	if record, settled := h.table.Record("broker"); settled {
		h.store(record)
	}
}

func (h *history) store(record *Record) {
	data, ok := record.Bytes()
	if !ok {
		h.fail("the record is too long")
	}
	h.record = data
}

// carry commits a plan and sends what comes of it.
func (h *history) carry(p *Plan, q *request, properties frames.Properties) {
	if p.Changes() {
		h.store(p.Record("broker"))
	}
	all, err := p.Commit(h.ids, properties)
	if err != nil {
		h.fail(err.Error())
	}
	h.due = h.due || p.Outdated(h.access)
	for _, packet := range all.Packets {
		h.checkSize(&packet)
	}
	switch {
	case all.Relay && q.subscribe != nil:
		h.broker.in = append(h.broker.in, Packet{subscribe: *q.subscribe})
	case all.Relay:
		h.broker.in = append(h.broker.in, Packet{unsubscribe: *q.unsubscribe})
	}
	h.broker.in = append(h.broker.in, all.Packets...)
	if all.Answer != nil {
		h.answered(p.PacketID(), all.Answer)
	}
}

func (h *history) checkSize(p *Packet) {
	if n := len(p.Append(nil, h.terms.Version)); n > h.terms.BrokerMaximum && len(p.subscribe.Filters)+len(p.unsubscribe.TopicFilters) > 1 {
		h.fail(fmt.Sprintf("a packet of %d bytes; the broker takes %d", n, h.terms.BrokerMaximum))
	}
}

func (h *history) review() {
	h.due = false
	turn := h.table.Turn()
	defer turn.End()
	h.carry(turn.Review(h.access), nil, nil)
}

func (h *history) packetID() uint16 {
	h.nextID++
	return h.nextID
}

func (h *history) subscribe(calm bool) {
	s := &frames.Subscribe{PacketID: h.packetID()}
	id := uint32(0)
	if h.terms.Identifiers && h.choose(4) > 0 {
		id = uint32(1 + h.choose(3))
		s.Properties = s.Properties.AppendUint(frames.PropSubscriptionIdentifier, id)
	}
	for range 1 + h.choose(3) {
		f := frames.Subscription{TopicFilter: modelFilters[h.choose(len(modelFilters))], QoS: frames.QoS(h.choose(3))}
		if h.terms.Version == frames.V5 {
			f.RetainHandling = uint8(max(0, h.choose(5)-2))
			f.RetainAsPublished = h.choose(12) == 0
			h.flagged = h.flagged || f.RetainAsPublished
		}
		s.Filters = append(s.Filters, f)
	}
	h.note("subscribe %d with identifier %d: %+v", s.PacketID, id, s.Filters)
	before, unsure := maps.Clone(h.wishes), maps.Clone(h.unsure)
	h.ask(request{packetID: s.PacketID, subscribe: s})
	if calm {
		h.settle()
		h.kept(s, before, unsure)
	}
}

func (h *history) unsubscribe() {
	u := &frames.Unsubscribe{PacketID: h.packetID()}
	for range 1 + h.choose(2) {
		u.TopicFilters = append(u.TopicFilters, modelFilters[h.choose(len(modelFilters))])
	}
	h.note("unsubscribe %d: %v", u.PacketID, u.TopicFilters)
	h.ask(request{packetID: u.PacketID, unsubscribe: u})
}

// ask is what a gateway does with a packet of the client's.
func (h *history) ask(q request) {
	h.pending = append(h.pending, q)
	h.ids.Take(q.packetID)
	turn := h.table.Turn()
	defer turn.End()
	if q.subscribe != nil {
		for _, f := range q.subscribe.Filters {
			h.latest[f.TopicFilter] = append(h.latest[f.TopicFilter], claim{packetID: q.packetID})
		}
		h.carry(turn.Subscribe(q.subscribe, h.access), &q, q.subscribe.Properties)
		return
	}
	for _, filter := range q.unsubscribe.TopicFilters {
		delete(h.wishes, filter)
		h.latest[filter] = nil
	}
	h.carry(turn.Unsubscribe(q.unsubscribe), &q, nil)
}

// comeBack ends the connection at any moment and begins another: the gateway was killed, or the client has gone.
func (h *history) comeBack(calm bool) {
	before := h.access
	if !calm {
		for n := h.choose(4); n > 0 && len(h.broker.in) > 0; n-- {
			h.broker.step() // this much the broker has heard
		}
	}
	h.broker.in, h.broker.out = nil, nil
	record, err := ParseRecord(h.record)
	if h.record == nil {
		record, err = &Record{}, nil
	}
	if err != nil {
		h.fail(err.Error())
	}
	other := "broker"
	if h.choose(6) == 0 && len(h.older) > 0 {
		h.broker.subscriptions = maps.Clone(h.older[h.choose(len(h.older))])
		other = "another"
		h.leftover = true // what it has of old times nobody knows
	}
	if h.choose(6) == 0 && len(h.older) > 0 && other == "broker" { // killed after an older save, which was noticed
		h.broker.subscriptions = maps.Clone(h.older[h.choose(len(h.older))])
		record.Open = true
		h.leftover = true
	}
	lost := h.choose(8) == 0 // Redis has forgotten it, or has an older one: the client is told Session Present = 0
	if lost {
		h.record, record = nil, &Record{Open: true}
		h.leftover = true
	}
	if h.choose(3) == 0 {
		h.access = modelAccesses[h.choose(len(modelAccesses))]
	}
	knows := !record.Open && other == "broker"
	h.latest = map[string][]claim{}
	h.note("comes back to %s, record %s", other, h.record)
	open := h.pending
	h.ghosts = h.ghosts || slices.ContainsFunc(open, func(q request) bool { return q.subscribe != nil })
	h.pending = nil
	h.begin()
	turn := h.table.Turn()
	h.carry(turn.Resume(record, other, h.access), nil, nil)
	turn.End()
	h.due = false
	if calm {
		fresh := maybe
		if knows {
			fresh = always
		}
		h.gains(before, fresh)
	}
	if lost {
		h.asksAnew()
	}
	for _, q := range open {
		if q.subscribe != nil {
			for _, f := range q.subscribe.Filters {
				h.unsure[f.TopicFilter] = true
			}
		}
	}
	for _, q := range open { // a client asks again for what was not answered
		q.packetID = h.packetID()
		if q.subscribe != nil {
			s := *q.subscribe
			s.PacketID = q.packetID
			q.subscribe = &s
		} else {
			u := *q.unsubscribe
			u.PacketID = q.packetID
			q.unsubscribe = &u
		}
		h.ask(q)
	}
}

// asksAnew is what a client does whose Session is not present: it subscribes to all that it had.
func (h *history) asksAnew() {
	had := h.wishes
	h.wishes = map[string]wish{}
	for _, filter := range slices.Sorted(maps.Keys(had)) {
		s := &frames.Subscribe{PacketID: h.packetID(), Filters: []frames.Subscription{had[filter].asked}}
		if id := had[filter].id; id != 0 {
			s.Properties = s.Properties.AppendUint(frames.PropSubscriptionIdentifier, id)
		}
		h.note("asks anew: %+v", s)
		h.ask(request{packetID: s.PacketID, subscribe: s})
	}
}
