package integration

import (
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"topicgate/frames"
)

// A lasting client is what an application has: a library with its own defaults, that is to come back by itself.
type lasting interface {
	name() string
	stay(url, token string, keepAlive int, persistent bool)
	state(payload string) lastingState
	process() *process // that it runs in; nil: this one
}

// lastingState is how such a client is.
type lastingState struct {
	Connected bool
	Heard     bool // the payload that was asked about
	Connects  int
	Errors    []int
}

// scriptLasting is one in a script.
type scriptLasting struct {
	kind    string
	script  *script
	version frames.Version
}

func (c scriptLasting) name() string      { return c.kind }
func (c scriptLasting) process() *process { return c.script.process }

func (c scriptLasting) stay(url, token string, keepAlive int, persistent bool) {
	options := map[string]any{"clientId": c.kind, "username": "any", "password": token, "clean": !persistent,
		"protocolVersion": c.version, "keepalive": keepAlive}
	if persistent && c.version == frames.V5 {
		options["properties"] = map[string]any{"sessionExpiryInterval": 600}
	}
	c.script.do(map[string]any{"op": "stay", "name": c.kind, "url": url, "options": options, "filters": []string{"room"}}, nil)
}

func (c scriptLasting) state(payload string) (s lastingState) {
	c.script.do(map[string]any{"op": "state", "name": c.kind, "payload": payload}, &s)
	return s
}

// goLasting is paho.mqtt.golang.
type goLasting struct {
	t      testing.TB
	client paho.Client

	mu       sync.Mutex
	heard    map[string]bool
	connects int
}

func (c *goLasting) name() string      { return "paho.mqtt.golang" }
func (c *goLasting) process() *process { return nil }

func (c *goLasting) stay(url, token string, keepAlive int, persistent bool) {
	o := paho.NewClientOptions().AddBroker(url).SetClientID("golang").SetUsername("any").SetPassword(token).
		SetCleanSession(!persistent).SetProtocolVersion(4).SetKeepAlive(time.Duration(keepAlive) * time.Second).SetConnectRetry(true)
	o.SetOnConnectHandler(func(client paho.Client) {
		c.mu.Lock()
		c.connects++
		c.mu.Unlock()
		client.Subscribe("room", 1, nil)
	})
	o.SetDefaultPublishHandler(func(_ paho.Client, m paho.Message) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.heard[string(m.Payload())] = true
	})
	c.client = paho.NewClient(o)
	c.client.Connect()
	c.t.Cleanup(func() { c.client.Disconnect(0) })
}

func (c *goLasting) state(payload string) lastingState {
	c.mu.Lock()
	defer c.mu.Unlock()
	return lastingState{Connected: c.client.IsConnectionOpen(), Heard: c.heard[payload], Connects: c.connects}
}

// crowd is one client of each kind.
type crowd struct {
	t       testing.TB
	clients []lasting
	sent    int
}

// newCrowd has all of them connect to a gateway.
func newCrowd(t testing.TB, url, token string) *crowd {
	t.Helper()
	return newCrowdThat(t, url, token, 60, false, true)
}

// newSensibleCrowd is all but MQTT.js 2, which tries again each second, whatever it is told.
func newSensibleCrowd(t testing.TB, url, token string) *crowd {
	t.Helper()
	return newCrowdThat(t, url, token, 60, false, false)
}

// shortKeepAlive is one in seconds by which who sleeps is found out soon.
const shortKeepAlive = 2

// newSleepers are clients with persistent Sessions and a short Keep Alive.
func newSleepers(t testing.TB, url, token string) *crowd {
	t.Helper()
	return newCrowdThat(t, url, token, shortKeepAlive, true, true)
}

func newCrowdThat(t testing.TB, url, token string, keepAlive int, persistent, old bool) *crowd {
	t.Helper()
	node, page := startScript(t, "mqttjs.mjs", nil), startChromium(t)
	page.do(map[string]any{"op": "open", "url": servePage(t) + "/page.html"}, nil)
	c := &crowd{t: t, clients: []lasting{
		scriptLasting{"MQTT.js 3.1.1 in Node", node, frames.V311},
		scriptLasting{"MQTT.js 5.0 in Node", node, frames.V5},
		scriptLasting{"MQTT.js 5.0 in Chromium", page, frames.V5},
		scriptLasting{"Paho JS", startScript(t, "paho.mjs", nil), frames.V311},
		&goLasting{t: t, heard: map[string]bool{}},
	}}
	if old {
		c.clients = append(c.clients, scriptLasting{"MQTT.js 2 in Node", startScript(t, "mqttjs2.mjs", nil), frames.V311})
	}
	for _, one := range c.clients {
		one.stay(url, token, keepAlive, persistent)
	}
	return c
}

// hears wants all of them to hear what is published at the broker from now on: they are there, with their subscriptions.
func (c *crowd) hears(broker *mosquitto) {
	c.t.Helper()
	missing := c.clients
	deadline := time.Now().Add(2 * patience)
	for len(missing) > 0 {
		c.sent++
		payload := fmt.Sprint("news ", c.sent)
		hand := broker.direct(c.t, frames.V311, "hand")
		hand.publish(message("room", payload, 1))
		hand.disconnect()
		for wait := time.Now().Add(500 * time.Millisecond); len(missing) > 0 && time.Now().Before(wait); time.Sleep(20 * time.Millisecond) {
			missing = c.without(func(s lastingState) bool { return s.Heard }, payload, missing)
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("not back: %s", c.describe(missing))
		}
	}
}

// heard wants all of them to have what was published while they were away.
func (c *crowd) heard(payload string) {
	c.t.Helper()
	missing := c.clients
	for deadline := time.Now().Add(patience); len(missing) > 0; time.Sleep(20 * time.Millisecond) {
		if missing = c.without(func(s lastingState) bool { return s.Heard }, payload, missing); time.Now().After(deadline) {
			c.t.Fatalf("without %q: %s", payload, c.describe(missing))
		}
	}
}

// gone waits until all of them know that they have lost their connection.
func (c *crowd) gone() {
	c.t.Helper()
	eventually(c.t, "nobody is connected", func() bool {
		return len(c.without(func(s lastingState) bool { return !s.Connected }, "", c.clients)) == 0
	})
}

// without is those of clients for whom is does not hold.
func (c *crowd) without(is func(lastingState) bool, payload string, clients []lasting) (rest []lasting) {
	for _, one := range clients {
		if !is(one.state(payload)) {
			rest = append(rest, one)
		}
	}
	return rest
}

func (c *crowd) describe(clients []lasting) (text string) {
	for _, one := range clients {
		text += fmt.Sprintf("%s %+v; ", one.name(), one.state(""))
	}
	return text
}

// forwarder is what stands between clients and gateways: a balancer, or a network that may fail.
type forwarder struct {
	address  string
	backends []string

	mu    sync.Mutex
	links []*link
}

// link is one connection through it.
type link struct {
	client, gateway net.Conn
	cut             atomic.Bool // nothing passes any more, and nobody is told
}

// newForwarder forwards to the first of backends that is there, until the test ends.
func newForwarder(t testing.TB, backends ...string) *forwarder {
	t.Helper()
	l, err := net.Listen("tcp", loopback(freePort(t)))
	if err != nil {
		t.Fatal(err)
	}
	f := &forwarder{address: l.Addr().String(), backends: backends}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() { f.forward(c) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		f.mu.Lock()
		for _, link := range f.links {
			_ = link.client.Close()
			_ = link.gateway.Close()
		}
		f.mu.Unlock()
		running.Wait()
	})
	return f
}

func (f *forwarder) url() string { return "ws://" + f.address + "/mqtt" }

func (f *forwarder) forward(c net.Conn) {
	defer c.Close()
	for _, backend := range f.backends {
		b, err := net.Dial("tcp", backend)
		if err != nil {
			continue
		}
		defer b.Close()
		l := &link{client: c, gateway: b}
		f.mu.Lock()
		f.links = append(f.links, l)
		f.mu.Unlock()
		var both sync.WaitGroup
		both.Go(func() { l.pass(b, c) })
		both.Go(func() { l.pass(c, b) })
		both.Wait()
		return
	}
}

// pass passes bytes one way.
func (l *link) pass(to, from net.Conn) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if l.cut.Load() {
			n = 0
		}
		if _, failed := to.Write(buffer[:n]); err == nil {
			err = failed
		}
		if err != nil {
			break
		}
	}
	if !l.cut.Load() {
		_ = to.(*net.TCPConn).CloseWrite()
	}
}

// cut has nothing pass any more on the connections that there are: a network that is gone, without a FIN.
func (f *forwarder) cut() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, link := range f.links {
		link.cut.Store(true)
	}
}
