package gateway

import (
	"encoding/hex"
	"testing"
	"testing/synctest"

	"topicgate/frames"
)

// upAliases is a session of alice whose broker allows ten aliases.
func upAliases(t *testing.T) *conversation {
	return newRig(t, nil).connect(frames.V5, "alice")
}

func TestARefusedPublishDoesNotChangeWhatAnAliasMeansUpstream(t *testing.T) {
	c := upAliases(t)
	own, foreign := "chat/status/alice", "chat/status/bob"
	c.say(publishOf(own, aliased(1), "1"))
	c.passes(publishOf(own, stamp(aliased(1)), "1"))
	c.say(publishOf("", aliased(1), "2"))
	c.passes(publishOf("", stamp(aliased(1)), "2"))

	// Bound anew by a refused PUBLISH: for the client the alias means the foreign topic now.
	c.say(publishOf(foreign, aliased(1), "3"))
	c.say(publishOf("", aliased(1), "4"))
	c.nothingUp()

	// Back again: the broker still has the old meaning, and is told all the same.
	c.say(publishOf(own, aliased(1), "5"))
	c.passes(publishOf(own, stamp(aliased(1)), "5"))
	c.say(publishOf("", aliased(1), "6"))
	c.passes(publishOf("", stamp(aliased(1)), "6"))
}

func TestAnAliasThatARefusedPublishBoundIsToldWhenItIsAllowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		c := r.connect(frames.V5, "alice")
		c.say(publishOf("room/1", aliased(3), "1"))
		c.nothingUp()
		r.follow("pattern write room/1")
		c.say(publishOf("", aliased(3), "2"))
		c.passes(publishOf("room/1", stamp(aliased(3)), "2"))
		c.say(publishOf("", aliased(3), "3"))
		c.passes(publishOf("", stamp(aliased(3)), "3"))
		r.follow("pattern write room/2")
		c.say(publishOf("", aliased(3), "4")) // revoked
		c.nothingUp()
	})
}

func TestAnAliasReachesNoTopicOfTheGateways(t *testing.T) {
	c := upAliases(t)
	c.say(publishOf("$topicgate/access", aliased(1), "1"))
	c.say(publishOf("", aliased(1), "2"))
	c.nothingUp()
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
	c.say(publishOf("chat/status/alice", forged, "x"))
	c.passes(publishOf("chat/status/alice", stamp(want), "x"))

	c = newRig(t, func(o *rigOptions) { o.UserProperty = "" }).connect(frames.V5, "alice")
	c.say(publishOf("chat/status/alice", forged, "x"))
	c.passes(publishOf("chat/status/alice", forged, "x"))
}

// downAliases is a session of alice that takes two aliases of the broker.
func downAliases(t *testing.T) (*rig, *conversation) {
	r := newRig(t, nil)
	connect := connectOf(frames.V5, "alice")
	connect.Properties = connect.Properties.AppendUint(frames.PropTopicAliasMaximum, 2)
	return r, r.connectWith(connect, "20 03 00 00 00")
}

func TestADroppedDeliveryMayBindAnAlias(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, c := downAliases(t)
		c.reply(publishOf("room/1", aliased(1), "dropped"))
		c.reply(publishOf("", aliased(1), "dropped"))
		synctest.Wait()
		r.follow("pattern read room/1")
		c.reply(publishOf("", aliased(1), "seen"))
		c.hears(publishOf("room/1", aliased(1), "seen"))
		c.reply(publishOf("", aliased(1), "again"))
		c.hears(publishOf("", aliased(1), "again"))
		// Bound anew to what may not be read, then again to what may.
		c.reply(publishOf("room/2", aliased(1), "dropped"))
		c.reply(publishOf("", aliased(1), "dropped"))
		c.reply(publishOf("room/1", aliased(1), "back"))
		c.hears(publishOf("room/1", aliased(1), "back"))
	})
}

func TestAliasesThatTheClientDidNotAllowAreResolved(t *testing.T) {
	_, c := downAliases(t)
	c.reply(publishOf("chat/status/bob", aliased(200), "one"))
	c.hears(publishOf("chat/status/bob", nil, "one"))
	c.reply(publishOf("", aliased(200), "two"))
	c.hears(publishOf("chat/status/bob", nil, "two"))
	// One that is known to nobody ends the session, whoever is to blame.
	c.reply(publishOf("", aliased(2), "?"))
	c.hears("e0 01 8b")
	c.closes(1013)
}

func TestAnAliasInPlaceOfItsTopicMayBeTooLongForTheBroker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		var ps frames.Properties
		ps = ps.AppendUint(frames.PropTopicAliasMaximum, 5).AppendUint(frames.PropMaximumPacketSize, 100)
		c := r.connectWith(connectOf(frames.V5, "alice"), hex.EncodeToString(frames.Connack{Properties: ps}.Append(nil, frames.V5)))
		topic := "room/a-rather-long-name-of-a-room"
		c.say(publishOf(topic, aliased(1), "")) // refused
		c.nothingUp()
		r.follow("pattern write room/#")
		p := frames.Publish{QoS: 1, PacketID: 2, Properties: aliased(1), Payload: make([]byte, 40)}
		c.send(p.Append(nil, frames.V5))
		c.hears("40 03 00 02 87")
		c.nothingUp()
	})
}
