package subs

import (
	"bytes"
	"reflect"
	"slices"
	"strings"
	"testing"

	"topicgate/frames"
)

// What is long in a client's packet goes upstream once, however many packets come of it.
func TestTheClientsPropertiesGoUpOnce(t *testing.T) {
	user := frames.Properties(nil).AppendPair(frames.PropUserProperty, []byte("k"), bytes.Repeat([]byte("x"), 65_000))
	sizes := func(all []Packet) (total, carriers int) {
		for _, p := range all {
			packet := p.Append(nil, frames.V5)
			total += len(packet)
			if len(p.subscribe.Properties)+len(p.unsubscribe.Properties) > 1000 {
				carriers++
			}
		}
		return total, carriers
	}
	c := newCostly(accessTo(t, "pattern read room/{rooms}/#\n", 1000))
	turn := c.Turn()
	defer turn.End()
	properties := slices.Concat(user, frames.Properties(nil).AppendUint(frames.PropSubscriptionIdentifier, 5))
	s := frames.Subscribe{PacketID: 1, Properties: properties, Filters: []frames.Subscription{{TopicFilter: "room/#"}}}
	all, err := turn.Subscribe(&s, c.access).Commit(&c.ids, properties)
	if err != nil {
		t.Fatal(err)
	}
	filters := 0
	for _, p := range all.Packets {
		if id, _ := p.subscribe.Properties.Uint(frames.PropSubscriptionIdentifier); id != 5 {
			t.Errorf("a SUBSCRIBE has identifier %d; want the client's", id)
		}
		filters += len(p.subscribe.Filters)
	}
	if total, carriers := sizes(all.Packets); filters != 1000 || len(all.Packets) < 2 || carriers != 1 || total > 100_000 {
		t.Errorf("SUBSCRIBE: %d packets with %d filters and %d bytes, %d of them with the properties; want 1000 filters and the properties once",
			len(all.Packets), filters, total, carriers)
	}
	if all.Packets[0].subscribe.PacketID != 1 || len(all.Packets[0].subscribe.Properties) < 65_000 {
		t.Errorf("the first SUBSCRIBE has Packet Identifier %d and %d bytes of properties; want the client's",
			all.Packets[0].subscribe.PacketID, len(all.Packets[0].subscribe.Properties))
	}
	for _, p := range all.Packets {
		c.Answer(frames.TypeSuback, p.subscribe.PacketID, make([]frames.ReasonCode, len(p.subscribe.Filters)), true)
	}
	all, err = turn.Unsubscribe(&frames.Unsubscribe{PacketID: 2, Properties: user, TopicFilters: []string{"room/#"}}).Commit(&c.ids, user)
	if err != nil {
		t.Fatal(err)
	}
	if total, carriers := sizes(all.Packets); len(all.Packets) < 2 || carriers != 1 || total > 100_000 {
		t.Errorf("UNSUBSCRIBE: %d packets of %d bytes, %d of them with the properties; want them once", len(all.Packets), total, carriers)
	}
}

// A packet of the gateway's own may have an identifier that the client comes to use: that is no error of the client's.
func TestWhatTheGatewayAwaitsIsNotTheClients(t *testing.T) {
	c := newCostly(accessTo(t, "pattern read room/{rooms}/#\n", 1))
	c.subscribe(0, "room/#")
	turn := c.Turn()
	defer turn.End()
	all, err := turn.Review(accessTo(t, "pattern read room/{rooms}/#\n", 2)).Commit(&c.ids, nil)
	if err != nil || len(all.Packets) != 1 {
		t.Fatalf("the review asks with %d packets, %v; want one", len(all.Packets), err)
	}
	if id := all.Packets[0].subscribe.PacketID; c.Awaits(id) || c.Settled() {
		t.Errorf("Awaits(%d) is %v, Settled() %v; want an answer that is awaited, and not by the client", id, c.Awaits(id), c.Settled())
	}
	u := &frames.Unsubscribe{PacketID: 9, TopicFilters: []string{"unknown"}}
	if _, err := turn.Unsubscribe(u).Commit(&c.ids, nil); err != nil || !c.Awaits(9) {
		t.Errorf("Awaits(9) is %v, %v; want the client's UNSUBSCRIBE awaited", c.Awaits(9), err)
	}
	c.Answer(frames.TypeUnsuback, 9, []frames.ReasonCode{frames.NoSubscriptionExisted}, true)
	if c.Awaits(9) {
		t.Error("Awaits(9) though it is answered")
	}
}

// An identifier of the gateway's own is found without a look at all those that are taken.
func TestOwnPacketIDsAreFoundWhereTheLastOneWas(t *testing.T) {
	var ids IDs
	take := func(want uint16) {
		t.Helper()
		if id, ok := ids.TakeOwn(); id != want || !ok {
			t.Errorf("TakeOwn() = %d, %v; want %d", id, ok, want)
		}
		if looked := 65535 - want + 1; ids.top != looked {
			t.Errorf("after %d the next look begins below %d; want %d", want, ids.top, looked)
		}
	}
	ids.Take(65535 - 3)
	for _, id := range []uint16{65535, 65534, 65533, 65531, 65530} {
		take(id)
	}
	ids.ReleaseOwn(65533)
	take(65533)
	take(65529)
	ids.Release(65535 - 3)
	take(65532)
	for range 65535 - 7 {
		if _, ok := ids.TakeOwn(); !ok {
			t.Fatal("there are free ones")
		}
	}
	if id, ok := ids.TakeOwn(); ok {
		t.Errorf("TakeOwn() = %d though all are taken", id)
	}
	ids.ReleaseOwn(1)
	take(1)
}

// A filter that stands several times in one SUBSCRIBE counts once, as it stands last; each place has a code of its own.
func TestARepeatedFilterCountsAsItStandsLast(t *testing.T) {
	c := newCostly(accessTo(t, "pattern read room/{rooms}/#\n", 2))
	turn := c.Turn()
	defer turn.End()
	s := &frames.Subscribe{PacketID: 4, Filters: []frames.Subscription{
		{TopicFilter: "room/#", QoS: 0}, {TopicFilter: "elsewhere", QoS: 1}, {TopicFilter: "room/#", QoS: 2}, {TopicFilter: "elsewhere", QoS: 0},
		{TopicFilter: "room/#", QoS: 1, NoLocal: true},
	}}
	p := turn.Subscribe(s, c.access)
	if len(p.Refused) != 1 || len(p.Allowed) != 1 || p.Allowed[0] != s.Filters[4] || len(p.Covers) != 1 {
		t.Errorf("allowed %+v, refused %+v, covers %+v; want each filter once, as it stands last", p.Allowed, p.Refused, p.Covers)
	}
	all, err := p.Commit(&c.ids, nil)
	if err != nil || all.Relay || len(all.Packets) != 1 || len(all.Packets[0].subscribe.Filters) != 2 {
		t.Fatalf("Commit() = %+v, %v; want one SUBSCRIBE of two rooms", all, err)
	}
	for _, f := range all.Packets[0].subscribe.Filters {
		if f.QoS != 1 || !f.NoLocal {
			t.Errorf("asked for %+v; want QoS 1, No Local", f)
		}
	}
	heard := c.Answer(frames.TypeSuback, 4, []frames.ReasonCode{1, 1}, true)
	want := frames.Suback{PacketID: 4, Reasons: []frames.ReasonCode{0, frames.NotAuthorized, 1, frames.NotAuthorized, 1}}.Append(nil, frames.V5)
	if !heard.Whole || heard.Relay || !bytes.Equal(heard.Packet, want) {
		t.Errorf("Answer() = %+v; want % x", heard, want)
	}
}

// A plan changes nothing before it is committed, however many are made.
func TestAPlanChangesNothing(t *testing.T) {
	c := newCostly(accessTo(t, "pattern read room/{rooms}/#\n", 3))
	c.subscribe(1, "room/#", TopicRejected)
	c.subscribe(2, "room/+/x")
	before, _ := c.Record("b")
	weight := c.weight
	turn := c.Turn()
	defer turn.End()
	more := accessTo(t, "pattern read room/{rooms}/#\npattern read #\n", 2)
	for _, p := range []*Plan{
		turn.Review(more),
		turn.Subscribe(&frames.Subscribe{PacketID: 7, Filters: []frames.Subscription{{TopicFilter: "room/+/#", QoS: 2}, {TopicFilter: "#"}}}, more),
		turn.Unsubscribe(&frames.Unsubscribe{PacketID: 7, TopicFilters: []string{"room/#", TopicRejected, "unknown"}}),
	} {
		if !p.Changes() || p.Record("b") == nil {
			t.Errorf("plan %+v changes nothing", p)
		}
	}
	after, settled := c.Record("b")
	sorted := func(r *Record) []Recorded {
		slices.SortFunc(r.Subscriptions, func(x, y Recorded) int { return strings.Compare(x.Filter, y.Filter) })
		return r.Subscriptions
	}
	if !settled || !reflect.DeepEqual(sorted(before), sorted(after)) || c.weight != weight || !c.Listens() || c.Awaits(7) {
		t.Errorf("settled %v, weight %d, recorded %+v; want %d and %+v", settled, c.weight, after, weight, before)
	}
}
