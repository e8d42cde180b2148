package session

import (
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"

	"topicgate/auth"
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
			ended[i].requested.running = true
			ended[i].requested.closed.Store(true)
			r.add(ended[i])
		}
		synctest.Wait()
		if waitingReviews(&r) != len(ended) || r.working != runtime.GOMAXPROCS(0) {
			t.Fatalf("%d sessions wait for %d reviewers; want all %d", waitingReviews(&r), r.working, len(ended))
		}
		for range runtime.GOMAXPROCS(0) { // each in turn: the first has another work in its place
			r.stepAside()
			synctest.Wait()
		}
		for _, s := range ended {
			s.requested.await()
		}
		if r.working != 0 || !r.waiting.Empty() || r.users != nil || r.comeBack() {
			t.Errorf("%d reviewers are left, %d sessions wait; want none", r.working, waitingReviews(&r))
		}
	})
}

// waitingReviews counts the sessions that wait. r.mu is held.
func waitingReviews(r *reviewers) (n int) {
	r.waiting.Each(func(*Session) { n++ })
	return n
}

// However many sessions of one user are to be reviewed, and however often: another user's is next but one.
func TestReviewersServeUsersInTurn(t *testing.T) {
	var r reviewers
	r.working = runtime.GOMAXPROCS(0) // all are busy
	of := func(username string) *Session {
		s := &Session{}
		s.whose.set(auth.Identity{Username: username})
		return s
	}
	for range 500 {
		r.add(of("mallory"))
	}
	for round := range 50 {
		for range 20 { // who has been reviewed wants it again
			r.add(r.next())
		}
		alice := of("alice")
		r.add(alice)
		n := 1
		for r.next() != alice {
			n++
		}
		if n > 2 {
			t.Fatalf("round %d: alice's session was the %dth; want the second at most", round, n)
		}
	}
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
		return waitingReviews(all)
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
	r := reviewers{working: places}
	r.add(&Session{})
	if r.comeBack() {
		t.Error("one more comes back though all places are taken")
	}
	r.working--
	if !r.comeBack() || r.working != places {
		t.Errorf("%d of %d places are taken; want the free one taken", r.working, places)
	}
	r.next()
	r.working = 0
	if r.comeBack() {
		t.Error("one comes back though nothing waits")
	}
}
