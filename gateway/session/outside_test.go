package session

import (
	"testing"
	"time"

	"topicgate/frames"
	"topicgate/gateway/internal/play"
)

// What the policy store, an operator, the drain or a timer calls waits for no session that works: its subscriptions may
// be locked, and both of its peers may not read.
func TestNobodyFromOutsideWaitsForASessionThatWorks(t *testing.T) {
	r := newRooms(t)
	c, s := r.sleeper()
	s.subs.order.Lock()
	s.subs.mu.Lock()
	goOn := s.holdRecord()
	go func() { _ = s.client.Add(make([]byte, 1000)); _ = s.client.Flush() }() // nobody reads it
	go func() { _ = s.upstream.Add([]byte{0xc0, 0}); _ = s.upstream.Flush() }()

	done := make(chan struct{})
	go func() {
		defer close(done)
		s.policyChanged()
		s.requestReview()
		s.AskIdle()
		s.Refresh()
		if !s.Named("c1", []string{s.ID()}) || s.Info() == nil {
			t.Error("the session is not the one that it is")
		}
		s.End(EndDraining)
		<-s.Done()
		s.policyChanged()
	}()
	select {
	case <-done:
	case <-time.After(play.Patience):
		t.Fatal("somebody waits for a session that works")
	}
	s.subs.mu.Unlock()
	s.subs.order.Unlock()
	goOn()
	_ = c.WS.Close()
	_ = c.Conn.Close()
	r.Until("the session has ended", func() bool { return len(r.server.live()) == 0 })
}

// Who waits for the broker's answer hears of the end, though finish takes none of the locks that it waits with.
func TestWhoWaitsForAnAnswerHearsOfTheEnd(t *testing.T) {
	r := newRooms(t)
	c := r.Connect(frames.V311, "alice")
	for id := range uint16(maxOpenExchanges) {
		c.Asks(id+1, 0, play.At(0, "room/one/#"))
		c.Asked("room/one/#") // and is not answered
	}
	s := r.onlySession()
	c.Asks(maxOpenExchanges+1, 0, play.At(0, "room/one/#"))
	s.End(EndDraining)
	c.DrainClient()
	_ = c.WS.Close()
	_ = c.Conn.Close()
	r.Until("the session has ended", func() bool { return len(r.server.live()) == 0 })
}
