package session

import (
	"encoding/hex"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"topicgate/frames"
	"topicgate/gateway/internal/play"
)

// authHex is an AUTH in hex.
func authHex(reason frames.ReasonCode, method, token string) string {
	a := frames.Auth{Reason: reason}
	a.Properties = a.Properties.AppendBytes(frames.PropAuthenticationMethod, []byte(method))
	if token != "" {
		a.Properties = a.Properties.AppendBytes(frames.PropAuthenticationData, []byte(token))
	}
	return hex.EncodeToString(a.Append(nil, frames.V5))
}

func TestAFreshTokenByAuthPutsTheEndOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		c := newRig(t, nil).ConnectByAuth("alice@1h").Patient()
		play.Pass(3590)
		c.Say(authHex(frames.Reauthenticate, oauth2JWT, "alice@2h"))
		c.Hears("f0 0f 00 0d 15 00 0a 4f 41 55 54 48 32 2d 4a 57 54")
		c.Hears("e0 01 87")
		c.Closes(4401)
		if d := time.Since(begin); d != 2*time.Hour {
			t.Errorf("ended after %v; want 2h", d)
		}
	})
}

func TestARefusedReauthenticationEndsTheSession(t *testing.T) {
	for _, tt := range []struct {
		auth, disconnect string
		status           int
	}{
		{authHex(frames.Reauthenticate, oauth2JWT, "bad"), "e0 01 87", 4401},
		{authHex(frames.Reauthenticate, oauth2JWT, "bob"), "e0 01 87", 4401}, // another subject
		{authHex(frames.Reauthenticate, oauth2JWT, "unknown"), "e0 01 89", 1013},
		{authHex(frames.Reauthenticate, "SCRAM", "alice"), "e0 01 82", 1002},
		{authHex(frames.ContinueAuthentication, oauth2JWT, "alice"), "e0 01 82", 1002},
		{"f0 00", "e0 01 82", 1002},
	} {
		c := newRig(t, nil).ConnectByAuth("alice")
		c.Say(tt.auth)
		c.Hears(tt.disconnect)
		c.Closes(tt.status)
		c.BrokerEnds()
	}
}

func TestAFreshTokenByPublishPutsTheEndOff(t *testing.T) {
	play.EachVersion(t, func(t *testing.T, v frames.Version) {
		begin := time.Now()
		c := newRig(t, nil).Connect(v, "alice@1h").Patient()
		refused := frames.Success
		if v == frames.V5 {
			refused = frames.NotAuthorized
		}
		for _, token := range []string{"bad", "bob@9h", "unknown", ""} { // the old one goes on
			c.Say(play.PublishHex(v, topicToken, 1, 7, token))
			c.Hears(play.AckHex(frames.TypePuback, 7, refused, v))
		}
		c.Say(play.PublishHex(v, topicToken, 2, 8, "alice@2h"))
		c.Hears("50 02 00 08")
		c.Say("62 02 00 08")
		c.Hears("70 02 00 08")
		c.NothingUp()
		play.Pass(3600)
		c.Say(play.PublishHex(v, topicToken, 0, 0, "alice@3h"))
		c.NothingUp()
		if v == frames.V5 {
			c.Hears("e0 01 87")
		}
		c.Closes(4401)
		if d := time.Since(begin); d != 3*time.Hour {
			t.Errorf("ended after %v; want 3h", d)
		}
		if strings.Contains(c.Audited.String(), "bob@9h") {
			t.Error("a token is in the audit")
		}
	})
}

func TestTheClientHearsWhatWasRefusedAndWhenItsTokenEnds(t *testing.T) {
	play.EachVersion(t, func(t *testing.T, v frames.Version) {
		c := newRig(t, nil).Connect(v, "alice@1h").Patient()
		subscribe := frames.Subscribe{PacketID: 3, Filters: []frames.Subscription{{TopicFilter: "$topicgate/#", QoS: 2}, {TopicFilter: "$topicgate/token"}}}
		c.Send(subscribe.Append(nil, v))
		c.ExpectRejected(v, "subscribe", "$topicgate/token")
		if v == frames.V5 {
			c.Hears("90 05 00 03 00 00 87")
		} else {
			c.Hears("90 04 00 03 00 80")
		}
		c.NothingUp()
		c.Say(play.PublishHex(v, "chat/status/bob", 0, 0, "x"))
		c.ExpectRejected(v, "publish", "chat/status/bob")
		p, err := frames.ParsePublish(c.Expect(frames.TypePublish), v)
		if err != nil || string(p.TopicName) != topicExpiring {
			t.Errorf("client got %+v, %v; want %s", p, err, topicExpiring)
		}
		begin := time.Now()
		if v == frames.V5 {
			c.Hears("e0 01 87")
		}
		c.Closes(4401)
		if d := time.Since(begin); d != time.Minute {
			t.Errorf("ended %v after the notice; want 1m", d)
		}
	})
}

// A message of the gateway's says by which subscriptions it comes [MQTT-3.3.4-3].
func TestTheGatewaysMessagesCarrySubscriptionIdentifiers(t *testing.T) {
	c := newRig(t, nil).Connect(frames.V5, "alice")
	for i, filter := range []string{topicRejected, "$topicgate/+", topicAccess} {
		c.Asks(uint16(i+1), uint32(i+7), play.At(0, filter))
		c.Granted(uint16(i+1), 0)
	}
	c.Say(play.PublishHex(c.V, "chat/status/bob", 0, 0, "x"))
	p, err := frames.ParsePublish(c.Expect(frames.TypePublish), c.V)
	if err != nil {
		t.Fatal(err)
	}
	ids := map[uint32]bool{}
	for property := range p.Properties.All() {
		if property.ID == frames.PropSubscriptionIdentifier {
			ids[property.Uint()] = true
		}
	}
	if len(ids) != 2 || !ids[7] || !ids[8] {
		t.Errorf("the rejection carries the identifiers %v; want 7 and 8", ids)
	}
}
