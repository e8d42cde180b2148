package session

import (
	"testing"
	"time"

	"topicgate/frames"
	"topicgate/gateway/internal/play"
)

// sleeperRules lets everybody read some rooms.
const sleeperRules = "pattern read room/1/#\npattern read room/2/#\n"

func equal(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s = %q; want %q", what, got, want)
	}
	for i := range got {
		if got[i] != want[i] {
			t.Fatalf("%s = %q; want %q", what, got, want)
		}
	}
}

// holdRecord keeps the session's record from being written until goOn is called, as a slow Redis would.
func (s *Session) holdRecord() (goOn func()) {
	holding, free := make(chan struct{}), make(chan struct{})
	go s.sleep.item.Do(func() { close(holding); <-free })
	<-holding
	return func() { close(free) }
}

// awaitStored waits until the server has written down what its sessions are subscribed to.
func (r *rig) awaitStored() {
	r.T.Helper()
	deadline := time.Now().Add(play.Patience)
	for {
		r.server.mu.Lock()
		settled := true
		for s := range r.server.sessions {
			s.sleep.item.Do(func() { settled = settled && s.sleep.at != 0 && !s.sleep.open })
		}
		r.server.mu.Unlock()
		if settled {
			return
		}
		if time.Now().After(deadline) {
			r.T.Fatal("subscriptions were not stored")
		}
		time.Sleep(time.Millisecond)
	}
}

func TestAResumedSessionIsPutRightBeforeItHearsAnything(t *testing.T) {
	for _, v := range []frames.Version{frames.V311, frames.V5} {
		t.Run(v.String(), func(t *testing.T) {
			r := newRig(t, func(o *rigOptions) { o.SubscribeMode = SubscribeNarrow })
			r.SetRules(sleeperRules)
			connack, resumed := "20 02 00 00", "20 02 01 00"
			if v == frames.V5 {
				connack, resumed = "20 03 00 00 00", "20 03 01 00 00"
			}
			c := r.ConnectWith(play.SleeperConnect(v), connack)
			subscribe := frames.Subscribe{PacketID: 5, Filters: []frames.Subscription{{TopicFilter: "room/+/chat", QoS: 1}}}
			c.Send(subscribe.Append(nil, v))
			c.Grants(c.Asked("room/1/chat", "room/2/chat").PacketID, 1, 1)
			c.Granted(5, 1)
			r.awaitStored()
			_ = c.WS.Close()
			c.BrokerEnds()
			r.gone() // else the change below is a live session's, and its record an open one

			// Meanwhile room 1 is left and room 3 joined.
			r.SetRules("pattern read room/2/#\npattern read room/3/#\n")
			c = r.ConnectWith(play.SleeperConnect(v), resumed)
			equal(t, "UNSUBSCRIBE after the return", c.FiltersOf(frames.TypeUnsubscribe), "room/1/chat")
			equal(t, "SUBSCRIBE after the return", c.FiltersOf(frames.TypeSubscribe), "room/3/chat")
			c.Reply(play.PublishHex(v, "room/1/chat", 0, 0, "queued before"))
			c.Reply(play.PublishHex(v, "room/2/chat", 0, 0, "queued too"))
			c.Hears(play.PublishHex(v, "room/2/chat", 0, 0, "queued too"))

			// What was asked for before can be taken back now.
			unsubscribe := frames.Unsubscribe{PacketID: 6, TopicFilters: []string{"room/+/chat"}}
			c.Send(unsubscribe.Append(nil, v))
			equal(t, "UNSUBSCRIBE of the client", c.FiltersOf(frames.TypeUnsubscribe), "room/2/chat", "room/3/chat")
		})
	}
}

func TestANewSessionForgetsWhatAnOlderOneHad(t *testing.T) {
	r := newRig(t, func(o *rigOptions) { o.SubscribeMode = SubscribeNarrow })
	r.SetRules(sleeperRules)
	c := r.ConnectWith(play.SleeperConnect(frames.V311), "20 02 00 00")
	subscribe := frames.Subscribe{PacketID: 5, Filters: []frames.Subscription{{TopicFilter: "room/#"}}}
	c.Send(subscribe.Append(nil, frames.V311))
	c.Grants(c.Asked("room/1/#", "room/2/#").PacketID, 0, 0)
	c.Granted(5, 0)
	r.awaitStored()
	_ = c.WS.Close()
	c.BrokerEnds()

	c = r.ConnectWith(play.SleeperConnect(frames.V311), "20 02 00 00") // the broker has lost it
	r.awaitStored()
	_ = c.WS.Close()
	c.BrokerEnds()

	r.SetRules("pattern read room/3/#\n")
	c = r.ConnectWith(play.SleeperConnect(frames.V311), "20 02 01 00")
	c.Say("c0 00")
	c.Passes("c0 00") // and no SUBSCRIBE before
}

// What is stored when the client leaves is what the broker has: a room that was left just before, and that is
// joined again while the client sleeps, is subscribed when it comes back.
func TestARoomLeftJustBeforeTheClientIsKnownToBeUnsubscribed(t *testing.T) {
	for _, goodbye := range []bool{true, false} {
		r := newRig(t, func(o *rigOptions) { o.SubscribeMode = SubscribeNarrow })
		r.SetRules(sleeperRules)
		c := r.ConnectWith(play.SleeperConnect(frames.V311), "20 02 00 00")
		c.Asks(5, 0, play.At(1, "room/+/chat"))
		c.Grants(c.Asked("room/1/chat", "room/2/chat").PacketID, 1, 1)
		c.Granted(5, 1)
		r.awaitStored()
		s := r.onlySession()
		r.SetRules("pattern read room/2/#\n")
		left := c.Left("room/1/chat")
		goOn := r.held(s)
		c.Releases(left)
		if goodbye {
			c.Say("e0 00")
			c.Passes("e0 00")
		} else {
			_ = c.WS.NetConn().Close()
		}
		for s.cause() == nil {
			time.Sleep(time.Millisecond)
		}
		goOn()
		c.BrokerEnds()

		r.SetRules(sleeperRules)
		c = r.ConnectWith(play.SleeperConnect(frames.V311), "20 02 01 00")
		c.Asked("room/1/chat")
	}
}
