package integration

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"topicgate/frames"

	paho "github.com/eclipse/paho.mqtt.golang"
)

// chatClient is an MQTT client library as an application uses it.
type chatClient interface {
	// connect opens a session and returns the code of the CONNACK.
	connect(url, clientID, token string) int
	// subscribe asks for one filter with QoS 1 and returns its code in the SUBACK.
	subscribe(filter string) int
	// publish returns the code with which the message was acknowledged; 0 where the protocol has none.
	publish(topic, payload string, qos int) int
	next() received
	disconnect()
}

// received is a message as a client library hands it out.
type received struct {
	Topic          string
	Payload        string
	QoS            int
	Retain         bool
	UserProperties []string
}

// clientKind makes clients of one library that speak one version.
type clientKind struct {
	name    string
	version frames.Version
	open    func(t testing.TB) chatClient
}

// pahoClient is paho.mqtt.golang, for 3.1 and 3.1.1.
type pahoClient struct {
	t        testing.TB
	version  frames.Version
	tls      *tls.Config
	client   paho.Client
	messages chan received
}

func pahoKind(v frames.Version, c *tls.Config) clientKind {
	return clientKind{fmt.Sprintf("paho.mqtt.golang %s", v), v, func(t testing.TB) chatClient {
		return &pahoClient{t: t, version: v, tls: c, messages: make(chan received, 1000)}
	}}
}

func (c *pahoClient) connect(url, clientID, token string) int {
	c.t.Helper()
	o := paho.NewClientOptions().AddBroker(url).SetClientID(clientID).SetUsername("anything").SetPassword(token)
	o.SetProtocolVersion(uint(c.version)).SetAutoReconnect(false).SetConnectRetry(false).SetConnectTimeout(patience).SetTLSConfig(c.tls)
	o.SetDefaultPublishHandler(func(_ paho.Client, m paho.Message) {
		c.messages <- received{Topic: m.Topic(), Payload: string(m.Payload()), QoS: int(m.Qos()), Retain: m.Retained()}
	})
	c.client = paho.NewClient(o)
	token_ := c.client.Connect()
	c.finish("connect", token_)
	code := int(token_.(*paho.ConnectToken).ReturnCode())
	if err := token_.Error(); err != nil && (code == 0 || code > 5) {
		c.t.Fatalf("paho: connect: %v (code %d)", err, code)
	}
	if code == 0 {
		c.t.Cleanup(func() { c.client.Disconnect(0) })
	}
	return code
}

func (c *pahoClient) finish(what string, token paho.Token) {
	c.t.Helper()
	if !token.WaitTimeout(patience) {
		c.t.Fatalf("paho: %s did not end within %v", what, patience)
	}
}

func (c *pahoClient) subscribe(filter string) int {
	c.t.Helper()
	token := c.client.Subscribe(filter, 1, nil)
	c.finish("subscribe", token)
	return int(token.(*paho.SubscribeToken).Result()[filter])
}

func (c *pahoClient) publish(topic, payload string, qos int) int {
	c.t.Helper()
	token := c.client.Publish(topic, byte(qos), false, payload)
	c.finish("publish", token)
	if token.Error() != nil {
		c.t.Fatalf("paho: publish to %s: %v", topic, token.Error())
	}
	return 0
}

func (c *pahoClient) next() received {
	c.t.Helper()
	return await(c.t, "a message", c.messages)
}

func (c *pahoClient) disconnect() { c.client.Disconnect(uint(time.Second.Milliseconds())) }

// mqttjsClient is MQTT.js, in Node or in a browser's page.
type mqttjsClient struct {
	t       testing.TB
	agent   *script
	version frames.Version
	options map[string]any
	name    string
}

// mqttjsKind are clients of the MQTT.js that an agent holds.
func mqttjsKind(where string, agent *script, v frames.Version, options map[string]any) clientKind {
	return clientKind{fmt.Sprintf("MQTT.js %s in %s", v, where), v, func(t testing.TB) chatClient {
		return &mqttjsClient{t: t, agent: agent, version: v, options: options}
	}}
}

// jsError is what MQTT.js reports instead of a result.
type jsError struct {
	Error *struct {
		Message string
		Code    int
	}
}

func (c *mqttjsClient) connect(url, clientID, token string) int {
	c.t.Helper()
	options := map[string]any{"protocolVersion": c.version, "clientId": clientID, "username": "anything", "password": token, "clean": true}
	if c.version == frames.V31 {
		options["protocolId"] = "MQIsdp"
	}
	for name, value := range c.options {
		options[name] = value
	}
	c.name = clientID
	var result struct {
		jsError
		Connack *struct{ Code int }
	}
	c.do(map[string]any{"op": "connect", "url": url, "options": options}, &result)
	if result.Connack == nil {
		if result.Error.Code == 0 {
			c.t.Fatalf("MQTT.js: connect: %s", result.Error.Message)
		}
		return result.Error.Code
	}
	c.t.Cleanup(func() { c.do(map[string]any{"op": "end", "force": true}, nil) })
	return result.Connack.Code
}

func (c *mqttjsClient) do(command map[string]any, result any) {
	c.t.Helper()
	command["name"] = c.name
	c.agent.do(command, result)
}

func (c *mqttjsClient) subscribe(filter string) int {
	c.t.Helper()
	var result struct {
		jsError
		Granted []int
	}
	c.do(map[string]any{"op": "subscribe", "filters": filter}, &result)
	if len(result.Granted) != 1 {
		c.t.Fatalf("MQTT.js: subscribe to %s: %+v", filter, result)
	}
	return result.Granted[0]
}

func (c *mqttjsClient) publish(topic, payload string, qos int) int {
	c.t.Helper()
	var result jsError
	c.do(map[string]any{"op": "publish", "topic": topic, "payload": payload, "options": map[string]any{"qos": qos}}, &result)
	if result.Error == nil {
		return 0
	}
	if result.Error.Code == 0 {
		c.t.Fatalf("MQTT.js: publish to %s: %s", topic, result.Error.Message)
	}
	return result.Error.Code
}

func (c *mqttjsClient) next() (m received) {
	c.t.Helper()
	c.do(map[string]any{"op": "next"}, &m)
	return m
}

func (c *mqttjsClient) disconnect() {
	c.t.Helper()
	c.do(map[string]any{"op": "end"}, nil)
}

// servePage serves the page of the browser tests and returns its origin.
func servePage(t testing.TB, more ...func(*http.ServeMux)) (origin string) {
	t.Helper()
	files := map[string]string{
		"/page.html":             "page.html",
		"/agent.mjs":             "agent.mjs",
		"/mqtt.esm.js":           "node_modules/mqtt/dist/mqtt.esm.js",
		"/topicgate.js":          "../../deploy/browser/topicgate.js",
		"/oidc-client-ts.min.js": "node_modules/oidc-client-ts/dist/browser/oidc-client-ts.min.js",
	}
	mux := http.NewServeMux()
	for _, add := range more {
		add(mux)
	}
	for path, file := range files {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
			if filepath.Ext(file) == ".mjs" {
				w.Header().Set("Content-Type", "text/javascript")
			}
			http.ServeFile(w, r, filepath.Join(nodeDir, filepath.FromSlash(file)))
		})
	}
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.URL
}
