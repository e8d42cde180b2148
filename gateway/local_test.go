package gateway

import (
	"encoding/hex"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"topicgate/frames"
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
		c := newRig(t, nil).connectByAuth("alice@1h").patient()
		pass(3590)
		c.say(authHex(frames.Reauthenticate, oauth2JWT, "alice@2h"))
		c.hears("f0 0f 00 0d 15 00 0a 4f 41 55 54 48 32 2d 4a 57 54")
		c.hears("e0 01 87")
		c.closes(4401)
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
		c := newRig(t, nil).connectByAuth("alice")
		c.say(tt.auth)
		c.hears(tt.disconnect)
		c.closes(tt.status)
		c.brokerEnds()
	}
}

func TestAFreshTokenByPublishPutsTheEndOff(t *testing.T) {
	eachVersion(t, func(t *testing.T, v frames.Version) {
		begin := time.Now()
		c := newRig(t, nil).connect(v, "alice@1h").patient()
		refused := frames.Success
		if v == frames.V5 {
			refused = frames.NotAuthorized
		}
		for _, token := range []string{"bad", "bob@9h", "unknown", ""} { // the old one goes on
			c.say(publishHex(v, topicToken, 1, 7, token))
			c.hears(ackHex(frames.TypePuback, 7, refused, v))
		}
		c.say(publishHex(v, topicToken, 2, 8, "alice@2h"))
		c.hears("50 02 00 08")
		c.say("62 02 00 08")
		c.hears("70 02 00 08")
		c.nothingUp()
		pass(3600)
		c.say(publishHex(v, topicToken, 0, 0, "alice@3h"))
		c.nothingUp()
		if v == frames.V5 {
			c.hears("e0 01 87")
		}
		c.closes(4401)
		if d := time.Since(begin); d != 3*time.Hour {
			t.Errorf("ended after %v; want 3h", d)
		}
		if strings.Contains(c.audited.String(), "bob@9h") {
			t.Error("a token is in the audit")
		}
	})
}

func TestTheClientHearsWhatWasRefusedAndWhenItsTokenEnds(t *testing.T) {
	eachVersion(t, func(t *testing.T, v frames.Version) {
		c := newRig(t, nil).connect(v, "alice@1h").patient()
		subscribe := frames.Subscribe{PacketID: 3, Filters: []frames.Subscription{{TopicFilter: "$topicgate/#", QoS: 2}, {TopicFilter: "$topicgate/token"}}}
		c.send(subscribe.Append(nil, v))
		c.expectRejected(v, "subscribe", "$topicgate/token")
		if v == frames.V5 {
			c.hears("90 05 00 03 00 00 87")
		} else {
			c.hears("90 04 00 03 00 80")
		}
		c.nothingUp()
		c.say(publishHex(v, "chat/status/bob", 0, 0, "x"))
		c.expectRejected(v, "publish", "chat/status/bob")
		p, err := frames.ParsePublish(c.expect(frames.TypePublish), v)
		if err != nil || string(p.TopicName) != topicExpiring {
			t.Errorf("client got %+v, %v; want %s", p, err, topicExpiring)
		}
		begin := time.Now()
		if v == frames.V5 {
			c.hears("e0 01 87")
		}
		c.closes(4401)
		if d := time.Since(begin); d != time.Minute {
			t.Errorf("ended %v after the notice; want 1m", d)
		}
	})
}

// A message of the gateway's says by which subscriptions it comes [MQTT-3.3.4-3].
func TestTheGatewaysMessagesCarrySubscriptionIdentifiers(t *testing.T) {
	c := newRig(t, nil).connect(frames.V5, "alice")
	for i, filter := range []string{topicRejected, "$topicgate/+", topicAccess} {
		c.asks(uint16(i+1), uint32(i+7), at(0, filter))
		c.granted(uint16(i+1), 0)
	}
	c.say(publishHex(c.v, "chat/status/bob", 0, 0, "x"))
	p, err := frames.ParsePublish(c.expect(frames.TypePublish), c.v)
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
