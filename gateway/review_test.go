package gateway

import (
	"encoding/hex"
	"testing"

	"topicgate/frames"
)

// onlyTwo lets alice read one room less than roomRules.
const onlyTwo = "pattern read room/two/#\n"

func TestSubscriptionsFollowThePolicy(t *testing.T) {
	for _, v := range []frames.Version{frames.V311, frames.V5} {
		t.Run(v.String(), func(t *testing.T) {
			r := newRooms(t)
			c := r.connect(v, "alice")
			c.asks(1, 0, at(0, "$topicgate/access"))
			c.granted(1, 0)
			c.asks(2, 0, at(1, "room/#"))
			c.asked("room/one/#", "room/two/#")
			c.hearsAccess("room/#", "room/one/#", "room/two/#")
			c.grants(2, 1, 1)
			c.granted(2, 1)

			r.setRules(onlyTwo + "pattern read room/three/#\n")
			u := c.left("room/one/#")
			s := c.asked("room/three/#")
			if s.Filters[0] != at(1, "room/three/#") || s.PacketID == u.PacketID {
				t.Errorf("the new room is asked for by %+v; want QoS 1, retained messages, another packet than %d", s, u.PacketID)
			}
			c.hearsAccess("room/#", "room/three/#", "room/two/#")
			c.releases(u)
			c.grants(s.PacketID, 1)
			for _, topic := range []string{"room/one/x", "room/three/x"} { // the first is dropped
				c.reply(messageHex(v, topic))
			}
			c.hears(messageHex(v, "room/three/x"))

			r.setRules("pattern read elsewhere\n")
			c.left("room/three/#", "room/two/#")
			c.hearsAccess("room/#")
		})
	}
}

func TestARevokedTopicIsSilentBeforeTheBrokerConfirms(t *testing.T) {
	r := newRooms(t)
	c := r.subscribed(frames.V311)
	r.setRules(onlyTwo)
	u := c.left("room/one/#")
	c.reply(publishHex(c.v, "room/one/x", 1, 10, "still under way"))
	c.passes("40 02 00 0a")
	c.releases(u)
	c.reply(publishHex(c.v, "room/two/x", 0, 0, "hi"))
	c.hears(publishHex(c.v, "room/two/x", 0, 0, "hi"))
}

func TestAChangeBetweenSubscribeAndSuback(t *testing.T) {
	r := newRooms(t)
	c := r.connect(frames.V5, "alice")
	c.asks(1, 0, at(1, "room/#"))
	c.asked("room/one/#", "room/two/#")
	r.setRules(onlyTwo + "pattern read room/three/#\n")
	u := c.left("room/one/#")
	s := c.asked("room/three/#")
	c.reply(messageHex(c.v, "room/one/kept")) // what the broker sends before its answers
	c.grants(1, 1, 1)
	c.granted(1, 1)
	c.reply(messageHex(c.v, "room/one/x"))
	c.releases(u)
	c.grants(s.PacketID, 1)
	c.reply(messageHex(c.v, "room/three/x"))
	c.hears(messageHex(c.v, "room/three/x"))
}

func TestAChangeDuringConnectHolds(t *testing.T) {
	r := newRooms(t)
	c := r.dial(frames.V311)
	connect := frames.Connect{Version: c.v, CleanStart: true, ClientID: "c1", HasUsername: true, Username: "u", HasPassword: true, Password: []byte("alice")}
	c.send(connect.Append(nil, c.v))
	c.accept()
	c.fromGateway(frames.TypeConnect)
	r.setRules(onlyTwo)
	c.reply("20 02 00 00")
	c.expect(frames.TypeConnack)
	// A broker may have anything for us, whatever was asked for.
	for {
		c.reply(messageHex(c.v, "room/one/x") + messageHex(c.v, "room/two/x")) // at once: nobody reads the client between them
		p, err := frames.ParsePublish(c.expect(frames.TypePublish), c.v)
		if err != nil {
			t.Fatal(err)
		}
		if string(p.TopicName) == "room/two/x" {
			break // the change has been seen
		}
		c.hears(messageHex(c.v, "room/two/x"))
	}
	c.asks(1, 0, at(1, "room/#"))
	c.asked("room/two/#")
}

// The broker may have ten messages under way: if dropped ones were not completed, the eleventh would never come.
func TestDroppedDeliveriesNeverStall(t *testing.T) {
	for _, qos := range []frames.QoS{1, 2} {
		r := newRooms(t)
		c := r.subscribed(frames.V5)
		r.setRules(onlyTwo)
		c.releases(c.left("room/one/#"))
		const receiveMaximum = 10
		for round := range uint16(3) {
			for id := uint16(1); id <= receiveMaximum; id++ {
				c.reply(publishHex(c.v, "room/one/x", qos, id, ""))
				c.passes(ackHex(frames.TypePuback+frames.Type(qos-1), id, frames.Success, c.v)) // PUBACK, PUBREC
			}
			for id := uint16(1); qos == 2 && id <= receiveMaximum; id++ {
				c.reply(ackHex(frames.TypePubrel, id, frames.Success, c.v))
				c.passes(ackHex(frames.TypePubcomp, id, frames.Success, c.v))
			}
			c.reply(publishHex(c.v, "room/two/x", qos, round+1, "hi"))
			c.hears(publishHex(c.v, "room/two/x", qos, round+1, "hi"))
		}
	}
}

// A delivery that the client has begun to receive is its own to complete, whatever happens to the room.
func TestADeliveryUnderWayIsCompletedByTheClient(t *testing.T) {
	r := newRooms(t)
	c := r.subscribed(frames.V311)
	c.reply(publishHex(c.v, "room/one/x", 2, 4, "hi"))
	c.hears(publishHex(c.v, "room/one/x", 2, 4, "hi"))
	r.setRules(onlyTwo)
	c.left("room/one/#")
	c.say("50 02 00 04")
	c.passes("50 02 00 04")
	c.reply("62 02 00 04")
	c.hears("62 02 00 04")
	c.say("70 02 00 04")
	c.passes("70 02 00 04")
}

func TestAFullClientHearsNothingOfARevokedTopic(t *testing.T) {
	r := newRooms(t)
	c := r.subscribed(frames.V311)
	judged := func() float64 {
		return counted(r.server.Metrics, `topicgate_packets_total{direction="down",packet="publish"}`)
	}
	before := judged()
	c.reply(messageHex(c.v, "room/one/before")) // the gateway writes this, and nobody reads
	r.until("the first message is judged", func() bool { return judged() > before })
	sent := make(chan struct{})
	changed := make(chan struct{})
	go func() {
		defer close(sent)
		<-changed
		for range 50 {
			_, _ = c.conn.Write(unhex(t, messageHex(c.v, "room/one/after")))
		}
		_, _ = c.conn.Write(unhex(t, messageHex(c.v, "room/two/after")))
	}()
	r.setRules(onlyTwo)
	c.left("room/one/#") // seen
	close(changed)
	c.hears(messageHex(c.v, "room/one/before"))
	c.hears(messageHex(c.v, "room/two/after"))
	<-sent
}

// A wider filter takes the place of others: it is asked for before they are let go, and what is new with it
// brings its retained messages, once, under an identifier that the client never sees.
func TestWhatIsCoveredAlreadyFetchesItsRetainedMessages(t *testing.T) {
	r := newRooms(t)
	c := r.connect(frames.V5, "alice")
	c.asks(1, 7, at(1, "room/#"))
	c.asked("room/one/#", "room/two/#")
	c.grants(1, 1, 1)
	c.granted(1, 1)
	r.setRules(roomRules + "pattern read room/+/public\n") // meets the rooms: room/+/#

	fetch := c.asked("room/+/public")
	alias := identifier(fetch.Properties)
	wide := c.asked("room/+/#")
	if f := wide.Filters[0]; f.RetainHandling != 2 || identifier(wide.Properties) != 7 || alias == 7 || alias == 0 || fetch.Filters[0].RetainHandling != 0 {
		t.Errorf("SUBSCRIBE %+v, then %+v; want retained messages of the first only, with identifiers of their own", fetch, wide)
	}
	u := c.left("room/+/public", "room/one/#", "room/two/#")
	for _, m := range []struct {
		topic    string
		retained bool
		id       uint32
		arrives  bool
	}{
		{"room/three/public", true, alias, true},
		{"room/one/public", true, alias, false}, // the client has had it
		{"room/three/public", false, alias, false},
		{"room/three/public", false, 7, true},
		{"room/three/secret", false, 7, false},
	} {
		p := frames.Publish{TopicName: []byte(m.topic), Retain: m.retained, Properties: frames.Properties(nil).AppendUint(frames.PropSubscriptionIdentifier, m.id)}
		c.reply(hex.EncodeToString(p.Append(nil, c.v)))
		if m.arrives {
			p.Properties = frames.Properties(nil).AppendUint(frames.PropSubscriptionIdentifier, 7)
			c.hears(hex.EncodeToString(p.Append(nil, c.v)))
		}
	}
	c.grants(fetch.PacketID, 1)
	c.grants(wide.PacketID, 1)
	c.releases(u)
	c.reply(messageHex(c.v, "room/one/x", 7))
	c.hears(messageHex(c.v, "room/one/x", 7))
}

// The same for 3.1.1, where nothing tells by which filter a message comes.
func TestRetainedMessagesDoNotComeAgainWithAWiderFilter(t *testing.T) {
	r := newRooms(t)
	c := r.subscribed(frames.V311)
	r.setRules(roomRules + "pattern read room/+/public\n")
	wide := c.asked("room/+/#")
	u := c.left("room/one/#", "room/two/#")
	kept := func(topic string) string {
		p := frames.Publish{TopicName: []byte(topic), Retain: true}
		return hex.EncodeToString(p.Append(nil, c.v))
	}
	c.grants(wide.PacketID, 2)
	c.reply(kept("room/one/x"))
	c.reply(kept("room/three/public"))
	c.hears(kept("room/three/public"))
	c.releases(u)
	c.reply(kept("room/one/x"))
	c.hears(kept("room/one/x")) // something else sends it: not ours to judge
}

func TestManyChangesMakeFewReviews(t *testing.T) {
	r := newRooms(t)
	c := r.subscribed(frames.V311)
	s := r.onlySession()
	s.subs.order.Lock() // a review is under way
	for range 100 {
		s.requestReview()
	}
	r.setRules(onlyTwo)
	s.subs.order.Unlock()
	c.left("room/one/#")
	r.setRules("pattern read room/two/#\npattern read room/three/#\n")
	c.asked("room/three/#")
}

// A broker that does not read holds a review up, not the session's end.
func TestASessionEndsWhileItsReviewWaitsForTheBroker(t *testing.T) {
	r := newRooms(t)
	c := r.subscribed(frames.V311)
	s := r.onlySession()
	r.setRules(onlyTwo)
	// The first byte is written: the review waits for the rest.
	if _, err := c.conn.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	s.finish(ended(EndDraining, nil))
	r.server.Close() // waits for all that the session has started
	s.subs.mu.Lock()
	defer s.subs.mu.Unlock()
	if s.subs.requested.isRunning() {
		t.Error("a review runs on though its session has ended")
	}
}

func TestAResumedSessionIsReviewedBeforeAnythingElse(t *testing.T) {
	r := newRooms(t)
	c := r.connect(frames.V5, "alice")
	c.nothingUp() // begun: no review of its own meets the one below
	s := r.onlySession()
	go s.restore(&storedSubscriptions{Subscriptions: []storedSubscription{
		{Filter: "room/#", QoS: 1, ID: 3, Pieces: []string{"room/gone/#", "room/one/#"}, PieceIDs: map[string]uint32{"room/one/#": 268435455}},
		{Filter: "room/one/#", QoS: 2, ID: 4, Pieces: []string{"room/one/#"}, PieceIDs: map[string]uint32{"room/one/#": 268435455}},
		{Filter: "not/a#filter", Pieces: []string{"x"}},
		{Filter: "room/x", QoS: 7},
	}})
	c.left("room/gone/#")
	if s := c.asked("room/two/#"); s.Filters[0].QoS != 1 || identifier(s.Properties) != 3 {
		t.Errorf("SUBSCRIBE %+v; want QoS 1 and identifier 3", s)
	}
	c.reply(messageHex(c.v, "room/one/x", 268435455)) // as the broker's Session has it
	p, err := frames.ParsePublish(c.expect(frames.TypePublish), c.v)
	if err != nil {
		t.Fatal(err)
	}
	ids := map[uint32]bool{}
	for property := range p.Properties.All() {
		ids[property.Uint()] = true
	}
	if len(ids) != 2 || !ids[3] || !ids[4] {
		t.Errorf("the message carries the identifiers %v; want 3 and 4", ids)
	}
}
