package session

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"topicgate/frames"
	"topicgate/gateway/internal/play"
	"topicgate/gateway/sleep"
	"topicgate/gateway/subs"
)

// stored is what is kept of a session.
func (r *rig) stored(s *Session) []subs.Recorded {
	r.T.Helper()
	stored, err := s.wakeUp(r.T.Context())
	if err != nil {
		r.T.Fatal(err)
	}
	if stored == nil {
		return nil
	}
	return sorted(stored.Subscriptions)
}

func sorted(list []subs.Recorded) []subs.Recorded {
	slices.SortFunc(list, func(a, b subs.Recorded) int { return strings.Compare(a.Filter, b.Filter) })
	return list
}

// sleeper is a client of roomRules that listens to room/# in a persistent session.
func (r *rig) sleeper() (*play.Conversation, *Session) {
	r.T.Helper()
	c := r.ConnectWith(play.SleeperConnect(frames.V311), "20 02 00 00")
	c.Asks(1, 0, play.At(1, "room/#"))
	c.Grants(c.Asked("room/one/#", "room/two/#").PacketID, 1, 1)
	c.Granted(1, 1)
	r.awaitStored()
	return c, r.onlySession()
}

// keptPieces waits until just these pieces are stored.
func (r *rig) keptPieces(s *Session, pieces ...string) {
	r.T.Helper()
	r.Until("the pieces are stored", func() bool {
		stored := r.stored(s)
		return len(stored) == 1 && slices.Equal(stored[0].Pieces, pieces)
	})
}

// An instance may die at any moment: what a review has asked the broker for is stored without waiting for the
// answer or for the client to leave.
func TestWhatAReviewAsksForIsStoredAtOnce(t *testing.T) {
	r := newRooms(t)
	c, s := r.sleeper()
	r.SetRules(onlyTwo + roomThree)
	u := c.Left("room/one/#")
	if record, err := s.wakeUp(t.Context()); err != nil || !record.Open || !slices.Equal(record.Leaving, []string{"room/one/#"}) {
		t.Errorf("stored: %+v, %v; want an open record of what the broker may still have", record, err)
	}
	r.keptPieces(s, "room/three/#", "room/two/#")
	c.Grants(c.Asked("room/three/#").PacketID, 1)
	c.Releases(u)
	r.awaitStored()
	r.keptPieces(s, "room/three/#", "room/two/#")
}

// A piece that the broker has refused does not count as subscribed when the client comes back.
func TestAPieceThatTheBrokerRefusesIsNotStored(t *testing.T) {
	r := newRooms(t)
	c := r.ConnectWith(play.SleeperConnect(frames.V311), "20 02 00 00")
	c.Asks(1, 0, play.At(1, "room/#"))
	c.Grants(c.Asked("room/one/#", "room/two/#").PacketID, 1, frames.UnspecifiedError)
	c.Granted(1, 1)
	r.keptPieces(r.onlySession(), "room/one/#")
}

// What a Session had when it was resumed is the broker's: it stays, though the broker refuses to change it.
func TestWhatASleeperHasStaysThoughItIsRefusedAnew(t *testing.T) {
	r := newRooms(t)
	c, _ := r.sleeper()
	_ = c.WS.Close()
	c.BrokerEnds()
	_ = c.Conn.Close()
	c = r.ConnectWith(play.SleeperConnect(frames.V311), "20 02 01 00")
	c.Asks(2, 0, play.At(1, "room/#"))
	c.Grants(c.Asked("room/one/#", "room/two/#").PacketID, frames.UnspecifiedError, frames.UnspecifiedError)
	c.Granted(2, frames.UnspecifiedError)
	r.SetRules(onlyTwo + roomThree)
	c.Left("room/one/#")
	c.Asked("room/three/#")
}

// Nobody knows what a lost broker has heard of the last review: it is asked again when the client comes back.
func TestWhatALostBrokerWasAskedForIsAskedForAgain(t *testing.T) {
	r := newRooms(t)
	c, s := r.sleeper()
	r.SetRules(onlyTwo)
	c.Left("room/one/#")
	_ = c.Conn.Close()
	r.Until("the broker is lost", func() bool { return s.cause() != nil })
	_ = c.WS.Close()
	r.Until("the session has ended", func() bool { return len(r.server.Sessions()) == 0 })
	c = r.ConnectWith(play.SleeperConnect(frames.V311), "20 02 01 00")
	c.Left("room/one/#")
	c.Asked("room/two/#")
}

// What the broker is about to be asked for is kept before, so that another instance knows of it whatever happens: while
// that takes its time the broker hears nothing, and nobody but the client's own next request waits.
func TestTheRecordIsKeptBeforeTheBrokerIsAsked(t *testing.T) {
	r := newRooms(t)
	c, s := r.sleeper()
	goOn := s.holdRecord()
	c.Asks(2, 0, play.At(1, "room/one/x"))
	c.Reply(messageHex(frames.V311, "room/one/y"))
	c.Hears(messageHex(frames.V311, "room/one/y"))
	if s.table.Listens() || s.table.Awaits(2) {
		t.Error("the table has changed before the record is kept")
	}
	goOn()
	c.Asked("room/one/x")
	record, err := s.wakeUp(t.Context())
	if err != nil || record == nil || !record.Open || len(record.Subscriptions) != 2 {
		t.Errorf("stored: %+v, %v; want an open record of both subscriptions", record, err)
	}
	c.Grants(2, 1)
	c.Granted(2, 1)
	r.awaitStored()
	if record, err = s.wakeUp(t.Context()); err != nil || record.Open || record.Broker != "broker.test:1883" {
		t.Errorf("stored: %+v, %v; want a record of broker.test:1883 that is not open", record, err)
	}
}

// An open record is no knowledge of what the broker holds, and neither is another broker's: all is asked for again.
func TestARecordThatIsNoKnowledgeIsAskedForAgain(t *testing.T) {
	for name, spoil := range map[string]func(*subs.Record){
		"open":             func(r *subs.Record) { r.Open, r.Leaving = true, []string{"room/old/#"} },
		"another broker's": func(r *subs.Record) { r.Broker, r.Leaving = "other.test:1883", []string{"room/old/#"} },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRooms(t)
			c, s := r.sleeper()
			_ = c.WS.Close()
			c.BrokerEnds()
			r.Until("the session has ended", func() bool { return len(r.server.Sessions()) == 0 })
			record, err := s.wakeUp(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			spoil(record)
			s.write(record, record.Open)
			c = r.ConnectWith(play.SleeperConnect(frames.V311), "20 02 01 00")
			c.Left("room/old/#")
			c.Asked("room/one/#", "room/two/#")
			c.Left(subs.TopicNone) // by whose answer one knows that the retained messages are through
		})
	}
}

// A record ends with the MQTT Session: by Clean Start, and by the Session Expiry Interval of a DISCONNECT.
func TestARecordEndsWithItsSession(t *testing.T) {
	t.Run("clean", func(t *testing.T) {
		r := newRooms(t)
		c, s := r.sleeper()
		_ = c.WS.Close()
		c.BrokerEnds()
		r.Until("the session has ended", func() bool { return len(r.server.Sessions()) == 0 })
		connect := play.SleeperConnect(frames.V311)
		connect.CleanStart = true
		r.ConnectWith(connect, "20 02 00 00")
		r.Until("the record is gone", func() bool { return r.stored(s) == nil })
	})
	t.Run("DISCONNECT", func(t *testing.T) {
		r := newRooms(t)
		c := r.ConnectWith(play.SleeperConnect(frames.V5), "20 03 00 00 00")
		r.awaitStored()
		s := r.onlySession()
		c.Say("e0 07 00 05 11 00 00 00 00") // Session Expiry Interval 0
		c.Passes("e0 07 00 05 11 00 00 00 00")
		c.BrokerEnds()
		r.Until("the record is gone", func() bool {
			record, err := s.wakeUp(t.Context())
			return record == nil && err == nil
		})
	})
}

// What could be read of a filter that is held as it is takes a while to find. A client that asks and asks does not have
// it found each time: it is written after the broker's answer.
func TestWhatCouldBeReadIsStoredAfterTheAnswer(t *testing.T) {
	r := newRooms(t, func(o *rigOptions) { o.NarrowMax = 1 })
	c := r.ConnectWith(play.SleeperConnect(frames.V311), "20 02 00 00")
	r.awaitStored() // that there is nothing yet
	record := func() *subs.Record {
		stored, err := r.onlySession().wakeUp(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return stored
	}
	c.Asks(1, 0, play.At(1, "room/#"))
	c.Asked("room/#")
	if stored := record(); stored == nil || len(stored.Subscriptions) != 1 || !stored.Open || stored.Readable != nil {
		t.Errorf("stored before the answer: %+v; want the subscription alone", stored)
	}
	c.Grants(1, 1)
	c.Granted(1, 1)
	r.Until("what could be read is stored", func() bool {
		readable := record().Readable
		return readable != nil && slices.Equal(readable.Allowed, []string{"room/one/#", "room/two/#"})
	})
}

// A session that lives long has its record written anew before that ends, though nothing changes.
func TestTheRecordOfALongSessionIsPutOff(t *testing.T) {
	r := newRooms(t)
	_, s := r.sleeper()
	if err := r.server.Sleepers.Forget(t.Context(), s.upstreamID); err != nil { // as Redis would in the end
		t.Fatal(err)
	}
	s.sleep.item.Do(func() { s.sleep.at -= int64(sleep.Refresh.Seconds()) })
	r.server.refresh()
	r.keptPieces(s, "room/one/#", "room/two/#")
}

func TestStoredSubscriptionsKeepEverything(t *testing.T) {
	c := newRooms(t).Connect(frames.V5, "alice")
	c.Asks(1, 11, frames.Subscription{TopicFilter: "room/one/#", QoS: 2, NoLocal: true, RetainAsPublished: true, RetainHandling: 2})
	c.Grants(c.Asked("room/one/#").PacketID, 2)
	c.Granted(1, 2)
	c.Asks(2, 22, play.At(1, "room/+/#"))
	first := c.Asked("room/one/#")
	alias := identifier(first.Properties)
	c.Grants(first.PacketID, 2)
	c.Grants(c.Asked("room/two/#").PacketID, 1)
	c.Granted(2, 1)
	c.Asks(3, 0, play.At(0, "$share/g/room/+/x"))
	c.Grants(c.Asked("$share/g/room/one/x", "$share/g/room/two/x").PacketID, 0, 0)
	c.Granted(3, 0)
	want := []subs.Recorded{
		{Filter: "$share/g/room/+/x", Pieces: []string{"$share/g/room/one/x", "$share/g/room/two/x"}, Covers: []string{"room/one/x", "room/two/x"}},
		{Filter: "room/+/#", QoS: 1, ID: 22, Pieces: []string{"room/one/#", "room/two/#"}, PieceIDs: map[string]uint32{"room/one/#": alias}},
		{Filter: "room/one/#", QoS: 2, NoLocal: true, RetainAsPublished: true, RetainHandling: 2, ID: 11, Pieces: []string{"room/one/#"},
			PieceIDs: map[string]uint32{"room/one/#": alias}},
	}
	stored := sorted(storedOf(rigOf(c).onlySession()))
	if !reflect.DeepEqual(stored, want) {
		t.Errorf("stored: %+v; want %+v", stored, want)
	}
	s := rigOf(c).onlySession()
	var resumed subs.Table
	resumed.Begin(&s.host.subs, subs.Terms{Version: frames.V5, Identifiers: true, BrokerMaximum: 1 << 20})
	turn := resumed.Turn()
	defer turn.End()
	plan := turn.Resume(&subs.Record{Broker: "b", Subscriptions: want}, "b", s.access())
	if again := plan.Record("b"); plan.Changes() || !reflect.DeepEqual(sorted(again.Subscriptions), want) {
		t.Errorf("stored: %+v when resumed, changes %v; want %+v", again, plan.Changes(), want)
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
		expiry, persistent := sleepOf(&tt.connect, tt.connack)
		ttl := recordLife(expiry)
		if persistent != (tt.ttl > 0) || persistent && ttl != tt.ttl {
			t.Errorf("%s: sleeps: %t, for %v; want %v", tt.name, persistent, ttl, tt.ttl)
		}
	}
}
