package session

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"topicgate/frames"
	"topicgate/gateway/internal/play"
	"topicgate/gateway/sleep"
	"topicgate/gateway/subs"
)

// watchedKeeper counts what is written, and refuses it while it is told to, as a Redis that has no memory left does.
type watchedKeeper struct {
	sleep.Keeper
	writes  atomic.Int32
	refuses atomic.Bool
}

func watched(o *rigOptions) *watchedKeeper {
	k := &watchedKeeper{Keeper: o.Keeper}
	o.Keeper = k
	return k
}

func (k *watchedKeeper) write(do func() error) error {
	defer k.writes.Add(1)
	if k.refuses.Load() {
		return errors.New("OOM command not allowed when used memory > 'maxmemory'")
	}
	return do()
}

func (k *watchedKeeper) Keep(ctx context.Context, id string, data []byte, ttl time.Duration) error {
	return k.write(func() error { return k.Keeper.Keep(ctx, id, data, ttl) })
}

func (k *watchedKeeper) Forget(ctx context.Context, ids ...string) error {
	return k.write(func() error { return k.Keeper.Forget(ctx, ids...) })
}

// record is what is kept of a session; nil: nothing.
func (r *rig) record(s *Session) *subs.Record {
	r.T.Helper()
	record, err := s.wakeUp(r.T.Context())
	if err != nil {
		r.T.Fatal(err)
	}
	return record
}

// held is holdRecord for the rest of a test that may fail.
func (r *rig) held(s *Session) (goOn func()) {
	goOn = sync.OnceFunc(s.holdRecord())
	r.T.Cleanup(goOn)
	return goOn
}

// gone waits until no session is left.
func (r *rig) gone() {
	r.T.Helper()
	r.Until("the session has ended", func() bool { return len(r.server.live()) == 0 })
}

// While a record takes its time the broker hears nothing of what is asked for, though it goes on to be heard and
// answered: nobody but the client's own next request waits.
func TestNobodyWaitsForARecordThatTakesItsTime(t *testing.T) {
	for name, ask := range map[string]struct {
		up   func(c *play.Conversation)
		down func(c *play.Conversation)
	}{
		"SUBSCRIBE": {
			func(c *play.Conversation) { c.Asks(3, 0, play.At(1, "room/two/x")) },
			func(c *play.Conversation) { c.Asked("room/two/x") },
		},
		"UNSUBSCRIBE": {
			func(c *play.Conversation) {
				c.Send(frames.Unsubscribe{PacketID: 3, TopicFilters: []string{"room/#"}}.Append(nil, c.V))
			},
			func(c *play.Conversation) { c.Left("room/one/#", "room/two/#") },
		},
		"a review": {
			func(c *play.Conversation) { c.SetRules(onlyTwo + roomThree) },
			func(c *play.Conversation) { c.Left("room/one/#"); c.Asked("room/three/#") },
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRooms(t)
			c, s := r.sleeper()
			c.Asks(2, 0, play.At(0, subs.TopicExpiring), play.At(1, "room/two/y"))
			asked := c.Asked("room/two/y")
			goOn := r.held(s)
			ask.up(c)
			r.Until("a plan waits for its record", s.sleep.planned.Load)

			c.Reply(play.PublishHex(c.V, "elsewhere", 1, 9, "which nobody may read"))
			c.Passes(play.AckHex(frames.TypePuback, 9, frames.Success, c.V)) // and nothing before
			c.Reply(messageHex(c.V, "room/two/y"))
			c.Hears(messageHex(c.V, "room/two/y"))
			c.Grants(asked.PacketID, 1)
			c.Granted(2, 0, 1)
			if _, listens := s.table.Hears(subs.TopicExpiring); !listens {
				t.Errorf("nobody listens to %s", subs.TopicExpiring)
			}
			if turn, mine := s.table.TryTurn(); mine {
				turn.End()
				t.Error("the turn is free; the next request would overtake this one")
			}
			goOn()
			ask.down(c)
			if record := r.record(s); record == nil || !record.Open || record.Broker != "broker.test:1883" {
				t.Errorf("kept when the broker is asked: %+v; want an open record", record)
			}
		})
	}
}

// What came before a SUBSCRIBE in the same message does not wait for its record.
func TestWhatCameBeforeDoesNotWaitForTheRecord(t *testing.T) {
	r := newRooms(t)
	r.SetRules(roomRules + "pattern write room/one/#\n")
	c, s := r.sleeper()
	goOn := r.held(s)
	publish := play.PublishHex(c.V, "room/one/x", 0, 0, "hi")
	subscribe := frames.Subscribe{PacketID: 2, Filters: []frames.Subscription{play.At(0, "room/one/x")}}
	c.Send(subscribe.Append(play.Unhex(t, publish+play.PublishHex(c.V, "room/two/x", 1, 7, "refused")), c.V))
	c.Passes(publish)
	c.Hears(play.AckHex(frames.TypePuback, 7, frames.Success, c.V))
	goOn()
	c.Asked("room/one/x")
}

// What is unsubscribed the broker may still have: an open record says so.
func TestWhatIsUnsubscribedIsLeaving(t *testing.T) {
	r := newRooms(t)
	c, s := r.sleeper()
	c.Send(frames.Unsubscribe{PacketID: 2, TopicFilters: []string{"room/#", "other/#"}}.Append(nil, c.V))
	c.Left("room/one/#", "room/two/#", "other/#")
	if record := r.record(s); !record.Open || len(record.Subscriptions) != 0 || !slices.Equal(record.Leaving, []string{"room/one/#", "room/two/#", "other/#"}) {
		t.Errorf("kept: %+v; want an open record of the three that are leaving", record)
	}
	c.Reply("b0 02 00 02")
	c.Hears("b0 02 00 02")
	r.awaitStored()
	if record := r.record(s); record.Open || len(record.Leaving) != 0 {
		t.Errorf("kept: %+v when all is answered; want nothing", record)
	}
}

// Who ends and has not heard the broker's answer leaves the open record behind, and is asked for anew.
func TestASessionThatEndsUnansweredLeavesAnOpenRecord(t *testing.T) {
	r := newRooms(t)
	c, s := r.sleeper()
	c.Asks(2, 0, play.At(1, "room/one/x"))
	c.Asked("room/one/x")
	_ = c.WS.Close()
	c.BrokerEnds()
	r.gone()
	if record := r.record(s); !record.Open || len(record.Subscriptions) != 2 {
		t.Errorf("kept: %+v; want an open record of both", record)
	}
	c = r.ConnectWith(play.SleeperConnect(frames.V311), "20 02 01 00")
	c.Asked("room/one/#", "room/two/#", "room/one/x")
	c.Left(subs.TopicNone)
}

// To 5.0 a broker that may have the filters already says nothing of what it retains.
func TestWhatIsAskedForAgainBringsNoRetainedMessages(t *testing.T) {
	r := newRooms(t)
	c := r.ConnectWith(play.SleeperConnect(frames.V5), "20 03 00 00 00")
	c.Asks(1, 7, play.At(1, "room/#"))
	c.Asked("room/one/#", "room/two/#")
	_ = c.WS.Close()
	c.BrokerEnds()
	r.gone()
	c = r.ConnectWith(play.SleeperConnect(frames.V5), "20 03 01 00 00")
	for _, s := range c.Asked("room/one/#", "room/two/#").Filters {
		if s.RetainHandling != 2 || s.QoS != 1 {
			t.Errorf("asked for again: %+v; want QoS 1, Retain Handling 2", s)
		}
	}
	c.NothingUp()
}

// Of whom nothing is known, or nothing can be, the client is told to ask anew. What the broker has queued comes.
func TestASessionOfWhichNothingIsKnownIsNotPresent(t *testing.T) {
	for _, v := range []frames.Version{frames.V311, frames.V5} {
		for name, spoil := range map[string]func(*rig, *Session){
			"missing": func(r *rig, s *Session) { _ = r.server.Sleepers.Forget(r.T.Context(), s.upstreamID) },
			"not readable": func(r *rig, s *Session) {
				_ = r.server.Sleepers.Keep(r.T.Context(), s.upstreamID, []byte(`{"subscriptions":[`), time.Hour)
			},
		} {
			t.Run(fmt.Sprintf("%s, %s", name, v), func(t *testing.T) {
				r := newRooms(t)
				fresh, present := "20 02 00 00", "20 02 01 00"
				if v == frames.V5 {
					fresh, present = "20 03 00 00 00", "20 06 01 00 03 22 00 0a"
				}
				c := r.ConnectWith(play.SleeperConnect(v), fresh)
				c.Asks(1, 0, play.At(1, "room/#"))
				c.Grants(c.Asked("room/one/#", "room/two/#").PacketID, 1, 1)
				c.Granted(1, 1)
				r.awaitStored()
				s := r.onlySession()
				_ = c.WS.Close()
				c.BrokerEnds()
				r.gone()
				spoil(r, s)

				c = r.Dial(v).Opens(play.SleeperConnect(v))
				c.Accept()
				c.FromGateway(frames.TypeConnect)
				c.Reply(present)
				connack, err := frames.ParseConnack(c.Expect(frames.TypeConnack), v)
				if err != nil || connack.Reason != frames.Success || connack.SessionPresent {
					t.Errorf("CONNACK %+v, %v; want success without a Session present", connack, err)
				}
				c.Reply(play.PublishHex(v, "room/one/x", 1, 5, "queued"))
				c.Hears(play.PublishHex(v, "room/one/x", 1, 5, "queued"))
				c.Say(play.AckHex(frames.TypePuback, 5, frames.Success, v))
				c.Passes(play.AckHex(frames.TypePuback, 5, frames.Success, v))
				c.Asks(1, 0, play.At(1, "room/#"))
				c.Grants(c.Asked("room/one/#", "room/two/#").PacketID, 1, 1)
				c.Granted(1, 1)
				r.awaitStored()
				if record := r.record(r.onlySession()); record == nil || len(record.Subscriptions) != 1 {
					t.Errorf("kept: %+v; want what was asked for anew", record)
				}
			})
		}
	}
}

// A record is bounded: who has more has none, not an older one that would be taken for knowledge, and has one again when
// it has less.
func TestWhoHasTooMuchForARecordHasNone(t *testing.T) {
	r := newRooms(t)
	c, s := r.sleeper()
	var filters []frames.Subscription
	var names []string
	for i := range 300 {
		names = append(names, fmt.Sprintf("room/one/%s%d", strings.Repeat("x", 300), i))
		filters = append(filters, play.At(1, names[i]))
	}
	c.Asks(2, 0, filters...)
	c.FromGateway(frames.TypeSubscribe)
	if record := r.record(s); record != nil {
		t.Errorf("kept when the broker is asked: %d subscriptions; want no record", len(record.Subscriptions))
	}
	c.Grants(2, make([]frames.ReasonCode, len(filters))...)
	c.Granted(2, make([]frames.ReasonCode, len(filters))...)
	r.awaitStored()
	if record := r.record(s); record != nil {
		t.Errorf("kept: %d subscriptions; want no record", len(record.Subscriptions))
	}
	c.Send(frames.Unsubscribe{PacketID: 3, TopicFilters: names}.Append(nil, c.V))
	c.FromGateway(frames.TypeUnsubscribe)
	c.Reply("b0 02 00 03")
	c.Hears("b0 02 00 03")
	r.Until("there is a record again", func() bool { return r.record(s) != nil })
}

// What changes nothing of what is recorded is not written.
func TestWhatChangesNothingWritesNothing(t *testing.T) {
	var k *watchedKeeper
	r := newRooms(t, func(o *rigOptions) { k = watched(o) })
	c, s := r.sleeper()
	before := k.writes.Load()
	c.Asks(2, 0, play.At(1, "elsewhere/#"))
	c.Granted(2, frames.UnspecifiedError)
	c.Send(frames.Unsubscribe{PacketID: 3, TopicFilters: []string{"room/one/#"}}.Append(nil, c.V)) // the gateway's own piece
	c.Hears("b0 02 00 03")
	r.SetRules(roomRules + "pattern write elsewhere\n")
	s.review(func() {})
	c.NothingUp()
	s.sleep.item.Do(func() {})
	if n := k.writes.Load(); n != before {
		t.Errorf("%d writes; want none", n-before)
	}
}

// A Session that ends with its connection is kept nowhere.
func TestASessionThatDoesNotSleepIsNotWritten(t *testing.T) {
	var k *watchedKeeper
	r := newRooms(t, func(o *rigOptions) { k = watched(o) })
	c := r.Subscribed(frames.V5)
	r.SetRules(onlyTwo)
	c.Releases(c.Left("room/one/#"))
	c.NothingUp()
	if n := k.writes.Load(); n != 0 {
		t.Errorf("%d writes; want none", n)
	}
}

// What could not be written is written later: a record that is older than what the broker was asked for would be taken
// for knowledge.
func TestWhatCouldNotBeWrittenIsWrittenLater(t *testing.T) {
	for _, leaves := range []bool{false, true} {
		var k *watchedKeeper
		r := newRooms(t, func(o *rigOptions) { k = watched(o) })
		c, s := r.sleeper()
		before := k.writes.Load()
		k.refuses.Store(true)
		c.Asks(2, 0, play.At(1, "room/one/x"))
		c.Grants(c.Asked("room/one/x").PacketID, 1)
		c.Granted(2, 1)
		r.Until("writes have failed", func() bool { return k.writes.Load() >= before+2 })
		s.sleep.item.Do(func() {}) // the last of them has ended
		k.refuses.Store(false)
		if leaves {
			_ = c.WS.Close()
			c.BrokerEnds()
			r.gone()
		} else {
			r.server.refresh()
		}
		r.Until("the record is what the broker has", func() bool { return len(r.record(s).Subscriptions) == 2 && !r.record(s).Open })
	}
}

// The Session of a client that has come back belongs to its new connection, perhaps at another instance: what the old
// one would still do is not kept in place of that one's record.
func TestASessionThatHasEndedKeepsNothing(t *testing.T) {
	for name, end := range map[string]func(*play.Conversation){
		"the broker is lost": func(c *play.Conversation) { _ = c.Conn.Close() },
		"the client is lost": func(c *play.Conversation) { _ = c.WS.NetConn().Close() },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRooms(t)
			c, s := r.sleeper()
			turn := s.table.Turn()
			r.SetRules(onlyTwo)
			r.Until("a review waits", s.requested.isRunning)
			end(c)
			r.Until("the session ends", func() bool { return s.cause() != nil })
			s.sleep.item.Do(func() {})
			if err := r.server.Sleepers.Keep(t.Context(), s.upstreamID, []byte(`{"broker":"another's","subscriptions":[]}`), time.Hour); err != nil {
				t.Fatal(err)
			}
			turn.End()
			_ = c.WS.Close()
			_ = c.Conn.Close()
			r.gone()
			if record := r.record(s); record.Broker != "another's" {
				t.Errorf("kept: %+v; want what another has kept meanwhile", record)
			}
		})
	}
}

// A slow Redis holds up nobody else's review, whatever it is that the review has to keep: here subscriptions that the
// broker has refused are removed, of which it hears nothing.
func TestASlowRedisHoldsUpNobodyElsesReview(t *testing.T) {
	r := newRooms(t)
	seen := map[*Session]bool{}
	for i := range runtime.GOMAXPROCS(0) {
		connect := play.SleeperConnect(frames.V311)
		connect.ClientID = fmt.Sprintf("c%d", i)
		c := r.ConnectWith(connect, "20 02 00 00")
		c.Asks(1, 0, play.At(1, "room/one/x"))
		asked := c.Asked("room/one/x")
		var s *Session
		for _, one := range r.server.live() {
			if !seen[one] {
				s = one
			}
		}
		seen[s] = true
		r.held(s)
		c.Grants(asked.PacketID, frames.UnspecifiedError)
		c.Granted(1, frames.UnspecifiedError)
		r.Until("a review waits for Redis", s.sleep.planned.Load)
	}
	c := r.ConnectAs(frames.V311, "alice", "another")
	c.Asks(1, 0, play.At(1, "room/#"))
	c.Grants(c.Asked("room/one/#", "room/two/#").PacketID, 1, 1)
	c.Granted(1, 1)
	r.SetRules(onlyTwo)
	c.Left("room/one/#")
}
