package session

import (
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"topicgate/frames"
	"topicgate/gateway/internal/play"
)

// slowClient is a client over sockets, which reads when it is told to, and its broker.
type slowClient struct {
	t      *testing.T
	rig    *rig
	v      frames.Version
	ws     *websocket.Conn
	client *frames.Reader
	broker net.Conn
	bytes  int // that the client has read
}

func newSlowClient(t *testing.T, v frames.Version, rules string) *slowClient {
	t.Helper()
	brokers, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = brokers.Close() })
	s := &slowClient{t: t, v: v}
	s.rig = newRig(t, func(o *rigOptions) {
		o.Upstreams, o.Dial = []*url.URL{{Scheme: "tcp", Host: brokers.Addr().String()}}, nil
	})
	s.rig.SetRules(rules)
	dialer := websocket.Dialer{Subprotocols: []string{"mqtt"}}
	if s.ws, _, err = dialer.Dial("ws://"+serveTCP(t, s.rig)+"/mqtt", nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.ws.Close() })
	connect := play.ConnectOf(v, "alice")
	if err := s.ws.WriteMessage(websocket.BinaryMessage, connect.Append(nil, v)); err != nil {
		t.Fatal(err)
	}
	if s.broker, err = brokers.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.broker.Close() })
	_ = s.ws.SetReadDeadline(time.Now().Add(play.Patience))
	_ = s.broker.SetDeadline(time.Now().Add(play.Patience))
	if p, err := frames.NewReader(s.broker, v, 0).ReadPacket(); err != nil || p.Type() != frames.TypeConnect {
		t.Fatalf("broker got %v, %v; want CONNECT", p.Type(), err)
	}
	s.client = frames.NewReader(&play.Messages{WS: s.ws}, v, 0)
	s.brokerSays(play.Unhex(t, play.AcceptedBy(v)))
	if p := s.read(); p.Type() != frames.TypeConnack {
		t.Fatalf("client got %v; want CONNACK", p.Type())
	}
	s.bytes = 0
	return s
}

func (s *slowClient) brokerSays(packets ...[]byte) {
	s.t.Helper()
	for _, packet := range packets {
		if _, err := s.broker.Write(packet); err != nil {
			s.t.Fatal(err)
		}
	}
}

func (s *slowClient) read() frames.Packet {
	s.t.Helper()
	p, err := s.client.ReadPacket()
	if err != nil {
		s.t.Fatal(err)
	}
	s.bytes += len(p.Raw)
	return p
}

// readMessage is the topic and the number of the next message.
func (s *slowClient) readMessage() (topic string, n int) {
	s.t.Helper()
	publish, err := frames.ParsePublish(s.read(), s.v)
	if err != nil {
		s.t.Fatal(err)
	}
	n, err = strconv.Atoi(string(publish.Payload[:6]))
	if err != nil {
		s.t.Fatal(err)
	}
	return string(publish.TopicName), n
}

// numbered is a message with a number, of a hundred bytes.
func numbered(v frames.Version, topic string, qos frames.QoS, n int) []byte {
	p := frames.Publish{TopicName: []byte(topic), QoS: qos, PacketID: uint16(n%60_000 + 1), Payload: fmt.Appendf(nil, "%06d%094d", n, 0)}
	return p.Append(nil, v)
}

// A client that does not read while thousands of prices come gets the last of each, and not much before; all else it
// gets whole.
func TestASlowClientGetsTheLatest(t *testing.T) {
	for _, v := range []frames.Version{frames.V311, frames.V5} {
		t.Run(v.String(), func(t *testing.T) {
			s := newSlowClient(t, v, "pattern read #\nlatest price/+\n")
			const topics, rounds, others = 50, 400, 40
			for n := range rounds {
				var packets []byte
				for i := range topics {
					packets = append(packets, numbered(v, fmt.Sprintf("price/%d", i), 0, n)...)
				}
				if n < others { // before the client is so far behind that these are held back, too
					packets = append(packets, numbered(v, "news", 0, n)...)
					packets = append(packets, numbered(v, "price/7", 1, n)...)
				}
				s.brokerSays(packets)
			}
			s.rig.Until("most of the last round has come", func() bool { return s.rig.onlySession().down.latest.holds(rounds-1) > topics/2 })
			last := map[string]int{}
			news, certain := 0, 0
			for left := topics; left > 0 || news < others || certain < others; {
				p := s.read()
				publish, err := frames.ParsePublish(p, v)
				if err != nil {
					t.Fatal(err)
				}
				topic := string(publish.TopicName)
				n, _ := strconv.Atoi(string(publish.Payload[:6]))
				switch {
				case topic == "news":
					if n != news {
						t.Fatalf("news %d after %d", n, news-1)
					}
					news++
				case publish.QoS == 1:
					if n != certain {
						t.Fatalf("message %d of QoS 1 after %d", n, certain-1)
					}
					certain++
				default:
					if before, known := last[topic]; known && n <= before {
						t.Fatalf("%s: %d after %d", topic, n, before)
					}
					if last[topic] = n; n == rounds-1 {
						left--
					}
				}
			}
			if s.bytes > 64<<10 {
				t.Errorf("%d bytes were read until the last of each came; want that much of %d to have waited no longer", s.bytes, topics*rounds*110)
			}
		})
	}
}

// A client that has much before it, and reads, is no client that reads nothing.
func TestAClientThatTakesItsTimeIsNotOneThatStalls(t *testing.T) {
	var p progress
	begin := time.Now()
	for second := range 100 {
		now := begin.Add(time.Duration(second) * time.Second)
		if got := p.stalls(1_000_000-second*5000, now); got != 0 {
			t.Fatalf("it stalls for %v though it reads", got)
		}
	}
	last := begin.Add(99 * time.Second)
	for _, wait := range []time.Duration{time.Second, time.Minute} {
		if got := p.stalls(1_000_000-99*5000, last.Add(wait)); got != wait {
			t.Errorf("it stalls for %v; want %v", got, wait)
		}
	}
	if got := p.stalls(1, last.Add(time.Hour)); got != 0 {
		t.Errorf("it stalls for %v though it has read", got)
	}
}

// A client that keeps up gets everything.
func TestAClientThatKeepsUpGetsAll(t *testing.T) {
	s := newSlowClient(t, frames.V5, "pattern read #\nlatest price/+\n")
	for n := range 500 {
		s.brokerSays(numbered(s.v, "price/1", 0, n))
		if _, got := s.readMessage(); got != n {
			t.Fatalf("message %d after %d", got, n-1)
		}
	}
}

// What waits is judged again before it goes.
func TestWhatWaitsMayNotBeReadAnyMore(t *testing.T) {
	s := newSlowClient(t, frames.V5, "pattern read #\nlatest price/+\n")
	for n := range 500 {
		s.brokerSays(numbered(s.v, "price/1", 0, n), numbered(s.v, "price/2", 0, n))
	}
	one := s.rig.onlySession()
	s.rig.Until("the client is behind", func() bool { return one.down.latest.holds(499) > 0 })
	l := one.down.latest
	for both := false; !both; {
		s.brokerSays(numbered(s.v, "price/1", 0, 499), numbered(s.v, "price/2", 0, 499))
		s.rig.Until("they have come", func() bool { return l.holds(499) > 0 })
		l.mu.Lock() // nobody takes them meanwhile
		if both = len(l.byKey) == 2; both {
			s.rig.SetRules("pattern read price/1\npattern read end\nlatest price/+\n")
			s.rig.Until("the rules have changed", func() bool { return !one.access().Receive([]byte("price/2")).Allowed })
		}
		l.mu.Unlock()
	}
	s.rig.Until("it is audited", func() bool {
		return strings.Contains(s.rig.Audited.String(), `"topic":"price/2"`)
	})
	s.brokerSays(numbered(s.v, "end", 0, 1))
	last := ""
	for topic := ""; topic != "end"; { // what had gone before comes before
		if topic, _ = s.readMessage(); topic != "end" {
			last = topic
		}
	}
	if last != "price/1" {
		t.Errorf("%s comes last; want the one that may be read", last)
	}
}

// holds is how many messages with this number wait.
func (l *latest) holds(n int) (count int) {
	if l == nil {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, w := range l.byKey {
		if string(w.packet[len(w.packet)-100:][:6]) == fmt.Sprintf("%06d", n) {
			count++
		}
	}
	return count
}

// The table has a bound, in topics and bytes, and who is beyond it does not overtake what waits of the same topic.
func TestTheTableOfWhatWaitsIsBounded(t *testing.T) {
	put := func(l *latest, topic string, size int) (ok, replaced bool) {
		ok, replaced, _ = l.put([]byte(topic), []byte(topic), &frames.Publish{}, make([]byte, size))
		return ok, replaced
	}
	var l latest
	for n := range latestTopics {
		if ok, _ := put(&l, fmt.Sprint(n), 10); !ok {
			t.Fatalf("topic %d finds no room", n)
		}
	}
	if ok, _ := put(&l, "one more", 10); ok {
		t.Error("there is room for one topic more")
	}
	if ok, replaced := put(&l, "7", 10); !ok || !replaced {
		t.Errorf("a newer message of a topic: %t, in place of another: %t", ok, replaced)
	}
	if ok, replaced := put(&l, "7", latestBytes); ok || !replaced {
		t.Errorf("a message that is too large is kept: %t, in place of another: %t", ok, replaced)
	}
	if l.byKey["7"] != nil || l.bytes != 10*(latestTopics-1) {
		t.Errorf("%d bytes wait, of 7: %v; want the older message dropped", l.bytes, l.byKey["7"])
	}
	for n := range 10 * latestTopics { // those that were dropped leave nothing behind that grows
		put(&l, "7", 10)
		put(&l, "7", latestBytes)
		_ = n
	}
	if len(l.order) > latestTopics {
		t.Errorf("%d entries; want %d at most", len(l.order), latestTopics)
	}
	all := 0
	for {
		some := l.take(latestBatch)
		if len(some) == 0 {
			break
		}
		all += len(some)
	}
	if all != latestTopics-1 || l.bytes != 0 || len(l.byKey) != 0 || l.running {
		t.Errorf("%d were taken, %d bytes and %d topics are left, somebody is at it: %t", all, l.bytes, len(l.byKey), l.running)
	}
}
