package play

import (
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"

	"topicgate/frames"
)

// HearsAccess wants the next packet to say what a subscription covers now.
func (c *Conversation) HearsAccess(filter string, covers ...string) {
	c.T.Helper()
	p, err := frames.ParsePublish(c.Expect(frames.TypePublish), c.V)
	if err != nil || string(p.TopicName) != "$topicgate/access" {
		c.T.Fatalf("client got a message of %q, %v; want $topicgate/access", p.TopicName, err)
	}
	want, _ := json.Marshal(struct {
		Filter string   `json:"filter"`
		Covers []string `json:"covers"`
	}{filter, append([]string{}, covers...)})
	if string(p.Payload) != string(want) {
		c.T.Fatalf("client hears %s; want %s", p.Payload, want)
	}
}

// FiltersOf reads the filters of the broker's next packet.
func (c *Conversation) FiltersOf(t frames.Type) []string {
	c.T.Helper()
	p := c.FromGateway(t)
	if t == frames.TypeUnsubscribe {
		unsubscribe, err := frames.ParseUnsubscribe(p, c.V)
		if err != nil {
			c.T.Fatal(err)
		}
		return unsubscribe.TopicFilters
	}
	subscribe, err := frames.ParseSubscribe(p, c.V)
	if err != nil {
		c.T.Fatal(err)
	}
	var filters []string
	for _, f := range subscribe.Filters {
		filters = append(filters, f.TopicFilter)
	}
	return filters
}

// Asks sends a SUBSCRIBE.
func (c *Conversation) Asks(packetID uint16, id uint32, filters ...frames.Subscription) {
	c.T.Helper()
	s := frames.Subscribe{PacketID: packetID, Filters: filters}
	if id != 0 {
		s.Properties = s.Properties.AppendUint(frames.PropSubscriptionIdentifier, id)
	}
	c.Send(s.Append(nil, c.V))
}

// Asked is the broker's next packet, a SUBSCRIBE of these filters.
func (c *Conversation) Asked(filters ...string) frames.Subscribe {
	c.T.Helper()
	s, err := frames.ParseSubscribe(c.FromGateway(frames.TypeSubscribe), c.V)
	if err != nil {
		c.T.Fatal(err)
	}
	var got []string
	for _, f := range s.Filters {
		got = append(got, f.TopicFilter)
	}
	if !slices.Equal(got, filters) {
		c.T.Fatalf("broker got SUBSCRIBE %q; want %q", got, filters)
	}
	return s
}

// Left is the broker's next packet, an UNSUBSCRIBE of these filters.
func (c *Conversation) Left(filters ...string) frames.Unsubscribe {
	c.T.Helper()
	u, err := frames.ParseUnsubscribe(c.FromGateway(frames.TypeUnsubscribe), c.V)
	if err != nil {
		c.T.Fatal(err)
	}
	if !slices.Equal(u.TopicFilters, filters) {
		c.T.Fatalf("broker got UNSUBSCRIBE %q; want %q", u.TopicFilters, filters)
	}
	return u
}

// Grants answers a SUBSCRIBE as the broker.
func (c *Conversation) Grants(packetID uint16, codes ...frames.ReasonCode) {
	c.T.Helper()
	c.Reply(hex.EncodeToString(frames.Suback{PacketID: packetID, Reasons: codes}.Append(nil, c.V)))
}

// Releases answers an UNSUBSCRIBE as the broker.
func (c *Conversation) Releases(u frames.Unsubscribe) {
	c.T.Helper()
	c.Reply(hex.EncodeToString(frames.Unsuback{PacketID: u.PacketID, Reasons: make([]frames.ReasonCode, len(u.TopicFilters))}.Append(nil, c.V)))
}

// Granted wants this SUBACK as the client's next packet.
func (c *Conversation) Granted(packetID uint16, codes ...frames.ReasonCode) {
	c.T.Helper()
	c.Hears(hex.EncodeToString(frames.Suback{PacketID: packetID, Reasons: codes}.Append(nil, c.V)))
}

// ExpectRejected wants a message of $topicgate/rejected.
func (c *Conversation) ExpectRejected(v frames.Version, action, topic string) {
	c.T.Helper()
	p, err := frames.ParsePublish(c.Expect(frames.TypePublish), v)
	if err != nil || string(p.TopicName) != "$topicgate/rejected" || p.QoS != 0 ||
		!strings.Contains(string(p.Payload), `"action":"`+action+`"`) || !strings.Contains(string(p.Payload), `"topic":"`+topic+`"`) {
		c.T.Errorf("client got %q %s, %v; want the rejection of %s %s", p.TopicName, p.Payload, err, action, topic)
	}
}

func At(qos frames.QoS, filter string) frames.Subscription {
	return frames.Subscription{TopicFilter: filter, QoS: qos}
}
