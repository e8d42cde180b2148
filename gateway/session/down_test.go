package session

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"topicgate/frames"
	"topicgate/gateway/internal/play"
	"topicgate/gateway/wire"
)

func TestADeliveryThatMayNotBeReadIsDroppedAndCompleted(t *testing.T) {
	for _, v := range play.Versions {
		c := newRig(t, nil).Connect(v, "alice")
		allowed := play.PublishHex(v, "chat/status/bob", 0, 0, "seen")

		c.Reply(play.PublishHex(v, "chat/messages/bob/carol", 0, 0, "secret"))
		c.Reply(allowed)
		c.Hears(allowed)

		c.Reply(play.PublishHex(v, "chat/messages/bob/carol", 1, 8, "secret"))
		c.Passes("40 02 00 08")
		c.Reply(play.PublishHex(v, "chat/messages/bob/carol", 2, 9, "secret"))
		c.Passes("50 02 00 09")
		c.Reply("62 02 00 09")
		c.Passes("70 02 00 09")

		c.Reply(allowed)
		c.Hears(allowed)
		// The identifier is the broker's again.
		seen := play.PublishHex(v, "chat/status/bob", 2, 9, "seen")
		c.Reply(seen)
		c.Hears(seen)
		c.Say("50 02 00 09")
		c.Passes("50 02 00 09")
		c.Reply("62 02 00 09")
		c.Hears("62 02 00 09")
		c.Say("70 02 00 09")
		c.Passes("70 02 00 09")
	}
}

func TestTheGatewaysOwnTopicsDoNotComeFromTheBroker(t *testing.T) {
	r := newRig(t, nil)
	r.SetRules("pattern read #\npattern read $topicgate/#\n")
	c := r.Connect(frames.V311, "alice")
	c.Reply(play.PublishHex(frames.V311, "$topicgate/rejected", 1, 3, "forged"))
	c.Passes("40 02 00 03")
	c.Reply(play.PublishHex(frames.V311, "a", 0, 0, "seen"))
	c.Hears(play.PublishHex(frames.V311, "a", 0, 0, "seen"))
}

func TestARevokedTopicFallsSilentAtOnce(t *testing.T) {
	play.EachVersion(t, func(t *testing.T, v frames.Version) {
		r := newRig(t, nil)
		c := r.Connect(v, "alice")
		before := play.PublishHex(v, "chat/status/bob", 1, 1, "before")
		c.Reply(before)
		c.Hears(before)
		r.Follow("pattern read chat/other")
		c.Reply(play.PublishHex(v, "chat/status/bob", 1, 2, "after"))
		c.Passes("40 02 00 02")
		other := play.PublishHex(v, "chat/other", 0, 0, "x")
		c.Reply(other)
		c.Hears(other)
	})
}

func TestADroppedDuplicateIsCompletedByTheClient(t *testing.T) {
	// It was under way before the connection was, so the client may have it.
	c := newRig(t, nil).Connect(frames.V311, "alice")
	p := frames.Publish{Dup: true, QoS: 2, PacketID: 9, TopicName: []byte("chat/messages/bob/carol")}
	c.Reply(hex.EncodeToString(p.Append(nil, frames.V311)))
	c.Passes("50 02 00 09")
	c.Reply("62 02 00 09")
	c.Hears("62 02 00 09")
	c.Say("70 02 00 09")
	c.Passes("70 02 00 09")
}

func TestIllegalReasonCodesAreRepaired(t *testing.T) {
	c := newRig(t, nil).Connect(frames.V5, "alice")
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
		c.Reply(tt.from)
		c.Hears(tt.to)
	}
}

func TestAPublishThatIsTooLargeForTheClientIsPassedOver(t *testing.T) {
	for _, v := range []frames.Version{frames.V31, frames.V311} {
		for _, cut := range []int{1, 3, 7, 30, 4000} {
			c := newRig(t, func(o *rigOptions) { o.MaxPacketBytes = 1000 }).Connect(v, "alice")
			large := play.Unhex(t, play.PublishHex(v, "chat/status/bob", 1, 4, strings.Repeat("x", 5000)))
			written := make(chan struct{})
			go func() { // the broker may go on before the gateway has
				defer close(written)
				_, _ = c.Conn.Write(large[:cut])
				_, _ = c.Conn.Write(large[cut:])
			}()
			c.Passes("40 02 00 04")
			<-written
			small := play.PublishHex(v, "chat/status/bob", 0, 0, "x")
			c.Reply(small)
			c.Hears(small)
			exact := play.PublishHex(v, "chat/status/bob", 0, 0, strings.Repeat("x", 1000-3-2-len("chat/status/bob")))
			c.Reply(exact)
			c.Hears(exact)
		}
	}
}

// A broker of 5.0 was told the maximum; one that does not obey is understood all the same.
func TestAnAliasOfAPublishThatIsPassedOverHasItsMeaning(t *testing.T) {
	for _, cut := range []int{1, 3, 7, 25, 30, 4000} {
		connect := play.ConnectOf(frames.V5, "alice")
		connect.Properties = connect.Properties.AppendUint(frames.PropTopicAliasMaximum, 5)
		c := newRig(t, func(o *rigOptions) { o.MaxPacketBytes = 1000 }).ConnectWith(connect, "20 03 00 00 00")
		former := frames.Publish{TopicName: []byte("chat/status/carol"), Properties: play.Aliased(2), Payload: []byte("x")}
		c.Reply(hex.EncodeToString(former.Append(nil, frames.V5)))
		c.Hears(hex.EncodeToString(former.Append(nil, frames.V5)))
		large := frames.Publish{QoS: 1, PacketID: 4, TopicName: []byte("chat/status/bob"), Properties: play.Aliased(2), Payload: make([]byte, 5000)}
		raw := large.Append(nil, frames.V5)
		go func() { // the broker may go on before the gateway has
			_, _ = c.Conn.Write(raw[:cut])
			_, _ = c.Conn.Write(raw[cut:])
		}()
		c.Passes("40 02 00 04")
		small := frames.Publish{Properties: play.Aliased(2), Payload: []byte("x")}
		c.Reply(hex.EncodeToString(small.Append(nil, frames.V5)))
		small.TopicName = large.TopicName
		c.Hears(hex.EncodeToString(small.Append(nil, frames.V5)))
		nameless := frames.Publish{QoS: 1, PacketID: 5, Properties: play.Aliased(2), Payload: make([]byte, 5000)}
		c.Reply(hex.EncodeToString(nameless.Append(nil, frames.V5)))
		c.Passes("40 02 00 05")
	}
}

func TestAPublishThatGrowsBeyondTheClientsMaximumIsDropped(t *testing.T) {
	connect := play.ConnectOf(frames.V5, "alice")
	connect.Properties = connect.Properties.AppendUint(frames.PropMaximumPacketSize, 60).AppendUint(frames.PropTopicAliasMaximum, 5)
	c := newRig(t, nil).ConnectWith(connect, "20 03 00 00 00")
	// The PUBLISH that gives the alias its meaning may not be read, so the next one has to bear its Topic Name.
	first := frames.Publish{TopicName: []byte("chat/status/bob"), Properties: play.Aliased(9), Payload: []byte("x")}
	c.Reply(hex.EncodeToString(first.Append(nil, frames.V5)))
	c.Hears(play.PublishOf("chat/status/bob", nil, "x")) // 9 is over the client's maximum
	large := frames.Publish{QoS: 1, PacketID: 3, Properties: play.Aliased(9), Payload: []byte(strings.Repeat("x", 45))}
	c.Reply(hex.EncodeToString(large.Append(nil, frames.V5)))
	c.Passes("40 02 00 03")
	fits := frames.Publish{QoS: 1, PacketID: 3, Properties: play.Aliased(9), Payload: []byte(strings.Repeat("x", 38))}
	c.Reply(hex.EncodeToString(fits.Append(nil, frames.V5)))
	if p := c.Expect(frames.TypePublish); len(p.Raw) > 60 {
		t.Errorf("client got %d bytes; want at most 60", len(p.Raw))
	}
}

func TestWhatABrokerMayNotSayEndsTheSession(t *testing.T) {
	for _, tt := range []struct{ name, packet string }{
		{"a second CONNACK", "20 02 00 00"},
		{"SUBSCRIBE", "82 06 00 01 00 01 61 00"},
		{"DISCONNECT before 5.0", "e0 00"},
		{"a reserved type", "00 00"},
		{"PUBLISH with QoS 3", "36 03 00 01 61"},
		{"PUBACK of Packet Identifier 0", "40 02 00 00"},
		{"a Remaining Length of five bytes", "30 ff ff ff ff 01"},
		{"a SUBACK over the maximum", "90 ff 7f"},
	} {
		c := newRig(t, func(o *rigOptions) { o.MaxPacketBytes = 1000 }).Connect(frames.V311, "alice")
		c.Reply(tt.packet)
		c.Closes(1013)
	}
	c := newRig(t, nil).Connect(frames.V5, "alice")
	c.Reply("f0 00")
	c.Hears("e0 01 8b")
	c.Closes(1013)
}

// A message that is none does nothing to those that follow it: it is dropped, audited, and completed towards the broker.
func TestAFaultyMessageOfTheBrokersEndsNoSession(t *testing.T) {
	for _, v := range play.Versions {
		none := ""
		if v == frames.V5 {
			none = "00" // no properties
		}
		for name, topic := range map[string]string{"a wildcard": "00 03 61 2f 2b", "bad UTF-8": "00 03 61 2f ff", "U+0000": "00 03 61 2f 00"} {
			t.Run(v.String()+" "+name, func(t *testing.T) {
				r := newRig(t, nil)
				c := r.Connect(v, "alice")
				for qos, packet := range []string{"30 %s " + topic + none, "32 %s " + topic + "00 07" + none, "34 %s " + topic + "00 09" + none} {
					length := len(strings.ReplaceAll(strings.ReplaceAll(packet, " ", ""), "%s", ""))/2 - 1
					c.Reply(fmt.Sprintf(packet, fmt.Sprintf("%02x", length)))
					if qos > 0 {
						c.Passes([]string{"", "40 02 00 07", "50 02 00 09"}[qos])
					}
				}
				c.Reply("62 02 00 09")
				c.Passes("70 02 00 09")
				next := play.PublishHex(v, "chat/status/bob", 0, 0, "hello")
				c.Reply(next)
				c.Hears(next)
				if v == frames.V311 {
					r.Until("it is audited", func() bool { return strings.Contains(r.Audited.String(), `"reason":"faulty_message"`) })
				}
			})
		}
	}
}

// An alias that a faulty message has given its meaning means no Topic Name: a rule for a/# must not take it for one.
func TestAnAliasOfAFaultyMessageStaysFaulty(t *testing.T) {
	r := newRig(t, nil)
	r.SetRules("pattern read #\n")
	c := r.Connect(frames.V5, "alice")
	c.Reply("30 09 00 03 61 2f 2b 03 23 00 01") // a/+ as alias 1
	c.Reply("30 07 00 00 03 23 00 01 78")       // alias 1, "x"
	next := play.PublishHex(frames.V5, "a/b", 0, 0, "hello")
	c.Reply(next)
	c.Hears(next)
	c.Reply("30 0a 00 03 61 2f 62 03 23 00 01 78") // from now on a/b
	c.Hears("30 07 00 03 61 2f 62 00 78")
}

// Some brokers give a publisher its User Properties back; the one that the gateway has added is none of them.
func TestTheGatewaysPropertyIsTakenOutOfAcknowledgements(t *testing.T) {
	c := newRig(t, nil).Connect(frames.V5, "alice")
	ours := frames.Properties(nil).AppendPair(frames.PropUserProperty, []byte("Topicgate-User"), []byte("alice"))
	theirs := frames.Properties(nil).AppendPair(frames.PropUserProperty, []byte("k"), []byte("v"))
	for _, answer := range []frames.Type{frames.TypePuback, frames.TypePubrec, frames.TypePubcomp} {
		both := frames.Ack{Type: answer, PacketID: 5, Properties: append(append(frames.Properties{}, ours...), theirs...)}
		c.Reply(hex.EncodeToString(both.Append(nil, frames.V5)))
		c.Hears(hex.EncodeToString(frames.Ack{Type: answer, PacketID: 5, Properties: theirs}.Append(nil, frames.V5)))
	}
}

func TestTheBrokersFarewellIsPassedOn(t *testing.T) {
	c := newRig(t, nil).Connect(frames.V5, "alice")
	c.Reply("e0 01 8e") // session taken over
	c.Hears("e0 01 8e")
	c.Closes(1000)
}

func TestALostBrokerIsTold(t *testing.T) {
	for _, v := range play.Versions {
		for _, half := range []string{"", "30 20 00"} {
			c := newRig(t, nil).Connect(v, "alice")
			last := play.PublishHex(v, "chat/status/bob", 0, 0, "last words")
			c.Reply(last + half)
			c.Hears(last)
			_ = c.Conn.Close()
			if v == frames.V5 {
				c.Hears("e0 01 8b")
			}
			c.Closes(1013)
		}
	}
}

func TestOneReadOfTheBrokersIsOneMessageOfWholePackets(t *testing.T) {
	c := connectTCP(t, "alice", false)
	rigOf(c).parkBoth() // or the pump towards the broker, when it comes to wait, may send on what is there so far
	one, two := play.PublishHex(frames.V311, "chat/status/bob", 0, 0, "one"), play.PublishHex(frames.V311, "chat/status/carol", 0, 0, "two")
	c.Reply(one + two + "30 10") // and the head of a third
	_, message, err := c.WS.ReadMessage()
	if err != nil || hex.EncodeToString(message) != one+two {
		t.Errorf("message = %x, %v; want %s", message, err, one+two)
	}
}

func TestPacketsOfAnySizeArriveWhole(t *testing.T) {
	c := newRig(t, nil).Connect(frames.V311, "alice")
	for _, n := range []int{0, 100, 127, 128, 16_000, wire.BatchBytes - 20, wire.BatchBytes, 3 * wire.BatchBytes, 1 << 20} {
		payload := make([]byte, n)
		for i := 0; i+4 <= n; i += 4 {
			binary.BigEndian.PutUint32(payload[i:], uint32(i))
		}
		down := play.PublishHex(frames.V311, "chat/status/bob", 1, 7, string(payload))
		up := play.PublishHex(frames.V311, "chat/status/alice", 1, 7, string(payload))
		var speaking sync.WaitGroup
		speaking.Go(func() { c.Reply(down) })
		c.Hears(down)
		speaking.Wait()
		speaking.Go(func() { c.Say(up) })
		c.Passes(up)
		speaking.Wait()
	}
}

func TestAClientThatDoesNotReadIsClosedAfterTheWriteTimeout(t *testing.T) {
	play.EachVersion(t, func(t *testing.T, v frames.Version) {
		r := newRig(t, nil)
		c := r.Connect(v, "alice").Patient()
		synctest.Wait() // else the other pump, about to wait, may wait for a lock, at which the bubble's time stands still
		flood := play.Unhex(t, play.PublishHex(v, "chat/status/bob", 0, 0, strings.Repeat("x", 10_000)))
		written := 0
		for {
			n, err := c.Conn.Write(flood)
			written += n
			if err != nil {
				break // the gateway has closed
			}
		}
		synctest.Wait()
		if written > 1<<20 {
			t.Errorf("the gateway took %d bytes for a client that does not read", written)
		}
		if n := len(r.server.live()); n != 0 {
			t.Errorf("%d sessions left", n)
		}
	})
}
