package subs

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"

	"topicgate/frames"
	"topicgate/policy"
)

// What a client can make the gateway do is linear in its packet and in what that changes. Work is counted by what it
// allocates: each comparison of two lists that grows with their product would show.

// accessTo is what somebody may do who has these rooms.
func accessTo(t *testing.T, text string, rooms int) *policy.Access {
	t.Helper()
	rules, err := policy.Parse("test", text)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for i := range rooms {
		names = append(names, fmt.Sprintf("r%d", i))
	}
	set, _ := policy.NewSet(names)
	return policy.NewAccess(policy.Principal{Username: "alice", ClientID: "c"}, map[string]policy.Set{"rooms": set}, rules)
}

// costly is a table with one client, whose broker grants everything at once.
type costly struct {
	*Table
	ids    IDs
	access *policy.Access
	packet uint16
}

func newCostly(access *policy.Access) *costly {
	c := &costly{Table: &Table{}, access: access}
	c.Begin(&Settings{NarrowMax: 1000}, Terms{Version: frames.V5, Identifiers: true, BrokerMaximum: 1 << 21})
	return c
}

// commit commits a plan and lets the broker answer.
func (c *costly) commit(p *Plan, relayed *Packet) {
	all, err := p.Commit(&c.ids, nil)
	if err != nil {
		panic(err)
	}
	if all.Relay {
		all.Packets = []Packet{*relayed}
	}
	for _, packet := range all.Packets {
		answer, id, n := frames.TypeSuback, packet.subscribe.PacketID, len(packet.subscribe.Filters)
		if n == 0 {
			answer, id, n = frames.TypeUnsuback, packet.unsubscribe.PacketID, len(packet.unsubscribe.TopicFilters)
		}
		c.Answer(answer, id, make([]frames.ReasonCode, n), true)
		c.ids.ReleaseOwn(id)
	}
}

func (c *costly) subscribe(id uint32, filters ...string) {
	c.packet++
	s := frames.Subscribe{PacketID: c.packet}
	if id != 0 {
		s.Properties = s.Properties.AppendUint(frames.PropSubscriptionIdentifier, id)
	}
	for _, filter := range filters {
		s.Filters = append(s.Filters, frames.Subscription{TopicFilter: filter})
	}
	turn := c.Turn()
	defer turn.End()
	c.commit(turn.Subscribe(&s, c.access), &Packet{subscribe: s})
}

func (c *costly) unsubscribe(filters ...string) {
	c.packet++
	u := frames.Unsubscribe{PacketID: c.packet, TopicFilters: filters}
	turn := c.Turn()
	defer turn.End()
	c.commit(turn.Unsubscribe(&u), &Packet{unsubscribe: u})
}

func (c *costly) review() {
	turn := c.Turn()
	defer turn.End()
	c.commit(turn.Review(c.access), nil)
}

// deliver1000 delivers a message often enough that what costs little shows.
func (c *costly) deliver1000(topic string) {
	for range 1000 {
		publish := frames.Publish{TopicName: []byte(topic), Properties: frames.Properties(nil).AppendUint(frames.PropSubscriptionIdentifier, 1)}
		c.Deliver(&publish, publish.TopicName, c.access)
	}
}

func numbered(format string, n int) (filters []string) {
	for i := range n {
		filters = append(filters, fmt.Sprintf(format, i))
	}
	return filters
}

// allocations counts those of one call, which can be made but once.
func allocations(f func()) float64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return float64(after.Mallocs - before.Mallocs)
}

func TestAPacketCostsWhatIsLinearInIt(t *testing.T) {
	everything := accessTo(t, "pattern read #\n", 0)
	rooms := accessTo(t, "pattern read room/{rooms}/#\n", 1000)
	for _, tt := range []struct {
		name string
		cost func(n int) float64
		most float64 // times as much for ten times n
	}{
		{"UNSUBSCRIBE of filters that nobody knows", func(n int) float64 {
			c := newCostly(everything)
			filters := numbered("unknown/%d", n)
			return allocations(func() { c.unsubscribe(filters...) })
		}, 12},
		{"UNSUBSCRIBE of one filter, again and again", func(n int) float64 {
			c := newCostly(everything)
			filters := strings.Split(strings.Repeat("a ", n-1)+"a", " ")
			return allocations(func() { c.unsubscribe(filters...) })
		}, 12},
		{"UNSUBSCRIBE of all that is held", func(n int) float64 {
			c := newCostly(everything)
			filters := numbered("a/%d", n)
			c.subscribe(1, filters...)
			return allocations(func() { c.unsubscribe(filters...) })
		}, 12},
		{"SUBSCRIBE to different filters", func(n int) float64 {
			c := newCostly(everything)
			filters := numbered("a/%d", n)
			return allocations(func() { c.subscribe(1, filters...) })
		}, 12},
		{"SUBSCRIBE to one filter of a thousand rooms, again and again", func(n int) float64 {
			c := newCostly(rooms)
			filters := strings.Split(strings.Repeat("room/# ", n-1)+"room/#", " ")
			return allocations(func() { c.subscribe(1, filters...) })
		}, 1.2},
		{"SUBSCRIBE to one filter more beside those that overlap it", func(n int) float64 {
			c := newCostly(accessTo(t, "pattern read a/b/c/d/e/f/g/h/i/j/k/l\n", 0))
			// Each of these filters comes to the same piece.
			overlapping := func(i int) string {
				levels := strings.Split("a/b/c/d/e/f/g/h/i/j/k/l", "/")
				for bit := range levels {
					if i>>bit&1 == 1 {
						levels[bit] = "+"
					}
				}
				return strings.Join(levels, "/")
			}
			for i := range n {
				c.subscribe(1+uint32(i%2), overlapping(i))
			}
			return allocations(func() { c.subscribe(3, overlapping(n)) })
		}, 1.5},
		{"SUBSCRIBE whose identifier differs from that of all that there are", func(n int) float64 {
			c := newCostly(everything)
			filters := numbered("a/%d", n)
			c.subscribe(1, filters...)
			return allocations(func() { c.subscribe(2, filters[0]) })
		}, 1.5},
		{"UNSUBSCRIBE of one of many owners of a piece", func(n int) float64 {
			c := newCostly(accessTo(t, "pattern read a/b/c/d/e/f/g/h/i/j/k/l\n", 0))
			for i := range n {
				levels := strings.Split("a/b/c/d/e/f/g/h/i/j/k/l", "/")
				for bit := range levels {
					if i>>bit&1 == 1 {
						levels[bit] = "+"
					}
				}
				c.subscribe(1, strings.Join(levels, "/"))
			}
			return allocations(func() { c.unsubscribe("a/b/c/d/e/f/g/h/i/j/k/l") })
		}, 1.5},
		{"a review of many subscriptions", func(n int) float64 {
			c := newCostly(accessTo(t, "pattern read a/{rooms}/#\n", n))
			c.subscribe(1, numbered("a/r%d/x", n)...)
			c.access = accessTo(t, "pattern read a/{rooms}/#\n", n/2)
			return allocations(func() { c.review() })
		}, 12},
		{"a review of one room more beside many", func(n int) float64 {
			c := newCostly(accessTo(t, "pattern read a/{rooms}/#\n", n))
			c.settings.NarrowMax = 5000
			c.subscribe(1, "a/#")
			c.access = accessTo(t, "pattern read a/{rooms}/#\n", n+1)
			return allocations(func() { c.review() })
		}, 12},
		{"a Session that is resumed", func(n int) float64 {
			c := newCostly(everything)
			c.subscribe(1, numbered("a/%d", n)...)
			record, settled := c.Record("b")
			if !settled {
				t.Fatal("the broker has not answered")
			}
			again := newCostly(everything)
			turn := again.Turn()
			defer turn.End()
			return allocations(func() { again.commit(turn.Resume(record, "b", again.access), nil) })
		}, 12},
		{"a PUBLISH of the broker's beside many subscriptions", func(n int) float64 {
			c := newCostly(everything)
			c.subscribe(1, numbered("a/%d/#", n)...)
			return allocations(func() { c.deliver1000("a/7/x") })
		}, 1.5},
		{"a PUBLISH of the broker's for a client with many rooms", func(n int) float64 {
			c := newCostly(accessTo(t, "pattern read a/{rooms}/#\n", n))
			c.subscribe(1, "a/#")
			return allocations(func() { c.deliver1000("a/r7/x") })
		}, 1.5},
	} {
		t.Run(tt.name, func(t *testing.T) {
			small, large := tt.cost(200), tt.cost(2000)
			if large > tt.most*small+20 {
				t.Errorf("%.0f allocations for 200, %.0f for 2,000; want at most %v times as many", small, large, tt.most)
			}
		})
	}
}

// Who listens to the gateway's own topics is found without a look at all that a client is subscribed to.
func TestTheGatewaysOwnTopicsAreListedApart(t *testing.T) {
	c := newCostly(accessTo(t, "pattern read #\n", 0))
	c.subscribe(0, numbered("a/%d", 20_000)...)
	c.subscribe(7, TopicRejected)
	if len(c.locals) != 1 {
		t.Errorf("%d subscriptions are looked at; want one", len(c.locals))
	}
	if ids, ok := c.Hears(TopicRejected); !ok || len(ids) != 1 || ids[0] != 7 {
		t.Errorf("Hears(%q) = %v, %v; want identifier 7", TopicRejected, ids, ok)
	}
	if _, ok := c.Hears(TopicAccess); ok {
		t.Errorf("Hears(%q); nobody listens to it", TopicAccess)
	}
}

// A broker that answers nothing is asked no more for reviews' sake.
func TestABrokerThatAnswersNothingIsNotAskedForEver(t *testing.T) {
	c := newCostly(accessTo(t, "pattern read room/{rooms}/#\n", 0))
	turn := c.Turn()
	defer turn.End()
	if c.Congested() {
		t.Fatal("congested without a packet")
	}
	for i := range maxWaiting {
		u := frames.Unsubscribe{PacketID: uint16(i + 1), TopicFilters: []string{"x"}}
		if _, err := turn.Unsubscribe(&u).Commit(&c.ids, nil); err != nil {
			t.Fatal(err)
		}
	}
	if !c.Congested() {
		t.Errorf("not congested with %d packets that wait", maxWaiting)
	}
}

// Subscriptions have a bound in bytes: near it they are held as they were made, beyond it there are no more.
func TestSubscriptionsAreBoundedInBytes(t *testing.T) {
	c := newCostly(accessTo(t, "pattern read room/{rooms}/#\n", 2))
	c.weight = maxWeight - 2*filterOverhead
	turn := c.Turn()
	defer turn.End()
	ask := func(filter string) *Plan {
		return turn.Subscribe(&frames.Subscribe{PacketID: 1, Filters: []frames.Subscription{{TopicFilter: filter}}}, c.access)
	}
	if p := ask("room/#"); len(p.touched) != 1 || p.touched[0].held.filter != "room/#" {
		t.Errorf("near the bound room/# is held as %+v; want as it is", p.touched)
	}
	c.weight = maxWeight + 1
	if p := ask("room/r1/#"); len(p.Refused) != 1 || p.Refused[0].Decision.Reason != "quota" {
		t.Errorf("beyond the bound: %+v is refused; want the quota", p.Refused)
	}
}

// The Accesses of fetches are kept for late messages, but not of many reviews, however many fetches each has.
func TestFetchesKeepFewAccesses(t *testing.T) {
	c := newCostly(accessTo(t, "pattern read room/{rooms}/#\n", 2))
	c.settings.NarrowMax = 1
	c.subscribe(1, "room/#", "room/+/x")
	for i := range 2 * keptSteps {
		c.access = accessTo(t, "pattern read room/{rooms}/#\n", 3+i)
		turn := c.Turn()
		c.commit(turn.Review(c.access), nil)
		turn.End()
	}
	kept := 0
	for _, h := range c.aliases.held {
		if h.fetch != nil && !h.fetch.late {
			kept++
		}
	}
	if kept != 2*keptSteps || len(c.catchUp.fetching) != kept {
		t.Errorf("%d fetches keep an Access, %d are listed; want the two of each of %d reviews", kept, len(c.catchUp.fetching), keptSteps)
	}
}

// A SUBSCRIBE that comes between a change and its review is asked for by the rights of the last review, so that the next
// one brings what is new, once.
func TestASubscribeBeforeTheReviewLeavesWhatIsNewToIt(t *testing.T) {
	c := newCostly(accessTo(t, "pattern read room/{rooms}/#\n", 1))
	c.subscribe(1, "room/#")
	c.access = accessTo(t, "pattern read room/{rooms}/#\n", 2)
	turn := c.Turn()
	defer turn.End()
	p := turn.Subscribe(&frames.Subscribe{PacketID: 9, Filters: []frames.Subscription{{TopicFilter: "room/+/x"}}}, c.access)
	if !p.Outdated(c.access) || len(p.Covers) != 1 || len(p.Covers[0].Covers) != 1 || p.Covers[0].Covers[0] != "room/r0/x" {
		t.Errorf("the new one covers %+v, outdated %v; want what the last review knew of", p.Covers, p.Outdated(c.access))
	}
	if _, err := p.Commit(&c.ids, nil); err != nil {
		t.Fatal(err)
	}
	all, err := turn.Review(c.access).Commit(&c.ids, nil)
	if err != nil {
		t.Fatal(err)
	}
	var brought []string
	for _, packet := range all.Packets {
		for _, f := range packet.subscribe.Filters {
			brought = append(brought, f.TopicFilter)
		}
	}
	slices.Sort(brought)
	if !slices.Equal(brought, []string{"room/r1/#", "room/r1/x"}) {
		t.Errorf("the review asks for %q; want what is new to both, once", brought)
	}
}
