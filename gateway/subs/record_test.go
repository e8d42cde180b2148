package subs

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"topicgate/frames"
)

// A record that is too long is given up when it is, not when it is whole: each packet of the client's makes one.
func TestARecordThatIsTooLongIsGivenUp(t *testing.T) {
	costs := func(n int) (planned, settled float64) {
		c := newCostly(accessTo(t, "pattern read #\n", 0))
		c.subscribe(1, numbered("a/%06d", n)...)
		turn := c.Turn()
		defer turn.End()
		p := turn.Unsubscribe(&frames.Unsubscribe{PacketID: 9, TopicFilters: []string{"unknown"}})
		planned = allocations(func() {
			if p.Record("b") != nil {
				t.Errorf("%d subscriptions fit into a record", n)
			}
		})
		settled = allocations(func() {
			if record, known := c.Record("b"); record != nil || !known {
				t.Errorf("Record() = %+v, %v for %d subscriptions; want none, of what is known", record, known, n)
			}
		})
		return planned, settled
	}
	planned, settled := costs(4_000)
	if p, s := costs(40_000); p > 1.2*planned+20 || s > 1.2*settled+20 {
		t.Errorf("%.0f and %.0f allocations for 4,000 subscriptions, %.0f and %.0f for 40,000; want as many", planned, settled, p, s)
	}
}

// What fits is at most MaxRecordBytes in JSON, which may take more than the text.
func TestARecordHasABound(t *testing.T) {
	for n := 1; n < 400; n += 7 {
		c := newCostly(accessTo(t, "pattern read #\n", 0))
		c.subscribe(1, numbered(strings.Repeat(`<"`, 50)+"/%d", n)...)
		record, _ := c.Record("b")
		if record == nil {
			break // by its text alone
		}
		if data, fits := record.Bytes(); fits != (len(data) <= MaxRecordBytes) {
			t.Errorf("%d subscriptions: %d bytes, which fit: %v; want at most %d", n, len(data), fits, MaxRecordBytes)
		}
	}
}

// An open record tells of all that the broker may have, however its session ends: what is asked for, what is leaving and
// what was leaving before and is not answered.
func TestAnOpenRecordTellsOfAllThatTheBrokerMayHave(t *testing.T) {
	c := newCostly(accessTo(t, "pattern read room/{rooms}/#\n", 2))
	c.subscribe(1, "room/#")
	turn := c.Turn()
	defer turn.End()
	sent := func(p *Plan) *Record {
		record := p.Record("b")
		if _, err := p.Commit(&c.ids, nil); err != nil { // which the broker does not answer
			t.Fatal(err)
		}
		return record
	}
	want := func(record *Record, subscribed, leaving []string) {
		t.Helper()
		var filters []string
		for _, s := range record.Subscriptions {
			filters = append(filters, s.Pieces...)
		}
		slices.Sort(filters)
		slices.Sort(record.Leaving)
		if !record.Open || record.Broker != "b" || !slices.Equal(filters, subscribed) || !slices.Equal(record.Leaving, leaving) {
			t.Errorf("kept: %+v; want an open record of %q, leaving %q", record, subscribed, leaving)
		}
	}
	want(sent(turn.Unsubscribe(&frames.Unsubscribe{PacketID: 20, TopicFilters: []string{"unknown"}})),
		[]string{"room/r0/#", "room/r1/#"}, []string{"unknown"})
	want(sent(turn.Review(accessTo(t, "pattern read room/{rooms}/#\n", 1))),
		[]string{"room/r0/#"}, []string{"room/r1/#", "unknown"})
	want(sent(turn.Subscribe(&frames.Subscribe{PacketID: 21, Filters: []frames.Subscription{{TopicFilter: "room/r0/x"}}}, c.access)),
		[]string{"room/r0/#", "room/r0/x"}, []string{"room/r1/#", "unknown"})
	if _, settled := c.Record("b"); settled {
		t.Error("a record of what the broker has, though it has not answered")
	}
}

// Who resumes with what is no knowledge asks for all of it again and unsubscribes what was leaving; what was left in the
// meantime and is wanted again is not unsubscribed.
func TestWhatIsNoKnowledgeIsAskedForAgain(t *testing.T) {
	known := Record{Broker: "b", Subscriptions: []Recorded{{Filter: "room/#", QoS: 1, ID: 3, Pieces: []string{"room/r0/#", "room/r1/#"}}}}
	for name, tt := range map[string]struct {
		spoil          func(*Record)
		asked, leaving []string
	}{
		"knowledge":        {func(*Record) {}, nil, nil},
		"open":             {func(r *Record) { r.Open = true }, []string{"room/r0/#", "room/r1/#"}, nil},
		"another broker's": {func(r *Record) { r.Broker = "a" }, []string{"room/r0/#", "room/r1/#"}, nil},
		"of no broker":     {func(r *Record) { r.Broker = "" }, []string{"room/r0/#", "room/r1/#"}, nil},
		"open, and leaving": {func(r *Record) { r.Open, r.Leaving = true, []string{"old/#", "room/r1/#", "bad#"} },
			[]string{"room/r0/#", "room/r1/#"}, []string{"old/#"}},
	} {
		record := known
		tt.spoil(&record)
		c := newCostly(accessTo(t, "pattern read room/{rooms}/#\n", 2))
		turn := c.Turn()
		all, err := turn.Resume(&record, "b", c.access).Commit(&c.ids, nil)
		if err != nil {
			t.Fatal(err)
		}
		turn.End()
		var asked, leaving []string
		for _, p := range all.Packets {
			leaving = append(leaving, p.unsubscribe.TopicFilters...)
			for _, f := range p.subscribe.Filters {
				asked = append(asked, f.TopicFilter)
				if f.QoS != 1 || f.RetainHandling != retainNever {
					t.Errorf("%s: asked for again: %+v; want QoS 1, Retain Handling 2", name, f)
				}
			}
		}
		if !slices.Equal(asked, tt.asked) || !slices.Equal(leaving, tt.leaving) {
			t.Errorf("%s: asked for %q, left %q; want %q, %q", name, asked, leaving, tt.asked, tt.leaving)
		}
	}
}

// A broker of which not all is known may use Subscription Identifiers of an older connection's: the client hears none of
// the gateway's, and those that are its own.
func TestIdentifiersOfOlderConnectionsAreNotHeard(t *testing.T) {
	for _, knows := range []bool{true, false} {
		c := newCostly(accessTo(t, "pattern read room/{rooms}/#\n", 2))
		turn := c.Turn()
		c.commit(turn.Resume(&Record{Broker: "b", Open: !knows, Subscriptions: []Recorded{
			{Filter: "room/#", ID: 3, Pieces: []string{"room/r0/#"}},
		}}, "b", c.access), nil)
		turn.End()
		p := &frames.Publish{TopicName: []byte("room/r0/x")}
		for _, id := range []uint32{maxSubscriptionID - 7, 3} {
			p.Properties = p.Properties.AppendUint(frames.PropSubscriptionIdentifier, id)
		}
		_, withheld := c.Deliver(p, p.TopicName, c.access)
		var ids []uint32
		for property := range p.Properties.All() {
			ids = append(ids, property.Uint())
		}
		want := []uint32{maxSubscriptionID - 7, 3} // it is the client's, as far as one knows
		if !knows {
			want = []uint32{3}
		}
		if withheld || !slices.Equal(ids, want) {
			t.Errorf("knows %v: withheld %v, identifiers %v; want %v", knows, withheld, ids, want)
		}
		record, _ := c.Record("b")
		if record.Strangers == knows {
			t.Errorf("knows %v: the next record says of strangers: %v", knows, record.Strangers)
		}
	}
}

// What a record says is checked as if a client had sent it.
func TestARecordIsChecked(t *testing.T) {
	for _, bad := range []Recorded{
		{Filter: "a/#/b"}, {Filter: ""}, {Filter: "a", QoS: 3}, {Filter: "a", RetainHandling: 3}, {Filter: "a", Pieces: []string{"b#"}},
		{Filter: "a", Covers: []string{"+b"}}, {Filter: "a\x00"},
	} {
		c := newCostly(accessTo(t, "pattern read #\n", 0))
		turn := c.Turn()
		p := turn.Resume(&Record{Broker: "b", Subscriptions: []Recorded{bad}}, "b", c.access)
		if !turn.Empty() || p.Changes() {
			t.Errorf("%+v is taken over", bad)
		}
		turn.End()
	}
	for _, data := range []string{"", "[]", `{"subscriptions":[`, `{"subscriptions":[{"filter":7}]}`} {
		if r, err := ParseRecord([]byte(data)); err == nil {
			t.Errorf("ParseRecord(%q) = %+v; want an error", data, r)
		}
	}
	record := &Record{Broker: "b", Open: true, Strangers: true, Vague: true, Leaving: []string{"x"}, Subscriptions: []Recorded{{Filter: "a", QoS: 1, ID: 7}}}
	data, _ := record.Bytes()
	if again, err := ParseRecord(data); err != nil || fmt.Sprint(again) != fmt.Sprint(record) {
		t.Errorf("ParseRecord(%s) = %+v, %v; want %+v", data, again, err, record)
	}
}

// A review that changes nothing upstream, of what is held as it was asked for, changes what could be read: who comes back
// to a room that was left in between gets its retained messages.
func TestARecordTellsWhatCouldBeReadLast(t *testing.T) {
	const text = "pattern read room/{rooms}/#\n"
	three, two := accessTo(t, text, 3), accessTo(t, text, 2)
	c := newCostly(three)
	c.settings.NarrowMax = 1
	c.subscribe(1, "room/#")
	turn := c.Turn()
	p := turn.Review(two) // room/r2 is left
	if p.Changes() || !p.Rereads() {
		t.Errorf("Changes() = %v, Rereads() = %v; want no change for the broker, and another record", p.Changes(), p.Rereads())
	}
	c.commit(p, nil)
	if again := turn.Review(two); again.Rereads() {
		t.Error("a review by the same rules asks for another record")
	}
	turn.End()
	kept, _ := c.Record("b")
	d := newCostly(three) // it comes back, and has room/r2 again
	d.settings.NarrowMax = 1
	turn = d.Turn()
	defer turn.End()
	if p := turn.Resume(kept, "b", three); len(p.packets) == 0 {
		t.Error("nothing is fetched; want the retained messages of room/r2")
	}
}

// A broker that knows no Subscription Identifiers gets none of those that another one's record has: it would end the
// connection (0xA1), again and again.
func TestIdentifiersOfARecordAreForWhoKnowsThem(t *testing.T) {
	access := accessTo(t, "pattern read room/{rooms}/#\n", 2)
	c := newCostly(access)
	c.subscribe(3, "room/#")
	r, _ := c.Record("b")
	d := newCostly(access)
	d.terms.Identifiers = false
	turn := d.Turn()
	defer turn.End()
	all, err := turn.Resume(r, "other", access).Commit(&d.ids, nil)
	if err != nil || len(all.Packets) == 0 {
		t.Fatalf("%d packets, %v; want all asked for again", len(all.Packets), err)
	}
	for _, p := range all.Packets {
		if id, ok := p.subscribe.Properties.Uint(frames.PropSubscriptionIdentifier); ok {
			t.Errorf("SUBSCRIBE with identifier %d", id)
		}
	}
}
