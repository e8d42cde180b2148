package audit

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/pires/go-proxyproto"
)

const (
	// mqttConnectTimeout bounds a connection to one broker, its CONNACK included.
	mqttConnectTimeout = 5 * time.Second
	// mqttTimeout bounds one batch, from its first PUBLISH to its last PUBACK.
	mqttTimeout = 10 * time.Second
)

// MQTTOptions is what an MQTT sink is made of.
type MQTTOptions struct {
	Topic              string     // Topic Name
	Brokers            []*url.URL // tcp://, tls:// or unix://, tried in this order
	TLS                *tls.Config
	ProxyProtocol      bool   // the brokers want a PROXY protocol header (v2)
	Username, Password string // of the gateway itself
}

// NewMQTTSink publishes each event as a message of QoS 1, not retained, over a connection of its own. No more than one
// batch is on its way; what no PUBACK has come for when the connection ends is published again, so it may come twice.
//
// What tells of a delivery of these messages that was refused goes to the other sinks alone: else a client that may not
// read the topic, but whose subscription is cut at delivery, would have each record make the next one.
func NewMQTTSink(o MQTTOptions) Sink {
	// Letters, digits and '-' alone: no Client Identifier that a client gets has none of the characters that separate
	// its two parts (TOPICGATE_CLIENT_ID). 23 bytes, which each broker takes [MQTT-3.1.3-5].
	return &mqttSink{o: o, own: Bounded(o.Topic), clientID: "topicgate-audit-" + rand.Text()[:7]}
}

type mqttSink struct {
	o        MQTTOptions
	own      string // the topic as an event has it
	clientID string
	client   mqtt.Client // nil: not connected
}

func (s *mqttSink) Write(ctx context.Context, events []Event) error {
	ctx, cancel := context.WithTimeout(ctx, mqttTimeout)
	defer cancel()
	if s.client == nil || !s.client.IsConnectionOpen() {
		s.drop()
		if err := s.connect(ctx); err != nil {
			return fmt.Errorf("MQTT: %w", err)
		}
	}
	written, err := s.publish(ctx, events)
	if err != nil {
		s.drop() // whatever is on its way: nobody waits for it any more
		return &WriteError{written, fmt.Errorf("MQTT: %w", err)}
	}
	return nil
}

// publish sends events and waits for their PUBACKs. written of them, from the first on, have come.
func (s *mqttSink) publish(ctx context.Context, events []Event) (written int, err error) {
	tokens := make([]mqtt.Token, len(events)) // nil: not for this sink
	for i := range events {
		if events[i].Action == Deliver && events[i].Topic == s.own {
			continue
		}
		payload, err := json.Marshal(events[i])
		if err != nil {
			return 0, err
		}
		tokens[i] = s.client.Publish(s.o.Topic, 1, false, payload)
		if ctx.Err() != nil || tokens[i].Error() != nil {
			tokens = tokens[:i+1]
			break
		}
	}
	for i, token := range tokens {
		if token == nil {
			continue
		}
		select {
		case <-token.Done():
			if token.Error() != nil {
				return i, token.Error()
			}
		case <-ctx.Done():
			return i, fmt.Errorf("no PUBACK: %w", ctx.Err())
		}
	}
	if len(tokens) < len(events) {
		return len(tokens), cmp.Or(ctx.Err(), errors.New("the connection has ended"))
	}
	return len(events), nil
}

// connect asks the brokers in turn.
func (s *mqttSink) connect(ctx context.Context) error {
	o := mqtt.NewClientOptions()
	o.SetClientID(s.clientID).SetUsername(s.o.Username).SetPassword(s.o.Password)
	o.SetProtocolVersion(4).SetCleanSession(true)
	// Trying again is the queue's, which knows what is still to be written.
	o.SetAutoReconnect(false).SetConnectRetry(false)
	o.SetConnectTimeout(mqttConnectTimeout).SetWriteTimeout(mqttConnectTimeout)
	o.SetCustomOpenConnectionFn(func(u *url.URL, _ mqtt.ClientOptions) (net.Conn, error) { return s.dial(ctx, u) })
	for _, broker := range s.o.Brokers {
		o.AddBroker(broker.String())
	}
	client := mqtt.NewClient(o)
	token := client.Connect()
	select {
	case <-token.Done():
	case <-ctx.Done():
		go func() { // for no longer than a handshake takes
			<-token.Done()
			client.Disconnect(0)
		}()
		return ctx.Err()
	}
	if err := token.Error(); err != nil {
		return err
	}
	s.client = client
	return nil
}

// dial opens a connection as the gateway does for its clients.
func (s *mqttSink) dial(ctx context.Context, u *url.URL) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, mqttConnectTimeout)
	defer cancel()
	network, address := "tcp", u.Host
	if u.Scheme == "unix" {
		network, address = "unix", u.Path
	}
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	deadline, _ := ctx.Deadline()
	_ = conn.SetDeadline(deadline) // paho sets its own afterwards
	if s.o.ProxyProtocol {
		header := proxyproto.Header{Version: 2, Command: proxyproto.LOCAL, TransportProtocol: proxyproto.UNSPEC} // for nobody else
		if _, err := header.WriteTo(conn); err != nil {
			_ = conn.Close()
			return nil, fmt.Errorf("write PROXY header: %w", err)
		}
	}
	if u.Scheme != "tls" {
		return conn, nil
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if s.o.TLS != nil {
		config = s.o.TLS.Clone()
	}
	config.ServerName = cmp.Or(config.ServerName, u.Hostname())
	secure := tls.Client(conn, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("TLS: %w", err)
	}
	return secure, nil
}

func (s *mqttSink) drop() {
	if s.client != nil {
		s.client.Disconnect(0)
		s.client = nil
	}
}

func (s *mqttSink) Close() error {
	s.drop()
	return nil
}
