package session

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"

	"topicgate/frames"
	"topicgate/gateway/internal/play"
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
	r.SetRules(roomRules)
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
			c := newRooms(t).Connect(v, "alice")
			c.Asks(7, 0, play.At(1, "room/#"), play.At(2, "room/one/x"), play.At(0, "elsewhere/#"), play.At(0, "$share/g/room/+/y"))
			refused := frames.NotAuthorized
			if v != frames.V5 {
				refused = frames.UnspecifiedError // 0x80
			}
			up := c.Asked("room/one/#", "room/two/#", "room/one/x", "$share/g/room/one/y", "$share/g/room/two/y")
			c.Grants(up.PacketID, 1, 0, 2, 0, 0)
			c.Granted(7, 1, 2, refused, 0)
		})
	}
}

func TestAFilterThatMayBeReadAsItIsIsForwardedByteForByte(t *testing.T) {
	c := newRooms(t).Connect(frames.V5, "alice")
	s := frames.Subscribe{PacketID: 9, Filters: []frames.Subscription{
		{TopicFilter: "room/one/+", QoS: 2, NoLocal: true, RetainAsPublished: true, RetainHandling: 1}}}
	s.Properties = s.Properties.AppendUint(frames.PropSubscriptionIdentifier, 5).AppendPair(frames.PropUserProperty, []byte("k"), []byte("v"))
	packet := hex.EncodeToString(s.Append(nil, frames.V5))
	c.Say(packet)
	c.Passes(packet)
	suback := "90 0b 00 09 07 1f 00 04 66 75 6c 6c 01" // with a Reason String
	c.Reply(suback)
	c.Hears(suback)
}

func identifier(ps frames.Properties) uint32 {
	id, _ := ps.Uint(frames.PropSubscriptionIdentifier)
	return id
}

// Two subscriptions come to the same filter: it is held once, with the best options of both, under an identifier
// that stands for theirs.
func TestASharedPieceServesBoth(t *testing.T) {
	c := newRooms(t).Connect(frames.V5, "alice")
	c.Asks(1, 11, play.At(0, "room/one/#"))
	c.Asked("room/one/#")
	c.Grants(1, 0)
	c.Granted(1, 0)

	c.Asks(2, 22, play.At(2, "room/+/#"))
	shared := c.Asked("room/one/#")
	alias := identifier(shared.Properties)
	if shared.Filters[0].QoS != 2 || alias == 0 || alias == 11 || alias == 22 || shared.PacketID != 2 {
		t.Fatalf("the shared piece is asked for by %+v; want QoS 2, an identifier of its own, packet 2", shared)
	}
	own := c.Asked("room/two/#")
	if identifier(own.Properties) != 22 || own.PacketID == 2 {
		t.Fatalf("the other piece is asked for by %+v; want identifier 22, a packet of the gateway's", own)
	}
	c.Grants(own.PacketID, 2)
	c.Grants(2, 2)
	c.Granted(2, 2)
	for _, m := range []struct {
		topic string
		from  uint32
		want  []uint32
	}{
		{"room/one/x", alias, []uint32{11, 22}},
		{"room/two/x", 22, []uint32{22}},
		{"room/one/x", 11, []uint32{11}}, // sent before the second SUBSCRIBE
	} {
		c.Reply(messageHex(frames.V5, m.topic, m.from))
		c.Hears(messageHex(frames.V5, m.topic, m.want...))
	}

	// What the other one wanted of the piece ends with it; retained messages do not come again.
	c.Send(frames.Unsubscribe{PacketID: 3, TopicFilters: []string{"room/+/#"}}.Append(nil, frames.V5))
	u := c.Left("room/two/#")
	again := c.Asked("room/one/#")
	if f := again.Filters[0]; f.QoS != 0 || f.RetainHandling != 2 || identifier(again.Properties) != alias {
		t.Errorf("the piece that stays is asked for by %+v; want QoS 0, Retain Handling 2, identifier %d", again, alias)
	}
	c.Grants(again.PacketID, 0)
	c.Releases(u)
	c.Hears("b0 04 00 03 00 00")
	c.Reply(messageHex(frames.V5, "room/one/x", alias))
	c.Hears(messageHex(frames.V5, "room/one/x", 11))
}

func TestRetainHandlingOfASharedPiece(t *testing.T) {
	c := newRooms(t).Connect(frames.V5, "alice")
	ifNew := frames.Subscription{TopicFilter: "room/one/#", RetainHandling: 1}
	for i, want := range []uint8{1, 1} { // the broker knows best whether it is new
		c.Asks(uint16(i+1), 0, ifNew)
		if s := c.Asked("room/one/#"); s.Filters[0].RetainHandling != want {
			t.Errorf("SUBSCRIBE %d asks with Retain Handling %d; want %d", i+1, s.Filters[0].RetainHandling, want)
		}
		c.Grants(uint16(i+1), 0)
		c.Granted(uint16(i+1), 0)
	}
	ifNew.TopicFilter = "room/+/#" // new to the client, though the broker has a part of it
	c.Asks(3, 0, ifNew)
	if s := c.Asked("room/one/#", "room/two/#"); s.Filters[0].RetainHandling != 0 || s.Filters[1].RetainHandling != 1 {
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
			c := newRooms(t).Connect(frames.V5, "alice")
			c.Asks(1, 0, play.At(2, "room/#"))
			c.Asked("room/one/#", "room/two/#")
			c.Grants(1, tt.broker...)
			c.Granted(1, tt.want)
		})
	}
}

func TestABrokerThatSaysLessThanItWasAskedGrantsNothingMore(t *testing.T) {
	c := newRooms(t).Connect(frames.V5, "alice")
	c.Asks(1, 0, play.At(1, "room/one/a"), play.At(1, "room/one/b"))
	c.FromGateway(frames.TypeSubscribe)
	c.Grants(1, 1)
	c.Granted(1, 1, 0x80)
	c.Asks(2, 0, play.At(1, "room/one/c"))
	c.FromGateway(frames.TypeSubscribe)
	c.Reply("90 04 00 63 00 01") // nobody asked for packet 99
	c.Reply("b0 04 00 02 00 00") // nor unsubscribed
	c.Grants(2, 1)
	c.Granted(2, 1)
}

func TestWhatTheBrokerRefusesIsNotAskedForAgain(t *testing.T) {
	r := newRooms(t)
	c := r.Connect(frames.V5, "alice")
	c.Asks(1, 0, play.At(1, "room/#"))
	c.Asked("room/one/#", "room/two/#")
	c.Grants(1, 0x87, 0x87)
	c.Granted(1, 0x87)
	c.Asks(2, 0, play.At(1, "room/+/x"))
	c.Asked("room/one/x", "room/two/x")
	c.Grants(2, 1, 1)
	c.Granted(2, 1)
	r.SetRules(roomRules + "pattern read room/three/#\n")
	c.Asked("room/three/x")
}

func TestAPieceThatTheBrokerRefusesIsTriedAgain(t *testing.T) {
	r := newRooms(t)
	c := r.Connect(frames.V5, "alice")
	c.Asks(1, 0, play.At(1, "room/#"))
	c.Asked("room/one/#", "room/two/#")
	c.Grants(1, 1, 0x97)
	c.Granted(1, 1)
	r.SetRules(roomRules + "pattern read room/three/#\n")
	c.Asked("room/three/#", "room/two/#")
}

func TestUnsubscribeUndoesWhatWasAskedFor(t *testing.T) {
	for _, v := range []frames.Version{frames.V311, frames.V5} {
		t.Run(v.String(), func(t *testing.T) {
			c := newRooms(t).Connect(v, "alice")
			c.Asks(1, 0, play.At(0, "room/#"), play.At(0, "room/+/x"))
			up := c.Asked("room/one/#", "room/two/#", "room/one/x", "room/two/x")
			c.Grants(up.PacketID, 0, 0, 0, 0)
			c.Granted(1, 0, 0)

			// A piece is nothing that the client has; what nobody knows, the broker may.
			c.Send(frames.Unsubscribe{PacketID: 2, TopicFilters: []string{"room/one/#", "old", "room/+/x", "$topicgate/x"}}.Append(nil, v))
			u := c.Left("room/one/x", "room/two/x", "old")
			c.Reply(hex.EncodeToString(frames.Unsuback{PacketID: u.PacketID, Reasons: []frames.ReasonCode{0, 0, 0x11}}.Append(nil, v)))
			if v == frames.V5 {
				c.Hears("b0 07 00 02 00 11 11 00 11")
			} else {
				c.Hears("b0 02 00 02")
			}
			c.Reply(messageHex(v, "room/one/x"))
			c.Hears(messageHex(v, "room/one/x"))
		})
	}
}

func TestManyPiecesGoUpInSeveralPacketsAndComeDownInOneAnswer(t *testing.T) {
	r := newRooms(t)
	var rules strings.Builder
	for i := range 900 {
		fmt.Fprintf(&rules, "pattern read room/%s%03d/#\n", strings.Repeat("x", 120), i)
	}
	r.SetRules(rules.String())
	c := r.Connect(frames.V5, "alice")
	c.Asks(5, 3, play.At(1, "room/#"))
	seen, packets := 0, []frames.Subscribe{}
	for seen < 900 { // more than fit into one
		p := c.FromGateway(frames.TypeSubscribe)
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
	c.Say(play.PublishHex(frames.V5, "nobody/may", 1, packets[1].PacketID, ""))
	c.Hears(hex.EncodeToString(frames.Ack{Type: frames.TypePuback, PacketID: packets[1].PacketID, Reason: frames.NotAuthorized}.Append(nil, frames.V5)))
	for i := range packets { // in any order
		s := packets[len(packets)-1-i]
		c.Grants(s.PacketID, slices.Repeat([]frames.ReasonCode{1}, len(s.Filters))...)
	}
	c.Granted(5, 1)
}

func TestTooManyPiecesAreHeldAsAskedFor(t *testing.T) {
	r := newRooms(t, func(o *rigOptions) { o.NarrowMax = 1 })
	c := r.Connect(frames.V5, "alice")
	c.Asks(1, 0, play.At(1, "room/#"), play.At(1, "room/one/#"))
	c.Asked("room/#", "room/one/#")
	c.Grants(1, 1, 1)
	c.Granted(1, 1, 1)
	c.Reply(messageHex(frames.V5, "room/three"))
	c.Reply(messageHex(frames.V5, "room/two"))
	c.Hears(messageHex(frames.V5, "room/two"))
	r.SetRules("pattern read room/two/#\n")
	c.Left("room/one/#")
	c.Asked("room/two/#") // few enough now; no message is lost between this
	c.Left("room/#")      // and this
}

func TestStrictSubscriptionsAreForwardedOrRefused(t *testing.T) {
	r := newRig(t, nil)
	r.SetRules(roomRules)
	c := r.Connect(frames.V311, "alice")
	c.Asks(1, 0, play.At(1, "room/#"), play.At(1, "room/one/#"))
	c.Asked("room/one/#")
	c.Grants(1, 1)
	c.Granted(1, 0x80, 1)
	r.SetRules("pattern read room/two/#\n")
	c.Releases(c.Left("room/one/#"))
	c.Reply(play.PublishHex(frames.V311, "room/one/x", 1, 3, "late"))
	c.Passes("40 02 00 03")
	r.SetRules(roomRules)
	back := c.Asked("room/one/#")
	c.Grants(back.PacketID, 1)
	c.Reply(messageHex(frames.V311, "room/one/y"))
	c.Hears(messageHex(frames.V311, "room/one/y"))
}

func TestAnIdentifierInUseIsAProtocolError(t *testing.T) {
	c := newRooms(t).Connect(frames.V5, "alice")
	c.Asks(1, 0, play.At(1, "room/one/#"))
	c.Asked("room/one/#")
	c.Asks(1, 0, play.At(1, "room/two/#"))
	p := c.Expect(frames.TypeDisconnect)
	if d, err := frames.ParseDisconnect(p, frames.V5); err != nil || d.Reason != frames.ProtocolError {
		t.Errorf("DISCONNECT %+v, %v; want 0x82", d, err)
	}
}
