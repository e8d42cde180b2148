package session

import (
	"context"
	"errors"
	"io"
	"net"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"topicgate/frames"
	"topicgate/gateway/internal/play"
	"topicgate/gateway/upstream"
)

func TestTheBrokerSeesTheVerifiedIdentityAndNoToken(t *testing.T) {
	for _, v := range play.Versions {
		r := newRig(t, nil)
		connect := play.ConnectOf(v, "alice")
		connect.KeepAlive = 77
		c := r.Dial(v)
		c.Send(connect.Append(nil, v))
		c.Accept()
		up, err := frames.ParseConnect(c.FromGateway(frames.TypeConnect))
		if err != nil {
			t.Fatal(err)
		}
		if up.Version != v || up.ClientID != "alice:c1" || up.Username != "alice" || up.HasPassword || up.KeepAlive != 77 || !up.CleanStart {
			t.Errorf("%s: upstream CONNECT = %+v", v, up)
		}
		c.Reply(play.AcceptedBy(v))
		c.Expect(frames.TypeConnack)
	}
}

func TestConnectPropertiesGoUpstreamButForThoseOfTheGateway(t *testing.T) {
	r := newRig(t, func(o *rigOptions) { o.UpstreamPassword = "gate" })
	connect := play.ConnectOf(frames.V5, "")
	connect.HasUsername, connect.Username, connect.HasPassword = false, "", false
	var ps frames.Properties
	ps = ps.AppendUint(frames.PropSessionExpiryInterval, 300)
	ps = ps.AppendUint(frames.PropReceiveMaximum, 12)
	ps = ps.AppendUint(frames.PropMaximumPacketSize, 5000)
	ps = ps.AppendUint(frames.PropTopicAliasMaximum, 900)
	ps = ps.AppendUint(frames.PropRequestResponseInformation, 1)
	ps = ps.AppendUint(frames.PropRequestProblemInformation, 0)
	ps = ps.AppendPair(frames.PropUserProperty, []byte("TopicGate-User"), []byte("root"))
	ps = ps.AppendPair(frames.PropUserProperty, []byte("app"), []byte("web"))
	ps = ps.AppendBytes(frames.PropAuthenticationMethod, []byte("OAUTH2-JWT"))
	ps = ps.AppendBytes(frames.PropAuthenticationData, []byte("alice"))
	connect.Properties = ps
	c := r.Dial(frames.V5)
	c.Send(connect.Append(nil, frames.V5))
	c.Accept()
	up, err := frames.ParseConnect(c.FromGateway(frames.TypeConnect))
	if err != nil {
		t.Fatal(err)
	}
	var want frames.Properties
	want = want.AppendUint(frames.PropSessionExpiryInterval, 300)
	want = want.AppendUint(frames.PropReceiveMaximum, 12)
	want = want.AppendUint(frames.PropRequestResponseInformation, 1)
	want = want.AppendUint(frames.PropRequestProblemInformation, 0)
	want = want.AppendPair(frames.PropUserProperty, []byte("app"), []byte("web"))
	want = want.AppendUint(frames.PropTopicAliasMaximum, 64)
	want = want.AppendUint(frames.PropMaximumPacketSize, 5000)
	if string(up.Properties) != string(want) {
		t.Errorf("upstream properties = % x; want % x", up.Properties, want)
	}
	if up.Username != "alice" || string(up.Password) != "gate" {
		t.Errorf("upstream user = %q, %q; want alice, gate", up.Username, up.Password)
	}

	// The answer: what the broker said, less its own name for the client, and the gateway's limits.
	var from frames.Properties
	from = from.AppendUint(frames.PropSessionExpiryInterval, 200)
	from = from.AppendUint(frames.PropTopicAliasMaximum, 900)
	from = from.AppendBytes(frames.PropAssignedClientIdentifier, []byte("alice:c1"))
	from = from.AppendUint(frames.PropServerKeepAlive, 10)
	c.AsBroker(frames.Connack{Properties: from}.Append(nil, frames.V5))
	connack, err := frames.ParseConnack(c.Expect(frames.TypeConnack), frames.V5)
	if err != nil {
		t.Fatal(err)
	}
	want = nil
	want = want.AppendUint(frames.PropSessionExpiryInterval, 200)
	want = want.AppendUint(frames.PropTopicAliasMaximum, 64)
	want = want.AppendUint(frames.PropServerKeepAlive, 10)
	want = want.AppendUint(frames.PropMaximumPacketSize, 1800<<10)
	want = want.AppendBytes(frames.PropAuthenticationMethod, []byte("OAUTH2-JWT"))
	if string(connack.Properties) != string(want) {
		t.Errorf("CONNACK properties = % x; want % x", connack.Properties, want)
	}
}

func TestAClientWithoutIdentifierIsToldTheOneThatItGets(t *testing.T) {
	for _, v := range play.Versions {
		c := newRig(t, nil).Dial(v)
		connect := play.ConnectOf(v, "alice")
		connect.ClientID = ""
		c.Send(connect.Append(nil, v))
		c.Accept()
		up, err := frames.ParseConnect(c.FromGateway(frames.TypeConnect))
		if err != nil {
			t.Fatal(err)
		}
		id, ok := strings.CutPrefix(up.ClientID, "alice:")
		if !ok || len(id) != 26 {
			t.Errorf("%s: upstream Client Identifier = %q", v, up.ClientID)
		}
		c.Reply(play.AcceptedBy(v))
		connack, err := frames.ParseConnack(c.Expect(frames.TypeConnack), v)
		if err != nil {
			t.Fatal(err)
		}
		if v == frames.V5 {
			if assigned, _ := connack.Properties.Bytes(frames.PropAssignedClientIdentifier); string(assigned) != id {
				t.Errorf("Assigned Client Identifier = %q; want %q", assigned, id)
			}
		}
	}
}

func TestTheFirstPacketMustBeConnect(t *testing.T) {
	for _, tt := range []struct{ name, packet string }{
		{"PUBLISH", "30 03 00 01 61"},
		{"PINGREQ", "c0 00"},
		{"the head of a PUBLISH", "30"},
		{"AUTH", "f0 00"},
		{"a reserved type", "00 00"},
		{"CONNECT with flags", "11 00"},
		{"a Remaining Length of five bytes", "10 ff ff ff ff 01"},
	} {
		c := newRig(t, nil).Dial(frames.V311)
		c.Say(tt.packet)
		c.Closes(1002)
	}
	c := newRig(t, nil).Dial(frames.V311)
	c.Say("10 ff ff ff 7f") // 256 MiB of a client that nobody knows
	c.Closes(1009)
	c = newRig(t, nil).Dial(frames.V311)
	if err := c.WS.WriteMessage(1, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	c.Closes(1003)
}

func TestATextMessageEndsTheSession(t *testing.T) {
	for _, v := range play.Versions {
		c := newRig(t, nil).Connect(v, "alice")
		if err := c.WS.WriteMessage(1, play.Unhex(t, "c000")); err != nil {
			t.Fatal(err)
		}
		if v == frames.V5 {
			c.Hears("e0 01 82")
		}
		c.Closes(1003)
		c.BrokerEnds()
	}
}

func TestAnUnsupportedProtocolLevelIsToldSo(t *testing.T) {
	for _, tt := range []struct{ name, connect, connack string }{
		{"level 2", "10 0d 00 04 4d 51 54 54 02 02 00 00 00 01 63", "20 02 00 01"},
		{"the bridge bit", "10 0d 00 04 4d 51 54 54 84 02 00 00 00 01 63", "20 02 00 01"},
		{"3.1.1 by the name of 3.1", "10 0f 00 06 4d 51 49 73 64 70 04 02 00 00 00 01 63", "20 02 00 01"},
	} {
		c := newRig(t, nil).Dial(frames.V311)
		c.Say(tt.connect)
		c.Hears(tt.connack)
		c.Closes(1002)
	}
	c := newRig(t, nil).Dial(frames.V5)
	c.Say("10 0e 00 04 4d 51 54 54 06 02 00 00 00 00 01 63")
	if connack, err := frames.ParseConnack(c.Expect(frames.TypeConnack), frames.V5); err != nil || connack.Reason != 0x84 {
		t.Errorf("CONNACK = %+v, %v; want 0x84", connack, err)
	}
	c.Closes(1002)
}

func TestAMalformedConnectIsToldSoIn5(t *testing.T) {
	for _, tt := range []struct {
		connect string
		reason  frames.ReasonCode
	}{
		{"10 0e 00 04 4d 51 54 54 05 03 00 00 00 00 01 63", 0x81},                                      // reserved flag
		{"10 13 00 04 4d 51 54 54 05 02 00 00 05 11 00 00 00 01 11 00 01 63", 0x81},                    // properties cut off
		{"10 14 00 04 4d 51 54 54 05 02 00 00 06 21 00 01 21 00 01 00 01 63", 0x82},                    // Receive Maximum twice
		{"10 14 00 04 4d 51 54 54 05 06 00 00 00 00 01 63 00 00 01 23 00 00", frames.TopicNameInvalid}, // Will Topic "#"
	} {
		c := newRig(t, nil).Dial(frames.V5)
		c.Say(tt.connect)
		connack, err := frames.ParseConnack(c.Expect(frames.TypeConnack), frames.V5)
		if err != nil || connack.Reason != tt.reason {
			t.Errorf("CONNACK after %s = %+v, %v; want %v", tt.connect, connack, err, tt.reason)
		}
		c.Closes(1002)
	}
	c := newRig(t, nil).Dial(frames.V311)
	c.Say("10 0d 00 04 4d 51 54 54 04 03 00 00 00 01 63")
	c.Closes(1002)
}

func TestConnectTimesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		for _, said := range []string{"", "10", "10 0d 00 04 4d"} {
			c := r.Dial(frames.V311).Patient()
			begin := time.Now()
			if said != "" {
				time.Sleep(time.Second)
				c.Say(said)
			}
			c.Closes(1008)
			if d := time.Since(begin); d != 10*time.Second {
				t.Errorf("closed after %v; want 10s", d)
			}
		}
	})
}

func TestASilentBrokerIsUnavailable(t *testing.T) {
	play.EachVersion(t, func(t *testing.T, v frames.Version) {
		c := newRig(t, nil).Dial(v)
		begin := time.Now()
		c.Opens(play.ConnectOf(v, "alice"))
		c.Accept()
		c.Patient()
		c.FromGateway(frames.TypeConnect)
		go func() { _, _ = io.Copy(io.Discard, c.Conn) }() // reads and says nothing
		c.Closes(1013)
		if d := time.Since(begin); d != 10*time.Second {
			t.Errorf("closed after %v; want 10s", d)
		}
	})
}

func TestTheNextBrokerIsTried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var dialed []string
		fail := map[string]bool{}
		var r *rig
		r = newRig(t, func(o *rigOptions) {
			o.Upstreams = nil
			for _, host := range []string{"a", "b", "c"} {
				o.Upstreams = append(o.Upstreams, &url.URL{Scheme: "tcp", Host: host})
			}
			o.Dial = func(_ context.Context, _, address string) (net.Conn, error) {
				dialed = append(dialed, address)
				if fail[address] {
					return nil, errors.New("unreachable")
				}
				ours, theirs := net.Pipe()
				r.Brokers <- theirs
				return ours, nil
			}
		})
		connect := func() []string {
			dialed = nil
			c := r.Connect(frames.V311, "alice")
			_ = c.WS.Close()
			synctest.Wait()
			return dialed
		}
		first := connect()
		if again := connect(); len(first) != 1 || len(again) != 1 || first[0] != again[0] {
			t.Fatalf("dialed %v, then %v; want the same broker for the same client", first, again)
		}
		fail[first[0]] = true
		second := connect()
		if len(second) != 2 || second[0] != first[0] {
			t.Fatalf("dialed %v; want %v and another", second, first)
		}
		if rested := connect(); len(rested) != 1 || rested[0] != second[1] {
			t.Errorf("dialed %v; want %v at once: the other rests", rested, second[1:])
		}
		fail[first[0]] = false
		time.Sleep(upstream.Rest + time.Millisecond)
		if back := connect(); len(back) != 1 || back[0] != first[0] {
			t.Errorf("dialed %v; want %v again", back, first)
		}
	})
}

func TestWhatTheBrokerAnswersToConnectIsPassedOn(t *testing.T) {
	for _, tt := range []struct {
		v               frames.Version
		connack, reason string
	}{
		{frames.V31, "20 02 00 02", "20 02 00 02"},
		{frames.V311, "20 02 00 02", "20 02 00 02"},
		{frames.V5, "20 03 00 8a 00", "20 08 00 8a 05 27 00 1c 20 00"},
		{frames.V5, "20 03 00 97 00", "20 08 00 97 05 27 00 1c 20 00"},
		{frames.V5, "20 02 00 01", "20 08 00 84 05 27 00 1c 20 00"}, // a broker that knows no 5.0
	} {
		c := newRig(t, nil).Dial(tt.v)
		connect := play.ConnectOf(tt.v, "alice")
		c.Send(connect.Append(nil, tt.v))
		c.Accept()
		c.FromGateway(frames.TypeConnect)
		c.Reply(tt.connack)
		c.Hears(tt.reason)
		c.Closes(1000)
	}
}

func TestABrokerThatSpeaksOutOfTurnIsUnavailable(t *testing.T) {
	for _, said := range []string{"30 03 00 01 61", "d0 00", "20 02 00 06", "20 03 00 00 00", "20 02 02 00", "20 02 01 05", "20 ff ff ff ff 01"} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, nil)
			go func() {
				for conn := range r.Brokers {
					go func() { _, _ = frames.NewReader(conn, frames.V311, 0).ReadPacket() }()
					_, _ = conn.Write(play.Unhex(t, said))
				}
			}()
			defer close(r.Brokers)
			r.Dial(frames.V311).Patient().Opens(play.ConnectOf(frames.V311, "alice")).Closes(1013)
		})
	}
}

func TestWhatFollowsConnackIsNotLost(t *testing.T) {
	c := newRig(t, nil).Dial(frames.V311)
	connect := play.ConnectOf(frames.V311, "alice")
	c.Send(connect.Append(nil, frames.V311))
	c.Accept()
	c.FromGateway(frames.TypeConnect)
	queued := play.PublishHex(frames.V311, "chat/status/bob", 1, 1, "queued")
	c.Reply("20 02 00 00" + queued + "30")
	c.Hears("20 02 00 00")
	c.Hears(queued)
}
