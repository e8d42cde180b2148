package gateway

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"topicgate/frames"
	"topicgate/gateway/sleep"
)

// stored is what is kept of the session that c has, or had.
func (c *conversation) stored(s *session) []storedSubscription {
	c.t.Helper()
	stored, err := s.wakeUp(c.t.Context())
	if err != nil {
		c.t.Fatal(err)
	}
	if stored == nil {
		return nil
	}
	return sorted(stored.Subscriptions)
}

func sorted(list []storedSubscription) []storedSubscription {
	slices.SortFunc(list, func(a, b storedSubscription) int { return strings.Compare(a.Filter, b.Filter) })
	return list
}

// sleeper is a client of roomRules that listens to room/# in a persistent session.
func (r *rig) sleeper() (*conversation, *session) {
	r.t.Helper()
	c := r.connectWith(sleeperConnect(frames.V311), "20 02 00 00")
	c.asks(1, 0, at(1, "room/#"))
	c.grants(c.asked("room/one/#", "room/two/#").PacketID, 1, 1)
	c.granted(1, 1)
	r.awaitStored()
	return c, r.onlySession()
}

// keptPieces waits until just these pieces are stored.
func (c *conversation) keptPieces(s *session, pieces ...string) {
	c.t.Helper()
	c.until("the pieces are stored", func() bool {
		stored := c.stored(s)
		return len(stored) == 1 && slices.Equal(stored[0].Pieces, pieces)
	})
}

// An instance may die at any moment: what a review has asked the broker for is stored without waiting for the
// answer or for the client to leave.
func TestWhatAReviewAsksForIsStoredAtOnce(t *testing.T) {
	r := newRooms(t)
	c, s := r.sleeper()
	r.setRules(onlyTwo + roomThree)
	c.left("room/one/#")
	c.keptPieces(s, "room/three/#", "room/two/#")
}

// A piece that the broker has refused does not count as subscribed when the client comes back.
func TestAPieceThatTheBrokerRefusesIsNotStored(t *testing.T) {
	r := newRooms(t)
	c := r.connectWith(sleeperConnect(frames.V311), "20 02 00 00")
	c.asks(1, 0, at(1, "room/#"))
	c.grants(c.asked("room/one/#", "room/two/#").PacketID, 1, frames.UnspecifiedError)
	c.granted(1, 1)
	c.keptPieces(r.onlySession(), "room/one/#")
}

// What a Session had when it was resumed is the broker's: it stays, though the broker refuses to change it.
func TestWhatASleeperHasStaysThoughItIsRefusedAnew(t *testing.T) {
	r := newRooms(t)
	c, _ := r.sleeper()
	_ = c.ws.Close()
	c.brokerEnds()
	_ = c.conn.Close()
	c = r.connectWith(sleeperConnect(frames.V311), "20 02 01 00")
	c.asks(2, 0, at(1, "room/#"))
	c.grants(c.asked("room/one/#", "room/two/#").PacketID, frames.UnspecifiedError, frames.UnspecifiedError)
	c.granted(2, frames.UnspecifiedError)
	r.setRules(onlyTwo + roomThree)
	c.left("room/one/#")
	c.asked("room/three/#")
}

// Nobody knows what a lost broker has heard of the last review: it is asked again when the client comes back.
func TestWhatALostBrokerWasAskedForIsAskedForAgain(t *testing.T) {
	r := newRooms(t)
	c, s := r.sleeper()
	goOn := s.holdRecord()
	r.setRules(onlyTwo)
	c.left("room/one/#")
	_ = c.conn.Close()
	r.until("the broker is lost", func() bool { return s.cause() != nil })
	goOn()
	_ = c.ws.Close()
	r.until("the session has ended", func() bool { return len(r.server.Sessions()) == 0 })
	r.connectWith(sleeperConnect(frames.V311), "20 02 01 00").left("room/one/#")
}

// What a review has changed is stored when the broker has heard of it, not before: the session may end in between.
func TestWhatAReviewIsStillSendingIsNotStored(t *testing.T) {
	r := newRooms(t)
	c, s := r.sleeper()
	r.setRules("pattern read room/two/#\n")
	r.until("the review is sending", func() bool { // to a broker that does not read
		_, known, _ := s.subs.snapshot(false)
		return !known
	})
	s.rememberNow()
	if stored := c.stored(s); len(stored) != 1 || len(stored[0].Pieces) != 2 {
		t.Errorf("stored: %+v; want both rooms, as the broker has them", stored)
	}
	c.left("room/one/#")
	c.keptPieces(s, "room/two/#")
}

// What could be read of a filter that is held as it is takes a while to find. A client that asks and asks does not have
// it found each time: it is written after the broker's answer.
func TestWhatCouldBeReadIsStoredAfterTheAnswer(t *testing.T) {
	r := newRooms(t, func(o *rigOptions) { o.NarrowMax = 1 })
	c := r.connectWith(sleeperConnect(frames.V311), "20 02 00 00")
	r.awaitStored() // that there is nothing yet
	record := func() *storedSubscriptions {
		stored, err := r.onlySession().wakeUp(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return stored
	}
	c.asks(1, 0, at(1, "room/#"))
	c.asked("room/#")
	if stored := record(); stored == nil || len(stored.Subscriptions) != 1 || stored.Readable != nil {
		t.Errorf("stored before the answer: %+v; want the subscription alone", stored)
	}
	c.grants(1, 1)
	c.granted(1, 1)
	r.until("what could be read is stored", func() bool {
		readable := record().Readable
		return readable != nil && slices.Equal(readable.Allowed, []string{"room/one/#", "room/two/#"})
	})
}

// deafStore is a Redis that is away.
type deafStore struct{ sleep.Keeper }

func (deafStore) Load(context.Context, string) ([]byte, error) { return nil, errors.New("away") }

// What a Session is subscribed to must be known before it is resumed, or it would be forgotten for good.
func TestASleeperIsNotWokenWithoutItsSubscriptions(t *testing.T) {
	for _, v := range []frames.Version{frames.V311, frames.V5} {
		r := newRooms(t, func(o *rigOptions) { o.Keeper = deafStore{} })
		r.dial(v).opens(sleeperConnect(v)).wantRefused(frames.V3ServerUnavailable, frames.ServerUnavailable, 1013)
	}
}

// A session that lives long has its record written anew before that ends, though nothing changes.
func TestTheRecordOfALongSessionIsPutOff(t *testing.T) {
	r := newRooms(t)
	c, s := r.sleeper()
	if err := r.server.Sleepers.Forget(t.Context(), s.upstreamID); err != nil { // as Redis would in the end
		t.Fatal(err)
	}
	s.sleep.item.Do(func() { s.sleep.at = s.sleep.at.Add(-sleep.Refresh) })
	r.server.refresh()
	c.keptPieces(s, "room/one/#", "room/two/#")
}

func TestStoredSubscriptionsKeepEverything(t *testing.T) {
	c := newRooms(t).connect(frames.V5, "alice")
	c.asks(1, 11, frames.Subscription{TopicFilter: "room/one/#", QoS: 2, NoLocal: true, RetainAsPublished: true, RetainHandling: 2})
	c.grants(c.asked("room/one/#").PacketID, 2)
	c.granted(1, 2)
	c.asks(2, 22, at(1, "room/+/#"))
	alias := identifier(c.asked("room/one/#").Properties)
	c.asked("room/two/#")
	c.asks(3, 0, at(0, "$share/g/room/+/x"))
	c.asked("$share/g/room/one/x", "$share/g/room/two/x")
	want := []storedSubscription{
		{Filter: "$share/g/room/+/x", Pieces: []string{"$share/g/room/one/x", "$share/g/room/two/x"}, Covers: []string{"room/one/x", "room/two/x"}},
		{Filter: "room/+/#", QoS: 1, ID: 22, Pieces: []string{"room/one/#", "room/two/#"}, PieceIDs: map[string]uint32{"room/one/#": alias}},
		{Filter: "room/one/#", QoS: 2, NoLocal: true, RetainAsPublished: true, RetainHandling: 2, ID: 11, Pieces: []string{"room/one/#"},
			PieceIDs: map[string]uint32{"room/one/#": alias}},
	}
	stored := sorted(storedOf(&rigOf(c).onlySession().subs))
	if !reflect.DeepEqual(stored, want) {
		t.Errorf("stored: %+v; want %+v", stored, want)
	}
	var resumed subscriptions
	for _, s := range want {
		resumed.take(&s, nil)
	}
	if again := sorted(storedOf(&resumed)); !reflect.DeepEqual(again, want) {
		t.Errorf("stored: %+v when resumed; want %+v", again, want)
	}
}

// How long the broker keeps the MQTT Session: its own word counts (section 3.2.2.3.2), and each connection begins
// the time anew.
func TestHowLongASessionIsExpectedToSleep(t *testing.T) {
	expiry := func(seconds uint32) frames.Properties {
		return frames.Properties(nil).AppendUint(frames.PropSessionExpiryInterval, seconds)
	}
	for _, tt := range []struct {
		name    string
		connect frames.Connect
		connack frames.Properties
		ttl     time.Duration // 0: it does not sleep
	}{
		{"3.1.1, clean", frames.Connect{Version: frames.V311, CleanStart: true}, nil, 0},
		{"3.1.1", frames.Connect{Version: frames.V311}, nil, sleepWithoutEnd},
		{"5.0, no interval", frames.Connect{Version: frames.V5}, nil, 0},
		{"5.0, an hour", frames.Connect{Version: frames.V5, CleanStart: true, Properties: expiry(3600)}, nil, time.Hour + sleepMargin},
		{"5.0, for ever", frames.Connect{Version: frames.V5, Properties: expiry(0xffffffff)}, nil, sleepWithoutEnd},
		{"5.0, less", frames.Connect{Version: frames.V5, Properties: expiry(3600)}, expiry(60), time.Minute + sleepMargin},
		{"5.0, refused", frames.Connect{Version: frames.V5, Properties: expiry(3600)}, expiry(0), 0},
		{"5.0, imposed", frames.Connect{Version: frames.V5}, expiry(60), time.Minute + sleepMargin},
	} {
		ttl, persistent := sleepOf(&tt.connect, tt.connack)
		if persistent != (tt.ttl > 0) || persistent && ttl != tt.ttl {
			t.Errorf("%s: sleeps: %t, for %v; want %v", tt.name, persistent, ttl, tt.ttl)
		}
	}
}
