package gateway

import (
	"strings"
	"testing"

	"topicgate/frames"
	"topicgate/gateway/edge"
)

func TestAConnectWithoutAGoodTokenIsRefused(t *testing.T) {
	for _, v := range versions {
		r := newRig(t, nil)
		r.dial(v).opens(connectOf(v, "bad")).wantRefused(5, 0x87, 4401)
		r.dial(v).opens(connectOf(v, "")).wantRefused(5, 0x87, 4401)
		r.dial(v).opens(connectOf(v, "unknown")).wantRefused(3, 0x88, 1013) // may be tried again
		none := connectOf(v, "")
		none.HasPassword = false
		r.dial(v).opens(none).wantRefused(5, 0x87, 4401)
		select {
		case <-r.brokers:
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
	connect := connectOf(frames.V311, "bad")
	connect.Username = "alice"
	// The password is not looked at, nor does it go upstream.
	c := newRig(t, sources(edge.TokenUsername)).dial(frames.V311).opens(connect)
	c.accept()
	up, err := frames.ParseConnect(c.fromGateway(frames.TypeConnect))
	if err != nil || up.Username != "alice" || up.HasPassword {
		t.Errorf("upstream CONNECT = %+v, %v", up, err)
	}
	// A bad token is not made good by another one.
	newRig(t, sources(edge.TokenPassword, edge.TokenUsername)).dial(frames.V311).opens(connect).wantRefused(5, 0, 4401)

	// The Authentication Method says where the token is, whatever else there is.
	v5 := connectOf(frames.V5, "alice")
	v5.Properties = v5.Properties.AppendBytes(frames.PropAuthenticationMethod, []byte("OAUTH2-JWT")).AppendBytes(frames.PropAuthenticationData, []byte("bad"))
	newRig(t, nil).dial(frames.V5).opens(v5).wantRefused(0, 0x87, 4401)
	v5.Properties = frames.Properties(nil).AppendBytes(frames.PropAuthenticationMethod, []byte("OAUTH2-JWT"))
	newRig(t, nil).dial(frames.V5).opens(v5).wantRefused(0, 0x87, 4401)
	v5.Properties = frames.Properties(nil).AppendBytes(frames.PropAuthenticationMethod, []byte("SCRAM-SHA-1"))
	newRig(t, nil).dial(frames.V5).opens(v5).wantRefused(0, 0x8c, 4401)
}

func TestClientIdentifiersThatCannotBeAreRefused(t *testing.T) {
	for _, v := range versions {
		r := newRig(t, nil)
		for _, id := range []string{"a\x01b", "line\nbreak", "\u0085", strings.Repeat("x", 65_530)} {
			connect := connectOf(v, "alice")
			connect.ClientID = id
			r.dial(v).opens(connect).wantRefused(2, 0x85, 1008)
		}
		empty := connectOf(v, "alice")
		empty.ClientID, empty.CleanStart = "", false
		c := r.dial(v).opens(empty)
		if v == frames.V5 { // which has Assigned Client Identifiers for that
			c.accept()
			continue
		}
		c.wantRefused(2, 0, 1008)
	}
}

func TestClientIdentifiersWithWildcardsExpandInNoRule(t *testing.T) {
	for _, v := range versions {
		for _, id := range []string{"+", "#", "a/b", "x+"} {
			r := newRig(t, nil)
			r.setRules("pattern write by/%c\npattern write own/%u\n")
			connect := connectOf(v, "alice")
			connect.ClientID = id
			c := r.connectWith(connect, acceptedBy(v))
			for _, topic := range []string{"by/x", "by/a/b", "by"} {
				c.say(publishHex(v, topic, 0, 0, "x"))
			}
			c.nothingUp()
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
		{10, "alice", "20 08 00 00 05 27 00 20 00 00", 0},
		{9, "alice", "", 1009},
	} {
		c := newRig(t, nil).dial(frames.V5)
		connect := connectOf(frames.V5, tt.user)
		connect.Properties = connect.Properties.AppendUint(frames.PropMaximumPacketSize, tt.maximum)
		c.opens(connect)
		if tt.user == "alice" {
			c.accept()
			c.fromGateway(frames.TypeConnect)
			c.reply("20 03 00 00 00")
			if tt.status != 0 {
				c.passes("e0 00") // it is not to wait for a client that has heard nothing
			}
		}
		if tt.hears != "" {
			c.hears(tt.hears)
		}
		if tt.status != 0 {
			c.closes(tt.status)
		}
	}
}
