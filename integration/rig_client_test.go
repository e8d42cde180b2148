package integration

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"topicgate/frames"
)

// versions are all that a client may speak.
var versions = []frames.Version{frames.V31, frames.V311, frames.V5}

// await receives from a channel with patience.
func await[T any](t testing.TB, what string, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("not within %v: %s", patience, what)
		panic("unreachable")
	}
}

// newConnect is the CONNECT of an ordinary client: the token is the password, the session is a clean one.
func newConnect(v frames.Version, clientID, token string) *frames.Connect {
	c := &frames.Connect{Version: v, CleanStart: true, KeepAlive: 60, ClientID: clientID}
	if token != "" {
		c.HasUsername, c.Username = true, "anything" // 3.x: no password without a username [3.1.1 section 3.1.2.9]
		c.HasPassword, c.Password = true, []byte(token)
	}
	return c
}

// connect opens a session that is accepted, after alter had its way with the CONNECT.
func (g *gateway) connect(t testing.TB, v frames.Version, clientID, token string, alter ...func(*frames.Connect)) *wire {
	t.Helper()
	w, connack := g.connecting(t, v, clientID, token, alter...)
	if connack.Reason != frames.Success {
		t.Fatalf("%s: CONNACK %#x; want 0", clientID, uint8(connack.Reason))
	}
	return w
}

// connecting opens a session as far as the CONNACK, whatever it says.
func (g *gateway) connecting(t testing.TB, v frames.Version, clientID, token string, alter ...func(*frames.Connect)) (*wire, frames.Connack) {
	t.Helper()
	return g.connectingBy(t, subprotocolOf(v), v, clientID, token, alter...)
}

// opening sends CONNECT, which the gateway may hold.
func (g *gateway) opening(t testing.TB, v frames.Version, clientID, token string) *wire {
	t.Helper()
	w := g.dial(t, clientID, subprotocolOf(v))
	w.setVersion(v)
	w.send(newConnect(v, clientID, token).Append(nil, v))
	return w
}

// accepted reads the CONNACK of a client that is let in.
func (w *wire) accepted() *wire {
	w.t.Helper()
	if connack := w.connack(); connack.Reason != frames.Success {
		w.t.Fatalf("%s: CONNACK %#x; want 0", w.name, uint8(connack.Reason))
	}
	return w
}

// unserved wants what clients get that nobody can decide about or serve until their time is over: no CONNACK, and 1013.
func unserved(waiting ...*wire) {
	for _, w := range waiting {
		w.t.Helper()
		w.expectClose(1013)
	}
}

func subprotocolOf(v frames.Version) (o dialOptions) {
	if v == frames.V31 {
		o.subprotocol = "mqttv3.1"
	}
	return o
}

func (g *gateway) connectingBy(t testing.TB, o dialOptions, v frames.Version, clientID, token string, alter ...func(*frames.Connect)) (*wire, frames.Connack) {
	t.Helper()
	c := newConnect(v, clientID, token)
	for _, f := range alter {
		f(c)
	}
	w := g.dial(t, clientID, o)
	return w, w.handshake(c)
}

// handshake sends CONNECT and reads the CONNACK.
func (w *wire) handshake(c *frames.Connect) frames.Connack {
	w.t.Helper()
	w.setVersion(c.Version)
	w.send(c.Append(nil, c.Version))
	return w.connack()
}

func (w *wire) connack() frames.Connack {
	w.t.Helper()
	c, err := frames.ParseConnack(w.expect(frames.TypeConnack), w.version)
	if err != nil {
		w.t.Fatalf("%s: CONNACK: %v", w.name, err)
	}
	return c
}

// direct connects to the broker past the gateway: the eye and the hand of the tests behind it.
func (b *mosquitto) direct(t testing.TB, v frames.Version, clientID string, alter ...func(*frames.Connect)) *wire {
	t.Helper()
	w := dialTCP(t, clientID, b.address)
	c := newConnect(v, clientID, "")
	for _, f := range alter {
		f(c)
	}
	if connack := w.handshake(c); connack.Reason != frames.Success {
		t.Fatalf("%s: the broker answers CONNACK %#x", clientID, uint8(connack.Reason))
	}
	return w
}

// subscribe asks for filters with QoS 2 and returns the codes.
func (w *wire) subscribe(filters ...string) []frames.ReasonCode {
	w.t.Helper()
	s := frames.Subscribe{PacketID: w.id()}
	for _, f := range filters {
		s.Filters = append(s.Filters, frames.Subscription{TopicFilter: f, QoS: 2})
	}
	return w.subscribeAs(s)
}

// subscribeAs sends this SUBSCRIBE and returns the codes of its SUBACK.
func (w *wire) subscribeAs(s frames.Subscribe) []frames.ReasonCode {
	w.t.Helper()
	w.send(s.Append(nil, w.version))
	a, err := frames.ParseSuback(w.expectLeaving(frames.TypeSuback), w.version)
	if err != nil || a.PacketID != s.PacketID || len(a.Reasons) != len(s.Filters) {
		w.t.Fatalf("%s: SUBACK %+v, %v; want packet identifier %d and %d codes", w.name, a, err, s.PacketID, len(s.Filters))
	}
	return a.Reasons
}

// subscribed subscribes and wants everything granted.
func (w *wire) subscribed(filters ...string) {
	w.t.Helper()
	for i, code := range w.subscribe(filters...) {
		if code > 2 {
			w.t.Fatalf("%s: subscription to %s answered %#x; want it granted", w.name, filters[i], uint8(code))
		}
	}
}

// message is a PUBLISH in short.
func message(topic, payload string, qos frames.QoS) frames.Publish {
	return frames.Publish{TopicName: []byte(topic), Payload: []byte(payload), QoS: qos}
}

func encode(m frames.Publish, v frames.Version) []byte { return m.Append(nil, v) }

// publish sends a message, goes through the whole handshake of its QoS and returns what the receiver said:
// the reason of PUBACK, PUBREC or, for QoS 0, Success.
func (w *wire) publish(m frames.Publish) frames.ReasonCode {
	w.t.Helper()
	if m.QoS > 0 && m.PacketID == 0 {
		m.PacketID = w.id()
	}
	w.send(m.Append(nil, w.version))
	switch m.QoS {
	case 1:
		return w.ack(frames.TypePuback, m.PacketID)
	case 2:
		reason := w.ack(frames.TypePubrec, m.PacketID)
		if reason >= 0x80 {
			return reason // the exchange is over [MQTT-4.3.3-4]
		}
		w.send(frames.Ack{Type: frames.TypePubrel, PacketID: m.PacketID}.Append(nil, w.version))
		w.ack(frames.TypePubcomp, m.PacketID)
		return reason
	}
	return frames.Success
}

// ack reads an acknowledgement of this type and identifier.
func (w *wire) ack(kind frames.Type, packetID uint16) frames.ReasonCode {
	w.t.Helper()
	a, err := frames.ParseAck(w.expectLeaving(kind), w.version)
	if err != nil || a.PacketID != packetID {
		w.t.Fatalf("%s: %s %+v, %v; want packet identifier %d", w.name, kind, a, err, packetID)
	}
	return a.Reason
}

// receive reads the next message and acknowledges it as its QoS wants.
func (w *wire) receive() frames.Publish {
	w.t.Helper()
	p := w.receiveUnacknowledged()
	switch p.QoS {
	case 1:
		w.send(frames.Ack{Type: frames.TypePuback, PacketID: p.PacketID}.Append(nil, w.version))
	case 2:
		w.send(frames.Ack{Type: frames.TypePubrec, PacketID: p.PacketID}.Append(nil, w.version))
		w.ack(frames.TypePubrel, p.PacketID)
		w.send(frames.Ack{Type: frames.TypePubcomp, PacketID: p.PacketID}.Append(nil, w.version))
	}
	return p
}

func (w *wire) receiveUnacknowledged() frames.Publish {
	w.t.Helper()
	packet := frames.Packet{}
	if len(w.inbox) > 0 {
		packet, w.inbox = w.inbox[0], w.inbox[1:]
	} else {
		packet = w.expect(frames.TypePublish)
	}
	p, err := frames.ParsePublish(packet, w.version)
	if err != nil {
		w.t.Fatalf("%s: PUBLISH: %v", w.name, err)
	}
	return p
}

// receives wants exactly this message to be the next.
func (w *wire) receives(topic, payload string) frames.Publish {
	w.t.Helper()
	p := w.receive()
	if string(p.TopicName) != topic || string(p.Payload) != payload {
		w.t.Fatalf("%s: received %q on %q; want %q on %q", w.name, p.Payload, p.TopicName, payload, topic)
	}
	return p
}

// userProperties lists the User Properties of a packet as "name=value".
func userProperties(ps frames.Properties) (list []string) {
	for p := range ps.All() {
		if p.ID == frames.PropUserProperty {
			name, value := p.Pair()
			list = append(list, fmt.Sprintf("%s=%s", name, value))
		}
	}
	return list
}

// disconnect ends the session in the client's name.
func (w *wire) disconnect() {
	w.t.Helper()
	w.send(frames.Disconnect{}.Append(nil, w.version))
	w.expectClose(1000)
}

func bearer(token string) http.Header { return http.Header{"Authorization": {"Bearer " + token}} }
