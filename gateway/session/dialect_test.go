package session

import (
	"fmt"
	"testing"

	"topicgate/frames"
	"topicgate/gateway/dialect"
	"topicgate/gateway/internal/play"
)

// dialectRig lets everybody do everything but what the broker might take for a secret.
func dialectRig(t *testing.T, d dialect.Dialect, mode SubscribeMode) *rig {
	t.Helper()
	r := newRig(t, func(o *rigOptions) { o.Dialect, o.SubscribeMode = d, mode })
	r.SetRules("pattern readwrite #\npattern readwrite $delayed/#\npattern readwrite $exclusive/#\npattern readwrite $JS/#\npattern deny all/secret/#\n")
	return r
}

// disguised are topics by which a broker would do what is denied.
var disguised = map[dialect.Dialect][]string{
	dialect.RabbitMQ: {"all/secret.x", "all.secret.x", "all/*/x"},
	dialect.NATS:     {"all/secret.x", "all/*/x", "all/secret /x", "$JS/API/STREAM/DELETE/x"},
	dialect.EMQX:     {"$delayed/5/all/secret/x", "$exclusive/all/secret/x"},
}

func TestAPublishThatTheBrokerTakesForAnotherOneIsRefused(t *testing.T) {
	for d, topics := range disguised {
		play.EachVersion(t, func(t *testing.T, v frames.Version) {
			r := dialectRig(t, d, SubscribeNarrow)
			c := r.Connect(v, "alice")
			c.Asks(1, 0, play.At(0, "$topicgate/rejected"))
			c.Granted(1, 0)
			for i, topic := range topics {
				id := uint16(i + 2)
				c.Say(play.PublishHex(v, topic, 1, id, "x"))
				c.ExpectRejected(v, "publish", topic)
				c.Hears(play.AckHex(frames.TypePuback, id, map[bool]frames.ReasonCode{true: frames.TopicNameInvalid}[v == frames.V5], v))
			}
			c.NothingUp()
			r.WantAudited(`"action":"publish"`, `"reason":"dialect"`)
		})
	}
}

// By whichever way it comes: an alias that was made by a PUBLISH which was refused reaches the broker no more than that.
func TestAnAliasOfATopicThatTheBrokerTakesForAnotherOneIsRefused(t *testing.T) {
	c := dialectRig(t, dialect.RabbitMQ, SubscribeNarrow).ConnectWith(play.ConnectOf(frames.V5, "alice"), "20 06 00 00 03 22 00 0a")
	for _, topic := range []string{"all/secret.x", ""} {
		c.Send((&frames.Publish{QoS: 1, PacketID: 7, TopicName: []byte(topic), Properties: play.Aliased(1)}).Append(nil, frames.V5))
		c.Hears("40 03 00 07 90")
	}
	c.NothingUp()
}

func TestASubscriptionThatTheBrokerTakesForAnotherOneIsRefused(t *testing.T) {
	for d, filters := range disguised {
		for _, mode := range []SubscribeMode{SubscribeNarrow, SubscribeStrict} {
			for _, v := range play.Versions {
				c := dialectRig(t, d, mode).Connect(v, "alice")
				code := frames.UnspecifiedError
				if v == frames.V5 {
					code = frames.TopicFilterInvalid
				}
				for i, filter := range filters {
					c.Asks(uint16(i+1), 0, play.At(1, filter))
					c.Granted(uint16(i+1), code)
					// Nor can it be taken from what the gateway itself holds there.
					unsubscribe := frames.Unsubscribe{PacketID: uint16(i + 1), TopicFilters: []string{filter}}
					c.Send(unsubscribe.Append(nil, v))
					c.Expect(frames.TypeUnsuback)
				}
				c.NothingUp()
			}
		}
	}
}

func TestSharedSubscriptionsAreRefusedWhereTheBrokerKnowsNone(t *testing.T) {
	for d, code := range map[dialect.Dialect]frames.ReasonCode{dialect.RabbitMQ: 0x9E, dialect.NATS: 0x9E} {
		c := dialectRig(t, d, SubscribeNarrow).Connect(frames.V5, "alice")
		c.Asks(1, 0, play.At(1, "$share/g/chat/#"))
		c.Granted(1, code)
		c.NothingUp()
	}
	c := dialectRig(t, dialect.EMQX, SubscribeNarrow).Connect(frames.V5, "alice")
	c.Asks(1, 0, play.At(1, "$share/g/$exclusive/chat/#"), play.At(1, "$share/g/chat/#"))
	c.Grants(c.Asked("$share/g/chat/#").PacketID, 1)
	c.Granted(1, 0x8F, 1)
}

func TestAWillThatTheBrokerTakesForAnotherOneIsRefused(t *testing.T) {
	for d, topics := range disguised {
		play.EachVersion(t, func(t *testing.T, v frames.Version) {
			r := dialectRig(t, d, SubscribeNarrow)
			for _, topic := range topics {
				r.Dial(v).Opens(withWill(v, topic)).WantRefused(5, 0x90, 4403)
				r.WantAudited(`"action":"will"`, `"reason":"dialect"`)
			}
		})
	}
}

// What a set holds is no rule of the broker's: a room with a name that it reads otherwise is not asked for.
func TestARoomThatTheBrokerTakesForOthersIsNotAskedFor(t *testing.T) {
	for d, rooms := range map[dialect.Dialect][]string{dialect.RabbitMQ: {"*", "a.b"}, dialect.NATS: {">", "*", "a.b", "a b"}} {
		r := newRig(t, func(o *rigOptions) { o.Dialect, o.SubscribeMode = d, SubscribeNarrow })
		rules := "pattern read room/lobby/#\n"
		for _, room := range rooms {
			rules += fmt.Sprintf("pattern read room/%s/#\n", room)
		}
		r.SetRules(rules)
		c := r.Connect(frames.V5, "alice")
		c.Asks(1, 0, play.At(0, "$topicgate/access"))
		c.Granted(1, 0)
		c.Asks(2, 0, play.At(1, "room/+/#"))
		asked := c.Asked("room/lobby/#")
		c.HearsAccess("room/+/#", "room/lobby/#")
		c.Grants(asked.PacketID, 1)
		c.Granted(2, 1)
		r.SetRules(rules + "pattern read room/x.y/#\npattern read room/garden/#\n") // one that comes later, with its retained messages
		c.Asked("room/garden/#")
		c.HearsAccess("room/+/#", "room/garden/#", "room/lobby/#")
		c.NothingUp()
	}
}

func TestIdentifiersAreEncodedForTheBroker(t *testing.T) {
	for _, c := range []struct {
		d                dialect.Dialect
		user, id         string
		upstreamID, name string
	}{
		{d: dialect.MQTT, user: "a:b%", id: "tab 1.*>%", upstreamID: "a%3Ab%25:tab 1.*>%", name: "a:b%"},
		{d: dialect.EMQX, user: "a:b%", id: "tab 1.*>%", upstreamID: "a%3Ab%25:tab 1.*>%", name: "a:b%"},
		{d: dialect.NATS, user: "a:b%", id: "tab 1.*>%", upstreamID: "a%3Ab%25:tab%201%2E%2A%3E%25", name: "a:b%"},
		// What stands before the last colon would be a virtual host.
		{d: dialect.RabbitMQ, user: "a:b%", id: "tab 1.*>%", upstreamID: "a%3Ab%25:tab 1.*>%", name: "a%3Ab%25"},
		{d: dialect.RabbitMQ, user: "bob@example.com", id: "x", upstreamID: "bob%40example%2Ecom:x", name: "bob@example.com"},
	} {
		template, err := parseClientIDTemplate("{username}:{client_id}", c.d)
		if err != nil {
			t.Fatal(err)
		}
		if got := template.expand(c.user, c.id); got != c.upstreamID {
			t.Errorf("%s: the Client Identifier is %q; want %q", c.d, got, c.upstreamID)
		}
		if got := upstreamUsername("{username}", c.user, c.d); got != c.name {
			t.Errorf("%s: the username is %q; want %q", c.d, got, c.name)
		}
	}
	// Two that differ stay two.
	nats, _ := parseClientIDTemplate("{username}:{client_id}", dialect.NATS)
	if a, b := nats.expand("a", "x.y"), nats.expand("a", "x%2Ey"); a == b {
		t.Errorf("two Client Identifiers are both %q", a)
	}
	if a, b := upstreamUsername("{username}", "v:a", dialect.RabbitMQ), upstreamUsername("{username}", "v%3Aa", dialect.RabbitMQ); a == b {
		t.Errorf("two usernames are both %q", a)
	}
	for _, template := range []string{"tg.{username}:{client_id}", "{username}:*{client_id}", "{username}:{client_id}>"} {
		if _, err := parseClientIDTemplate(template, dialect.NATS); err == nil {
			t.Errorf("the template %q is taken for NATS", template)
		}
		if _, err := parseClientIDTemplate(template, dialect.RabbitMQ); err != nil {
			t.Error(err)
		}
	}
}
