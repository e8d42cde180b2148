package integration

import (
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/gorilla/websocket"

	"topicgate/frames"
)

// What the clients of the world do.

func (w *world) connectClient(c *client, clean bool) (resumed bool) {
	wire, connack := pick(w, w.gateways).connecting(w.t, c.version, c.id, w.issuer.token(w.t, c.user.name), func(connect *frames.Connect) {
		connect.CleanStart = clean
		if c.version == frames.V5 && !clean {
			connect.Properties = connect.Properties.AppendUint(frames.PropSessionExpiryInterval, 3600)
		}
	})
	if connack.Reason != frames.Success {
		w.t.Fatalf("%s: CONNACK %#x", c.id, uint8(connack.Reason))
	}
	c.wire = wire
	return connack.SessionPresent
}

// leave ends the connection; the MQTT Session stays.
func (w *world) leave(c *client) {
	w.note("%s leaves", c.id)
	c.drain()
	c.send(frames.Disconnect{}.Append(nil, c.version))
	for {
		if _, err := c.next(); err != nil {
			break
		}
	}
	_ = c.ws.Close()
	c.wire = nil
}

// block turns all clients of a user out, by whichever gateway they are connected; their MQTT Sessions stay.
func (w *world) block(u *person) {
	w.note("%s is blocked, and no more", u.name)
	for _, c := range w.clients {
		if c.user == u && c.wire != nil {
			c.settle()
		}
	}
	w.redis.do(w.t, "SADD", "topicgate:blocked", u.name)
	for _, c := range w.clients {
		if c.user != u || c.wire == nil {
			continue
		}
		for {
			if _, err := c.next(); err != nil {
				if closed := (*websocket.CloseError)(nil); !errors.As(err, &closed) || closed.Code != 4403 {
					w.t.Errorf("%s: a blocked user's connection ends with %v; want close 4403", c.id, err)
				}
				break
			}
		}
		_ = c.ws.Close()
		c.wire = nil
	}
	w.redis.do(w.t, "SREM", "topicgate:blocked", u.name)
}

// comeBack resumes the MQTT Session: what was queued comes as far as it may be read now.
func (w *world) comeBack(c *client) {
	w.note("%s comes back", c.id)
	if !w.connectClient(c, false) {
		w.t.Fatalf("%s: the Session was not resumed", c.id)
	}
	c.drain() // the gateway has put the Session right: of a marker that it had when it left and has again it hears nothing
	for _, key := range []string{"t", "o", "m" + c.user.name, "r" + c.user.name, "u" + c.user.name} {
		w.flip(key)
	}
	before, now := c.known, w.accessOf(c.user)
	for _, m := range c.missed {
		c.wantsLive(m, func(s wish) verdict {
			was, is := w.brings(s, before, m.topic), w.brings(s, now, m.topic)
			switch {
			case was == always && is == always && min(s.qos, m.qos) > 0:
				return always
			case frames.Match(s.filter, m.topic) && now.reads(m.topic):
				return maybe // queued by a filter that was wider, or is no more
			}
			return never
		})
	}
	c.missed = nil
	w.gains(c)
}

// subscribe asks for a filter, or in 3.x, where identifiers need not tell them apart, for some in one packet.
func (w *world) subscribe(c *client) {
	packet := frames.Subscribe{PacketID: c.wire.id()}
	n := 1
	var id uint32
	if c.version == frames.V5 {
		if w.random.IntN(4) > 0 {
			w.nextID++
			id = w.nextID
			packet.Properties = packet.Properties.AppendUint(frames.PropSubscriptionIdentifier, id)
		}
	} else {
		n += w.random.IntN(3)
	}
	for range n {
		s := frames.Subscription{TopicFilter: strings.ReplaceAll(pick(w, worldFilters), "$share/g/", "$share/"+c.id+"/"), QoS: frames.QoS(w.random.IntN(3))}
		if c.version == frames.V5 {
			s.RetainHandling = uint8(max(0, w.random.IntN(5)-2))
			s.RetainAsPublished = c.flag
			s.NoLocal = !strings.HasPrefix(s.TopicFilter, "$share/") && w.random.IntN(2) == 0 // [MQTT-3.8.3-4]; nobody here publishes
		}
		if !slices.ContainsFunc(packet.Filters, func(o frames.Subscription) bool { return o.TopicFilter == s.TopicFilter }) {
			packet.Filters = append(packet.Filters, s)
		}
	}
	codes := c.request(packet.Append(nil, c.version), frames.TypeSuback)
	w.note("%s subscribes with identifier %d to %+v: % x", c.id, id, packet.Filters, codes)
	granted := map[string]wish{}
	again := map[string]bool{}
	for i, asked := range packet.Filters {
		_, rest, shared := frames.SplitShare(asked.TopicFilter)
		want := always
		if w.strict {
			want = w.accessOf(c.user).whole(rest, worldTopics)
		} else if !w.rulesOf(c.user).reachable(rest) {
			want = never
		}
		if code := codes[i]; code >= 0x80 && want == always || code < 0x80 && (want == never || code != frames.ReasonCode(asked.QoS)) {
			w.t.Errorf("%s: SUBSCRIBE %s answered %#x; the model says %d", c.id, asked.TopicFilter, uint8(code), want)
		}
		if codes[i] >= 0x80 {
			continue
		}
		_, had := c.asked[asked.TopicFilter]
		again[asked.TopicFilter] = again[asked.TopicFilter] || had
		granted[asked.TopicFilter] = wish{filter: rest, shared: shared, qos: asked.QoS, retain: asked.RetainHandling, id: id}
	}
	maps.Copy(c.asked, granted)
	w.keptFor(c, granted, again)
}

// keptFor notes the retained messages that come with granted subscriptions. Others may share the filter upstream
// that brings them.
func (w *world) keptFor(c *client, granted map[string]wish, again map[string]bool) {
	now := w.accessOf(c.user)
	for topic, kept := range w.retained {
		wanted := never
		for filter, s := range granted {
			if s.retain != 2 && !(s.retain == 1 && again[filter]) {
				wanted = max(wanted, w.brings(s, now, topic))
			}
		}
		if wanted == never {
			continue
		}
		for filter, s := range c.asked {
			v := min(w.brings(s, now, topic), maybe)
			if _, asks := granted[filter]; asks && !s.shared && s.retain != 2 && !(s.retain == 1 && again[filter]) {
				v = w.brings(s, now, topic)
			}
			c.wants(kept.key(true), s, v, kept.qos)
		}
	}
}

// unsubscribe takes something back, mostly a subscription that there is.
func (w *world) unsubscribe(c *client) {
	filter := pick(w, worldFilters)
	mine := slices.Sorted(maps.Keys(c.asked))
	if len(mine) > 0 && w.random.IntN(5) > 0 {
		filter = pick(w, mine)
	}
	codes := c.request(frames.Unsubscribe{PacketID: c.wire.id(), TopicFilters: []string{filter}}.Append(nil, c.version), frames.TypeUnsuback)
	w.note("%s unsubscribes from %s: % x", c.id, filter, codes)
	want := frames.Success
	if _, had := c.asked[filter]; !had {
		want = frames.NoSubscriptionExisted
	}
	if c.version == frames.V5 && (len(codes) != 1 || codes[0] != want) {
		w.t.Errorf("%s: UNSUBSCRIBE %s answered % x; want %#x", c.id, filter, codes, uint8(want))
	}
	delete(c.asked, filter)
}

// publish sends a message past the gateway.
func (w *world) publish() {
	w.count++
	m := sent{topic: pick(w, worldTopics), payload: "m" + strconv.Itoa(w.count), qos: frames.QoS(w.random.IntN(3)), retain: w.random.IntN(3) == 0}
	p := message(m.topic, m.payload, m.qos)
	p.Retain = m.retain
	w.note("publish %s, QoS %d, retain %v", m.key(false), m.qos, m.retain)
	w.hand.publish(p)
	if m.retain {
		w.retained[m.topic] = m
	}
	for _, c := range w.clients {
		if c.wire == nil {
			c.missed = append(c.missed, m)
			continue
		}
		c.wantsLive(m, func(s wish) verdict { return w.brings(s, c.known, m.topic) })
	}
}

// meet waits until everything that came before has come: by a marker that is always allowed.
func (w *world) meet() {
	for _, c := range w.clients {
		if c.wire == nil {
			continue
		}
		w.count++
		payload := strconv.Itoa(w.count)
		w.hand.publish(message("mark/"+c.id, payload, 1))
		c.readUntil("mark "+payload, func(_ frames.Packet, m frames.Publish) bool { return string(m.Payload) == payload })
	}
}

// compare wants each client to have received what the model says.
func (w *world) compare() {
	for _, c := range w.clients {
		if c.wire == nil {
			continue
		}
		keys := map[string]bool{}
		for key := range c.want {
			keys[key] = true
		}
		for key := range c.got {
			keys[key] = true
		}
		for key := range keys {
			want := c.want[key]
			if want == nil {
				want = &copies{}
			}
			if err := want.check(c.got[key], c.version); err != nil {
				w.t.Errorf("%s (%s): %s: %v", c.id, c.version, key, err)
			}
		}
		clear(c.want)
		clear(c.got)
	}
}

func (c *client) wants(key string, s wish, v verdict, qos frames.QoS) {
	if v == never {
		return
	}
	if c.want[key] == nil {
		c.want[key] = &copies{}
	}
	c.want[key].wants(s, v, qos)
}

// wantsLive adds what comes of a message when it is published.
func (c *client) wantsLive(m sent, brings func(wish) verdict) {
	for _, s := range c.asked {
		c.wants(m.key(m.retain && c.flag), s, brings(s), m.qos)
	}
}

// askFor subscribes to topics of the rig's own and reports whether all were granted.
func (c *client) askFor(filters ...string) bool {
	packet := frames.Subscribe{PacketID: c.wire.id()}
	for _, f := range filters {
		packet.Filters = append(packet.Filters, frames.Subscription{TopicFilter: f, QoS: 1})
	}
	codes := c.request(packet.Append(nil, c.version), frames.TypeSuback)
	return !slices.ContainsFunc(codes, func(code frames.ReasonCode) bool { return code >= 0x80 })
}

// request sends a SUBSCRIBE or UNSUBSCRIBE and returns the codes of the answer.
func (c *client) request(packet []byte, answer frames.Type) (codes []frames.ReasonCode) {
	c.send(packet)
	c.readUntil(answer.String(), func(p frames.Packet, _ frames.Publish) bool {
		if p.Type() != answer {
			return false
		}
		var err error
		if answer == frames.TypeSuback {
			var a frames.Suback
			a, err = frames.ParseSuback(p, c.version)
			codes = a.Reasons
		} else {
			var a frames.Unsuback
			a, err = frames.ParseUnsuback(p, c.version)
			codes = a.Reasons
		}
		if err != nil {
			c.t.Fatalf("%s: %s: %v", c.id, answer, err)
		}
		return true
	})
	return codes
}

// settle waits until the gateway has asked the broker for all that a review wants which has begun: its packets are
// sent before that of the client's that comes next.
func (c *client) settle() {
	c.request(frames.Unsubscribe{PacketID: c.wire.id(), TopicFilters: []string{"never/asked/for"}}.Append(nil, c.version), frames.TypeUnsuback)
}

// drain waits for the answer to a PINGREQ, which follows all that the gateway has sent upstream.
func (c *client) drain() {
	c.send(frames.AppendPingreq(nil))
	c.readUntil("PINGRESP", func(p frames.Packet, _ frames.Publish) bool { return p.Type() == frames.TypePingresp })
}

// readUntil reads, acknowledges and keeps messages until a packet is the one waited for.
func (c *client) readUntil(what string, is func(frames.Packet, frames.Publish) bool) {
	for {
		p, err := c.next()
		if err != nil {
			c.t.Fatalf("%s: waiting for %s: %v", c.id, what, err)
		}
		var m frames.Publish
		switch p.Type() {
		case frames.TypePublish:
			if m, err = frames.ParsePublish(p, c.version); err != nil {
				c.t.Fatalf("%s: PUBLISH: %v", c.id, err)
			}
			if m.QoS > 0 {
				c.send(frames.Ack{Type: frames.TypePuback + frames.Type(m.QoS-1), PacketID: m.PacketID}.Append(nil, c.version))
			}
			if topic := string(m.TopicName); !strings.HasPrefix(topic, "mark/") && !strings.HasPrefix(topic, "flip/") {
				key := sent{topic: topic, payload: string(m.Payload)}.key(m.Retain)
				c.got[key] = append(c.got[key], m)
			}
		case frames.TypePubrel:
			ack, err := frames.ParseAck(p, c.version)
			if err != nil {
				c.t.Fatalf("%s: PUBREL: %v", c.id, err)
			}
			c.send(frames.Ack{Type: frames.TypePubcomp, PacketID: ack.PacketID}.Append(nil, c.version))
		}
		if is(p, m) {
			return
		}
	}
}
