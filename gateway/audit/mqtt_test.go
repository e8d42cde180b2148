package audit

import (
	"bufio"
	"encoding/json"
	"errors"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/eclipse/paho.mqtt.golang/packets"
	"github.com/pires/go-proxyproto"
)

// fakeBroker takes what it is sent as long as it wants to.
type fakeBroker struct {
	t        *testing.T
	listener net.Listener
	done     sync.WaitGroup

	mu       sync.Mutex
	proxy    bool // begins with a PROXY header
	acks     int  // PUBACKs until it hangs up; negative: no end
	refuse   byte
	connects []packets.ConnectPacket
	topics   []string // of the records that it has acknowledged
	wrong    []string
}

func startBroker(t *testing.T, acks int) *fakeBroker {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &fakeBroker{t: t, listener: l, acks: acks}
	b.done.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			b.done.Go(func() { b.serve(conn) })
		}
	})
	t.Cleanup(func() { l.Close(); b.done.Wait() })
	return b
}

func (b *fakeBroker) url() *url.URL { return &url.URL{Scheme: "tcp", Host: b.listener.Addr().String()} }

func (b *fakeBroker) serve(conn net.Conn) {
	defer conn.Close()
	reader := bufio.NewReader(conn)
	b.mu.Lock()
	proxy := b.proxy
	b.mu.Unlock()
	if proxy {
		if header, err := proxyproto.Read(reader); err != nil || !header.Command.IsLocal() {
			b.mu.Lock()
			b.wrong = append(b.wrong, "no PROXY header")
			b.mu.Unlock()
			return
		}
	}
	for {
		packet, err := packets.ReadPacket(reader)
		if err != nil {
			return
		}
		if answer := b.answer(packet); answer == nil || answer.Write(conn) != nil {
			return
		}
	}
}

func (b *fakeBroker) answer(packet packets.ControlPacket) packets.ControlPacket {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch p := packet.(type) {
	case *packets.ConnectPacket:
		b.connects = append(b.connects, *p)
		connack := packets.NewControlPacket(packets.Connack).(*packets.ConnackPacket)
		connack.ReturnCode = b.refuse
		return connack
	case *packets.PublishPacket:
		if b.acks == 0 {
			b.acks = -1
			return nil
		}
		b.acks--
		var e struct{ Type, Topic string }
		if err := json.Unmarshal(p.Payload, &e); err != nil || e.Type != Type || p.Qos != 1 || p.Retain || p.TopicName != "audit/records" {
			b.wrong = append(b.wrong, p.String())
		}
		b.topics = append(b.topics, e.Topic)
		puback := packets.NewControlPacket(packets.Puback).(*packets.PubackPacket)
		puback.MessageID = p.MessageID
		return puback
	case *packets.PingreqPacket:
		return packets.NewControlPacket(packets.Pingresp)
	}
	return nil // DISCONNECT
}

func (b *fakeBroker) want(t *testing.T, connects int, topics ...string) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.connects) != connects || !slices.Equal(b.topics, topics) || len(b.wrong) > 0 {
		t.Errorf("%d connections brought %q, wrong: %q; want %d with %q", len(b.connects), b.topics, b.wrong, connects, topics)
	}
}

func mqttSinkTo(brokers ...*url.URL) *mqttSink {
	return NewMQTTSink(MQTTOptions{Topic: "audit/records", Brokers: brokers, Username: "gate", Password: "secret"}).(*mqttSink)
}

func TestRecordsArePublishedByTheGatewayItself(t *testing.T) {
	b := startBroker(t, -1)
	s := mqttSinkTo(b.url())
	written(t, s, "a", "b")
	written(t, s, "c")
	if err := s.Close(); err != nil {
		t.Errorf("Close() = %v", err)
	}
	b.want(t, 1, "a", "b", "c")
	c := b.connects[0]
	if c.Username != "gate" || string(c.Password) != "secret" || !c.CleanSession || c.ProtocolVersion != 4 || c.WillFlag {
		t.Errorf("CONNECT %s; want 3.1.1, a clean session, the gateway's credentials and no Will", c.String())
	}
	// What no client is given: see config.checkClientID.
	if id := c.ClientIdentifier; len(id) > 23 || strings.Trim(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-") != "" {
		t.Errorf("Client Identifier %q; want 23 letters, digits and '-' at most", id)
	}
}

func TestOnlyWhatWasNotAcknowledgedIsPublishedAgain(t *testing.T) {
	all := []string{"a", "b", "c", "d"}
	var events []Event
	for _, name := range all {
		events = append(events, topic(name))
	}
	known := 0
	for try := 0; try < 20 && known == 0; try++ { // the end of the connection may overtake the PUBACKs before it
		b := startBroker(t, 2)
		s := mqttSinkTo(b.url())
		err := s.Write(t.Context(), events)
		partial, ok := errors.AsType[*WriteError](err)
		if !ok || partial.Written > 2 {
			t.Fatalf("Write() = %v; want a *WriteError with no more than 2 written", err)
		}
		known = partial.Written
		if err := s.Write(t.Context(), events[known:]); err != nil {
			t.Errorf("Write() of the others = %v", err)
		}
		b.want(t, 2, append([]string{"a", "b"}, all[known:]...)...)
		s.Close()
	}
	if known == 0 {
		t.Error("no PUBACK counted before the connection ended")
	}
}

func TestTheNextBrokerIsAsked(t *testing.T) {
	away, refusing, b := startBroker(t, -1), startBroker(t, -1), startBroker(t, -1)
	away.listener.Close()
	refusing.mu.Lock()
	refusing.refuse = packets.ErrRefusedServerUnavailable
	refusing.mu.Unlock()
	s := mqttSinkTo(away.url(), refusing.url(), b.url())
	defer s.Close()
	written(t, s, "a")
	refusing.want(t, 1)
	b.want(t, 1, "a")

	none := mqttSinkTo(away.url(), refusing.url())
	if err := none.Write(t.Context(), []Event{topic("a")}); err == nil {
		t.Error("Write() without a broker = nil; want an error")
	}
}

func TestTheSinkBeginsWithAPROXYHeaderWhereBrokersWantOne(t *testing.T) {
	b := startBroker(t, -1)
	b.mu.Lock()
	b.proxy = true
	b.mu.Unlock()
	s := mqttSinkTo(b.url())
	s.o.ProxyProtocol = true
	defer s.Close()
	written(t, s, "a")
	b.want(t, 1, "a")
}

// Else each record would make the next, with a client whose subscription is cut at delivery.
func TestRefusedDeliveriesOfRecordsAreNoRecordsThere(t *testing.T) {
	b := startBroker(t, -1)
	s := mqttSinkTo(b.url())
	defer s.Close()
	own := Event{Action: Deliver, Topic: "audit/records"}
	forged := Event{Action: Publish, Topic: "audit/records"}
	for _, events := range [][]Event{{own}, {own, topic("a"), own, forged}} {
		if err := s.Write(t.Context(), events); err != nil {
			t.Errorf("Write() = %v", err)
		}
	}
	b.want(t, 1, "a", "audit/records")
}
