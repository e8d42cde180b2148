package gateway

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"

	"topicgate/frames"
)

// newRooms is a gateway that narrows, with roomRules.
func newRooms(t *testing.T, change ...func(*rigOptions)) *rig {
	t.Helper()
	r := newRig(t, func(o *rigOptions) {
		narrow(o)
		for _, f := range change {
			f(o)
		}
	})
	r.setRules(roomRules)
	return r
}

// message is a PUBLISH at QoS 0 with Subscription Identifiers, in hex.
func messageHex(v frames.Version, topic string, ids ...uint32) string {
	p := frames.Publish{TopicName: []byte(topic), Payload: []byte("hi")}
	for _, id := range ids {
		p.Properties = p.Properties.AppendUint(frames.PropSubscriptionIdentifier, id)
	}
	return hex.EncodeToString(p.Append(nil, v))
}

func TestASubscriptionIsNarrowedToWhatMayBeRead(t *testing.T) {
	for _, v := range []frames.Version{frames.V31, frames.V311, frames.V5} {
		t.Run(v.String(), func(t *testing.T) {
			c := newRooms(t).connect(v, "alice")
			c.asks(7, 0, at(1, "room/#"), at(2, "room/one/x"), at(0, "elsewhere/#"), at(0, "$share/g/room/+/y"))
			refused := frames.NotAuthorized
			if v != frames.V5 {
				refused = frames.UnspecifiedError // 0x80
			}
			up := c.asked("room/one/#", "room/two/#", "room/one/x", "$share/g/room/one/y", "$share/g/room/two/y")
			c.grants(up.PacketID, 1, 0, 2, 0, 0)
			c.granted(7, 1, 2, refused, 0)
		})
	}
}

func TestAFilterThatMayBeReadAsItIsIsForwardedByteForByte(t *testing.T) {
	c := newRooms(t).connect(frames.V5, "alice")
	s := frames.Subscribe{PacketID: 9, Filters: []frames.Subscription{
		{TopicFilter: "room/one/+", QoS: 2, NoLocal: true, RetainAsPublished: true, RetainHandling: 1}}}
	s.Properties = s.Properties.AppendUint(frames.PropSubscriptionIdentifier, 5).AppendPair(frames.PropUserProperty, []byte("k"), []byte("v"))
	packet := hex.EncodeToString(s.Append(nil, frames.V5))
	c.say(packet)
	c.passes(packet)
	suback := "90 0b 00 09 07 1f 00 04 66 75 6c 6c 01" // with a Reason String
	c.reply(suback)
	c.hears(suback)
}

func identifier(ps frames.Properties) uint32 {
	id, _ := ps.Uint(frames.PropSubscriptionIdentifier)
	return id
}

// Two subscriptions come to the same filter: it is held once, with the best options of both, under an identifier
// that stands for theirs.
func TestASharedPieceServesBoth(t *testing.T) {
	c := newRooms(t).connect(frames.V5, "alice")
	c.asks(1, 11, at(0, "room/one/#"))
	c.asked("room/one/#")
	c.grants(1, 0)
	c.granted(1, 0)

	c.asks(2, 22, at(2, "room/+/#"))
	shared := c.asked("room/one/#")
	alias := identifier(shared.Properties)
	if shared.Filters[0].QoS != 2 || alias == 0 || alias == 11 || alias == 22 || shared.PacketID != 2 {
		t.Fatalf("the shared piece is asked for by %+v; want QoS 2, an identifier of its own, packet 2", shared)
	}
	own := c.asked("room/two/#")
	if identifier(own.Properties) != 22 || own.PacketID == 2 {
		t.Fatalf("the other piece is asked for by %+v; want identifier 22, a packet of the gateway's", own)
	}
	c.grants(own.PacketID, 2)
	c.grants(2, 2)
	c.granted(2, 2)
	for _, m := range []struct {
		topic string
		from  uint32
		want  []uint32
	}{
		{"room/one/x", alias, []uint32{11, 22}},
		{"room/two/x", 22, []uint32{22}},
		{"room/one/x", 11, []uint32{11}}, // sent before the second SUBSCRIBE
	} {
		c.reply(messageHex(frames.V5, m.topic, m.from))
		c.hears(messageHex(frames.V5, m.topic, m.want...))
	}

	// What the other one wanted of the piece ends with it; retained messages do not come again.
	c.send(frames.Unsubscribe{PacketID: 3, TopicFilters: []string{"room/+/#"}}.Append(nil, frames.V5))
	u := c.left("room/two/#")
	again := c.asked("room/one/#")
	if f := again.Filters[0]; f.QoS != 0 || f.RetainHandling != 2 || identifier(again.Properties) != alias {
		t.Errorf("the piece that stays is asked for by %+v; want QoS 0, Retain Handling 2, identifier %d", again, alias)
	}
	c.grants(again.PacketID, 0)
	c.releases(u)
	c.hears("b0 04 00 03 00 00")
	c.reply(messageHex(frames.V5, "room/one/x", alias))
	c.hears(messageHex(frames.V5, "room/one/x", 11))
}

func TestRetainHandlingOfASharedPiece(t *testing.T) {
	c := newRooms(t).connect(frames.V5, "alice")
	ifNew := frames.Subscription{TopicFilter: "room/one/#", RetainHandling: 1}
	for i, want := range []uint8{1, 1} { // the broker knows best whether it is new
		c.asks(uint16(i+1), 0, ifNew)
		if s := c.asked("room/one/#"); s.Filters[0].RetainHandling != want {
			t.Errorf("SUBSCRIBE %d asks with Retain Handling %d; want %d", i+1, s.Filters[0].RetainHandling, want)
		}
		c.grants(uint16(i+1), 0)
		c.granted(uint16(i+1), 0)
	}
	ifNew.TopicFilter = "room/+/#" // new to the client, though the broker has a part of it
	c.asks(3, 0, ifNew)
	if s := c.asked("room/one/#", "room/two/#"); s.Filters[0].RetainHandling != 0 || s.Filters[1].RetainHandling != 1 {
		t.Errorf("SUBSCRIBE asks with Retain Handling %d and %d; want 0 and 1", s.Filters[0].RetainHandling, s.Filters[1].RetainHandling)
	}
}

func TestAFilterIsAsGoodAsTheBestOfItsPieces(t *testing.T) {
	for _, tt := range []struct {
		name   string
		broker []frames.ReasonCode
		want   frames.ReasonCode
	}{
		{"all granted, one less", []frames.ReasonCode{1, 2}, 2},
		{"one refused", []frames.ReasonCode{0x87, 1}, 1},
		{"the other refused", []frames.ReasonCode{1, 0x80}, 1},
		{"all refused", []frames.ReasonCode{0x97, 0x87}, 0x97},
		{"more than was asked for", []frames.ReasonCode{2, 2, 0x80}, 2},
		{"too few codes", []frames.ReasonCode{0x87}, 0x87},
		{"no legal code", []frames.ReasonCode{0x03, 0x0a}, 0x80},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newRooms(t).connect(frames.V5, "alice")
			c.asks(1, 0, at(2, "room/#"))
			c.asked("room/one/#", "room/two/#")
			c.grants(1, tt.broker...)
			c.granted(1, tt.want)
		})
	}
}

func TestABrokerThatSaysLessThanItWasAskedGrantsNothingMore(t *testing.T) {
	c := newRooms(t).connect(frames.V5, "alice")
	c.asks(1, 0, at(1, "room/one/a"), at(1, "room/one/b"))
	c.fromGateway(frames.TypeSubscribe)
	c.grants(1, 1)
	c.granted(1, 1, 0x80)
	c.asks(2, 0, at(1, "room/one/c"))
	c.fromGateway(frames.TypeSubscribe)
	c.reply("90 04 00 63 00 01") // nobody asked for packet 99
	c.reply("b0 04 00 02 00 00") // nor unsubscribed
	c.grants(2, 1)
	c.granted(2, 1)
}

func TestWhatTheBrokerRefusesIsNotAskedForAgain(t *testing.T) {
	r := newRooms(t)
	c := r.connect(frames.V5, "alice")
	c.asks(1, 0, at(1, "room/#"))
	c.asked("room/one/#", "room/two/#")
	c.grants(1, 0x87, 0x87)
	c.granted(1, 0x87)
	c.asks(2, 0, at(1, "room/+/x"))
	c.asked("room/one/x", "room/two/x")
	c.grants(2, 1, 1)
	c.granted(2, 1)
	r.setRules(roomRules + "pattern read room/three/#\n")
	c.asked("room/three/x")
}

func TestAPieceThatTheBrokerRefusesIsTriedAgain(t *testing.T) {
	r := newRooms(t)
	c := r.connect(frames.V5, "alice")
	c.asks(1, 0, at(1, "room/#"))
	c.asked("room/one/#", "room/two/#")
	c.grants(1, 1, 0x97)
	c.granted(1, 1)
	r.setRules(roomRules + "pattern read room/three/#\n")
	c.asked("room/three/#", "room/two/#")
}

func TestUnsubscribeUndoesWhatWasAskedFor(t *testing.T) {
	for _, v := range []frames.Version{frames.V311, frames.V5} {
		t.Run(v.String(), func(t *testing.T) {
			c := newRooms(t).connect(v, "alice")
			c.asks(1, 0, at(0, "room/#"), at(0, "room/+/x"))
			up := c.asked("room/one/#", "room/two/#", "room/one/x", "room/two/x")
			c.grants(up.PacketID, 0, 0, 0, 0)
			c.granted(1, 0, 0)

			// A piece is nothing that the client has; what nobody knows, the broker may.
			c.send(frames.Unsubscribe{PacketID: 2, TopicFilters: []string{"room/one/#", "old", "room/+/x", "$topicgate/x"}}.Append(nil, v))
			u := c.left("room/one/x", "room/two/x", "old")
			c.reply(hex.EncodeToString(frames.Unsuback{PacketID: u.PacketID, Reasons: []frames.ReasonCode{0, 0, 0x11}}.Append(nil, v)))
			if v == frames.V5 {
				c.hears("b0 07 00 02 00 11 11 00 11")
			} else {
				c.hears("b0 02 00 02")
			}
			c.reply(messageHex(v, "room/one/x"))
			c.hears(messageHex(v, "room/one/x"))
		})
	}
}

func TestManyPiecesGoUpInSeveralPacketsAndComeDownInOneAnswer(t *testing.T) {
	r := newRooms(t)
	var rules strings.Builder
	for i := range 900 {
		fmt.Fprintf(&rules, "pattern read room/%s%03d/#\n", strings.Repeat("x", 120), i)
	}
	r.setRules(rules.String())
	c := r.connect(frames.V5, "alice")
	c.asks(5, 3, at(1, "room/#"))
	seen, packets := 0, []frames.Subscribe{}
	for seen < 900 { // more than fit into one
		p := c.fromGateway(frames.TypeSubscribe)
		if len(p.Raw) > maxSubscribeBytes {
			t.Errorf("a SUBSCRIBE has %d bytes; want at most %d", len(p.Raw), maxSubscribeBytes)
		}
		s, err := frames.ParseSubscribe(p, frames.V5)
		if err != nil || identifier(s.Properties) != 3 {
			t.Fatalf("SUBSCRIBE with identifier %d, %v; want 3", identifier(s.Properties), err)
		}
		seen += len(s.Filters)
		packets = append(packets, s)
	}
	if packets[0].PacketID != 5 || len(packets) < 2 || packets[1].PacketID == 5 {
		t.Fatalf("%d packets, the first with identifier %d; want several, the first with 5", len(packets), packets[0].PacketID)
	}
	// The client may use the gateway's identifier; its packet waits.
	c.say(publishHex(frames.V5, "nobody/may", 1, packets[1].PacketID, ""))
	c.hears(hex.EncodeToString(frames.Ack{Type: frames.TypePuback, PacketID: packets[1].PacketID, Reason: frames.NotAuthorized}.Append(nil, frames.V5)))
	for i := range packets { // in any order
		s := packets[len(packets)-1-i]
		c.grants(s.PacketID, slices.Repeat([]frames.ReasonCode{1}, len(s.Filters))...)
	}
	c.granted(5, 1)
}

func TestTooManyPiecesAreHeldAsAskedFor(t *testing.T) {
	r := newRooms(t, func(o *rigOptions) { o.NarrowMax = 1 })
	c := r.connect(frames.V5, "alice")
	c.asks(1, 0, at(1, "room/#"), at(1, "room/one/#"))
	c.asked("room/#", "room/one/#")
	c.grants(1, 1, 1)
	c.granted(1, 1, 1)
	c.reply(messageHex(frames.V5, "room/three"))
	c.reply(messageHex(frames.V5, "room/two"))
	c.hears(messageHex(frames.V5, "room/two"))
	r.setRules("pattern read room/two/#\n")
	c.left("room/one/#")
	c.asked("room/two/#") // few enough now; no message is lost between this
	c.left("room/#")      // and this
}

func TestStrictSubscriptionsAreForwardedOrRefused(t *testing.T) {
	r := newRig(t, nil)
	r.setRules(roomRules)
	c := r.connect(frames.V311, "alice")
	c.asks(1, 0, at(1, "room/#"), at(1, "room/one/#"))
	c.asked("room/one/#")
	c.grants(1, 1)
	c.granted(1, 0x80, 1)
	r.setRules("pattern read room/two/#\n")
	c.releases(c.left("room/one/#"))
	c.reply(publishHex(frames.V311, "room/one/x", 1, 3, "late"))
	c.passes("40 02 00 03")
	r.setRules(roomRules)
	back := c.asked("room/one/#")
	c.grants(back.PacketID, 1)
	c.reply(messageHex(frames.V311, "room/one/y"))
	c.hears(messageHex(frames.V311, "room/one/y"))
}

func TestAnIdentifierInUseIsAProtocolError(t *testing.T) {
	c := newRooms(t).connect(frames.V5, "alice")
	c.asks(1, 0, at(1, "room/one/#"))
	c.asked("room/one/#")
	c.asks(1, 0, at(1, "room/two/#"))
	p := c.expect(frames.TypeDisconnect)
	if d, err := frames.ParseDisconnect(p, frames.V5); err != nil || d.Reason != frames.ProtocolError {
		t.Errorf("DISCONNECT %+v, %v; want 0x82", d, err)
	}
}
