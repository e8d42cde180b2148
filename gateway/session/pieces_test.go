package session

import (
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"topicgate/frames"
	"topicgate/gateway/internal/play"
)

// A piece that two subscriptions have in common brings what either of them wants: the own messages that one does
// not want and the other does, and the retain flag. What only the second wanted ends with it.
func TestASharedPieceHasTheOptionsOfBoth(t *testing.T) {
	c := newRooms(t).Connect(frames.V5, "alice")
	piece := func(want frames.Subscription) {
		t.Helper()
		s, err := frames.ParseSubscribe(c.FromGateway(frames.TypeSubscribe), c.V)
		if err != nil {
			t.Fatal(err)
		}
		if got := s.Filters[0]; got != want {
			t.Errorf("the piece is asked for by %+v; want %+v", got, want)
		}
	}
	c.Asks(1, 0, frames.Subscription{TopicFilter: "room/one/#", NoLocal: true})
	piece(frames.Subscription{TopicFilter: "room/one/#", NoLocal: true})
	c.Asks(2, 0, frames.Subscription{TopicFilter: "room/+/#", RetainAsPublished: true})
	piece(frames.Subscription{TopicFilter: "room/one/#", RetainAsPublished: true})
	c.Send(frames.Unsubscribe{PacketID: 3, TopicFilters: []string{"room/+/#"}}.Append(nil, c.V))
	c.Left("room/two/#")
	piece(frames.Subscription{TopicFilter: "room/one/#", NoLocal: true, RetainHandling: retainNever})
}

// What takes the place of a shared subscription's pieces is asked for before those are let go: no message is lost
// in between.
func TestAWiderPieceOfASharedSubscriptionComesFirst(t *testing.T) {
	r := newRooms(t)
	c := r.Connect(frames.V5, "alice")
	c.Asks(1, 0, play.At(1, "$share/g/room/#"))
	c.Grants(c.Asked("$share/g/room/one/#", "$share/g/room/two/#").PacketID, 1, 1)
	c.Granted(1, 1)
	r.SetRules(roomRules + "pattern read room/+/public\n") // meets the rooms: room/+/#
	c.Asked("$share/g/room/+/#")
	c.Left("$share/g/room/one/#", "$share/g/room/two/#")
}

// A client may ask again for what the broker has refused, before the gateway has forgotten it: what it is granted
// then is its own and stays.
func TestARefusedFilterThatIsAskedForAgainStays(t *testing.T) {
	c := newRooms(t).Connect(frames.V311, "alice")
	c.NothingUp() // begun
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
		c.Asks(id, 0, play.At(1, "room/one/#"))
		c.Grants(c.Asked("room/one/#").PacketID, code)
		c.Granted(id, code)
	}
	go func() {
		s.review(func() {})
		c.Say("c0 00")
	}()
	c.Passes("c0 00") // and no UNSUBSCRIBE before
}

// A piece may be held at a higher QoS than one of its subscriptions asks for; that one is granted what it asked for.
func TestASharedPieceGrantsNoMoreThanWasAskedFor(t *testing.T) {
	c := newRooms(t).Connect(frames.V311, "alice")
	c.Asks(1, 0, play.At(2, "room/one/#"))
	c.Grants(c.Asked("room/one/#").PacketID, 2)
	c.Granted(1, 2)
	c.Asks(2, 0, play.At(0, "room/+/#"))
	c.Grants(c.Asked("room/one/#", "room/two/#").PacketID, 2, 0)
	c.Granted(2, 0)
}

// What the broker refuses is no subscription: it is not stored, and counts against no quota.
func TestASubscriptionThatTheBrokerRefusesIsForgotten(t *testing.T) {
	r := newRooms(t)
	c := r.Connect(frames.V311, "alice")
	c.Asks(1, 0, play.At(1, "room/one/#"))
	c.Grants(c.Asked("room/one/#").PacketID, frames.UnspecifiedError)
	c.Granted(1, frames.UnspecifiedError)
	s := r.onlySession()
	r.Until("the subscription is forgotten", func() bool { return len(storedOf(&s.subs)) == 0 })
	c.NothingUp()
}

// A message that is under way while its piece is replaced comes with the identifier of its subscription.
func TestAMessageUnderWayKeepsItsIdentifier(t *testing.T) {
	r := newRooms(t)
	c := r.Connect(frames.V5, "alice")
	c.Asks(1, 11, play.At(0, "room/one/#"))
	c.Grants(c.Asked("room/one/#").PacketID, 0)
	c.Granted(1, 0)
	c.Asks(2, 22, play.At(0, "room/+/#"))
	shared := c.Asked("room/one/#")
	alias := identifier(shared.Properties)
	c.Grants(c.Asked("room/two/#").PacketID, 0)
	c.Grants(shared.PacketID, 0)
	c.Granted(2, 0)
	c.Send(frames.Unsubscribe{PacketID: 3, TopicFilters: []string{"room/one/#"}}.Append(nil, c.V))
	c.Hears("b0 04 00 03 00 00") // the piece stays, for the other
	r.SetRules(roomRules + "pattern read room/+/public\n")
	c.Asked("room/+/public")
	c.Asked("room/+/#")
	c.Left("room/+/public", "room/one/#", "room/two/#")
	c.Reply(messageHex(c.V, "room/one/x", alias))
	c.Hears(messageHex(c.V, "room/one/x", 22))
}

// A piece that no packet to the broker could hold is not asked for: the subscription is held as it was made, and
// what is new is fetched by that too.
func TestAPieceThatIsTooLongForTheBrokerIsHeldAsAskedFor(t *testing.T) {
	r := newRooms(t)
	long := func(room string) string { return "pattern read room/" + strings.Repeat(room, 300) + "/#\n" }
	r.SetRules(long("x"))
	c := r.ConnectWith(play.ConnectOf(frames.V5, "alice"), "20 08 00 00 05 27 00 00 01 00") // Maximum Packet Size 256
	c.Asks(1, 0, play.At(1, "room/#"))
	c.Grants(c.Asked("room/#").PacketID, 1)
	c.Granted(1, 1)
	r.SetRules(long("x") + long("y"))
	if fetch := c.Asked("room/#"); identifier(fetch.Properties) == 0 {
		t.Errorf("the retained messages are asked for by %+v; want an identifier of the gateway's", fetch)
	}
}

// Subscriptions have a bound in bytes: near it they are held as they were made, beyond it there are no more.
func TestSubscriptionsAreBoundedInBytes(t *testing.T) {
	r := newRooms(t)
	c := r.Connect(frames.V5, "alice")
	c.NothingUp() // begun
	s := r.onlySession()
	weigh := func(weight int) {
		s.subs.mu.Lock()
		defer s.subs.mu.Unlock()
		s.subs.weight = weight
	}
	weigh(maxSubscriptionBytes - 2*filterOverhead)
	c.Asks(1, 0, play.At(1, "room/#"))
	c.Asked("room/#")
	weigh(maxSubscriptionBytes + 1)
	c.Asks(2, 0, play.At(1, "room/one/#"))
	c.Granted(2, frames.QuotaExceeded)
}

// The gateway's own topics are none of the broker's, whatever the rules say.
func TestTheGatewaysOwnTopicsAreNeverSubscribedUpstream(t *testing.T) {
	r := newRooms(t)
	c := r.Connect(frames.V311, "alice")
	c.Asks(1, 0, play.At(1, "$topicgate/access"), play.At(0, "$topicgate/#"))
	c.Granted(1, 0, 0)
	c.Asks(2, 0, play.At(1, "room/+/x"))
	c.Asked("room/one/x", "room/two/x")
	r.SetRules(roomRules + roomThree + "pattern read $topicgate/#\n")
	c.Asked("room/three/x")
}

// A client may choose an identifier that the gateway uses already: its messages are told from the gateway's.
func TestAnIdentifierOfTheGatewaysThatTheClientChoosesToo(t *testing.T) {
	c := newRooms(t).Connect(frames.V5, "alice")
	c.Asks(1, 11, play.At(0, "room/one/#"))
	c.Grants(c.Asked("room/one/#").PacketID, 0)
	c.Granted(1, 0)
	c.Asks(2, 22, play.At(0, "room/one/+"), play.At(0, "room/+/#"))
	own := c.Asked("room/one/+", "room/two/#")
	shared := c.Asked("room/one/#")
	c.Grants(own.PacketID, 0, 0)
	c.Grants(shared.PacketID, 0)
	c.Granted(2, 0, 0)
	alias := identifier(shared.Properties)
	c.Asks(3, alias, play.At(0, "room/two/x"))
	third := c.Asked("room/two/x")
	c.Grants(third.PacketID, 0)
	c.Granted(3, 0)
	if id := identifier(third.Properties); id == alias {
		t.Errorf("the client's subscription is held under %d, as the shared piece is", id)
	}
	c.Reply(messageHex(c.V, "room/two/x", identifier(third.Properties)))
	c.Hears(messageHex(c.V, "room/two/x", alias))
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
	r.SetRules(rules.String())
	c := r.Connect(frames.V5, "alice")
	c.Asks(1, maxSubscriptionID, play.At(0, "room/1/x"))
	c.Grants(c.Asked("room/1/x").PacketID, 0)
	c.Granted(1, 0)
	c.Asks(2, 11, play.At(0, "room/#"))
	first, err := frames.ParseSubscribe(c.FromGateway(frames.TypeSubscribe), c.V)
	if err != nil {
		t.Fatal(err)
	}
	c.Grants(first.PacketID, make([]frames.ReasonCode, rooms)...)
	c.Granted(2, 0)
	c.Asks(3, 22, play.At(0, "room/+/#"))
	taken := map[uint32]bool{0: true, 11: true, 22: true, maxSubscriptionID: true}
	for range rooms {
		s, err := frames.ParseSubscribe(c.FromGateway(frames.TypeSubscribe), c.V)
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
	c := r.Subscribed(frames.V311)
	c.Asks(2, 0, play.At(1, "room/#"))
	up := c.Asked("room/one/#", "room/two/#")
	c.Grants(up.PacketID, frames.UnspecifiedError, frames.UnspecifiedError)
	c.Granted(2, frames.UnspecifiedError)
	r.SetRules(onlyTwo + roomThree)
	c.Left("room/one/#")
	c.Asked("room/three/#")
}

// One subscription with Retain As Published is enough for live messages to look like stored ones, though others
// without it follow.
func TestALiveMessageWithItsRetainFlagStaysLive(t *testing.T) {
	r := newRooms(t, func(o *rigOptions) { o.NarrowMax = 1 })
	c := r.Connect(frames.V5, "alice")
	c.Asks(1, 7, frames.Subscription{TopicFilter: "room/#", RetainAsPublished: true})
	c.Grants(c.Asked("room/#").PacketID, 0)
	c.Granted(1, 0)
	c.Asks(2, 8, play.At(0, "room/one/x"))
	c.Grants(c.Asked("room/one/x").PacketID, 0)
	c.Granted(2, 0)
	c.SetRules(roomRules + roomThree)
	c.Asked("room/three/#")
	c.Left("room/three/#")
	c.Reply(keptHex(c.V, "room/three/x", 7))
	c.Hears(keptHex(c.V, "room/three/x", 7))
}

// What comes besides by a fetch is kept from the client, and completed: at the broker's limit of messages under way
// the next would never come.
func TestWhatAFetchBringsBesidesIsCompleted(t *testing.T) {
	c := wholeRooms(t, frames.V5)
	c.SetRules(roomRules + roomThree)
	alias := identifier(c.Asked("room/three/#").Properties)
	c.Left("room/three/#")
	for i, ack := range []frames.Type{frames.TypePuback, frames.TypePubrec} {
		p := frames.Publish{QoS: frames.QoS(i + 1), TopicName: []byte("room/three/x"), PacketID: 9}
		p.Properties = p.Properties.AppendUint(frames.PropSubscriptionIdentifier, alias) // live: it comes by the other too
		c.Reply(hex.EncodeToString(p.Append(nil, c.V)))
		c.Passes(play.AckHex(ack, 9, frames.Success, c.V))
	}
	c.Reply(play.AckHex(frames.TypePubrel, 9, frames.Success, c.V))
	c.Passes(play.AckHex(frames.TypePubcomp, 9, frames.Success, c.V))
}

// After the client's DISCONNECT the broker hears nothing, so a review must not note that anything was unsubscribed or
// subscribed: the MQTT Session has what it had.
func TestNoReviewFollowsADisconnect(t *testing.T) {
	r := newRooms(t)
	c := r.Subscribed(frames.V311)
	s := r.onlySession()
	s.left.Store(true) // as if it were in the broker's hands
	r.SetRules(onlyTwo)
	r.Until("the change is seen", func() bool { return !s.access().Receive([]byte("room/one/x")).Allowed })
	go func() {
		s.review(func() {})
		c.Say("c0 00")
	}()
	c.Passes("c0 00")
	if stored := storedOf(&s.subs); len(stored) != 1 || len(stored[0].Pieces) != 2 {
		t.Errorf("stored: %+v; want room/# in two pieces, as the broker has it", stored)
	}
}

// Who wants no retained messages has none fetched (Retain Handling 2).
func TestNothingIsFetchedForWhoWantsNoRetainedMessages(t *testing.T) {
	r := newRooms(t, func(o *rigOptions) { o.NarrowMax = 1 })
	c := r.Connect(frames.V5, "alice")
	c.Asks(1, 7, frames.Subscription{TopicFilter: "room/#", RetainHandling: retainNever}, play.At(0, "room/+/x"))
	c.Grants(c.Asked("room/#", "room/+/x").PacketID, 0, 0)
	c.Granted(1, 0, 0)
	r.SetRules(roomRules + roomThree)
	c.Asked("room/three/x") // for the other, and nothing before
}

// What is fetched of several new rules comes once, though they overlap.
func TestOverlappingGainsAreFetchedOnce(t *testing.T) {
	r := newRooms(t, func(o *rigOptions) { o.NarrowMax = 2 })
	r.SetRules(roomRules + roomThree) // one too many: held as it is
	c := r.Connect(frames.V5, "alice")
	c.Asks(1, 7, play.At(1, "room/#"))
	c.Grants(c.Asked("room/#").PacketID, 1)
	c.Granted(1, 1)
	r.SetRules(roomRules + roomThree + roomFour + "pattern read room/+/public\n")
	fetch, err := frames.ParseSubscribe(c.FromGateway(frames.TypeSubscribe), c.V)
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
