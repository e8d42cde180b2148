package session

import (
	"testing"

	"topicgate/frames"
)

// roomRules is a policy of rooms: "one" and "two" may be read.
const roomRules = `
pattern read room/one/#
pattern read room/two/#
`

func narrow(o *rigOptions) { o.SubscribeMode = SubscribeNarrow }

func TestStoredSubscriptionsAreThoseOfTheSession(t *testing.T) {
	r := newRig(t, narrow)
	r.SetRules(roomRules)
	c := r.Connect(frames.V311, "alice")
	c.Say("82 0b 00 07 00 06 72 6f 6f 6d 2f 23 01") // SUBSCRIBE room/#, QoS 1
	c.FromGateway(frames.TypeSubscribe)
	s := r.onlySession()
	version := s.subs.version()
	stored := storedOf(&s.subs)
	if len(stored) != 1 || stored[0].Filter != "room/#" || stored[0].QoS != 1 || len(stored[0].Pieces) != 2 {
		t.Errorf("stored: %+v; want room/# at QoS 1 in two pieces", stored)
	}
	c.Reply("90 04 00 07 01 01")
	c.Hears("90 03 00 07 01")
	c.Say("a2 0a 00 08 00 06 72 6f 6f 6d 2f 23")
	c.FromGateway(frames.TypeUnsubscribe)
	if got := s.subs.version(); got == version {
		t.Errorf("version() = %d, as before the UNSUBSCRIBE", got)
	}
	if stored := storedOf(&s.subs); len(stored) != 0 {
		t.Errorf("stored: %+v after UNSUBSCRIBE; want none", stored)
	}
}

// storedOf is the subscriptions as they outlive the connection.
func storedOf(b *subscriptions) []storedSubscription {
	stored, _, _ := b.snapshot(false)
	return stored.Subscriptions
}

// onlySession is the session of the only connection.
func (r *rig) onlySession() *Session {
	r.T.Helper()
	r.server.mu.Lock()
	defer r.server.mu.Unlock()
	for s := range r.server.sessions {
		return s
	}
	r.T.Fatal("no session")
	return nil
}
