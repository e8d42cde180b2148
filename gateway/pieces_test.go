package gateway

import (
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"topicgate/frames"
)

// A piece that two subscriptions have in common brings what either of them wants: the own messages that one does
// not want and the other does, and the retain flag. What only the second wanted ends with it.
func TestASharedPieceHasTheOptionsOfBoth(t *testing.T) {
	c := newRooms(t).connect(frames.V5, "alice")
	piece := func(want frames.Subscription) {
		t.Helper()
		s, err := frames.ParseSubscribe(c.fromGateway(frames.TypeSubscribe), c.v)
		if err != nil {
			t.Fatal(err)
		}
		if got := s.Filters[0]; got != want {
			t.Errorf("the piece is asked for by %+v; want %+v", got, want)
		}
	}
	c.asks(1, 0, frames.Subscription{TopicFilter: "room/one/#", NoLocal: true})
	piece(frames.Subscription{TopicFilter: "room/one/#", NoLocal: true})
	c.asks(2, 0, frames.Subscription{TopicFilter: "room/+/#", RetainAsPublished: true})
	piece(frames.Subscription{TopicFilter: "room/one/#", RetainAsPublished: true})
	c.send(frames.Unsubscribe{PacketID: 3, TopicFilters: []string{"room/+/#"}}.Append(nil, c.v))
	c.left("room/two/#")
	piece(frames.Subscription{TopicFilter: "room/one/#", NoLocal: true, RetainHandling: retainNever})
}

// What takes the place of a shared subscription's pieces is asked for before those are let go: no message is lost
// in between.
func TestAWiderPieceOfASharedSubscriptionComesFirst(t *testing.T) {
	r := newRooms(t)
	c := r.connect(frames.V5, "alice")
	c.asks(1, 0, at(1, "$share/g/room/#"))
	c.grants(c.asked("$share/g/room/one/#", "$share/g/room/two/#").PacketID, 1, 1)
	c.granted(1, 1)
	r.setRules(roomRules + "pattern read room/+/public\n") // meets the rooms: room/+/#
	c.asked("$share/g/room/+/#")
	c.left("$share/g/room/one/#", "$share/g/room/two/#")
}

// A client may ask again for what the broker has refused, before the gateway has forgotten it: what it is granted
// then is its own and stays.
func TestARefusedFilterThatIsAskedForAgainStays(t *testing.T) {
	c := newRooms(t).connect(frames.V311, "alice")
	c.nothingUp() // begun
	s := rigOf(c).onlySession()
	reviews := func(held bool) {
		s.subs.requested.mu.Lock()
		defer s.subs.requested.mu.Unlock()
		s.subs.requested.running = held // no other reviewer comes to it meanwhile
	}
	reviews(true)
	defer reviews(false)
	for i, code := range []frames.ReasonCode{frames.UnspecifiedError, 1} {
		id := uint16(i + 1)
		c.asks(id, 0, at(1, "room/one/#"))
		c.grants(c.asked("room/one/#").PacketID, code)
		c.granted(id, code)
	}
	go func() {
		s.review(func() {})
		c.say("c0 00")
	}()
	c.passes("c0 00") // and no UNSUBSCRIBE before
}

// A piece may be held at a higher QoS than one of its subscriptions asks for; that one is granted what it asked for.
func TestASharedPieceGrantsNoMoreThanWasAskedFor(t *testing.T) {
	c := newRooms(t).connect(frames.V311, "alice")
	c.asks(1, 0, at(2, "room/one/#"))
	c.grants(c.asked("room/one/#").PacketID, 2)
	c.granted(1, 2)
	c.asks(2, 0, at(0, "room/+/#"))
	c.grants(c.asked("room/one/#", "room/two/#").PacketID, 2, 0)
	c.granted(2, 0)
}

// What the broker refuses is no subscription: it is not stored, and counts against no quota.
func TestASubscriptionThatTheBrokerRefusesIsForgotten(t *testing.T) {
	r := newRooms(t)
	c := r.connect(frames.V311, "alice")
	c.asks(1, 0, at(1, "room/one/#"))
	c.grants(c.asked("room/one/#").PacketID, frames.UnspecifiedError)
	c.granted(1, frames.UnspecifiedError)
	s := r.onlySession()
	r.until("the subscription is forgotten", func() bool { return len(storedOf(&s.subs)) == 0 })
	c.nothingUp()
}

// A message that is under way while its piece is replaced comes with the identifier of its subscription.
func TestAMessageUnderWayKeepsItsIdentifier(t *testing.T) {
	r := newRooms(t)
	c := r.connect(frames.V5, "alice")
	c.asks(1, 11, at(0, "room/one/#"))
	c.grants(c.asked("room/one/#").PacketID, 0)
	c.granted(1, 0)
	c.asks(2, 22, at(0, "room/+/#"))
	shared := c.asked("room/one/#")
	alias := identifier(shared.Properties)
	c.grants(c.asked("room/two/#").PacketID, 0)
	c.grants(shared.PacketID, 0)
	c.granted(2, 0)
	c.send(frames.Unsubscribe{PacketID: 3, TopicFilters: []string{"room/one/#"}}.Append(nil, c.v))
	c.hears("b0 04 00 03 00 00") // the piece stays, for the other
	r.setRules(roomRules + "pattern read room/+/public\n")
	c.asked("room/+/public")
	c.asked("room/+/#")
	c.left("room/+/public", "room/one/#", "room/two/#")
	c.reply(messageHex(c.v, "room/one/x", alias))
	c.hears(messageHex(c.v, "room/one/x", 22))
}

// A piece that no packet to the broker could hold is not asked for: the subscription is held as it was made, and
// what is new is fetched by that too.
func TestAPieceThatIsTooLongForTheBrokerIsHeldAsAskedFor(t *testing.T) {
	r := newRooms(t)
	long := func(room string) string { return "pattern read room/" + strings.Repeat(room, 300) + "/#\n" }
	r.setRules(long("x"))
	c := r.connectWith(connectOf(frames.V5, "alice"), "20 08 00 00 05 27 00 00 01 00") // Maximum Packet Size 256
	c.asks(1, 0, at(1, "room/#"))
	c.grants(c.asked("room/#").PacketID, 1)
	c.granted(1, 1)
	r.setRules(long("x") + long("y"))
	if fetch := c.asked("room/#"); identifier(fetch.Properties) == 0 {
		t.Errorf("the retained messages are asked for by %+v; want an identifier of the gateway's", fetch)
	}
}

// Subscriptions have a bound in bytes: near it they are held as they were made, beyond it there are no more.
func TestSubscriptionsAreBoundedInBytes(t *testing.T) {
	r := newRooms(t)
	c := r.connect(frames.V5, "alice")
	c.nothingUp() // begun
	s := r.onlySession()
	weigh := func(weight int) {
		s.subs.mu.Lock()
		defer s.subs.mu.Unlock()
		s.subs.weight = weight
	}
	weigh(maxSubscriptionBytes - 2*filterOverhead)
	c.asks(1, 0, at(1, "room/#"))
	c.asked("room/#")
	weigh(maxSubscriptionBytes + 1)
	c.asks(2, 0, at(1, "room/one/#"))
	c.granted(2, frames.QuotaExceeded)
}

// The gateway's own topics are none of the broker's, whatever the rules say.
func TestTheGatewaysOwnTopicsAreNeverSubscribedUpstream(t *testing.T) {
	r := newRooms(t)
	c := r.connect(frames.V311, "alice")
	c.asks(1, 0, at(1, "$topicgate/access"), at(0, "$topicgate/#"))
	c.granted(1, 0, 0)
	c.asks(2, 0, at(1, "room/+/x"))
	c.asked("room/one/x", "room/two/x")
	r.setRules(roomRules + roomThree + "pattern read $topicgate/#\n")
	c.asked("room/three/x")
}

// A client may choose an identifier that the gateway uses already: its messages are told from the gateway's.
func TestAnIdentifierOfTheGatewaysThatTheClientChoosesToo(t *testing.T) {
	c := newRooms(t).connect(frames.V5, "alice")
	c.asks(1, 11, at(0, "room/one/#"))
	c.grants(c.asked("room/one/#").PacketID, 0)
	c.granted(1, 0)
	c.asks(2, 22, at(0, "room/one/+"), at(0, "room/+/#"))
	own := c.asked("room/one/+", "room/two/#")
	shared := c.asked("room/one/#")
	c.grants(own.PacketID, 0, 0)
	c.grants(shared.PacketID, 0)
	c.granted(2, 0, 0)
	alias := identifier(shared.Properties)
	c.asks(3, alias, at(0, "room/two/x"))
	third := c.asked("room/two/x")
	c.grants(third.PacketID, 0)
	c.granted(3, 0)
	if id := identifier(third.Properties); id == alias {
		t.Errorf("the client's subscription is held under %d, as the shared piece is", id)
	}
	c.reply(messageHex(c.v, "room/two/x", identifier(third.Properties)))
	c.hears(messageHex(c.v, "room/two/x", alias))
}

// An identifier of the gateway's is none that the client has chosen before, and each piece that is shared has its own,
// however many there are.
func TestEachSharedPieceHasAnIdentifierOfItsOwn(t *testing.T) {
	r := newRooms(t)
	var rules strings.Builder
	const rooms = manyAliases + 3
	for i := range rooms {
		fmt.Fprintf(&rules, "pattern read room/%d/#\n", i)
	}
	r.setRules(rules.String())
	c := r.connect(frames.V5, "alice")
	c.asks(1, maxSubscriptionID, at(0, "room/1/x"))
	c.grants(c.asked("room/1/x").PacketID, 0)
	c.granted(1, 0)
	c.asks(2, 11, at(0, "room/#"))
	first, err := frames.ParseSubscribe(c.fromGateway(frames.TypeSubscribe), c.v)
	if err != nil {
		t.Fatal(err)
	}
	c.grants(first.PacketID, make([]frames.ReasonCode, rooms)...)
	c.granted(2, 0)
	c.asks(3, 22, at(0, "room/+/#"))
	taken := map[uint32]bool{0: true, 11: true, 22: true, maxSubscriptionID: true}
	for range rooms {
		s, err := frames.ParseSubscribe(c.fromGateway(frames.TypeSubscribe), c.v)
		if err != nil {
			t.Fatal(err)
		}
		id := identifier(s.Properties)
		if taken[id] {
			t.Errorf("%q is asked for with identifier %d, which stands for something else", s.Filters[0].TopicFilter, id)
		}
		taken[id] = true
	}
}

// A broker may refuse to change a subscription that it has: it stays as it was, and goes on to follow the policy.
func TestASubscriptionThatIsAskedForAgainAndRefusedStays(t *testing.T) {
	r := newRooms(t)
	c := r.subscribed(frames.V311)
	c.asks(2, 0, at(1, "room/#"))
	up := c.asked("room/one/#", "room/two/#")
	c.grants(up.PacketID, frames.UnspecifiedError, frames.UnspecifiedError)
	c.granted(2, frames.UnspecifiedError)
	r.setRules(onlyTwo + roomThree)
	c.left("room/one/#")
	c.asked("room/three/#")
}

// One subscription with Retain As Published is enough for live messages to look like stored ones, though others
// without it follow.
func TestALiveMessageWithItsRetainFlagStaysLive(t *testing.T) {
	r := newRooms(t, func(o *rigOptions) { o.NarrowMax = 1 })
	c := r.connect(frames.V5, "alice")
	c.asks(1, 7, frames.Subscription{TopicFilter: "room/#", RetainAsPublished: true})
	c.grants(c.asked("room/#").PacketID, 0)
	c.granted(1, 0)
	c.asks(2, 8, at(0, "room/one/x"))
	c.grants(c.asked("room/one/x").PacketID, 0)
	c.granted(2, 0)
	c.setRules(roomRules + roomThree)
	c.asked("room/three/#")
	c.left("room/three/#")
	c.reply(keptHex(c.v, "room/three/x", 7))
	c.hears(keptHex(c.v, "room/three/x", 7))
}

// What comes besides by a fetch is kept from the client, and completed: at the broker's limit of messages under way
// the next would never come.
func TestWhatAFetchBringsBesidesIsCompleted(t *testing.T) {
	c := wholeRooms(t, frames.V5)
	c.setRules(roomRules + roomThree)
	alias := identifier(c.asked("room/three/#").Properties)
	c.left("room/three/#")
	for i, ack := range []frames.Type{frames.TypePuback, frames.TypePubrec} {
		p := frames.Publish{QoS: frames.QoS(i + 1), TopicName: []byte("room/three/x"), PacketID: 9}
		p.Properties = p.Properties.AppendUint(frames.PropSubscriptionIdentifier, alias) // live: it comes by the other too
		c.reply(hex.EncodeToString(p.Append(nil, c.v)))
		c.passes(ackHex(ack, 9, frames.Success, c.v))
	}
	c.reply(ackHex(frames.TypePubrel, 9, frames.Success, c.v))
	c.passes(ackHex(frames.TypePubcomp, 9, frames.Success, c.v))
}

// After the client's DISCONNECT the broker hears nothing, so a review must not note that anything was unsubscribed or
// subscribed: the MQTT Session has what it had.
func TestNoReviewFollowsADisconnect(t *testing.T) {
	r := newRooms(t)
	c := r.subscribed(frames.V311)
	s := r.onlySession()
	s.left.Store(true) // as if it were in the broker's hands
	r.setRules(onlyTwo)
	r.until("the change is seen", func() bool { return !s.access().Receive([]byte("room/one/x")).Allowed })
	go func() {
		s.review(func() {})
		c.say("c0 00")
	}()
	c.passes("c0 00")
	if stored := storedOf(&s.subs); len(stored) != 1 || len(stored[0].Pieces) != 2 {
		t.Errorf("stored: %+v; want room/# in two pieces, as the broker has it", stored)
	}
}

// Who wants no retained messages has none fetched (Retain Handling 2).
func TestNothingIsFetchedForWhoWantsNoRetainedMessages(t *testing.T) {
	r := newRooms(t, func(o *rigOptions) { o.NarrowMax = 1 })
	c := r.connect(frames.V5, "alice")
	c.asks(1, 7, frames.Subscription{TopicFilter: "room/#", RetainHandling: retainNever}, at(0, "room/+/x"))
	c.grants(c.asked("room/#", "room/+/x").PacketID, 0, 0)
	c.granted(1, 0, 0)
	r.setRules(roomRules + roomThree)
	c.asked("room/three/x") // for the other, and nothing before
}

// What is fetched of several new rules comes once, though they overlap.
func TestOverlappingGainsAreFetchedOnce(t *testing.T) {
	r := newRooms(t, func(o *rigOptions) { o.NarrowMax = 2 })
	r.setRules(roomRules + roomThree) // one too many: held as it is
	c := r.connect(frames.V5, "alice")
	c.asks(1, 7, at(1, "room/#"))
	c.grants(c.asked("room/#").PacketID, 1)
	c.granted(1, 1)
	r.setRules(roomRules + roomThree + roomFour + "pattern read room/+/public\n")
	fetch, err := frames.ParseSubscribe(c.fromGateway(frames.TypeSubscribe), c.v)
	if err != nil {
		t.Fatal(err)
	}
	for i, f := range fetch.Filters {
		for _, other := range fetch.Filters[:i] {
			if frames.Overlaps(f.TopicFilter, other.TopicFilter) {
				t.Errorf("%q and %q are fetched; a message would come by both", other.TopicFilter, f.TopicFilter)
			}
		}
	}
}
