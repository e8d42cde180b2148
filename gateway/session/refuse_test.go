package session

import (
	"strings"
	"testing"

	"topicgate/frames"
	"topicgate/gateway/edge"
	"topicgate/gateway/internal/play"
)

func TestAConnectWithoutAGoodTokenIsRefused(t *testing.T) {
	for _, v := range play.Versions {
		r := newRig(t, nil)
		r.Dial(v).Opens(play.ConnectOf(v, "bad")).WantRefused(5, 0x87, 4401)
		r.Dial(v).Opens(play.ConnectOf(v, "")).WantRefused(5, 0x87, 4401)
		none := play.ConnectOf(v, "")
		none.HasPassword = false
		r.Dial(v).Opens(none).WantRefused(5, 0x87, 4401)
		select {
		case <-r.Brokers:
			t.Error("a broker was dialed for a client that nobody knows")
		default:
		}
	}
}

func TestTheFirstTokenSourceThatHoldsAnythingCounts(t *testing.T) {
	sources := func(kinds ...edge.TokenKind) func(*rigOptions) {
		return func(o *rigOptions) {
			o.TokenSources = nil
			for _, k := range kinds {
				o.TokenSources = append(o.TokenSources, edge.TokenSource{Kind: k})
			}
		}
	}
	connect := play.ConnectOf(frames.V311, "bad")
	connect.Username = "alice"
	// The password is not looked at, nor does it go upstream.
	c := newRig(t, sources(edge.TokenUsername)).Dial(frames.V311).Opens(connect)
	c.Accept()
	up, err := frames.ParseConnect(c.FromGateway(frames.TypeConnect))
	if err != nil || up.Username != "alice" || up.HasPassword {
		t.Errorf("upstream CONNECT = %+v, %v", up, err)
	}
	// A bad token is not made good by another one.
	newRig(t, sources(edge.TokenPassword, edge.TokenUsername)).Dial(frames.V311).Opens(connect).WantRefused(5, 0, 4401)

	// The Authentication Method says where the token is, whatever else there is.
	v5 := play.ConnectOf(frames.V5, "alice")
	v5.Properties = v5.Properties.AppendBytes(frames.PropAuthenticationMethod, []byte("OAUTH2-JWT")).AppendBytes(frames.PropAuthenticationData, []byte("bad"))
	newRig(t, nil).Dial(frames.V5).Opens(v5).WantRefused(0, 0x87, 4401)
	v5.Properties = frames.Properties(nil).AppendBytes(frames.PropAuthenticationMethod, []byte("OAUTH2-JWT"))
	newRig(t, nil).Dial(frames.V5).Opens(v5).WantRefused(0, 0x87, 4401)
	v5.Properties = frames.Properties(nil).AppendBytes(frames.PropAuthenticationMethod, []byte("SCRAM-SHA-1"))
	newRig(t, nil).Dial(frames.V5).Opens(v5).WantRefused(0, 0x8c, 4401)
}

func TestClientIdentifiersThatCannotBeAreRefused(t *testing.T) {
	for _, v := range play.Versions {
		r := newRig(t, nil)
		for _, id := range []string{"a\x01b", "line\nbreak", "\u0085", strings.Repeat("x", 65_530)} {
			connect := play.ConnectOf(v, "alice")
			connect.ClientID = id
			r.Dial(v).Opens(connect).WantRefused(2, 0x85, 1008)
		}
		empty := play.ConnectOf(v, "alice")
		empty.ClientID, empty.CleanStart = "", false
		c := r.Dial(v).Opens(empty)
		if v == frames.V5 { // which has Assigned Client Identifiers for that
			c.Accept()
			continue
		}
		c.WantRefused(2, 0, 1008)
	}
}

func TestClientIdentifiersWithWildcardsExpandInNoRule(t *testing.T) {
	for _, v := range play.Versions {
		for _, id := range []string{"+", "#", "a/b", "x+"} {
			r := newRig(t, nil)
			r.SetRules("pattern write by/%c\npattern write own/%u\n")
			connect := play.ConnectOf(v, "alice")
			connect.ClientID = id
			c := r.ConnectWith(connect, play.AcceptedBy(v))
			for _, topic := range []string{"by/x", "by/a/b", "by"} {
				c.Say(play.PublishHex(v, topic, 0, 0, "x"))
			}
			c.NothingUp()
		}
	}
}

func TestNothingExceedsTheClientsMaximumPacketSize(t *testing.T) {
	for _, tt := range []struct {
		maximum uint32
		user    string
		hears   string // empty: not even a CONNACK fits
		status  int
	}{
		{5, "bad", "20 03 00 87 00", 4401}, // without the Reason String
		{4, "bad", "", 4401},
		{10, "alice", "20 08 00 00 05 27 00 1c 20 00", 0},
		{9, "alice", "", 1009},
	} {
		c := newRig(t, nil).Dial(frames.V5)
		connect := play.ConnectOf(frames.V5, tt.user)
		connect.Properties = connect.Properties.AppendUint(frames.PropMaximumPacketSize, tt.maximum)
		c.Opens(connect)
		if tt.user == "alice" {
			c.Accept()
			c.FromGateway(frames.TypeConnect)
			c.Reply("20 03 00 00 00")
			if tt.status != 0 {
				c.Passes("e0 00") // it is not to wait for a client that has heard nothing
			}
		}
		if tt.hears != "" {
			c.Hears(tt.hears)
		}
		if tt.status != 0 {
			c.Closes(tt.status)
		}
	}
}
