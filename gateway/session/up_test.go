package session

import (
	"errors"
	"testing"
	"testing/synctest"

	"topicgate/frames"
	"topicgate/gateway/internal/play"
)

func TestARefusedPublishIsAnsweredAsItsQoSAndVersionDemand(t *testing.T) {
	tests := []struct {
		v      frames.Version
		qos    frames.QoS
		answer string // to PUBLISH
		pubrel string // what PUBREL is answered with; empty: there is none
	}{
		{frames.V31, 0, "", ""},
		{frames.V31, 1, "40 02 00 07", ""},
		{frames.V31, 2, "50 02 00 07", "70 02 00 07"},
		{frames.V311, 0, "", ""},
		{frames.V311, 1, "40 02 00 07", ""},
		{frames.V311, 2, "50 02 00 07", "70 02 00 07"},
		{frames.V5, 0, "", ""},
		{frames.V5, 1, "40 03 00 07 87", ""},
		{frames.V5, 2, "50 03 00 07 87", ""}, // an error ends the exchange, section 4.3.3
	}
	for _, tt := range tests {
		c := newRig(t, nil).Connect(tt.v, "alice")
		c.Say(play.PublishHex(tt.v, "chat/status/bob", tt.qos, 7, "I am bob"))
		if tt.answer != "" {
			c.Hears(tt.answer)
		}
		if tt.pubrel != "" {
			c.Say("62 02 00 07")
			c.Hears(tt.pubrel)
		}
		c.NothingUp()
	}
}

func TestARefusedPublishDisconnectsIfSoConfigured(t *testing.T) {
	for _, v := range play.Versions {
		c := newRig(t, func(o *rigOptions) { o.DenyPublish = DenyDisconnect }).Connect(v, "alice")
		c.Say(play.PublishHex(v, "chat/status/bob", 0, 0, "dropped all the same"))
		c.NothingUp()
		c.Say(play.PublishHex(v, "chat/status/bob", 1, 7, "x"))
		if v == frames.V5 { // which has the words for it
			c.Hears("40 03 00 07 87")
			continue
		}
		c.Closes(4403)
		c.BrokerEnds()
	}
}

func TestTheHandshakeOfARefusedPublishIsTheGateways(t *testing.T) {
	for _, v := range []frames.Version{frames.V31, frames.V311} {
		c := newRig(t, nil).Connect(v, "alice")
		c.Say(play.PublishHex(v, "chat/status/bob", 2, 7, "x"))
		c.Hears("50 02 00 07")
		// Once more with DUP, and once with an allowed topic: until PUBREL it is the same message.
		again := frames.Publish{Dup: true, QoS: 2, PacketID: 7, TopicName: []byte("chat/status/bob")}
		c.Send(again.Append(nil, v))
		c.Hears("50 02 00 07")
		c.Say(play.PublishHex(v, "chat/status/alice", 2, 7, "x"))
		c.Hears("50 02 00 07")
		c.Say("62 02 00 07")
		c.Hears("70 02 00 07")
		// Then the identifier is free, and a second PUBREL is the broker's.
		c.Say("62 02 00 07")
		c.Passes("62 02 00 07")
		c.Say(play.PublishHex(v, "chat/status/alice", 2, 7, "x"))
		c.Passes(play.PublishHex(v, "chat/status/alice", 2, 7, "x"))
	}
}

func TestAcknowledgementsOfUnknownIdentifiersAreTheBrokersToJudge(t *testing.T) {
	for _, v := range play.Versions {
		c := newRig(t, nil).Connect(v, "alice")
		for _, packet := range []string{"40 02 00 63", "50 02 00 63", "62 02 00 63", "70 02 00 63"} {
			c.Say(packet)
			c.Passes(packet)
		}
	}
}

func TestADuplicateOfAMessageThatTheBrokerHasIsNotAnsweredAnew(t *testing.T) {
	play.EachVersion(t, func(t *testing.T, v frames.Version) {
		r := newRig(t, nil)
		c := r.Connect(v, "alice")
		publish := play.PublishHex(v, "chat/status/alice", 1, 5, "x")
		second := play.PublishHex(v, "chat/status/alice", 2, 6, "x")
		if v == frames.V5 {
			c.Say(publish + second)
			c.Passes(play.StampedHex("chat/status/alice", 1, 5, "x", "alice"))
			c.Passes(play.StampedHex("chat/status/alice", 2, 6, "x", "alice"))
		} else {
			c.Say(publish + second)
			c.Passes(publish)
			c.Passes(second)
		}
		r.Follow("pattern read chat/status/+")

		// QoS 1: the broker's PUBACK answers both. QoS 2: the exchange goes on to its PUBREL.
		for id := range uint16(2) {
			p := frames.Publish{Dup: true, QoS: frames.QoS(1 + id), PacketID: 5 + id, TopicName: []byte("chat/status/alice"), Payload: []byte("x")}
			c.Send(p.Append(nil, v))
		}
		c.Hears("50 02 00 06")
		c.NothingUp()
		c.Reply("40 02 00 05 50 02 00 06")
		c.Hears("40 02 00 05")
		c.Hears("50 02 00 06")
		c.Say("62 02 00 06")
		c.Passes("62 02 00 06")
		c.Reply("70 02 00 06")
		c.Hears("70 02 00 06")

		// Both identifiers are free again.
		want := frames.Success
		if v == frames.V5 {
			want = frames.NotAuthorized
		}
		c.Say(publish)
		c.Hears(play.AckHex(frames.TypePuback, 5, want, v))
	})
}

func TestARefusedPublishOfAResumedSessionCompletesAtTheBroker(t *testing.T) {
	// The PUBLISH before the connection was lost may have been forwarded; the identifier must not stay taken.
	c := newRig(t, nil).ConnectWith(func() frames.Connect {
		connect := play.ConnectOf(frames.V311, "alice")
		connect.CleanStart = false
		return connect
	}(), "20 02 01 00")
	p := frames.Publish{Dup: true, QoS: 2, PacketID: 5, TopicName: []byte("chat/status/bob")}
	c.Send(p.Append(nil, frames.V311))
	c.Hears("50 02 00 05")
	c.Say("62 02 00 05")
	c.Passes("62 02 00 05")
}

func TestPacketsAreCutWhereTheyAreNotWhereMessagesAre(t *testing.T) {
	for _, v := range play.Versions {
		c := newRig(t, nil).Connect(v, "alice")
		one := play.Unhex(t, play.PublishHex(v, "chat/status/alice", 1, 1, "one"))
		two := play.Unhex(t, play.PublishHex(v, "chat/status/alice", 1, 2, "two"))
		want := func(id uint16, payload string) {
			t.Helper()
			if v == frames.V5 {
				c.Passes(play.StampedHex("chat/status/alice", 1, id, payload, "alice"))
			} else {
				c.Passes(play.PublishHex(v, "chat/status/alice", 1, id, payload))
			}
		}
		for i := 1; i < len(one); i++ { // [MQTT-6.0.0-2]
			c.Send(one[:i])
			c.Send(one[i:])
			want(1, "one")
		}
		for i := range one { // a byte each
			c.Send(one[i : i+1])
		}
		want(1, "one")
		c.Send(append(append(append([]byte{}, one...), two...), 0xC0))
		want(1, "one")
		want(2, "two")
		c.Say("00")
		c.Passes("c0 00")
	}
}

func TestWholePacketsDoNotWaitForTheRestOfTheirMessage(t *testing.T) {
	c := newRig(t, nil).Connect(frames.V311, "alice")
	w, err := c.WS.NextWriter(2)
	if err != nil {
		t.Fatal(err)
	}
	first := play.PublishHex(frames.V311, "chat/status/alice", 0, 0, "first")
	// More than the client's buffer, so that a fragment is sent; the message goes on.
	big := play.PublishHex(frames.V311, "chat/status/alice", 0, 0, string(make([]byte, 8<<10)))
	rest := make(chan struct{})
	written := make(chan error, 1)
	go func() {
		_, err := w.Write(append(play.Unhex(t, first), play.Unhex(t, big)...))
		<-rest
		written <- errors.Join(err, w.Close())
	}()
	c.Passes(first)
	close(rest)
	c.Passes(big)
	if err := <-written; err != nil {
		t.Fatal(err)
	}
}

func TestWhatOnlyServersOrNobodySendsEndsTheSession(t *testing.T) {
	tests := []struct {
		name, v3, v5 string // packets
		code         string // of the DISCONNECT of 5.0
	}{
		{"CONNACK (CVE-2021-28166)", "20 02 00 00", "20 03 00 00 00", "82"},
		{"SUBACK", "90 03 00 01 00", "90 04 00 01 00 00", "82"},
		{"UNSUBACK", "b0 02 00 01", "b0 04 00 01 00 00", "82"},
		{"PINGRESP", "d0 00", "d0 00", "82"},
		{"a second CONNECT [MQTT-3.1.0-2]", "10 0d 00 04 4d 51 54 54 04 02 00 00 00 01 63", "10 0e 00 04 4d 51 54 54 05 02 00 00 00 00 01 63", "82"},
		{"reserved type", "00 00", "00 00", "81"},
		{"AUTH without an Authentication Method before", "f0 00", "f0 00", "81 82"},
		{"QoS 3", "36 07 00 01 61 00 01 00 00", "36 07 00 01 61 00 01 00 00", "81"},
		{"a wildcard in a Topic Name", "30 03 00 01 23", "30 04 00 01 23 00", "90"},
		{"Packet Identifier 0", "32 05 00 01 61 00 00", "32 06 00 01 61 00 00 00", "81"},
		{"PUBREL without its flags", "60 02 00 01", "60 02 00 01", "81"},
		{"a Subscription Identifier [MQTT-3.3.4-6]", "", "30 06 00 01 61 02 0b 01", "82"},
		{"a Topic Alias of 0 [MQTT-3.3.2-8]", "", "30 07 00 01 61 03 23 00 00", "94"},
		{"a Topic Alias over the maximum [MQTT-3.3.2-9]", "", "30 07 00 01 61 03 23 00 0b", "94"},
		{"a Topic Alias without a meaning", "", "30 06 00 00 03 23 00 01", "82"},
		{"neither Topic Name nor Topic Alias (CVE-2021-34432)", "30 02 00 00", "30 03 00 00 00", "81 82"},
		{"an illegal Reason Code in PUBACK", "", "40 03 00 01 01", "82"},
		{"DISCONNECT with 0x87, which servers send", "", "e0 01 87", "82"},
		{"DISCONNECT with a Server Reference", "", "e0 06 80 04 1c 00 01 78", "82"},
	}
	for _, tt := range tests {
		for _, v := range play.Versions {
			packet := tt.v3
			if v == frames.V5 {
				packet = tt.v5
			}
			if packet == "" {
				continue
			}
			if v == frames.V31 && tt.name == "PUBREL without its flags" {
				continue // QoS bits are looked at there, and these are wrong too; covered by frames
			}
			c := newRig(t, nil).Connect(v, "alice")
			c.Say(packet)
			if v == frames.V5 {
				p := c.Expect(frames.TypeDisconnect)
				if len(p.Body) != 1 || !containsByte(play.Unhex(t, tt.code), p.Body[0]) {
					t.Errorf("%s: DISCONNECT % x; want reason %s", tt.name, p.Raw, tt.code)
				}
			}
			c.Closes(1002)
			c.BrokerEnds()
		}
	}
}

func containsByte(codes []byte, code byte) bool {
	for _, c := range codes {
		if c == code {
			return true
		}
	}
	return false
}

func TestAPacketOverTheMaximumIsRefusedFromItsHeader(t *testing.T) {
	for _, v := range play.Versions {
		c := newRig(t, func(o *rigOptions) { o.MaxPacketBytes = 1000 }).Connect(v, "alice")
		c.Say("30 e9 07") // 1001 bytes and the header; the body never comes
		if v == frames.V5 {
			c.Hears("e0 01 95")
		}
		c.Closes(1009)
		c.BrokerEnds()
	}
}

func TestTheGatewayKeepsABrokerAwakeThatHearsNothing(t *testing.T) {
	play.EachVersion(t, func(t *testing.T, v frames.Version) {
		connect := play.ConnectOf(v, "alice")
		connect.KeepAlive = 60
		c := newRig(t, nil).ConnectWith(connect, play.AcceptedBy(v)).Patient()
		refused := play.PublishHex(v, "chat/status/bob", 0, 0, "x")
		c.Say(refused)
		c.NothingUp() // it has just heard of us
		for range 3 {
			play.Pass(30)
			c.Say(refused)
			c.Passes("c0 00")
			c.Reply("d0 00") // which the client has not asked for
			synctest.Wait()  // it is dropped before the client asks
		}
		c.NothingUp()

		play.Pass(40)
		subscribe := frames.Subscribe{PacketID: 9, Filters: []frames.Subscription{{TopicFilter: "secret/#"}}}
		c.Send(subscribe.Append(nil, v))
		c.Passes("c0 00")
		if v == frames.V5 {
			c.Hears("90 04 00 09 00 87")
		} else {
			c.Hears("90 03 00 09 80")
		}
		c.Reply("d0 00")
		synctest.Wait()
		c.NothingUp()
	})
}

func TestTheBrokersKeepAliveCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		connect := play.ConnectOf(frames.V5, "alice")
		connect.KeepAlive = 600
		c := newRig(t, nil).ConnectWith(connect, "20 06 00 00 03 13 00 0a").Patient() // Server Keep Alive 10
		play.Pass(6)
		c.Say(play.PublishHex(frames.V5, "chat/status/bob", 0, 0, "x"))
		c.Passes("c0 00")
	})
}
