package session

import (
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"

	"topicgate/frames"
	"topicgate/gateway/internal/play"
)

// However many brokers do not read what a review sends: the sessions behind them in the queue go on.
func TestABrokerThatDoesNotReadHoldsUpNoOtherReview(t *testing.T) {
	r := newRooms(t)
	var last *play.Conversation
	for i := range 2*runtime.GOMAXPROCS(0) + 1 {
		connect := play.ConnectOf(frames.V311, "alice")
		connect.ClientID = fmt.Sprint("c", i)
		last = r.ConnectWith(connect, play.AcceptedBy(frames.V311))
		last.Asks(1, 0, play.At(1, "room/#"))
		last.Grants(last.Asked("room/one/#", "room/two/#").PacketID, 1, 1)
		last.Granted(1, 1)
	}
	r.SetRules(onlyTwo)
	last.Left("room/one/#")
	r.SetRules(roomRules)
	last.Asked("room/one/#")
}

// No more sessions are reviewed at a time than there are processors, unless their reviewers only wait.
func TestReviewersAreFew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r reviewers
		r.working = runtime.GOMAXPROCS(0) // all are busy
		ended := make([]*Session, 100)
		for i := range ended {
			ended[i] = &Session{}
			ended[i].subs.requested.running = true
			ended[i].subs.requested.closed.Store(true)
			r.add(ended[i])
		}
		synctest.Wait()
		if len(r.waiting) != len(ended) || r.working != runtime.GOMAXPROCS(0) {
			t.Fatalf("%d sessions wait for %d reviewers; want all %d", len(r.waiting), r.working, len(ended))
		}
		for range runtime.GOMAXPROCS(0) { // each in turn: the first has another work in its place
			r.stepAside()
			synctest.Wait()
		}
		for _, s := range ended {
			s.subs.requested.await()
		}
		if r.working != 0 || r.waiting != nil || r.comeBack() {
			t.Errorf("%d reviewers are left, %d sessions wait; want none", r.working, len(r.waiting))
		}
	})
}

// However often the policy changes, a session waits for its review once, and one without subscriptions not at all.
func TestASessionWaitsForItsReviewOnce(t *testing.T) {
	r := newRooms(t)
	c := r.Connect(frames.V311, "alice")
	c.NothingUp() // begun
	s, all := r.onlySession(), &r.server.reviewers
	busy := func(more int) (waiting int) {
		all.mu.Lock()
		defer all.mu.Unlock()
		all.working += more
		return len(all.waiting)
	}
	busy(runtime.GOMAXPROCS(0))
	for range 100 {
		s.requestReview()
	}
	if n := busy(-runtime.GOMAXPROCS(0)); n != 0 {
		t.Errorf("%d reviews wait of a session without subscriptions; want none", n)
	}
	c.Asks(1, 0, play.At(2, "room/#"))
	c.Grants(c.Asked("room/one/#", "room/two/#").PacketID, 2, 2)
	c.Granted(1, 2)
	busy(runtime.GOMAXPROCS(0))
	for range 100 {
		s.requestReview()
	}
	if n := busy(1 - runtime.GOMAXPROCS(0)); n != 1 {
		t.Errorf("%d reviews wait; want one", n)
	}
	go all.work()
	r.SetRules(onlyTwo)
	c.Left("room/one/#")
}

// Who has stepped aside comes back only while a place is free.
func TestReviewersComeBackToAFreePlace(t *testing.T) {
	places := runtime.GOMAXPROCS(0)
	r := reviewers{waiting: []*Session{{}}, working: places}
	if r.comeBack() {
		t.Error("one more comes back though all places are taken")
	}
	r.working--
	if !r.comeBack() || r.working != places {
		t.Errorf("%d of %d places are taken; want the free one taken", r.working, places)
	}
	r.waiting, r.working = nil, 0
	if r.comeBack() {
		t.Error("one comes back though nothing waits")
	}
}
