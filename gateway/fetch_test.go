package gateway

import (
	"encoding/hex"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"topicgate/frames"
)

// keptHex is a retained message as it comes with a SUBSCRIBE, in hex.
func keptHex(v frames.Version, topic string, ids ...uint32) string {
	p := frames.Publish{TopicName: []byte(topic), Retain: true}
	for _, id := range ids {
		p.Properties = p.Properties.AppendUint(frames.PropSubscriptionIdentifier, id)
	}
	return hex.EncodeToString(p.Append(nil, v))
}

// wholeRooms is a client whose room/# is held as it is, over the maximum.
func wholeRooms(t *testing.T, v frames.Version) *conversation {
	t.Helper()
	r := newRooms(t, func(o *rigOptions) { o.NarrowMax = 1 })
	c := r.connect(v, "alice")
	id := uint32(0)
	if v == frames.V5 {
		id = 7
	}
	c.asks(1, id, at(1, "room/#"))
	c.asked("room/#")
	c.grants(1, 1)
	c.granted(1, 1)
	return c
}

const roomThree, roomFour = "pattern read room/three/#\n", "pattern read room/four/#\n"

// A subscription over TOPICGATE_NARROW_MAX is held as it was asked for whatever is joined: the new room's
// retained messages are fetched, and no others.
func TestARoomJoinedOverTheMaximumBringsItsRetainedMessages(t *testing.T) {
	eachVersion(t, func(t *testing.T, v frames.Version) {
		c := wholeRooms(t, v)
		for range 2 { // joined, left, joined again
			c.follow(roomRules)
			c.setRules(roomRules + roomThree)
			fetch := c.asked("room/three/#")
			gone := c.left("room/three/#")
			if o := fetch.Filters[0]; o.QoS != 1 || o.RetainHandling != 0 {
				t.Errorf("the room is fetched with %+v; want QoS 1 and its retained messages", o)
			}
			if v != frames.V5 {
				c.reply(keptHex(v, "room/three/x"))
				c.hears(keptHex(v, "room/three/x"))
			} else {
				alias := identifier(fetch.Properties)
				if alias == 0 || alias == 7 {
					t.Errorf("the room is fetched with Subscription Identifier %d; want one of the gateway's own", alias)
				}
				// Live messages come by both.
				c.reply(keptHex(v, "room/three/x", alias) + messageHex(v, "room/three/x", alias) + messageHex(v, "room/three/x", 7))
				c.hears(keptHex(v, "room/three/x", 7))
				c.hears(messageHex(v, "room/three/x", 7))
			}
			c.grants(fetch.PacketID, 1)
			c.releases(gone)
		}
	})
}

// More rooms at once than TOPICGATE_NARROW_MAX: the filter is fetched whole, and what the client has had is
// told by what it could read before.
func TestManyRoomsJoinedAtOnceAreFetchedAsAWhole(t *testing.T) {
	t.Run("5.0", func(t *testing.T) {
		c := wholeRooms(t, frames.V5)
		c.setRules(roomRules + roomThree + roomFour)
		fetch, again := c.asked("room/#"), c.asked("room/#")
		alias := identifier(fetch.Properties)
		if identifier(again.Properties) != 7 || again.Filters[0].RetainHandling != 2 || alias == 7 {
			t.Errorf("SUBSCRIBE %+v, then %+v; want retained messages of the first, and what was asked for at the end", fetch, again)
		}
		come := func(topic string, arrives bool) {
			c.reply(keptHex(c.v, topic, alias))
			if arrives {
				c.hears(keptHex(c.v, topic, 7))
			}
		}
		come("room/one/x", false)
		come("room/three/x", true)
		come("room/five/x", false) // not allowed
		c.grants(fetch.PacketID, 1)
		c.grants(again.PacketID, 1)
		come("room/two/x", false) // the broker had no room to send it at once
		come("room/four/x", true)
	})
	t.Run("3.1.1", func(t *testing.T) {
		c := wholeRooms(t, frames.V311)
		c.setRules(roomRules + roomThree + roomFour)
		again := c.asked("room/#")
		end := c.left(topicNone)
		c.grants(again.PacketID, 1)
		c.reply(keptHex(c.v, "room/one/x"))
		c.reply(keptHex(c.v, "room/three/x"))
		c.hears(keptHex(c.v, "room/three/x"))
		c.reply(keptHex(c.v, "room/two/x"))
		c.reply(keptHex(c.v, "room/four/x"))
		c.hears(keptHex(c.v, "room/four/x"))
		c.releases(end)
	})
}

// Brokers such as mosquitto 2.0 keep No Local and Retain As Published as a filter has them first: a fetch by a filter
// that is held does not begin it with others.
func TestAFetchByAFilterThatIsHeldHasItsOptions(t *testing.T) {
	r := newRooms(t, func(o *rigOptions) { o.NarrowMax = 1 })
	c := r.connect(frames.V5, "alice")
	c.asks(1, 7, frames.Subscription{TopicFilter: "room/+/x", NoLocal: true, RetainAsPublished: true})
	c.grants(c.asked("room/+/x").PacketID, 0)
	c.granted(1, 0)
	c.setRules(roomRules + roomThree + roomFour)
	for range 2 { // the fetch, and what is to be held
		if o := c.asked("room/+/x").Filters[0]; !o.NoLocal || !o.RetainAsPublished {
			t.Errorf("SUBSCRIBE %+v; want No Local and Retain As Published", o)
		}
	}
}

// With Retain As Published a live message may look like a stored one that the client has: a filter that is held is
// fetched by others that match the same, so that it comes by another identifier.
func TestALiveMessageIsNotLostInAFetch(t *testing.T) {
	for held, reworded := range map[string][]string{"room/#": {"room/+/#", "room"}, "#": {"+/#"}} {
		r := newRooms(t, func(o *rigOptions) { o.NarrowMax = 1 })
		c := r.connect(frames.V5, "alice")
		c.asks(1, 7, frames.Subscription{TopicFilter: held, RetainAsPublished: true})
		c.grants(c.asked(held).PacketID, 0)
		c.granted(1, 0)
		c.setRules(roomRules + roomThree + roomFour)
		alias := identifier(c.asked(reworded...).Properties)
		c.left(reworded...)
		c.reply(keptHex(c.v, "room/one/x", alias))    // stored, which it has
		c.reply(messageHex(c.v, "room/one/x", alias)) // live, by the fetch
		c.reply(keptHex(c.v, "room/one/x", 7))        // live, by what is held
		c.hears(keptHex(c.v, "room/one/x", 7))
		c.reply(keptHex(c.v, "room/three/x", alias))
		c.hears(keptHex(c.v, "room/three/x", 7))
	}
}

// What a deny had cut out of a subscription comes with its retained messages when the deny goes, in both
// modes, and what the client had before does not come again.
func TestALiftedDenyBringsTheRetainedMessages(t *testing.T) {
	const allowed, denied = "pattern read room/#\n", "pattern deny room/+/secret\n"
	for _, mode := range []SubscribeMode{SubscribeNarrow, SubscribeStrict} {
		for _, v := range []frames.Version{frames.V311, frames.V5} {
			t.Run(string(mode)+" "+v.String(), func(t *testing.T) {
				r := newRooms(t, func(o *rigOptions) { o.SubscribeMode = mode })
				r.setRules(allowed + denied)
				c := r.connect(v, "alice")
				other := at(0, "room/one/+")
				if v == frames.V5 {
					other.RetainHandling = retainNever
				}
				c.asks(1, 0, at(1, "room/#"), other)
				c.asked("room/#", "room/one/+")
				c.grants(1, 1, 0)
				c.granted(1, 1, 0)
				r.setRules(allowed)
				var ids []uint32
				if v == frames.V5 {
					fetch := c.asked("room/+/secret")
					ids = append(ids, identifier(fetch.Properties))
				} else { // no Retain Handling: the other wants them too
					c.asked("room/+/secret", "room/one/secret")
				}
				c.reply(keptHex(v, "room/one/secret", ids...))
				c.hears(keptHex(v, "room/one/secret"))
			})
		}
	}
}

// A Session of which it is not stored what could be read, since it was too much: over the maximum, nothing is fetched
// for it, and nothing twice.
func TestASleeperOfWhomNothingIsKnownFetchesNothing(t *testing.T) {
	r := newRooms(t, func(o *rigOptions) { o.NarrowMax = 1 })
	c := r.connect(frames.V5, "alice")
	c.nothingUp() // begun
	go r.onlySession().restore(&storedSubscriptions{Subscriptions: []storedSubscription{{Filter: "room/#", QoS: 1, ID: 3, Pieces: []string{"room/#"}}}})
	c.nothingUp()
}

// What came to be readable while the client was away, and no piece says so, is fetched when it is back; what it had
// is not.
func TestASleeperFetchesWhatItHasGained(t *testing.T) {
	const all, denied = "pattern read room/#\n", "pattern deny room/+/secret\n"
	for _, tt := range []struct {
		name        string
		mode        SubscribeMode
		before, now string
		want        []string
	}{
		{"nothing over the maximum", SubscribeNarrow, roomRules, roomRules, nil},
		{"a room over the maximum", SubscribeNarrow, roomRules, roomRules + roomThree, []string{"room/three/#"}},
		{"a room over the maximum for another", SubscribeNarrow, roomRules, "pattern read room/one/#\n" + roomThree, []string{"room/three/#"}},
		{"no deny is lifted", SubscribeNarrow, all + denied, all + denied, nil},
		{"a deny is lifted", SubscribeNarrow, all + denied, all, []string{"room/+/secret"}},
		{"a deny is lifted, strict", SubscribeStrict, all + denied, all, []string{"room/+/secret"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRooms(t, func(o *rigOptions) { o.NarrowMax, o.SubscribeMode = 1, tt.mode })
			r.setRules(tt.before)
			c := r.connect(frames.V5, "alice")
			c.asks(1, 0, at(1, "room/#"))
			c.grants(c.asked("room/#").PacketID, 1)
			c.granted(1, 1)
			stored, _, _ := r.onlySession().subs.snapshot(false)
			c.ws.Close()
			for len(r.server.Sessions()) > 0 {
				runtime.Gosched()
			}
			r.setRules(tt.now)
			c = r.connect(frames.V5, "alice")
			c.nothingUp() // begun
			go r.onlySession().restore(&stored)
			if tt.want == nil {
				c.nothingUp()
				return
			}
			fetch := c.asked(tt.want...)
			c.left(tt.want...)
			id := identifier(fetch.Properties)
			topic := strings.NewReplacer("+", "one", "#", "x").Replace(tt.want[0])
			c.reply(keptHex(c.v, topic, id))
			c.hears(keptHex(c.v, topic))
		})
	}
}

// The Accesses of fetches are kept for late messages, but not of many reviews, however many fetches each has.
func TestFetchesKeepFewAccesses(t *testing.T) {
	c := wholeRooms(t, frames.V5)
	s := rigOf(c).onlySession()
	c.asks(2, 8, at(0, "room/+/x"))
	c.grants(c.asked("room/+/x").PacketID, 0)
	c.granted(2, 0)
	for i := range 2 * maxStepsKept {
		rules := roomRules
		for j := range i + 1 {
			rules += fmt.Sprintf("pattern read room/a%d/#\npattern read room/b%d/#\n", j, j)
		}
		c.setRules(rules)
		fetch, more := c.asked("room/#"), c.asked("room/+/x")
		c.grants(fetch.PacketID, 1)
		c.grants(more.PacketID, 1)
		for range 2 { // and each once more, as it is to be
			p, err := frames.ParseSubscribe(c.fromGateway(frames.TypeSubscribe), c.v)
			if err != nil {
				t.Fatal(err)
			}
			c.grants(p.PacketID, 1)
		}
	}
	s.subs.mu.Lock()
	defer s.subs.mu.Unlock()
	kept := 0
	for _, h := range s.subs.aliases {
		if h.fetched != nil {
			kept++
		}
	}
	if kept != 2*maxStepsKept || len(s.subs.fetched) != kept {
		t.Errorf("%d fetches keep an Access, %d are listed; want the two of each of %d reviews", kept, len(s.subs.fetched), maxStepsKept)
	}
}

// What a client has does not come again, by whichever of its subscriptions that now cover more: all fetch in the
// same review.
func TestManySubscriptionsFetchInOneReview(t *testing.T) {
	r := newRooms(t)
	c := r.connect(frames.V5, "alice")
	const n = 2 * maxStepsKept
	for i := range uint16(n) {
		c.asks(1+i, 10+uint32(i), at(1, fmt.Sprintf("room/+/%d/#", i)))
		s := c.asked(fmt.Sprintf("room/one/%d/#", i), fmt.Sprintf("room/two/%d/#", i))
		c.grants(s.PacketID, 1, 1)
		c.granted(1+i, 1)
	}
	r.setRules(roomRules + "pattern read room/+/+\n")
	aliases := map[int]uint32{}
	for i := range n {
		s := c.asked(fmt.Sprintf("room/+/%d", i))
		aliases[i] = identifier(s.Properties)
	}
	for i := range n {
		topic := fmt.Sprintf("room/one/%d", i)
		c.reply(keptHex(c.v, topic, aliases[i]))
		topic = fmt.Sprintf("room/new/%d", i)
		c.reply(keptHex(c.v, topic, aliases[i]))
		c.hears(keptHex(c.v, topic, 10+uint32(i)))
	}
}

// What a room brings comes by the review that follows the change, once: not by what was asked for before, broad as
// it is and late.
func TestWhatIsNewComesByItsOwnReview(t *testing.T) {
	t.Run("before the review", func(t *testing.T) {
		eachOf := []frames.Version{frames.V311, frames.V5}
		for _, v := range eachOf {
			c := wholeRooms(t, v)
			s := rigOf(c).onlySession()
			s.subs.order.Lock() // the review has to wait
			c.setRules(roomRules + roomThree)
			for !s.access().Receive([]byte("room/three/x")).Allowed {
				runtime.Gosched()
			}
			c.reply(keptHex(v, "room/three/x"))
			c.reply(messageHex(v, "room/three/x"))
			c.hears(messageHex(v, "room/three/x")) // live
			s.subs.order.Unlock()
			fetch := c.asked("room/three/#")
			var ids []uint32
			if v == frames.V5 {
				ids = append(ids, identifier(fetch.Properties))
			}
			c.reply(keptHex(v, "room/three/x", ids...))
			p, err := frames.ParsePublish(c.expect(frames.TypePublish), v)
			if err != nil || !p.Retain || string(p.TopicName) != "room/three/x" {
				t.Errorf("%s: client got %+v, %v; want the room's retained message", v, p, err)
			}
		}
	})
	t.Run("5.0", func(t *testing.T) {
		c := wholeRooms(t, frames.V5)
		c.setRules(roomRules + roomThree + roomFour)
		first := identifier(c.asked("room/#").Properties)
		c.asked("room/#")
		c.setRules(roomRules + roomThree + roomFour + "pattern read room/five/#\n")
		fetch := c.asked("room/five/#")
		second := identifier(fetch.Properties)
		gone := c.left("room/five/#")
		for _, m := range []struct {
			topic   string
			id      uint32
			arrives bool
		}{
			{"room/five/x", 7, false}, // by a SUBSCRIBE of the client's
			{"room/five/x", first, false},
			{"room/three/x", 7, false},
			{"room/three/x", first, true},
			{"room/five/x", second, true},
		} {
			c.reply(keptHex(c.v, m.topic, m.id))
			if m.arrives {
				c.hears(keptHex(c.v, m.topic, 7))
			}
		}
		c.grants(fetch.PacketID, 1)
		c.releases(gone)
		c.reply(keptHex(c.v, "room/five/y", 7)) // no more to come by the fetch: not ours to judge
		c.hears(keptHex(c.v, "room/five/y", 7))
	})
	t.Run("3.1.1", func(t *testing.T) {
		c := wholeRooms(t, frames.V311)
		c.setRules(roomRules + roomThree)
		fetch := c.asked("room/three/#")
		gone := c.left("room/three/#")
		c.reply(keptHex(c.v, "room/three/x")) // by whatever it comes
		c.hears(keptHex(c.v, "room/three/x"))
		c.grants(fetch.PacketID, 1)
		c.reply(keptHex(c.v, "room/three/x"))
		c.reply(keptHex(c.v, "room/three/y"))
		c.hears(keptHex(c.v, "room/three/y"))
		c.releases(gone)
		c.reply(keptHex(c.v, "room/three/x"))
		c.hears(keptHex(c.v, "room/three/x"))
	})
}

// A client that asks for Retain As Published is sent live messages that look like stored ones: they are not
// taken for those.
func TestALiveMessageWithItsRetainFlagIsNoStoredOne(t *testing.T) {
	r := newRooms(t, func(o *rigOptions) { o.NarrowMax = 1 })
	c := r.connect(frames.V5, "alice")
	c.asks(1, 7, frames.Subscription{TopicFilter: "room/#", RetainAsPublished: true})
	c.asked("room/#")
	c.grants(1, 0)
	c.granted(1, 0)
	c.setRules(roomRules + roomThree)
	c.asked("room/three/#")
	c.left("room/three/#")
	c.reply(keptHex(c.v, "room/three/x", 7))
	c.hears(keptHex(c.v, "room/three/x", 7))
}

// A SUBSCRIBE that comes between a change and its review is asked for by the rights of the last review, so
// that the next one brings what is new, once.
func TestASubscribeBeforeTheReviewLeavesWhatIsNewToIt(t *testing.T) {
	r := newRooms(t)
	c := r.subscribed(frames.V5)
	s := r.onlySession()
	s.subs.mu.Lock() // the change is seen, but not by reviewers
	before := s.subs.reviewed
	s.subs.mu.Unlock()
	r.setRules(roomRules + roomThree)
	c.asked("room/three/#")
	s.subs.mu.Lock()
	s.subs.reviewed = before
	s.subs.mu.Unlock()
	c.asks(2, 0, at(1, "room/+/x"))
	c.asked("room/one/x", "room/two/x")
	c.asked("room/three/x")
}

// One subscription fetches by the very filter that another comes to be held by: both have the message, though the
// second asks for it only if its filter is new to the broker.
func TestAFetchByAFilterThatIsNewIsNotItsBeginning(t *testing.T) {
	r := newRooms(t, func(o *rigOptions) { o.NarrowMax = 1 })
	r.setRules(roomRules + roomThree + "pattern deny room/three/#\n")
	c := r.connect(frames.V5, "alice")
	c.asks(1, 7, at(1, "room/#"))
	c.grants(c.asked("room/#").PacketID, 1)
	c.granted(1, 1)
	c.asks(2, 8, frames.Subscription{TopicFilter: "room/three/#", RetainHandling: retainIfNew})
	c.granted(2, 0)
	r.setRules(roomRules + roomThree)
	c.asked("room/three/#")
	if s := c.asked("room/three/#"); identifier(s.Properties) != 8 || s.Filters[0].RetainHandling != retainAlways {
		t.Errorf("after the fetch: SUBSCRIBE %+v; want identifier 8 and its retained messages", s)
	}
}
