package gateway

import (
	"strings"
	"testing"

	"topicgate/frames"
	"topicgate/policy"
)

func TestATopicIsRememberedForOneAccessAlone(t *testing.T) {
	store := newRig(t, nil)
	changed := make(chan struct{}, 1)
	grant, err := store.policy.Open(t.Context(), policy.Principal{Username: "alice", ClientID: "c1"}, func() { changed <- struct{}{} })
	if err != nil {
		t.Fatal(err)
	}
	defer grant.Close()
	before := grant.Access()
	store.setRules("pattern read chat/+\n")
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
	r.setRules("pattern readwrite room/one/#\npattern readwrite room/two/#\n")
	c := r.connect(frames.V311, "alice")
	c.asks(1, 0, at(0, "$topicgate/access"))
	c.granted(1, 0)
	c.asks(2, 0, at(0, "room/#"))
	c.asked("room/one/#", "room/two/#")
	c.hearsAccess("room/#", "room/one/#", "room/two/#")
	c.grants(2, 0, 0)
	c.granted(2, 0)
	for range 2 {
		c.say(messageHex(frames.V311, "room/one/x"))
		c.passes(messageHex(frames.V311, "room/one/x"))
		c.reply(messageHex(frames.V311, "room/one/x"))
		c.hears(messageHex(frames.V311, "room/one/x"))
	}
	r.setRules("pattern readwrite room/two/#\n")
	c.left("room/one/#")
	c.hearsAccess("room/#", "room/two/#")
	c.say(messageHex(frames.V311, "room/one/x"))
	c.say(messageHex(frames.V311, "room/two/x"))
	c.passes(messageHex(frames.V311, "room/two/x"))
	c.reply(messageHex(frames.V311, "room/one/x"))
	c.reply(messageHex(frames.V311, "room/two/x"))
	c.hears(messageHex(frames.V311, "room/two/x"))
}
