package gateway

import (
	"encoding/binary"
	"encoding/hex"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"topicgate/frames"
)

func TestADeliveryThatMayNotBeReadIsDroppedAndCompleted(t *testing.T) {
	for _, v := range versions {
		c := newRig(t, nil).connect(v, "alice")
		allowed := publishHex(v, "chat/status/bob", 0, 0, "seen")

		c.reply(publishHex(v, "chat/messages/bob/carol", 0, 0, "secret"))
		c.reply(allowed)
		c.hears(allowed)

		c.reply(publishHex(v, "chat/messages/bob/carol", 1, 8, "secret"))
		c.passes("40 02 00 08")
		c.reply(publishHex(v, "chat/messages/bob/carol", 2, 9, "secret"))
		c.passes("50 02 00 09")
		c.reply("62 02 00 09")
		c.passes("70 02 00 09")

		c.reply(allowed)
		c.hears(allowed)
		// The identifier is the broker's again.
		seen := publishHex(v, "chat/status/bob", 2, 9, "seen")
		c.reply(seen)
		c.hears(seen)
		c.say("50 02 00 09")
		c.passes("50 02 00 09")
		c.reply("62 02 00 09")
		c.hears("62 02 00 09")
		c.say("70 02 00 09")
		c.passes("70 02 00 09")
	}
}

func TestTheGatewaysOwnTopicsDoNotComeFromTheBroker(t *testing.T) {
	r := newRig(t, nil)
	r.setRules("pattern read #\npattern read $topicgate/#\n")
	c := r.connect(frames.V311, "alice")
	c.reply(publishHex(frames.V311, "$topicgate/rejected", 1, 3, "forged"))
	c.passes("40 02 00 03")
	c.reply(publishHex(frames.V311, "a", 0, 0, "seen"))
	c.hears(publishHex(frames.V311, "a", 0, 0, "seen"))
}

func TestARevokedTopicFallsSilentAtOnce(t *testing.T) {
	eachVersion(t, func(t *testing.T, v frames.Version) {
		r := newRig(t, nil)
		c := r.connect(v, "alice")
		before := publishHex(v, "chat/status/bob", 1, 1, "before")
		c.reply(before)
		c.hears(before)
		r.follow("pattern read chat/other")
		c.reply(publishHex(v, "chat/status/bob", 1, 2, "after"))
		c.passes("40 02 00 02")
		other := publishHex(v, "chat/other", 0, 0, "x")
		c.reply(other)
		c.hears(other)
	})
}

func TestADroppedDuplicateIsCompletedByTheClient(t *testing.T) {
	// It was under way before the connection was, so the client may have it.
	c := newRig(t, nil).connect(frames.V311, "alice")
	p := frames.Publish{Dup: true, QoS: 2, PacketID: 9, TopicName: []byte("chat/messages/bob/carol")}
	c.reply(hex.EncodeToString(p.Append(nil, frames.V311)))
	c.passes("50 02 00 09")
	c.reply("62 02 00 09")
	c.hears("62 02 00 09")
	c.say("70 02 00 09")
	c.passes("70 02 00 09")
}

func TestIllegalReasonCodesAreRepaired(t *testing.T) {
	c := newRig(t, nil).connect(frames.V5, "alice")
	for _, tt := range []struct{ from, to string }{
		{"40 03 00 05 01", "40 02 00 05"},    // PUBACK with a code of SUBACK
		{"40 03 00 05 8d", "40 03 00 05 80"}, // Keep Alive timeout, and all the same a refusal
		{"50 03 00 05 92", "50 03 00 05 80"},
		{"50 03 00 05 11", "50 02 00 05"},
		{"62 03 00 05 80", "62 02 00 05"},
		{"70 03 00 05 10", "70 02 00 05"},
		{"70 03 00 05 92", "70 03 00 05 92"},
		{"40 03 00 05 87", "40 03 00 05 87"},
		{"40 03 00 05 10", "40 03 00 05 10"},
	} {
		c.reply(tt.from)
		c.hears(tt.to)
	}
}

func TestAPublishThatIsTooLargeForTheClientIsPassedOver(t *testing.T) {
	for _, v := range []frames.Version{frames.V31, frames.V311} {
		for _, cut := range []int{1, 3, 7, 30, 4000} {
			c := newRig(t, func(o *Options) { o.MaxPacketBytes = 1000 }).connect(v, "alice")
			large := unhex(t, publishHex(v, "chat/status/bob", 1, 4, strings.Repeat("x", 5000)))
			go func() { // the broker may go on before the gateway has
				_, _ = c.conn.Write(large[:cut])
				_, _ = c.conn.Write(large[cut:])
			}()
			c.passes("40 02 00 04")
			small := publishHex(v, "chat/status/bob", 0, 0, "x")
			c.reply(small)
			c.hears(small)
			exact := publishHex(v, "chat/status/bob", 0, 0, strings.Repeat("x", 1000-3-2-len("chat/status/bob")))
			c.reply(exact)
			c.hears(exact)
		}
	}
}

// A broker of 5.0 was told the maximum; one that does not obey is understood all the same.
func TestAnAliasOfAPublishThatIsPassedOverHasItsMeaning(t *testing.T) {
	for _, cut := range []int{1, 3, 7, 25, 30, 4000} {
		connect := connectOf(frames.V5, "alice")
		connect.Properties = connect.Properties.AppendUint(frames.PropTopicAliasMaximum, 5)
		c := newRig(t, func(o *Options) { o.MaxPacketBytes = 1000 }).connectWith(connect, "20 03 00 00 00")
		former := frames.Publish{TopicName: []byte("chat/status/carol"), Properties: aliased(2), Payload: []byte("x")}
		c.reply(hex.EncodeToString(former.Append(nil, frames.V5)))
		c.hears(hex.EncodeToString(former.Append(nil, frames.V5)))
		large := frames.Publish{QoS: 1, PacketID: 4, TopicName: []byte("chat/status/bob"), Properties: aliased(2), Payload: make([]byte, 5000)}
		raw := large.Append(nil, frames.V5)
		go func() { // the broker may go on before the gateway has
			_, _ = c.conn.Write(raw[:cut])
			_, _ = c.conn.Write(raw[cut:])
		}()
		c.passes("40 02 00 04")
		small := frames.Publish{Properties: aliased(2), Payload: []byte("x")}
		c.reply(hex.EncodeToString(small.Append(nil, frames.V5)))
		small.TopicName = large.TopicName
		c.hears(hex.EncodeToString(small.Append(nil, frames.V5)))
		nameless := frames.Publish{QoS: 1, PacketID: 5, Properties: aliased(2), Payload: make([]byte, 5000)}
		c.reply(hex.EncodeToString(nameless.Append(nil, frames.V5)))
		c.passes("40 02 00 05")
	}
}

func TestAPublishThatGrowsBeyondTheClientsMaximumIsDropped(t *testing.T) {
	connect := connectOf(frames.V5, "alice")
	connect.Properties = connect.Properties.AppendUint(frames.PropMaximumPacketSize, 60).AppendUint(frames.PropTopicAliasMaximum, 5)
	c := newRig(t, nil).connectWith(connect, "20 03 00 00 00")
	// The PUBLISH that gives the alias its meaning may not be read, so the next one has to bear its Topic Name.
	first := frames.Publish{TopicName: []byte("chat/status/bob"), Properties: aliased(9), Payload: []byte("x")}
	c.reply(hex.EncodeToString(first.Append(nil, frames.V5)))
	c.hears(publishOf("chat/status/bob", nil, "x")) // 9 is over the client's maximum
	large := frames.Publish{QoS: 1, PacketID: 3, Properties: aliased(9), Payload: []byte(strings.Repeat("x", 45))}
	c.reply(hex.EncodeToString(large.Append(nil, frames.V5)))
	c.passes("40 02 00 03")
	fits := frames.Publish{QoS: 1, PacketID: 3, Properties: aliased(9), Payload: []byte(strings.Repeat("x", 38))}
	c.reply(hex.EncodeToString(fits.Append(nil, frames.V5)))
	if p := c.expect(frames.TypePublish); len(p.Raw) > 60 {
		t.Errorf("client got %d bytes; want at most 60", len(p.Raw))
	}
}

func TestWhatABrokerMayNotSayEndsTheSession(t *testing.T) {
	for _, tt := range []struct{ name, packet string }{
		{"a second CONNACK", "20 02 00 00"},
		{"SUBSCRIBE", "82 06 00 01 00 01 61 00"},
		{"DISCONNECT before 5.0", "e0 00"},
		{"a reserved type", "00 00"},
		{"PUBLISH with a wildcard", "30 03 00 01 2b"},
		{"PUBLISH with QoS 3", "36 03 00 01 61"},
		{"PUBACK of Packet Identifier 0", "40 02 00 00"},
		{"a Remaining Length of five bytes", "30 ff ff ff ff 01"},
		{"a SUBACK over the maximum", "90 ff 7f"},
	} {
		c := newRig(t, func(o *Options) { o.MaxPacketBytes = 1000 }).connect(frames.V311, "alice")
		c.reply(tt.packet)
		c.closes(1013)
	}
	c := newRig(t, nil).connect(frames.V5, "alice")
	c.reply("f0 00")
	c.hears("e0 01 8b")
	c.closes(1013)
}

func TestTheBrokersFarewellIsPassedOn(t *testing.T) {
	c := newRig(t, nil).connect(frames.V5, "alice")
	c.reply("e0 01 8e") // session taken over
	c.hears("e0 01 8e")
	c.closes(1000)
}

func TestALostBrokerIsTold(t *testing.T) {
	for _, v := range versions {
		for _, half := range []string{"", "30 20 00"} {
			c := newRig(t, nil).connect(v, "alice")
			last := publishHex(v, "chat/status/bob", 0, 0, "last words")
			c.reply(last + half)
			c.hears(last)
			_ = c.conn.Close()
			if v == frames.V5 {
				c.hears("e0 01 8b")
			}
			c.closes(1013)
		}
	}
}

func TestOneReadOfTheBrokersIsOneMessageOfWholePackets(t *testing.T) {
	c := connectTCP(t, "alice", false)
	c.parkBoth() // or the pump towards the broker, when it comes to wait, may send on what is there so far
	one, two := publishHex(frames.V311, "chat/status/bob", 0, 0, "one"), publishHex(frames.V311, "chat/status/carol", 0, 0, "two")
	c.reply(one + two + "30 10") // and the head of a third
	_, message, err := c.ws.ReadMessage()
	if err != nil || hex.EncodeToString(message) != one+two {
		t.Errorf("message = %x, %v; want %s", message, err, one+two)
	}
}

func TestPacketsOfAnySizeArriveWhole(t *testing.T) {
	c := newRig(t, nil).connect(frames.V311, "alice")
	for _, n := range []int{0, 100, 127, 128, 16_000, batchBytes - 20, batchBytes, 3 * batchBytes, 1 << 20} {
		payload := make([]byte, n)
		for i := 0; i+4 <= n; i += 4 {
			binary.BigEndian.PutUint32(payload[i:], uint32(i))
		}
		down := publishHex(frames.V311, "chat/status/bob", 1, 7, string(payload))
		up := publishHex(frames.V311, "chat/status/alice", 1, 7, string(payload))
		var speaking sync.WaitGroup
		speaking.Go(func() { c.reply(down) })
		c.hears(down)
		speaking.Wait()
		speaking.Go(func() { c.say(up) })
		c.passes(up)
		speaking.Wait()
	}
}

func TestAClientThatDoesNotReadIsClosedAfterTheWriteTimeout(t *testing.T) {
	eachVersion(t, func(t *testing.T, v frames.Version) {
		r := newRig(t, nil)
		c := r.connect(v, "alice").patient()
		synctest.Wait() // else the other pump, about to wait, may wait for a lock, at which the bubble's time stands still
		flood := unhex(t, publishHex(v, "chat/status/bob", 0, 0, strings.Repeat("x", 10_000)))
		written := 0
		for {
			n, err := c.conn.Write(flood)
			written += n
			if err != nil {
				break // the gateway has closed
			}
		}
		synctest.Wait()
		if written > 1<<20 {
			t.Errorf("the gateway took %d bytes for a client that does not read", written)
		}
		if n := r.server.open.Load(); n != 0 {
			t.Errorf("%d sessions left", n)
		}
	})
}
