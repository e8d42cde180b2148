package integration

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"topicgate/frames"
)

var (
	propertyTime = flag.Duration("property.time", 0, "how long TestEveryClientReceivesWhatTheModelSays runs, for each mode; 0: a few rounds")
	propertySeed = flag.Uint64("property.seed", 0, "the only round to run, as a failure has printed it")
)

// worldPolicy is the rules that do not change. A user of the world reads rooms, what lines say and the
// markers, by which the test knows that a change has been seen.
const worldPolicy = `pattern read mark/%c
pattern read flip/always
pattern read flip/m/{rooms}
pattern read chat/room/{rooms}/#
pattern read chat/+/public
pattern deny chat/room/+/secret
role mod
topic read news/#
topic read chat/room/r4/msg
role fa
topic read flip/ra
role fb
topic read flip/rb
role fc
topic read flip/rc
`

var (
	worldRooms   = []string{"r1", "r2", "r3", "r4", "public"}
	worldLines   = []string{"read chat/room/+/public", "read news/a", "read chat/room/r3/#", "deny chat/room/r2/#", "read news/+", "read chat/#"}
	worldFilters = []string{"#", "chat/#", "chat/room/#", "chat/room/+/msg", "chat/room/r1/#", "chat/room/r1/msg", "chat/+/+", "+/room/#",
		"chat/room/r2/+", "news/+", "news/a", "chat/+/public", "chat/room/public/#", "chat/room/+/#", "$share/g/chat/room/#", "$share/g/news/+"}
	worldTopics = worldTopicList()
)

func worldTopicList() (topics []string) {
	for _, room := range worldRooms {
		for _, level := range []string{"msg", "public", "secret"} {
			topics = append(topics, "chat/room/"+room+"/"+level)
		}
	}
	return append(topics, "chat/room/public", "chat/lobby/public", "chat/lobby/x", "news/a", "news/b", "other")
}

func TestEveryClientReceivesWhatTheModelSays(t *testing.T) {
	t.Parallel()
	for _, mode := range []struct {
		name   string
		strict bool
		more   settings
	}{
		{"narrow", false, nil},
		{"strict", true, settings{"SUBSCRIBE_MODE": "strict"}},
		{"capped", false, settings{"NARROW_MAX": "3"}}, // many filters are held as they are
	} {
		t.Run(mode.name, func(t *testing.T) {
			t.Parallel()
			// As long as a broker holds nothing back, nothing comes twice.
			s := prepareStackBefore(t, startMosquitto(t, "max_inflight_messages 1000"), worldPolicy)
			gateways := s.three(t, mode.more)
			seeds := []uint64{*propertySeed}
			switch {
			case *propertySeed != 0:
			case *propertyTime == 0:
				seeds = []uint64{1, 2} // the same each time: what stops a change is the change
			default:
				seeds = []uint64{rand.Uint64(), rand.Uint64()}
			}
			end := time.Now().Add(*propertyTime)
			for round := 0; round < len(seeds) && !t.Failed(); round++ {
				w := newWorld(t, s, fmt.Sprint(round), seeds[round])
				w.gateways, w.strict = gateways, mode.strict
				w.play(40)
				if *propertySeed == 0 && time.Now().Before(end) {
					seeds = append(seeds, rand.Uint64())
				}
			}
		})
	}
}

// world is one round: users and their clients, the state that back ends wrote, and a hand beside the gateway
// that publishes.
type world struct {
	*stack
	t        *testing.T
	gateways []*gateway // any of which a client connects to
	random   *rand.Rand
	strict   bool
	burst    bool // there may have been a state between before and after

	hand     *wire
	users    []*person
	clients  []*client
	text     []string        // lines of the rule text
	role     map[string]bool // lines of the role that everybody has
	flips    map[string]int  // which of a key's three markers is on
	retained map[string]sent // by topic
	nextID   uint32          // Subscription Identifier
	count    int             // of messages
	log      []string
}

type person struct {
	name                string
	rooms, lines, roles map[string]bool
}

// sent is a message of the hand's.
type sent struct {
	topic, payload string
	qos            frames.QoS
	retain         bool
}

// key names the message as it comes live, or as a retained one.
func (m sent) key(retained bool) string {
	if retained {
		return "retained " + m.payload + " of " + m.topic
	}
	return m.payload + " of " + m.topic
}

// client is one MQTT client of a user's.
type client struct {
	*wire   // nil: not connected
	id      string
	user    *person
	version frames.Version
	flag    bool            // it subscribes with Retain As Published; mosquitto 2.0 does not let that change for a filter
	asked   map[string]wish // by filter as written
	known   rules           // what it could read when things had last settled, or when it left
	missed  []sent          // while it was not connected
	want    map[string]*copies
	got     map[string][]frames.Publish
}

func newWorld(t *testing.T, s *stack, name string, seed uint64) *world {
	w := &world{stack: s, t: t, random: rand.New(rand.NewPCG(seed, 0)), role: map[string]bool{}, flips: map[string]int{}, retained: map[string]sent{}}
	w.note("-property.seed=%d", seed)
	w.hand = s.broker.direct(t, frames.V5, "hand"+name)
	for _, user := range []string{"alice", "bob"} {
		w.users = append(w.users, &person{name: user + name, rooms: map[string]bool{}, lines: map[string]bool{}, roles: map[string]bool{}})
	}
	for i, v := range []frames.Version{frames.V5, frames.V311, frames.V5, frames.V311} {
		flag := v == frames.V5 && w.random.IntN(2) == 0
		w.clients = append(w.clients, &client{id: fmt.Sprintf("c%d-%s", i, name), user: w.users[i/2], version: v, flag: flag, asked: map[string]wish{}, want: map[string]*copies{}, got: map[string][]frames.Publish{}})
	}
	return w
}

func (w *world) note(format string, args ...any) { w.log = append(w.log, fmt.Sprintf(format, args...)) }

// pick returns one of a list.
func pick[T any](w *world, list []T) T { return list[w.random.IntN(len(list))] }

func (w *world) play(steps int) {
	defer func() {
		if w.t.Failed() {
			w.t.Logf("what happened:\n%s", strings.Join(w.log, "\n"))
		}
	}()
	keys := []string{"t", "o"} // rule text, role of all
	for _, u := range w.users {
		keys = append(keys, "m"+u.name, "r"+u.name, "u"+u.name)
		w.redis.do(w.t, "SADD", "topicgate:user:"+u.name+":roles", "all")
	}
	var markers []string
	for _, c := range w.clients {
		w.connectClient(c, false)
		c.known = w.accessOf(c.user)
		c.askFor("mark/" + c.id)
	}
	for _, key := range keys {
		for range 3 {
			topic := w.turn(key)
			markers = append(markers, topic)
			m := message(topic, "flip", 1)
			m.Retain = true
			w.hand.publish(m)
			for _, c := range w.concerned(key) {
				eventually(w.t, c.id+" may read "+topic, func() bool { return c.askFor(topic) })
			}
		}
	}
	w.meet()
	for range steps {
		w.step()
		if w.t.Failed() {
			return
		}
	}
	for _, topic := range append(markers, worldTopics...) { // leave nothing behind
		m := message(topic, "", 1)
		m.Retain = true
		w.hand.publish(m)
	}
	for _, c := range w.clients {
		if c.wire != nil {
			w.leave(c)
		}
		w.connectClient(c, true)
		c.disconnect()
	}
	w.hand.disconnect()
}

// step lets one thing happen, waits until it has settled, and compares.
func (w *world) step() {
	c, u := pick(w, w.clients), pick(w, w.users)
	switch n := w.random.IntN(20); {
	case n < 5:
		if c.wire != nil {
			w.subscribe(c)
		}
	case n < 7:
		if c.wire != nil {
			w.unsubscribe(c)
		}
	case n < 10:
		room := pick(w, worldRooms)
		u.rooms[room] = !u.rooms[room]
		w.note("%s in room %s: %v", u.name, room, u.rooms[room])
		w.changed(func() { w.flip("m" + u.name) })
	case n == 10:
		u.roles["mod"] = !u.roles["mod"]
		w.note("%s is mod: %v", u.name, u.roles["mod"])
		w.changed(func() { w.flip("r" + u.name) })
	case n < 13:
		line := pick(w, worldLines)
		u.lines[line] = !u.lines[line]
		w.note("%s has line %q: %v", u.name, line, u.lines[line])
		w.changed(func() { w.flip("u" + u.name) })
	case n == 13:
		line := pick(w, worldLines)
		w.role[line] = !w.role[line]
		w.note("everybody's role has line %q: %v", line, w.role[line])
		w.changed(func() { w.flip("o") })
	case n == 14:
		w.text = nil
		for range w.random.IntN(3) {
			w.text = append(w.text, pick(w, worldLines))
		}
		w.note("rule text %q", w.text)
		w.changed(func() { w.flip("t") })
	case n == 15:
		// Both at once, so that changes of several keys come together.
		for _, room := range worldRooms[:3] {
			u.rooms[room] = w.random.IntN(2) == 0
		}
		u.lines[worldLines[0]] = !u.lines[worldLines[0]]
		w.note("%s in rooms %v, has line %q: %v", u.name, u.rooms, worldLines[0], u.lines[worldLines[0]])
		w.burst = true
		w.changed(func() { w.flip("m"+u.name, "u"+u.name) })
		w.burst = false
	case n < 18:
		if c.wire == nil {
			w.comeBack(c)
		} else {
			w.leave(c)
		}
	case n == 18:
		w.block(u)
	}
	for range 1 + w.random.IntN(4) {
		w.publish()
	}
	w.meet()
	w.compare()
}

// rulesOf is what the state says of a user, rooms not yet written out.
func (w *world) rulesOf(u *person) (r rules) {
	r.add("read chat/room/{rooms}/#")
	r.add("read chat/+/public")
	r.add("deny chat/room/+/secret")
	if u.roles["mod"] {
		r.add("read news/#")
		r.add("read chat/room/r4/msg")
	}
	for _, line := range w.text {
		r.add(line)
	}
	for _, lines := range []map[string]bool{u.lines, w.role} {
		for line, on := range lines {
			if on {
				r.add(line)
			}
		}
	}
	return r
}

func (w *world) accessOf(u *person) rules { return w.rulesOf(u).expanded(u.rooms) }

// brings is whether a subscription brings a message of topic to who may read what r says.
func (w *world) brings(s wish, r rules, topic string) verdict {
	switch {
	case !frames.Match(s.filter, topic) || !r.reads(topic):
		return never
	case w.strict:
		return r.whole(s.filter, worldTopics)
	}
	return always
}

// state writes a key as it is to be now, with one of its two markers.
func (w *world) state(key, marker string) (topic string) {
	t := w.t
	set := func(name string, members []string) {
		script := "redis.call('DEL', KEYS[1]) redis.call('SADD', KEYS[1], unpack(ARGV))"
		w.redis.do(t, append([]string{"EVAL", script, "1", name}, members...)...)
	}
	on := func(m map[string]bool) (list []string) {
		for name, yes := range m {
			if yes {
				list = append(list, name)
			}
		}
		return list
	}
	switch kind, user := key[:1], key[1:]; kind {
	case "t":
		text := "pattern read flip/t" + marker + "\n"
		for _, line := range w.text {
			text += "pattern " + line + "\n"
		}
		w.redis.do(t, "SET", "topicgate:acl", text)
	case "o":
		set("topicgate:acl:role:all", append(on(w.role), "read flip/o"+marker))
	case "m":
		set("topicgate:user:"+user+":rooms", append(on(w.user(user).rooms), "m"+marker))
		return "flip/m/m" + marker
	case "r":
		set("topicgate:user:"+user+":roles", append(on(w.user(user).roles), "all", "f"+marker))
		return "flip/r" + marker
	case "u":
		set("topicgate:acl:user:"+user, append(on(w.user(user).lines), "read flip/u"+user+marker))
	}
	return "flip/" + key + marker
}

func (w *world) user(name string) *person {
	return w.users[slices.IndexFunc(w.users, func(u *person) bool { return u.name == name })]
}

// turn writes a key and turns its next marker on in place of the last.
func (w *world) turn(key string) (topic string) {
	w.flips[key] = (w.flips[key] + 1) % 3
	return w.state(key, string("abc"[w.flips[key]]))
}

// concerned are the clients there are that a key concerns.
func (w *world) concerned(key string) (list []*client) {
	for _, c := range w.clients {
		if c.wire != nil && (key == "t" || key == "o" || c.user.name == key[1:]) {
			list = append(list, c)
		}
	}
	return list
}

// flip writes keys and waits until each client concerned has the retained message of their new markers: its
// subscriptions follow the state then.
func (w *world) flip(keys ...string) {
	var topics []string
	for _, key := range keys {
		topics = append(topics, w.turn(key))
	}
	for _, c := range w.concerned(keys[0]) {
		missing := setOf(topics)
		c.readUntil(fmt.Sprintf("markers %q", topics), func(_ frames.Packet, m frames.Publish) bool {
			delete(missing, string(m.TopicName))
			return len(missing) == 0
		})
		c.settle()
	}
}

func setOf(list []string) map[string]bool {
	set := map[string]bool{}
	for _, s := range list {
		set[s] = true
	}
	return set
}

// changed lets the policy change and notes which retained messages come of it.
func (w *world) changed(change func()) {
	change()
	for _, c := range w.clients {
		if c.wire != nil {
			w.gains(c)
		}
	}
}

// gains notes the retained messages that come since c may read more than when it was last known, or when it left.
func (w *world) gains(c *client) {
	before, now := c.known, w.accessOf(c.user)
	c.known = now
	for topic, kept := range w.retained {
		for _, s := range c.asked {
			was, is := w.brings(s, before, topic), w.brings(s, now, topic)
			v := min(is, maybe)
			switch {
			case was == always && is == always && !w.burst && !w.shares(c, topic):
				v = never
			case was == never && is == always && !s.shared && s.retain != 2:
				v = always
			}
			c.wants(kept.key(true), s, v, kept.qos)
		}
	}
}

// shares reports whether a Shared Subscription covers a topic: it gets no retained messages [MQTT-4.8.2],
// but mosquitto 2.0 sends them all the same.
func (w *world) shares(c *client, topic string) bool {
	for _, s := range c.asked {
		if s.shared && frames.Match(s.filter, topic) {
			return true
		}
	}
	return false
}
