package session

import (
	"strings"
	"testing"

	"topicgate/frames"
	"topicgate/gateway/internal/play"
	"topicgate/policy"
)

func TestATopicIsRememberedForOneAccessAlone(t *testing.T) {
	store := newRig(t, nil)
	changed := make(chan struct{}, 1)
	grant, err := store.Policy.Open(t.Context(), policy.Principal{Username: "alice", ClientID: "c1"}, func() { changed <- struct{}{} })
	if err != nil {
		t.Fatal(err)
	}
	defer grant.Close()
	before := grant.Access()
	store.SetRules("pattern read chat/+\n")
	<-changed
	after := grant.Access()
	if before.Serial() == after.Serial() || after.Serial() == 0 || policy.NothingAllowed().Serial() == after.Serial() {
		t.Fatalf("serials %d, %d", before.Serial(), after.Serial())
	}

	var r recent
	asked := 0
	allow := func(*policy.Access, []byte) policy.Decision { asked++; return policy.Decision{Allowed: true} }
	deny := func(*policy.Access, []byte) policy.Decision { asked++; return policy.Decision{} }
	long := strings.Repeat("x", len(r.topic)+1)
	for i, step := range []struct {
		access *policy.Access
		topic  string
		decide func(*policy.Access, []byte) policy.Decision
		want   bool
		asks   int
	}{
		{before, "chat/a", allow, true, 1},
		{before, "chat/a", deny, true, 0}, // remembered
		{before, "chat", deny, false, 1},
		{before, "chat/a", deny, true, 0}, // a denial takes nobody's place
		{after, "chat/a", deny, false, 1},
		{after, "chat/a", allow, true, 1},
		{before, "chat/a", deny, false, 1},
		{after, long, allow, true, 1},
		{after, long, deny, false, 1}, // too long to be kept
		{nil, "chat/a", deny, false, 1},
	} {
		asked = 0
		if d := r.ask(step.access, []byte(step.topic), step.decide); d.Allowed != step.want || asked != step.asks {
			t.Errorf("step %d, %.10q: allowed %v after %d questions; want %v after %d", i, step.topic, d.Allowed, asked, step.want, step.asks)
		}
	}
}

// What is taken away while the same topic comes again and again falls silent with the change.
func TestARightThatGoesIsNotRemembered(t *testing.T) {
	r := newRooms(t)
	r.SetRules("pattern readwrite room/one/#\npattern readwrite room/two/#\n")
	c := r.Connect(frames.V311, "alice")
	c.Asks(1, 0, play.At(0, "$topicgate/access"))
	c.Granted(1, 0)
	c.Asks(2, 0, play.At(0, "room/#"))
	c.Asked("room/one/#", "room/two/#")
	c.HearsAccess("room/#", "room/one/#", "room/two/#")
	c.Grants(2, 0, 0)
	c.Granted(2, 0)
	for range 2 {
		c.Say(messageHex(frames.V311, "room/one/x"))
		c.Passes(messageHex(frames.V311, "room/one/x"))
		c.Reply(messageHex(frames.V311, "room/one/x"))
		c.Hears(messageHex(frames.V311, "room/one/x"))
	}
	r.SetRules("pattern readwrite room/two/#\n")
	c.Left("room/one/#")
	c.HearsAccess("room/#", "room/two/#")
	c.Say(messageHex(frames.V311, "room/one/x"))
	c.Say(messageHex(frames.V311, "room/two/x"))
	c.Passes(messageHex(frames.V311, "room/two/x"))
	c.Reply(messageHex(frames.V311, "room/one/x"))
	c.Reply(messageHex(frames.V311, "room/two/x"))
	c.Hears(messageHex(frames.V311, "room/two/x"))
}
