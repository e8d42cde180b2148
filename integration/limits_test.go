package integration

import (
	"net/http"
	"strings"
	"testing"

	"topicgate/frames"

	"github.com/gorilla/websocket"
)

func TestTheUpgradeIsAnsweredAsTheContractSays(t *testing.T) {
	t.Parallel()
	s := newStack(t, openPolicy, settings{"WS_PATH": "/mqtt, /ws/chat"})
	for _, test := range []struct {
		name   string
		o      dialOptions
		status int
		chosen string
	}{
		{"mqtt", dialOptions{}, 101, "mqtt"},
		{"mqttv3.1", dialOptions{subprotocol: "mqttv3.1"}, 101, "mqttv3.1"},
		{"the second path", dialOptions{path: "/ws/chat"}, 101, "mqtt"},
		{"no subprotocol", dialOptions{subprotocol: "none"}, 400, ""},
		{"another subprotocol", dialOptions{subprotocol: "amqp"}, 400, ""},
		{"another path", dialOptions{path: "/"}, 404, ""},
		{"under the path", dialOptions{path: "/mqtt/x"}, 404, ""},
		{"the same host as origin", dialOptions{header: http.Header{"Origin": {"http://" + s.address}}}, 101, "mqtt"},
		{"another origin", dialOptions{header: http.Header{"Origin": {"http://evil.example"}}}, 403, ""},
		{"another port as origin", dialOptions{header: http.Header{"Origin": {"http://127.0.0.1:1"}}}, 403, ""},
		{"null as origin", dialOptions{header: http.Header{"Origin": {"null"}}}, 403, ""},
		{"a long origin", dialOptions{header: http.Header{"Origin": {"http://" + strings.Repeat("a", 300) + ".example"}}}, 403, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			ws, response, err := s.upgrade(t, test.o)
			if ws != nil {
				defer ws.Close()
			}
			if response == nil {
				t.Fatal(err)
			}
			if response.StatusCode != test.status || response.Header.Get("Sec-WebSocket-Protocol") != test.chosen {
				t.Errorf("status %d, subprotocol %q; want %d, %q", response.StatusCode, response.Header.Get("Sec-WebSocket-Protocol"), test.status, test.chosen)
			}
		})
	}
	for path, status := range map[string]int{"/mqtt": 426, "/metrics": 404, "/healthz": 404, "/readyz": 404, "/sessions": 404} {
		response, err := oneShot.Get("http://" + s.address + path)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if response.StatusCode != status {
			t.Errorf("GET %s on the public listener: %d; want %d", path, response.StatusCode, status)
		}
	}
}

func TestTheListOfOrigins(t *testing.T) {
	t.Parallel()
	s := prepareStack(t, openPolicy)
	for allowed, want := range map[string]map[string]int{
		"https://chat.example, http://localhost:8080": {
			"https://chat.example": 101, "https://CHAT.example": 101, "https://chat.example:443": 101, "http://localhost:8080": 101,
			"http://chat.example": 403, "https://chat.example:8443": 403, "https://evil-chat.example": 403, "https://chat.example.evil": 403, "null": 403, "": 101,
		},
		"*": {"https://anything.example": 101, "null": 101},
	} {
		g := startGateway(t, s.settings(settings{"ALLOWED_ORIGINS": allowed}))
		for origin, status := range want {
			o := dialOptions{header: http.Header{}}
			if origin != "" {
				o.header.Set("Origin", origin)
			}
			ws, response, err := g.upgrade(t, o)
			if ws != nil {
				_ = ws.Close()
			}
			if response == nil {
				t.Fatal(err)
			}
			if response.StatusCode != status {
				t.Errorf("TOPICGATE_ALLOWED_ORIGINS=%q, Origin %q: %d; want %d", allowed, origin, response.StatusCode, status)
			}
		}
	}
}

func TestPacketsAndMessagesHaveTheirOwnBorders(t *testing.T) {
	t.Parallel()
	s := newStack(t, openPolicy)
	eye := s.broker.direct(t, frames.V311, "eye")
	eye.subscribed("#")
	for _, v := range versions {
		connect := newConnect(v, "c", s.issuer.token(t, "alice")).Append(nil, v)
		all := append(connect, encode(message("room", "hello", 0), v)...)
		all = frames.AppendPingreq(all)
		for name, size := range map[string]int{"all in one message": len(all), "one byte a message": 1, "seven bytes a message": 7} {
			w := s.dial(t, name, dialOptions{})
			w.setVersion(v)
			for rest := all; len(rest) > 0; rest = rest[min(size, len(rest)):] {
				w.send(rest[:min(size, len(rest))])
			}
			w.connack()
			w.expect(frames.TypePingresp)
			w.disconnect()
			eye.receives("room", "hello")
		}
	}
}

func TestBadInputEndsItsSessionWithTheRightCode(t *testing.T) {
	t.Parallel()
	s := newStack(t, openPolicy, settings{"MAX_PACKET_SIZE": "64KiB", "CONNECT_TIMEOUT": "5s"})
	bystander := s.connect(t, frames.V5, "bystander", s.issuer.token(t, "bob"))
	big := message("room", strings.Repeat("x", 65<<10), 0)
	for _, test := range []struct {
		name  string
		bytes func(v frames.Version) []byte
		code  frames.ReasonCode // of a 5.0 DISCONNECT; 0: any
		close int
	}{
		{"larger than the maximum", func(v frames.Version) []byte { return big.Append(nil, v) }, frames.PacketTooLarge, 1009},
		{"announced larger than the maximum", func(frames.Version) []byte { return unhex("30 ff ff ff 7f 00") }, frames.PacketTooLarge, 1009},
		{"a second CONNECT", func(v frames.Version) []byte { return newConnect(v, "c", "").Append(nil, v) }, frames.ProtocolError, 1002},
		{"a reserved type", func(frames.Version) []byte { return unhex("00 00") }, frames.MalformedPacket, 1002},
		{"a CONNACK from the client", func(v frames.Version) []byte { return unhex(connackOK(v)) }, 0, 1002},
		{"QoS 3", func(frames.Version) []byte { return unhex("36 07 00 01 61 00 01 78 79") }, frames.MalformedPacket, 1002},
		{"reserved flags of SUBSCRIBE", func(frames.Version) []byte { return unhex("80 06 00 01 00 01 61 00") }, frames.MalformedPacket, 1002},
		{"packet identifier 0", func(frames.Version) []byte { return unhex("32 06 00 01 61 00 00 00") }, 0, 1002},
		{"a wildcard in a Topic Name", func(frames.Version) []byte { return unhex("30 04 00 01 2b 00") }, 0, 1002},
		{"a NUL in a Topic Name", func(frames.Version) []byte { return unhex("30 05 00 02 61 00 00") }, 0, 1002},
		{"not UTF-8", func(frames.Version) []byte { return unhex("30 04 00 01 ff 00") }, 0, 1002},
		{"a Remaining Length of five bytes", func(frames.Version) []byte { return unhex("30 ff ff ff ff 01") }, frames.MalformedPacket, 1002},
	} {
		for _, v := range versions {
			t.Run(v.String()+" "+test.name, func(t *testing.T) {
				w := s.connect(t, v, "c"+v.String(), s.issuer.token(t, "alice"))
				w.send(test.bytes(v))
				if v == frames.V5 {
					d, err := frames.ParseDisconnect(w.expect(frames.TypeDisconnect), v)
					if err != nil || d.Reason < 0x80 || test.code != 0 && d.Reason != test.code {
						t.Errorf("DISCONNECT %#x, %v; want %#x", uint8(d.Reason), err, uint8(test.code))
					}
				}
				w.expectClose(test.close)
			})
			bystander.ping()
		}
	}
	t.Run("a text message", func(t *testing.T) {
		w := s.connect(t, frames.V311, "c", s.issuer.token(t, "alice"))
		if err := w.ws.WriteMessage(websocket.TextMessage, []byte("hello")); err != nil {
			t.Fatal(err)
		}
		w.expectClose(1003)
	})
	for name, first := range map[string]string{
		"a PINGREQ first":               "c0 00",
		"a PUBLISH first":               "30 03 00 01 61",
		"a CONNECT without a protocol":  "10 02 00 00",
		"HTTP":                          "47 45 54 20 2f 20 48 54 54 50 2f 31 2e 31 0d 0a",
		"a CONNECT with a reserved bit": "10 0d 00 04 4d 51 54 54 04 03 00 3c 00 01 61",
	} {
		t.Run(name, func(t *testing.T) {
			w := s.dial(t, name, dialOptions{})
			w.sendHex(first)
			w.expectClose(1002)
		})
	}
	t.Run("a protocol level that does not exist", func(t *testing.T) {
		w := s.dial(t, "level 6", dialOptions{})
		w.sendHex("10 0d 00 04 4d 51 54 54 06 02 00 3c 00 01 61")
		p := w.expect(frames.TypeConnack)
		if code := frames.ReasonCode(p.Body[1]); code != frames.V3UnacceptableProtocol && code != frames.UnsupportedProtocolVersion { // [MQTT-3.1.2-2]
			t.Errorf("CONNACK %#x; want %#x", uint8(code), uint8(frames.UnsupportedProtocolVersion))
		}
		w.expectClosed()
	})
	bystander.ping()
}

func TestWhoNeverSendsAConnectIsClosed(t *testing.T) {
	t.Parallel()
	s := newStack(t, openPolicy, settings{"CONNECT_TIMEOUT": "1s"})
	for _, begun := range []string{"", "10", "10 20 00 04 4d 51"} {
		w := s.dial(t, "silent", dialOptions{})
		if begun != "" {
			w.sendHex(begun)
		}
		w.expectClosed()
	}
}

func TestTheLimitsOfTheOperator(t *testing.T) {
	t.Parallel()
	s := prepareStack(t, openPolicy)
	t.Run("connections", func(t *testing.T) {
		g := startGateway(t, s.settings(settings{"MAX_CONNECTIONS": "2"}))
		first := g.connect(t, frames.V5, "a", s.issuer.token(t, "alice"))
		g.connect(t, frames.V5, "b", s.issuer.token(t, "bob"))
		_, response, err := g.upgrade(t, dialOptions{})
		if response == nil || response.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("the third connection: %v; want 503", err)
		}
		first.disconnect()
		eventually(t, "there is room again", func() bool {
			ws, _, err := g.upgrade(t, dialOptions{})
			if err == nil {
				_ = ws.Close()
			}
			return err == nil
		})
	})
	t.Run("connections of a user", func(t *testing.T) {
		g := startGateway(t, s.settings(settings{"MAX_CONNECTIONS_PER_USER": "1"}))
		first := g.connect(t, frames.V5, "a", s.issuer.token(t, "alice"))
		w, connack := g.connecting(t, frames.V5, "b", s.issuer.token(t, "alice"))
		if connack.Reason < 0x80 {
			t.Errorf("the user's second connection: CONNACK %#x; want it refused", uint8(connack.Reason))
		}
		w.expectClosed()
		first.ping()
		g.connect(t, frames.V5, "b", s.issuer.token(t, "bob")).ping()
	})
	t.Run("subscriptions", func(t *testing.T) {
		g := startGateway(t, s.settings(settings{"MAX_SUBSCRIPTIONS": "2"}))
		w := g.connect(t, frames.V5, "a", s.issuer.token(t, "alice"))
		codes := w.subscribe("a", "b", "c")
		if codes[0] != 2 || codes[1] != 2 || codes[2] != frames.QuotaExceeded {
			t.Errorf("SUBSCRIBE a b c answered % x; want 2, 2, 0x97", codes)
		}
		w.subscribed("a") // again: it is no third one
	})
	t.Run("rate", func(t *testing.T) {
		g := startGateway(t, s.settings(settings{"PUBLISH_RATE": "200", "PUBLISH_BURST": "10"}))
		eye := s.broker.direct(t, frames.V311, "eye")
		eye.subscribed("rate")
		w := g.connect(t, frames.V311, "a", s.issuer.token(t, "alice"))
		for range 100 {
			w.send(encode(message("rate", "x", 0), frames.V311))
		}
		for range 100 { // slowed down, and nothing is lost
			eye.receives("rate", "x")
		}
		w.ping()
	})
}
