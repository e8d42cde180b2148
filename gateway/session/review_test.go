package session

import (
	"encoding/hex"
	"testing"

	"topicgate/frames"
	"topicgate/gateway/internal/play"
)

// onlyTwo lets alice read one room less than roomRules.
const onlyTwo = "pattern read room/two/#\n"

func TestSubscriptionsFollowThePolicy(t *testing.T) {
	for _, v := range []frames.Version{frames.V311, frames.V5} {
		t.Run(v.String(), func(t *testing.T) {
			r := newRooms(t)
			c := r.Connect(v, "alice")
			c.Asks(1, 0, play.At(0, "$topicgate/access"))
			c.Granted(1, 0)
			c.Asks(2, 0, play.At(1, "room/#"))
			c.Asked("room/one/#", "room/two/#")
			c.HearsAccess("room/#", "room/one/#", "room/two/#")
			c.Grants(2, 1, 1)
			c.Granted(2, 1)

			r.SetRules(onlyTwo + "pattern read room/three/#\n")
			u := c.Left("room/one/#")
			s := c.Asked("room/three/#")
			if s.Filters[0] != play.At(1, "room/three/#") || s.PacketID == u.PacketID {
				t.Errorf("the new room is asked for by %+v; want QoS 1, retained messages, another packet than %d", s, u.PacketID)
			}
			c.HearsAccess("room/#", "room/three/#", "room/two/#")
			c.Releases(u)
			c.Grants(s.PacketID, 1)
			for _, topic := range []string{"room/one/x", "room/three/x"} { // the first is dropped
				c.Reply(messageHex(v, topic))
			}
			c.Hears(messageHex(v, "room/three/x"))

			r.SetRules("pattern read elsewhere\n")
			c.Left("room/three/#", "room/two/#")
			c.HearsAccess("room/#")
		})
	}
}

func TestARevokedTopicIsSilentBeforeTheBrokerConfirms(t *testing.T) {
	r := newRooms(t)
	c := r.Subscribed(frames.V311)
	r.SetRules(onlyTwo)
	u := c.Left("room/one/#")
	c.Reply(play.PublishHex(c.V, "room/one/x", 1, 10, "still under way"))
	c.Passes("40 02 00 0a")
	c.Releases(u)
	c.Reply(play.PublishHex(c.V, "room/two/x", 0, 0, "hi"))
	c.Hears(play.PublishHex(c.V, "room/two/x", 0, 0, "hi"))
}

func TestAChangeBetweenSubscribeAndSuback(t *testing.T) {
	r := newRooms(t)
	c := r.Connect(frames.V5, "alice")
	c.Asks(1, 0, play.At(1, "room/#"))
	c.Asked("room/one/#", "room/two/#")
	r.SetRules(onlyTwo + "pattern read room/three/#\n")
	u := c.Left("room/one/#")
	s := c.Asked("room/three/#")
	c.Reply(messageHex(c.V, "room/one/kept")) // what the broker sends before its answers
	c.Grants(1, 1, 1)
	c.Granted(1, 1)
	c.Reply(messageHex(c.V, "room/one/x"))
	c.Releases(u)
	c.Grants(s.PacketID, 1)
	c.Reply(messageHex(c.V, "room/three/x"))
	c.Hears(messageHex(c.V, "room/three/x"))
}

func TestAChangeDuringConnectHolds(t *testing.T) {
	r := newRooms(t)
	c := r.Dial(frames.V311)
	connect := frames.Connect{Version: c.V, CleanStart: true, ClientID: "c1", HasUsername: true, Username: "u", HasPassword: true, Password: []byte("alice")}
	c.Send(connect.Append(nil, c.V))
	c.Accept()
	c.FromGateway(frames.TypeConnect)
	r.SetRules(onlyTwo)
	c.Reply("20 02 00 00")
	c.Expect(frames.TypeConnack)
	// A broker may have anything for us, whatever was asked for.
	for {
		c.Reply(messageHex(c.V, "room/one/x") + messageHex(c.V, "room/two/x")) // at once: nobody reads the client between them
		p, err := frames.ParsePublish(c.Expect(frames.TypePublish), c.V)
		if err != nil {
			t.Fatal(err)
		}
		if string(p.TopicName) == "room/two/x" {
			break // the change has been seen
		}
		c.Hears(messageHex(c.V, "room/two/x"))
	}
	c.Asks(1, 0, play.At(1, "room/#"))
	c.Asked("room/two/#")
}

// The broker may have ten messages under way: if dropped ones were not completed, the eleventh would never come.
func TestDroppedDeliveriesNeverStall(t *testing.T) {
	for _, qos := range []frames.QoS{1, 2} {
		r := newRooms(t)
		c := r.Subscribed(frames.V5)
		r.SetRules(onlyTwo)
		c.Releases(c.Left("room/one/#"))
		const receiveMaximum = 10
		for round := range uint16(3) {
			for id := uint16(1); id <= receiveMaximum; id++ {
				c.Reply(play.PublishHex(c.V, "room/one/x", qos, id, ""))
				c.Passes(play.AckHex(frames.TypePuback+frames.Type(qos-1), id, frames.Success, c.V)) // PUBACK, PUBREC
			}
			for id := uint16(1); qos == 2 && id <= receiveMaximum; id++ {
				c.Reply(play.AckHex(frames.TypePubrel, id, frames.Success, c.V))
				c.Passes(play.AckHex(frames.TypePubcomp, id, frames.Success, c.V))
			}
			c.Reply(play.PublishHex(c.V, "room/two/x", qos, round+1, "hi"))
			c.Hears(play.PublishHex(c.V, "room/two/x", qos, round+1, "hi"))
		}
	}
}

// A delivery that the client has begun to receive is its own to complete, whatever happens to the room.
func TestADeliveryUnderWayIsCompletedByTheClient(t *testing.T) {
	r := newRooms(t)
	c := r.Subscribed(frames.V311)
	c.Reply(play.PublishHex(c.V, "room/one/x", 2, 4, "hi"))
	c.Hears(play.PublishHex(c.V, "room/one/x", 2, 4, "hi"))
	r.SetRules(onlyTwo)
	c.Left("room/one/#")
	c.Say("50 02 00 04")
	c.Passes("50 02 00 04")
	c.Reply("62 02 00 04")
	c.Hears("62 02 00 04")
	c.Say("70 02 00 04")
	c.Passes("70 02 00 04")
}

func TestAFullClientHearsNothingOfARevokedTopic(t *testing.T) {
	r := newRooms(t)
	c := r.Subscribed(frames.V311)
	judged := func() float64 {
		return counted(r.server.Metrics, `topicgate_packets_total{direction="down",packet="publish"}`)
	}
	before := judged()
	c.Reply(messageHex(c.V, "room/one/before")) // the gateway writes this, and nobody reads
	r.Until("the first message is judged", func() bool { return judged() > before })
	sent := make(chan struct{})
	changed := make(chan struct{})
	go func() {
		defer close(sent)
		<-changed
		for range 50 {
			_, _ = c.Conn.Write(play.Unhex(t, messageHex(c.V, "room/one/after")))
		}
		_, _ = c.Conn.Write(play.Unhex(t, messageHex(c.V, "room/two/after")))
	}()
	r.SetRules(onlyTwo)
	c.Left("room/one/#") // seen
	close(changed)
	c.Hears(messageHex(c.V, "room/one/before"))
	c.Hears(messageHex(c.V, "room/two/after"))
	<-sent
}

// A wider filter takes the place of others: it is asked for before they are let go, and what is new with it
// brings its retained messages, once, under an identifier that the client never sees.
func TestWhatIsCoveredAlreadyFetchesItsRetainedMessages(t *testing.T) {
	r := newRooms(t)
	c := r.Connect(frames.V5, "alice")
	c.Asks(1, 7, play.At(1, "room/#"))
	c.Asked("room/one/#", "room/two/#")
	c.Grants(1, 1, 1)
	c.Granted(1, 1)
	r.SetRules(roomRules + "pattern read room/+/public\n") // meets the rooms: room/+/#

	fetch := c.Asked("room/+/public")
	alias := identifier(fetch.Properties)
	wide := c.Asked("room/+/#")
	if f := wide.Filters[0]; f.RetainHandling != 2 || identifier(wide.Properties) != 7 || alias == 7 || alias == 0 || fetch.Filters[0].RetainHandling != 0 {
		t.Errorf("SUBSCRIBE %+v, then %+v; want retained messages of the first only, with identifiers of their own", fetch, wide)
	}
	u := c.Left("room/+/public", "room/one/#", "room/two/#")
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
		c.Reply(hex.EncodeToString(p.Append(nil, c.V)))
		if m.arrives {
			p.Properties = frames.Properties(nil).AppendUint(frames.PropSubscriptionIdentifier, 7)
			c.Hears(hex.EncodeToString(p.Append(nil, c.V)))
		}
	}
	c.Grants(fetch.PacketID, 1)
	c.Grants(wide.PacketID, 1)
	c.Releases(u)
	c.Reply(messageHex(c.V, "room/one/x", 7))
	c.Hears(messageHex(c.V, "room/one/x", 7))
}

// The same for 3.1.1, where nothing tells by which filter a message comes.
func TestRetainedMessagesDoNotComeAgainWithAWiderFilter(t *testing.T) {
	r := newRooms(t)
	c := r.Subscribed(frames.V311)
	r.SetRules(roomRules + "pattern read room/+/public\n")
	wide := c.Asked("room/+/#")
	u := c.Left("room/one/#", "room/two/#")
	kept := func(topic string) string {
		p := frames.Publish{TopicName: []byte(topic), Retain: true}
		return hex.EncodeToString(p.Append(nil, c.V))
	}
	c.Grants(wide.PacketID, 2)
	c.Reply(kept("room/one/x"))
	c.Reply(kept("room/three/public"))
	c.Hears(kept("room/three/public"))
	c.Releases(u)
	c.Reply(kept("room/one/x"))
	c.Hears(kept("room/one/x")) // something else sends it: not ours to judge
}

func TestManyChangesMakeFewReviews(t *testing.T) {
	r := newRooms(t)
	c := r.Subscribed(frames.V311)
	s := r.onlySession()
	s.subs.order.Lock() // a review is under way
	for range 100 {
		s.requestReview()
	}
	r.SetRules(onlyTwo)
	s.subs.order.Unlock()
	c.Left("room/one/#")
	r.SetRules("pattern read room/two/#\npattern read room/three/#\n")
	c.Asked("room/three/#")
}

// A broker that does not read holds a review up, not the session's end.
func TestASessionEndsWhileItsReviewWaitsForTheBroker(t *testing.T) {
	r := newRooms(t)
	c := r.Subscribed(frames.V311)
	s := r.onlySession()
	r.SetRules(onlyTwo)
	// The first byte is written: the review waits for the rest.
	if _, err := c.Conn.Read(make([]byte, 1)); err != nil {
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
	c := r.Connect(frames.V5, "alice")
	c.NothingUp() // begun: no review of its own meets the one below
	s := r.onlySession()
	go s.restore(&storedSubscriptions{Subscriptions: []storedSubscription{
		{Filter: "room/#", QoS: 1, ID: 3, Pieces: []string{"room/gone/#", "room/one/#"}, PieceIDs: map[string]uint32{"room/one/#": 268435455}},
		{Filter: "room/one/#", QoS: 2, ID: 4, Pieces: []string{"room/one/#"}, PieceIDs: map[string]uint32{"room/one/#": 268435455}},
		{Filter: "not/a#filter", Pieces: []string{"x"}},
		{Filter: "room/x", QoS: 7},
	}})
	c.Left("room/gone/#")
	if s := c.Asked("room/two/#"); s.Filters[0].QoS != 1 || identifier(s.Properties) != 3 {
		t.Errorf("SUBSCRIBE %+v; want QoS 1 and identifier 3", s)
	}
	c.Reply(messageHex(c.V, "room/one/x", 268435455)) // as the broker's Session has it
	p, err := frames.ParsePublish(c.Expect(frames.TypePublish), c.V)
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
