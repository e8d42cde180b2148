package session

import (
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"

	"topicgate/frames"
	"topicgate/gateway/dialect"
	"topicgate/gateway/internal/play"
)

// What the broker says that it can is what the client is told, but for what the gateway itself bounds.
func TestTheClientHearsWhatTheBrokerCan(t *testing.T) {
	var can frames.Properties
	can = can.AppendUint(frames.PropReceiveMaximum, 7)
	can = can.AppendUint(frames.PropMaximumQoS, 1)
	can = can.AppendUint(frames.PropRetainAvailable, 0)
	can = can.AppendUint(frames.PropWildcardSubscriptionAvailable, 0)
	can = can.AppendUint(frames.PropSubscriptionIdentifierAvailable, 0)
	can = can.AppendUint(frames.PropSharedSubscriptionAvailable, 0)
	can = can.AppendUint(frames.PropServerKeepAlive, 5)
	c := newRig(t, nil).Dial(frames.V5).Opens(play.ConnectOf(frames.V5, "alice"))
	c.Accept()
	c.FromGateway(frames.TypeConnect)
	c.AsBroker(frames.Connack{Properties: can.AppendUint(frames.PropMaximumPacketSize, 1000)}.Append(nil, frames.V5))
	connack, err := frames.ParseConnack(c.Expect(frames.TypeConnack), frames.V5)
	if err != nil {
		t.Fatal(err)
	}
	for p := range can.All() {
		if got, ok := connack.Properties.Uint(p.ID); !ok || got != p.Uint() {
			t.Errorf("the client is told %d of property %#x, %t; want %d", got, uint8(p.ID), ok, p.Uint())
		}
	}
	if got, _ := connack.Properties.Uint(frames.PropMaximumPacketSize); got == 0 || got >= 1000 {
		t.Errorf("the client may send packets of %d bytes; want room for the User Property below 1000", got)
	}
}

// A broker without retained messages is asked for none: what a deny kept back so far is not fetched.
func TestABrokerWithoutRetainedMessagesIsAskedForNone(t *testing.T) {
	for connack, fetched := range map[string]bool{"20 03 00 00 00": true, "20 05 00 00 02 25 00": false} {
		r := newRooms(t)
		r.SetRules("pattern read room/#\npattern deny room/two/#\npattern read other/one\n")
		c := r.ConnectWith(play.ConnectOf(frames.V5, "alice"), connack)
		c.Asks(1, 0, play.At(1, "room/#"), play.At(1, "other/+"))
		c.Grants(c.Asked("room/#", "other/one").PacketID, 1, 1)
		c.Granted(1, 1, 1)
		r.SetRules("pattern read room/#\npattern read other/one\npattern read other/two\n")
		var asked []string
		for !slices.Contains(asked, "other/two") {
			asked = append(asked, c.FiltersOf(frames.TypeSubscribe)...)
		}
		if got := slices.ContainsFunc(asked, func(f string) bool { return strings.HasPrefix(f, "room/") }); got != fetched {
			t.Errorf("CONNACK %s: the broker is asked for %q; want what was denied among it: %t", connack, asked, fetched)
		}
	}
}

// lines is a log.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), text)
}

// A broker that looks like one of another dialect is told of once, and only where none was set.
func TestABrokerOfAnotherDialectIsGuessedOnce(t *testing.T) {
	for _, c := range []struct {
		set  dialect.Dialect
		want int
	}{{dialect.MQTT, 1}, {dialect.RabbitMQ, 0}} {
		log := &lines{}
		r := newRig(t, func(o *rigOptions) { o.Dialect, o.Logger = c.set, slog.New(slog.NewTextHandler(log, nil)) })
		for range 2 {
			r.ConnectWith(play.ConnectOf(frames.V5, "alice"), "20 07 00 00 04 24 01 2a 00").NothingUp()
		}
		if got := log.count("dialect=rabbitmq"); got != c.want {
			t.Errorf("%s: %d warnings; want %d", c.set, got, c.want)
		}
	}
}

// A broker that has taken clients of 3.1.1 and hangs up on those of 5.0 knows none, and the client is told.
func TestAClientOf5IsToldThatTheBrokerKnowsNone(t *testing.T) {
	log := &lines{}
	r := newRig(t, func(o *rigOptions) { o.Logger = slog.New(slog.NewTextHandler(log, nil)) })
	r.Connect(frames.V311, "alice").NothingUp()
	c := r.Dial(frames.V5).Opens(play.ConnectOf(frames.V5, "alice"))
	c.Accept()
	c.FromGateway(frames.TypeConnect)
	_ = c.Conn.Close()
	connack, err := frames.ParseConnack(c.Expect(frames.TypeConnack), frames.V5)
	if err != nil || connack.Reason != frames.UnsupportedProtocolVersion {
		t.Errorf("the client gets %+v, %v; want 0x84", connack, err)
	}
	c.Closes(1000)
	if log.count("knows no MQTT 5.0") == 0 {
		t.Error("the log does not say why")
	}
}
