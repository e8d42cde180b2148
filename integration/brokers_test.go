package integration

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"topicgate/frames"
)

// brokerRules let everybody do everything below open/, and read the rooms that they are in, but for the vault.
const brokerRules = `pattern readwrite open/#
pattern read room/{rooms}/#
pattern write room/#
pattern deny room/vault/#
`

// matrix is a gateway before a broker of one kind.
type matrix struct {
	*testing.T
	*gateway
	kind   brokerKind
	broker *anyBroker
	redis  *redis
	issuer *issuer
}

func newMatrix(t *testing.T, kind brokerKind) *matrix {
	t.Helper()
	m := &matrix{T: t, kind: kind, broker: kind.prepare(t), redis: startRedis(t), issuer: newIssuer(t)}
	m.broker.start(t)
	policy := t.TempDir() + "/policy.acl"
	writeFile(t, policy, brokerRules)
	more := settings{"UPSTREAM_URLS": "tcp://" + m.broker.address, "UPSTREAM_DIALECT": kind.dialect,
		"REDIS_URL": m.redis.url(), "OIDC_ISSUER": m.issuer.url, "POLICY_FILE": policy}
	maps.Copy(more, m.broker.settings)
	m.gateway = startGateway(t, more)
	return m
}

// client connects a user, whose name is its Client Identifier too.
func (m *matrix) client(user string, alter ...func(*frames.Connect)) *wire {
	m.Helper()
	return m.connect(m.T, m.kind.version, user, m.issuer.token(m.T, user), alter...)
}

// staying is a client that stays subscribed.
func staying(c *frames.Connect) {
	c.CleanStart = false
	if c.Version == frames.V5 {
		c.Properties = c.Properties.AppendUint(frames.PropSessionExpiryInterval, 3600)
	}
}

// leaves disconnects, and waits until that has reached the broker.
func (m *matrix) leaves(w *wire) {
	m.Helper()
	w.disconnect()
	eventually(m.T, "the session has ended", func() bool { return !strings.Contains(m.get(m.T, "/sessions"), w.name) })
}

// hears reports whether w is sent a first message before a second one, which comes in any case.
func (m *matrix) hears(w *wire, first, second frames.Publish) bool {
	m.Helper()
	got := w.receive()
	if string(got.Payload) == string(first.Payload) && string(got.TopicName) == string(first.TopicName) {
		w.receives(string(second.TopicName), string(second.Payload))
		return true
	}
	if string(got.Payload) != string(second.Payload) || string(got.TopicName) != string(second.TopicName) {
		m.Fatalf("%s received %q on %q; want %q or %q", w.name, got.Payload, got.TopicName, first.Payload, second.Payload)
	}
	return false
}

func yes(can bool) string {
	if can {
		return "yes"
	}
	return "no"
}

// abilities are the rows of the table: what each is called, and what a broker makes of it through the gateway. What the gateway
// owes whatever the broker can is no row but a failure.
var abilities = []struct {
	name string
	of   func(m *matrix) string
}{
	{"MQTT 5", func(m *matrix) string {
		m.client("old", func(c *frames.Connect) { c.Version = frames.V311 }).setVersion(frames.V311)
		_, connack := m.connecting(m.T, frames.V5, "five", m.issuer.token(m.T, "five"))
		if connack.Reason == frames.Success {
			return "yes"
		}
		return fmt.Sprintf("no (%#x)", uint8(connack.Reason))
	}},
	{"QoS, both ways", func(m *matrix) string {
		alice, bob := m.client("qos-a"), m.client("qos-b")
		granted := bob.subscribe("open/qos")[0]
		for qos := range frames.QoS(granted + 1) {
			alice.publish(message("open/qos", fmt.Sprint("at ", qos), qos))
			if got := bob.receives("open/qos", fmt.Sprint("at ", qos)); got.QoS != qos {
				m.Errorf("QoS %d came as %d", qos, got.QoS)
			}
		}
		return fmt.Sprintf("0 to %d", granted)
	}},
	{"retained messages", func(m *matrix) string {
		alice, bob := m.client("kept-a"), m.client("kept-b")
		alice.publish(kept("open/kept/x", "kept"))
		bob.subscribed("open/kept/x")
		alice.publish(message("open/kept/x", "live", 1))
		return yes(m.hears(bob, message("open/kept/x", "kept", 1), message("open/kept/x", "live", 1)))
	}},
	{"retained messages by wildcards", func(m *matrix) string {
		alice, bob := m.client("wild-a"), m.client("wild-b")
		alice.publish(kept("open/wild/x", "kept"))
		bob.subscribed("open/wild/+")
		alice.publish(message("open/wild/x", "live", 1))
		return yes(m.hears(bob, message("open/wild/x", "kept", 1), message("open/wild/x", "live", 1)))
	}},
	{"Will", func(m *matrix) string {
		bob := m.client("will-b")
		bob.subscribed("open/will")
		alice := m.client("will-a", will("open/will", 1))
		_ = alice.conn.Close()
		bob.receives("open/will", "gone")
		return "yes"
	}},
	{"what came while away", func(m *matrix) string {
		alice, bob := m.client("away-a"), m.client("away-b", staying)
		bob.subscribed("open/away")
		m.leaves(bob)
		alice.publish(message("open/away", "while away", 1))
		bob = m.client("away-b", staying)
		alice.publish(message("open/away", "back", 1))
		return yes(m.hears(bob, message("open/away", "while away", 1), message("open/away", "back", 1)))
	}},
	{"live rooms: join, leave, deny", func(m *matrix) string {
		alice, bob := m.client("room-a"), m.client("room-b")
		m.redis.do(m.T, "SADD", roomsOf("room-b"), "lobby")
		bob.subscribed(topicAccess)
		bob.subscribed("room/+/talk")
		bob.covers("room/+/talk", "room/lobby/talk")
		say := func(room, text string) { alice.publish(message("room/"+room+"/talk", text, 1)) }
		say("garden", "not joined")
		say("lobby", "one")
		bob.receives("room/lobby/talk", "one")
		m.redis.do(m.T, "SADD", roomsOf("room-b"), "garden")
		bob.covers("room/+/talk", "room/lobby/talk", "room/garden/talk")
		bob.ping()
		say("garden", "joined")
		bob.receives("room/garden/talk", "joined")
		m.redis.do(m.T, "SREM", roomsOf("room-b"), "garden")
		bob.covers("room/+/talk", "room/lobby/talk")
		m.redis.do(m.T, "SADD", roomsOf("room-b"), "vault")
		say("garden", "left")
		if code := alice.publish(message("room/vault/talk", "denied", 1)); m.kind.version == frames.V5 && code != frames.NotAuthorized {
			m.Errorf("a denied PUBLISH is answered %#x", uint8(code))
		}
		say("lobby", "two")
		bob.receives("room/lobby/talk", "two")
		return "yes"
	}},
	{"a room joined while away", func(m *matrix) string {
		alice, bob := m.client("late-a"), m.client("late-b", staying)
		m.redis.do(m.T, "SADD", roomsOf("late-b"), "lobby")
		bob.subscribed("room/+/talk")
		m.leaves(bob)
		other := m.connect(m.T, m.kind.version, "late-c", m.issuer.token(m.T, "late-b")) // another one of the same user's, who stays
		other.subscribed(topicAccess)
		other.subscribed("room/+/talk")
		m.redis.do(m.T, "SADD", roomsOf("late-b"), "garden")
		m.redis.do(m.T, "SREM", roomsOf("late-b"), "lobby")
		other.covers("room/+/talk", "room/garden/talk")
		bob = m.client("late-b", staying)
		bob.ping()
		alice.publish(message("room/lobby/talk", "left", 1))
		alice.publish(message("room/garden/talk", "joined", 1))
		bob.receives("room/garden/talk", "joined")
		return "yes"
	}},
	{"`$share`", func(m *matrix) string {
		alice, one, two := m.client("share-a"), m.client("share-1"), m.client("share-2")
		code := one.subscribe("$share/g/open/share")[0]
		if code > 2 {
			return fmt.Sprintf("no (%#x)", uint8(code))
		}
		two.subscribed("$share/g/open/share")
		for _, w := range []*wire{one, two} {
			w.subscribed("open/end/" + w.name) // now: mochi takes the identifier of a message that waits for that of a SUBSCRIBE
		}
		const messages = 6
		for i := range messages {
			alice.publish(message("open/share", fmt.Sprint(i), 1))
		}
		came := 0
		for _, w := range []*wire{one, two} {
			alice.publish(message("open/end/"+w.name, "end", 1))
			for string(w.receive().Payload) != "end" {
				came++
			}
		}
		if came == 0 {
			return "granted, and nothing ever comes"
		}
		if came != messages {
			m.Errorf("of %d shared messages %d came", messages, came)
		}
		return "yes"
	}},
	{"packets of 1 MiB", func(m *matrix) string {
		alice, bob := m.client("large-a"), m.client("large-b")
		bob.subscribed("open/large")
		text := strings.Repeat("x", 1<<20)
		large := message("open/large", text, 1)
		large.PacketID = alice.id()
		alice.send(encode(large, alice.version))
		if _, err := alice.next(); err != nil {
			return "no: it ends the connection"
		}
		bob.receives("open/large", text)
		return "yes"
	}},
	{"takeover", func(m *matrix) string {
		first := m.client("twice")
		second := m.client("twice")
		if m.kind.version == frames.V5 {
			first.expectDisconnect(frames.SessionTakenOver)
		} else {
			first.expectClosed()
		}
		second.ping()
		return "yes"
	}},
	{"after a restart: subscriptions", func(m *matrix) string {
		bob := m.client("after-b", staying)
		bob.subscribed("open/after")
		m.client("after-a").publish(kept("open/stays", "stays"))
		m.broker.restart(m.T)
		bob, connack := m.connecting(m.T, m.kind.version, "after-b", m.issuer.token(m.T, "after-b"), staying)
		alice := m.client("after-a")
		if !connack.SessionPresent {
			return "gone, and the client is told"
		}
		alice.publish(message("open/after", "after", 1))
		bob.receives("open/after", "after")
		return "kept"
	}},
	{"after a restart: retained messages", func(m *matrix) string {
		bob, alice := m.client("stays-b"), m.client("stays-a")
		bob.subscribed("open/stays")
		alice.publish(message("open/stays", "live", 1))
		return map[bool]string{true: "kept", false: "gone"}[m.hears(bob, message("open/stays", "stays", 1), message("open/stays", "live", 1))]
	}},
}

// keepsTheVaultShut publishes to a topic that is denied, in all ways that some broker might take for it, and looks at the
// broker itself for what has come there.
func (m *matrix) keepsTheVaultShut() {
	m.Helper()
	eye := dialTCP(m.T, "eye", m.broker.address)
	connect := newConnect(frames.V311, "eye", "")
	if name := m.broker.settings["UPSTREAM_USERNAME"]; name != "" {
		connect.HasUsername, connect.Username, connect.HasPassword, connect.Password = true, name, true, []byte(m.broker.settings["UPSTREAM_PASSWORD"])
	}
	if connack := eye.handshake(connect); connack.Reason != frames.Success {
		m.Fatalf("the broker answers CONNACK %d", connack.Reason)
	}
	eye.subscribed("room/vault/talk", "room/seen/talk")
	thief := m.client("thief")
	thief.subscribed(topicRejected)
	for _, topic := range []string{"room/vault/talk", "room/vault.talk", "room.vault.talk", "room/*/talk", "room/>", "room/vault /talk"} {
		code := thief.publish(message(topic, "stolen", 1))
		if _, rejected := thief.heard(topicRejected); !rejected && m.kind.dialect == "nats" {
			m.Errorf("%q is not refused for NATS (%#x)", topic, uint8(code))
		}
	}
	thief.publish(message("room/seen/talk", "seen", 1))
	eye.receives("room/seen/talk", "seen")
}

// What each broker can do in front of which topicgate stands is what deploy/README.md says of it, in every cell.
func TestBrokersDoWhatTheDocumentsSayOfThem(t *testing.T) {
	t.Parallel()
	table := brokerTable(t)
	for _, kind := range brokerKinds {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			m := newMatrix(t, kind)
			for _, ability := range abilities {
				if got, want := ability.of(m), table[kind.name][ability.name]; got != want {
					t.Errorf("%s: %s; deploy/README.md says %q", ability.name, got, want)
				}
			}
			m.keepsTheVaultShut()
		})
	}
	if got, want := len(table), len(brokerKinds); got != want {
		t.Errorf("deploy/README.md knows %d brokers; want %d", got, want)
	}
	for broker, cells := range table {
		if len(cells) != len(abilities) {
			t.Errorf("deploy/README.md says %d things of %s; want %d", len(cells), broker, len(abilities))
		}
	}
}

// brokerTable is the table of deploy/README.md: the cells by broker and ability.
func brokerTable(t *testing.T) map[string]map[string]string {
	t.Helper()
	text, err := os.ReadFile("../deploy/README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "<!-- brokers -->\n")
	body, _, found := strings.Cut(rest, "<!-- /brokers -->")
	if !found {
		t.Fatal("deploy/README.md has no table of brokers")
	}
	var names []string
	table := map[string]map[string]string{}
	for line := range strings.Lines(body) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		switch {
		case names == nil:
			names = cells
			for _, name := range names[1:] {
				table[name] = map[string]string{}
			}
		case strings.HasPrefix(cells[0], "---"):
		default:
			for i, name := range names[1:] {
				table[name][cells[0]] = slices.Concat(cells, make([]string, len(names)))[i+1]
			}
		}
	}
	return table
}
