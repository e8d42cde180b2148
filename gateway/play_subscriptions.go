package gateway

import (
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"

	"topicgate/frames"
)

// hearsAccess wants the next packet to say what a subscription covers now.
func (c *conversation) hearsAccess(filter string, covers ...string) {
	c.t.Helper()
	p, err := frames.ParsePublish(c.expect(frames.TypePublish), c.v)
	if err != nil || string(p.TopicName) != "$topicgate/access" {
		c.t.Fatalf("client got a message of %q, %v; want $topicgate/access", p.TopicName, err)
	}
	want, _ := json.Marshal(struct {
		Filter string   `json:"filter"`
		Covers []string `json:"covers"`
	}{filter, append([]string{}, covers...)})
	if string(p.Payload) != string(want) {
		c.t.Fatalf("client hears %s; want %s", p.Payload, want)
	}
}

// filtersOf reads the filters of the broker's next packet.
func (c *conversation) filtersOf(t frames.Type) []string {
	c.t.Helper()
	p := c.fromGateway(t)
	if t == frames.TypeUnsubscribe {
		unsubscribe, err := frames.ParseUnsubscribe(p, c.v)
		if err != nil {
			c.t.Fatal(err)
		}
		return unsubscribe.TopicFilters
	}
	subscribe, err := frames.ParseSubscribe(p, c.v)
	if err != nil {
		c.t.Fatal(err)
	}
	var filters []string
	for _, f := range subscribe.Filters {
		filters = append(filters, f.TopicFilter)
	}
	return filters
}

// asks sends a SUBSCRIBE.
func (c *conversation) asks(packetID uint16, id uint32, filters ...frames.Subscription) {
	c.t.Helper()
	s := frames.Subscribe{PacketID: packetID, Filters: filters}
	if id != 0 {
		s.Properties = s.Properties.AppendUint(frames.PropSubscriptionIdentifier, id)
	}
	c.send(s.Append(nil, c.v))
}

// asked is the broker's next packet, a SUBSCRIBE of these filters.
func (c *conversation) asked(filters ...string) frames.Subscribe {
	c.t.Helper()
	s, err := frames.ParseSubscribe(c.fromGateway(frames.TypeSubscribe), c.v)
	if err != nil {
		c.t.Fatal(err)
	}
	var got []string
	for _, f := range s.Filters {
		got = append(got, f.TopicFilter)
	}
	if !slices.Equal(got, filters) {
		c.t.Fatalf("broker got SUBSCRIBE %q; want %q", got, filters)
	}
	return s
}

// left is the broker's next packet, an UNSUBSCRIBE of these filters.
func (c *conversation) left(filters ...string) frames.Unsubscribe {
	c.t.Helper()
	u, err := frames.ParseUnsubscribe(c.fromGateway(frames.TypeUnsubscribe), c.v)
	if err != nil {
		c.t.Fatal(err)
	}
	if !slices.Equal(u.TopicFilters, filters) {
		c.t.Fatalf("broker got UNSUBSCRIBE %q; want %q", u.TopicFilters, filters)
	}
	return u
}

// grants answers a SUBSCRIBE as the broker.
func (c *conversation) grants(packetID uint16, codes ...frames.ReasonCode) {
	c.t.Helper()
	c.reply(hex.EncodeToString(frames.Suback{PacketID: packetID, Reasons: codes}.Append(nil, c.v)))
}

// releases answers an UNSUBSCRIBE as the broker.
func (c *conversation) releases(u frames.Unsubscribe) {
	c.t.Helper()
	c.reply(hex.EncodeToString(frames.Unsuback{PacketID: u.PacketID, Reasons: make([]frames.ReasonCode, len(u.TopicFilters))}.Append(nil, c.v)))
}

// granted wants this SUBACK as the client's next packet.
func (c *conversation) granted(packetID uint16, codes ...frames.ReasonCode) {
	c.t.Helper()
	c.hears(hex.EncodeToString(frames.Suback{PacketID: packetID, Reasons: codes}.Append(nil, c.v)))
}

// expectRejected wants a message of $topicgate/rejected.
func (c *conversation) expectRejected(v frames.Version, action, topic string) {
	c.t.Helper()
	p, err := frames.ParsePublish(c.expect(frames.TypePublish), v)
	if err != nil || string(p.TopicName) != "$topicgate/rejected" || p.QoS != 0 ||
		!strings.Contains(string(p.Payload), `"action":"`+action+`"`) || !strings.Contains(string(p.Payload), `"topic":"`+topic+`"`) {
		c.t.Errorf("client got %q %s, %v; want the rejection of %s %s", p.TopicName, p.Payload, err, action, topic)
	}
}

func at(qos frames.QoS, filter string) frames.Subscription {
	return frames.Subscription{TopicFilter: filter, QoS: qos}
}
