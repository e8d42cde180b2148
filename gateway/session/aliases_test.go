package session

import (
	"encoding/hex"
	"testing"
	"testing/synctest"

	"topicgate/frames"
	"topicgate/gateway/internal/play"
)

// upAliases is a session of alice whose broker allows ten aliases.
func upAliases(t *testing.T) *play.Conversation {
	return newRig(t, nil).Connect(frames.V5, "alice")
}

func TestARefusedPublishDoesNotChangeWhatAnAliasMeansUpstream(t *testing.T) {
	c := upAliases(t)
	own, foreign := "chat/status/alice", "chat/status/bob"
	c.Say(play.PublishOf(own, play.Aliased(1), "1"))
	c.Passes(play.PublishOf(own, play.Stamp(play.Aliased(1)), "1"))
	c.Say(play.PublishOf("", play.Aliased(1), "2"))
	c.Passes(play.PublishOf("", play.Stamp(play.Aliased(1)), "2"))

	// Bound anew by a refused PUBLISH: for the client the alias means the foreign topic now.
	c.Say(play.PublishOf(foreign, play.Aliased(1), "3"))
	c.Say(play.PublishOf("", play.Aliased(1), "4"))
	c.NothingUp()

	// Back again: the broker still has the old meaning, and is told all the same.
	c.Say(play.PublishOf(own, play.Aliased(1), "5"))
	c.Passes(play.PublishOf(own, play.Stamp(play.Aliased(1)), "5"))
	c.Say(play.PublishOf("", play.Aliased(1), "6"))
	c.Passes(play.PublishOf("", play.Stamp(play.Aliased(1)), "6"))
}

func TestAnAliasThatARefusedPublishBoundIsToldWhenItIsAllowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		c := r.Connect(frames.V5, "alice")
		c.Say(play.PublishOf("room/1", play.Aliased(3), "1"))
		c.NothingUp()
		r.Follow("pattern write room/1")
		c.Say(play.PublishOf("", play.Aliased(3), "2"))
		c.Passes(play.PublishOf("room/1", play.Stamp(play.Aliased(3)), "2"))
		c.Say(play.PublishOf("", play.Aliased(3), "3"))
		c.Passes(play.PublishOf("", play.Stamp(play.Aliased(3)), "3"))
		r.Follow("pattern write room/2")
		c.Say(play.PublishOf("", play.Aliased(3), "4")) // revoked
		c.NothingUp()
	})
}

func TestAnAliasReachesNoTopicOfTheGateways(t *testing.T) {
	c := upAliases(t)
	c.Say(play.PublishOf("$topicgate/access", play.Aliased(1), "1"))
	c.Say(play.PublishOf("", play.Aliased(1), "2"))
	c.NothingUp()
}

func TestForgedIdentitiesAreRemoved(t *testing.T) {
	c := upAliases(t)
	var forged frames.Properties
	forged = forged.AppendPair(frames.PropUserProperty, []byte("topicgate-user"), []byte("root"))
	forged = forged.AppendUint(frames.PropMessageExpiryInterval, 9)
	forged = forged.AppendPair(frames.PropUserProperty, []byte("TopicGate-User"), []byte("root"))
	forged = forged.AppendPair(frames.PropUserProperty, []byte("topicgate-users"), []byte("kept"))
	forged = forged.AppendPair(frames.PropUserProperty, []byte("topicgate-user"), []byte("alice"))
	want := frames.Properties(nil).AppendUint(frames.PropMessageExpiryInterval, 9)
	want = want.AppendPair(frames.PropUserProperty, []byte("topicgate-users"), []byte("kept"))
	c.Say(play.PublishOf("chat/status/alice", forged, "x"))
	c.Passes(play.PublishOf("chat/status/alice", play.Stamp(want), "x"))

	c = newRig(t, func(o *rigOptions) { o.UserProperty = "" }).Connect(frames.V5, "alice")
	c.Say(play.PublishOf("chat/status/alice", forged, "x"))
	c.Passes(play.PublishOf("chat/status/alice", forged, "x"))
}

// downAliases is a session of alice that takes two aliases of the broker.
func downAliases(t *testing.T) (*rig, *play.Conversation) {
	r := newRig(t, nil)
	connect := play.ConnectOf(frames.V5, "alice")
	connect.Properties = connect.Properties.AppendUint(frames.PropTopicAliasMaximum, 2)
	return r, r.ConnectWith(connect, "20 03 00 00 00")
}

func TestADroppedDeliveryMayBindAnAlias(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, c := downAliases(t)
		c.Reply(play.PublishOf("room/1", play.Aliased(1), "dropped"))
		c.Reply(play.PublishOf("", play.Aliased(1), "dropped"))
		synctest.Wait()
		r.Follow("pattern read room/1")
		c.Reply(play.PublishOf("", play.Aliased(1), "seen"))
		c.Hears(play.PublishOf("room/1", play.Aliased(1), "seen"))
		c.Reply(play.PublishOf("", play.Aliased(1), "again"))
		c.Hears(play.PublishOf("", play.Aliased(1), "again"))
		// Bound anew to what may not be read, then again to what may.
		c.Reply(play.PublishOf("room/2", play.Aliased(1), "dropped"))
		c.Reply(play.PublishOf("", play.Aliased(1), "dropped"))
		c.Reply(play.PublishOf("room/1", play.Aliased(1), "back"))
		c.Hears(play.PublishOf("room/1", play.Aliased(1), "back"))
	})
}

func TestAliasesThatTheClientDidNotAllowAreResolved(t *testing.T) {
	_, c := downAliases(t)
	c.Reply(play.PublishOf("chat/status/bob", play.Aliased(200), "one"))
	c.Hears(play.PublishOf("chat/status/bob", nil, "one"))
	c.Reply(play.PublishOf("", play.Aliased(200), "two"))
	c.Hears(play.PublishOf("chat/status/bob", nil, "two"))
	// One that is known to nobody ends the session, whoever is to blame.
	c.Reply(play.PublishOf("", play.Aliased(2), "?"))
	c.Hears("e0 01 8b")
	c.Closes(1013)
}

func TestAnAliasInPlaceOfItsTopicMayBeTooLongForTheBroker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		var ps frames.Properties
		ps = ps.AppendUint(frames.PropTopicAliasMaximum, 5).AppendUint(frames.PropMaximumPacketSize, 100)
		c := r.ConnectWith(play.ConnectOf(frames.V5, "alice"), hex.EncodeToString(frames.Connack{Properties: ps}.Append(nil, frames.V5)))
		topic := "room/a-rather-long-name-of-a-room"
		c.Say(play.PublishOf(topic, play.Aliased(1), "")) // refused
		c.NothingUp()
		r.Follow("pattern write room/#")
		p := frames.Publish{QoS: 1, PacketID: 2, Properties: play.Aliased(1), Payload: make([]byte, 40)}
		c.Send(p.Append(nil, frames.V5))
		c.Hears("40 03 00 02 87")
		c.NothingUp()
	})
}
