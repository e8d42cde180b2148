package session

import (
	"encoding/hex"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"topicgate/frames"
	"topicgate/gateway/internal/play"
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
func wholeRooms(t *testing.T, v frames.Version) *play.Conversation {
	t.Helper()
	r := newRooms(t, func(o *rigOptions) { o.NarrowMax = 1 })
	c := r.Connect(v, "alice")
	id := uint32(0)
	if v == frames.V5 {
		id = 7
	}
	c.Asks(1, id, play.At(1, "room/#"))
	c.Asked("room/#")
	c.Grants(1, 1)
	c.Granted(1, 1)
	return c
}

const roomThree, roomFour = "pattern read room/three/#\n", "pattern read room/four/#\n"

// A subscription over TOPICGATE_NARROW_MAX is held as it was asked for whatever is joined: the new room's
// retained messages are fetched, and no others.
func TestARoomJoinedOverTheMaximumBringsItsRetainedMessages(t *testing.T) {
	play.EachVersion(t, func(t *testing.T, v frames.Version) {
		c := wholeRooms(t, v)
		for range 2 { // joined, left, joined again
			c.Follow(roomRules)
			c.SetRules(roomRules + roomThree)
			fetch := c.Asked("room/three/#")
			gone := c.Left("room/three/#")
			if o := fetch.Filters[0]; o.QoS != 1 || o.RetainHandling != 0 {
				t.Errorf("the room is fetched with %+v; want QoS 1 and its retained messages", o)
			}
			if v != frames.V5 {
				c.Reply(keptHex(v, "room/three/x"))
				c.Hears(keptHex(v, "room/three/x"))
			} else {
				alias := identifier(fetch.Properties)
				if alias == 0 || alias == 7 {
					t.Errorf("the room is fetched with Subscription Identifier %d; want one of the gateway's own", alias)
				}
				// Live messages come by both.
				c.Reply(keptHex(v, "room/three/x", alias) + messageHex(v, "room/three/x", alias) + messageHex(v, "room/three/x", 7))
				c.Hears(keptHex(v, "room/three/x", 7))
				c.Hears(messageHex(v, "room/three/x", 7))
			}
			c.Grants(fetch.PacketID, 1)
			c.Releases(gone)
		}
	})
}

// More rooms at once than TOPICGATE_NARROW_MAX: the filter is fetched whole, and what the client has had is
// told by what it could read before.
func TestManyRoomsJoinedAtOnceAreFetchedAsAWhole(t *testing.T) {
	t.Run("5.0", func(t *testing.T) {
		c := wholeRooms(t, frames.V5)
		c.SetRules(roomRules + roomThree + roomFour)
		fetch, again := c.Asked("room/#"), c.Asked("room/#")
		alias := identifier(fetch.Properties)
		if identifier(again.Properties) != 7 || again.Filters[0].RetainHandling != 2 || alias == 7 {
			t.Errorf("SUBSCRIBE %+v, then %+v; want retained messages of the first, and what was asked for at the end", fetch, again)
		}
		come := func(topic string, arrives bool) {
			c.Reply(keptHex(c.V, topic, alias))
			if arrives {
				c.Hears(keptHex(c.V, topic, 7))
			}
		}
		come("room/one/x", false)
		come("room/three/x", true)
		come("room/five/x", false) // not allowed
		c.Grants(fetch.PacketID, 1)
		c.Grants(again.PacketID, 1)
		come("room/two/x", false) // the broker had no room to send it at once
		come("room/four/x", true)
	})
	t.Run("3.1.1", func(t *testing.T) {
		c := wholeRooms(t, frames.V311)
		c.SetRules(roomRules + roomThree + roomFour)
		again := c.Asked("room/#")
		end := c.Left(topicNone)
		c.Grants(again.PacketID, 1)
		c.Reply(keptHex(c.V, "room/one/x"))
		c.Reply(keptHex(c.V, "room/three/x"))
		c.Hears(keptHex(c.V, "room/three/x"))
		c.Reply(keptHex(c.V, "room/two/x"))
		c.Reply(keptHex(c.V, "room/four/x"))
		c.Hears(keptHex(c.V, "room/four/x"))
		c.Releases(end)
	})
}

// Brokers such as mosquitto 2.0 keep No Local and Retain As Published as a filter has them first: a fetch by a filter
// that is held does not begin it with others.
func TestAFetchByAFilterThatIsHeldHasItsOptions(t *testing.T) {
	r := newRooms(t, func(o *rigOptions) { o.NarrowMax = 1 })
	c := r.Connect(frames.V5, "alice")
	c.Asks(1, 7, frames.Subscription{TopicFilter: "room/+/x", NoLocal: true, RetainAsPublished: true})
	c.Grants(c.Asked("room/+/x").PacketID, 0)
	c.Granted(1, 0)
	c.SetRules(roomRules + roomThree + roomFour)
	for range 2 { // the fetch, and what is to be held
		if o := c.Asked("room/+/x").Filters[0]; !o.NoLocal || !o.RetainAsPublished {
			t.Errorf("SUBSCRIBE %+v; want No Local and Retain As Published", o)
		}
	}
}

// With Retain As Published a live message may look like a stored one that the client has: a filter that is held is
// fetched by others that match the same, so that it comes by another identifier.
func TestALiveMessageIsNotLostInAFetch(t *testing.T) {
	for held, reworded := range map[string][]string{"room/#": {"room/+/#", "room"}, "#": {"+/#"}} {
		r := newRooms(t, func(o *rigOptions) { o.NarrowMax = 1 })
		c := r.Connect(frames.V5, "alice")
		c.Asks(1, 7, frames.Subscription{TopicFilter: held, RetainAsPublished: true})
		c.Grants(c.Asked(held).PacketID, 0)
		c.Granted(1, 0)
		c.SetRules(roomRules + roomThree + roomFour)
		alias := identifier(c.Asked(reworded...).Properties)
		c.Left(reworded...)
		c.Reply(keptHex(c.V, "room/one/x", alias))    // stored, which it has
		c.Reply(messageHex(c.V, "room/one/x", alias)) // live, by the fetch
		c.Reply(keptHex(c.V, "room/one/x", 7))        // live, by what is held
		c.Hears(keptHex(c.V, "room/one/x", 7))
		c.Reply(keptHex(c.V, "room/three/x", alias))
		c.Hears(keptHex(c.V, "room/three/x", 7))
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
				r.SetRules(allowed + denied)
				c := r.Connect(v, "alice")
				other := play.At(0, "room/one/+")
				if v == frames.V5 {
					other.RetainHandling = retainNever
				}
				c.Asks(1, 0, play.At(1, "room/#"), other)
				c.Asked("room/#", "room/one/+")
				c.Grants(1, 1, 0)
				c.Granted(1, 1, 0)
				r.SetRules(allowed)
				var ids []uint32
				if v == frames.V5 {
					fetch := c.Asked("room/+/secret")
					ids = append(ids, identifier(fetch.Properties))
				} else { // no Retain Handling: the other wants them too
					c.Asked("room/+/secret", "room/one/secret")
				}
				c.Reply(keptHex(v, "room/one/secret", ids...))
				c.Hears(keptHex(v, "room/one/secret"))
			})
		}
	}
}

// A Session of which it is not stored what could be read, since it was too much: over the maximum, nothing is fetched
// for it, and nothing twice.
func TestASleeperOfWhomNothingIsKnownFetchesNothing(t *testing.T) {
	r := newRooms(t, func(o *rigOptions) { o.NarrowMax = 1 })
	c := r.Connect(frames.V5, "alice")
	c.NothingUp() // begun
	go r.onlySession().restore(&storedSubscriptions{Subscriptions: []storedSubscription{{Filter: "room/#", QoS: 1, ID: 3, Pieces: []string{"room/#"}}}})
	c.NothingUp()
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
			r.SetRules(tt.before)
			c := r.Connect(frames.V5, "alice")
			c.Asks(1, 0, play.At(1, "room/#"))
			c.Grants(c.Asked("room/#").PacketID, 1)
			c.Granted(1, 1)
			stored, _, _ := r.onlySession().subs.snapshot(false)
			c.WS.Close()
			for len(r.server.Sessions()) > 0 {
				runtime.Gosched()
			}
			r.SetRules(tt.now)
			c = r.Connect(frames.V5, "alice")
			c.NothingUp() // begun
			go r.onlySession().restore(&stored)
			if tt.want == nil {
				c.NothingUp()
				return
			}
			fetch := c.Asked(tt.want...)
			c.Left(tt.want...)
			id := identifier(fetch.Properties)
			topic := strings.NewReplacer("+", "one", "#", "x").Replace(tt.want[0])
			c.Reply(keptHex(c.V, topic, id))
			c.Hears(keptHex(c.V, topic))
		})
	}
}

// The Accesses of fetches are kept for late messages, but not of many reviews, however many fetches each has.
func TestFetchesKeepFewAccesses(t *testing.T) {
	c := wholeRooms(t, frames.V5)
	s := rigOf(c).onlySession()
	c.Asks(2, 8, play.At(0, "room/+/x"))
	c.Grants(c.Asked("room/+/x").PacketID, 0)
	c.Granted(2, 0)
	for i := range 2 * maxStepsKept {
		rules := roomRules
		for j := range i + 1 {
			rules += fmt.Sprintf("pattern read room/a%d/#\npattern read room/b%d/#\n", j, j)
		}
		c.SetRules(rules)
		fetch, more := c.Asked("room/#"), c.Asked("room/+/x")
		c.Grants(fetch.PacketID, 1)
		c.Grants(more.PacketID, 1)
		for range 2 { // and each once more, as it is to be
			p, err := frames.ParseSubscribe(c.FromGateway(frames.TypeSubscribe), c.V)
			if err != nil {
				t.Fatal(err)
			}
			c.Grants(p.PacketID, 1)
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
	c := r.Connect(frames.V5, "alice")
	const n = 2 * maxStepsKept
	for i := range uint16(n) {
		c.Asks(1+i, 10+uint32(i), play.At(1, fmt.Sprintf("room/+/%d/#", i)))
		s := c.Asked(fmt.Sprintf("room/one/%d/#", i), fmt.Sprintf("room/two/%d/#", i))
		c.Grants(s.PacketID, 1, 1)
		c.Granted(1+i, 1)
	}
	r.SetRules(roomRules + "pattern read room/+/+\n")
	aliases := map[int]uint32{}
	for i := range n {
		s := c.Asked(fmt.Sprintf("room/+/%d", i))
		aliases[i] = identifier(s.Properties)
	}
	for i := range n {
		topic := fmt.Sprintf("room/one/%d", i)
		c.Reply(keptHex(c.V, topic, aliases[i]))
		topic = fmt.Sprintf("room/new/%d", i)
		c.Reply(keptHex(c.V, topic, aliases[i]))
		c.Hears(keptHex(c.V, topic, 10+uint32(i)))
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
			c.SetRules(roomRules + roomThree)
			for !s.access().Receive([]byte("room/three/x")).Allowed {
				runtime.Gosched()
			}
			c.Reply(keptHex(v, "room/three/x"))
			c.Reply(messageHex(v, "room/three/x"))
			c.Hears(messageHex(v, "room/three/x")) // live
			s.subs.order.Unlock()
			fetch := c.Asked("room/three/#")
			var ids []uint32
			if v == frames.V5 {
				ids = append(ids, identifier(fetch.Properties))
			}
			c.Reply(keptHex(v, "room/three/x", ids...))
			p, err := frames.ParsePublish(c.Expect(frames.TypePublish), v)
			if err != nil || !p.Retain || string(p.TopicName) != "room/three/x" {
				t.Errorf("%s: client got %+v, %v; want the room's retained message", v, p, err)
			}
		}
	})
	t.Run("5.0", func(t *testing.T) {
		c := wholeRooms(t, frames.V5)
		c.SetRules(roomRules + roomThree + roomFour)
		first := identifier(c.Asked("room/#").Properties)
		c.Asked("room/#")
		c.SetRules(roomRules + roomThree + roomFour + "pattern read room/five/#\n")
		fetch := c.Asked("room/five/#")
		second := identifier(fetch.Properties)
		gone := c.Left("room/five/#")
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
			c.Reply(keptHex(c.V, m.topic, m.id))
			if m.arrives {
				c.Hears(keptHex(c.V, m.topic, 7))
			}
		}
		c.Grants(fetch.PacketID, 1)
		c.Releases(gone)
		c.Reply(keptHex(c.V, "room/five/y", 7)) // no more to come by the fetch: not ours to judge
		c.Hears(keptHex(c.V, "room/five/y", 7))
	})
	t.Run("3.1.1", func(t *testing.T) {
		c := wholeRooms(t, frames.V311)
		c.SetRules(roomRules + roomThree)
		fetch := c.Asked("room/three/#")
		gone := c.Left("room/three/#")
		c.Reply(keptHex(c.V, "room/three/x")) // by whatever it comes
		c.Hears(keptHex(c.V, "room/three/x"))
		c.Grants(fetch.PacketID, 1)
		c.Reply(keptHex(c.V, "room/three/x"))
		c.Reply(keptHex(c.V, "room/three/y"))
		c.Hears(keptHex(c.V, "room/three/y"))
		c.Releases(gone)
		c.Reply(keptHex(c.V, "room/three/x"))
		c.Hears(keptHex(c.V, "room/three/x"))
	})
}

// A client that asks for Retain As Published is sent live messages that look like stored ones: they are not
// taken for those.
func TestALiveMessageWithItsRetainFlagIsNoStoredOne(t *testing.T) {
	r := newRooms(t, func(o *rigOptions) { o.NarrowMax = 1 })
	c := r.Connect(frames.V5, "alice")
	c.Asks(1, 7, frames.Subscription{TopicFilter: "room/#", RetainAsPublished: true})
	c.Asked("room/#")
	c.Grants(1, 0)
	c.Granted(1, 0)
	c.SetRules(roomRules + roomThree)
	c.Asked("room/three/#")
	c.Left("room/three/#")
	c.Reply(keptHex(c.V, "room/three/x", 7))
	c.Hears(keptHex(c.V, "room/three/x", 7))
}

// A SUBSCRIBE that comes between a change and its review is asked for by the rights of the last review, so
// that the next one brings what is new, once.
func TestASubscribeBeforeTheReviewLeavesWhatIsNewToIt(t *testing.T) {
	r := newRooms(t)
	c := r.Subscribed(frames.V5)
	s := r.onlySession()
	s.subs.mu.Lock() // the change is seen, but not by reviewers
	before := s.subs.reviewed
	s.subs.mu.Unlock()
	r.SetRules(roomRules + roomThree)
	c.Asked("room/three/#")
	s.subs.mu.Lock()
	s.subs.reviewed = before
	s.subs.mu.Unlock()
	c.Asks(2, 0, play.At(1, "room/+/x"))
	c.Asked("room/one/x", "room/two/x")
	c.Asked("room/three/x")
}

// One subscription fetches by the very filter that another comes to be held by: both have the message, though the
// second asks for it only if its filter is new to the broker.
func TestAFetchByAFilterThatIsNewIsNotItsBeginning(t *testing.T) {
	r := newRooms(t, func(o *rigOptions) { o.NarrowMax = 1 })
	r.SetRules(roomRules + roomThree + "pattern deny room/three/#\n")
	c := r.Connect(frames.V5, "alice")
	c.Asks(1, 7, play.At(1, "room/#"))
	c.Grants(c.Asked("room/#").PacketID, 1)
	c.Granted(1, 1)
	c.Asks(2, 8, frames.Subscription{TopicFilter: "room/three/#", RetainHandling: retainIfNew})
	c.Granted(2, 0)
	r.SetRules(roomRules + roomThree)
	c.Asked("room/three/#")
	if s := c.Asked("room/three/#"); identifier(s.Properties) != 8 || s.Filters[0].RetainHandling != retainAlways {
		t.Errorf("after the fetch: SUBSCRIBE %+v; want identifier 8 and its retained messages", s)
	}
}
