package integration

import (
	"net/url"
	"slices"
	"testing"

	"topicgate/frames"
)

// TestABrowserLogsInAtTheProviderAndChats is the main job in one: a page, the provider's login and consent, the
// token in the page's hands, and two users who talk over the gateway.
func TestABrowserLogsInAtTheProviderAndChats(t *testing.T) {
	t.Parallel()
	s := newChat(t)
	page := startChromium(t)
	page.do(map[string]any{"op": "open", "url": s.page + "/page.html?" + url.Values{"issuer": {s.env["OIDC_ISSUER"]}}.Encode()}, nil)
	var result struct{ Token string }
	page.do(map[string]any{"op": "login", "username": "alice", "back": s.page + "/page.html?code="}, &result)
	keepSecret(result.Token)
	for _, v := range []frames.Version{frames.V311, frames.V5} {
		alice := mqttjsKind("Chromium", page, v, nil).open(t)
		if code := alice.connect(s.url("/mqtt"), "browser-"+v.String(), result.Token); code != 0 {
			t.Fatalf("%s: CONNACK %#x; want 0", v, code)
		}
		bob := s.connect(t, frames.V5, "bob", s.tokens["bob"])
		bob.subscribed("chat/messages/bob/+")
		if code := alice.subscribe("chat/messages/alice/+"); code != 1 {
			t.Errorf("%s: SUBACK %#x; want 1", v, code)
		}
		alice.publish("chat/messages/bob/alice", "hello bob", 2)
		got := bob.receives("chat/messages/bob/alice", "hello bob")
		if names := userProperties(got.Properties); v == frames.V5 && !slices.Equal(names, []string{"topicgate-user=alice"}) {
			t.Errorf("User Properties %q; want topicgate-user=alice", names)
		}
		bob.publish(message("chat/messages/alice/bob", "hello alice", 1))
		m := alice.next()
		if m.Topic != "chat/messages/alice/bob" || m.Payload != "hello alice" {
			t.Errorf("%s: the page received %+v; want hello alice", v, m)
		}
		if v == frames.V5 && !slices.Equal(m.UserProperties, []string{"topicgate-user=bob"}) {
			t.Errorf("User Properties in the page %q; want topicgate-user=bob", m.UserProperties)
		}
		alice.disconnect()
		bob.disconnect()
	}
}

func TestABadTokenStopsMQTTJSFromTryingAgain(t *testing.T) {
	t.Parallel()
	s := newStack(t, openPolicy)
	node := startScript(t, "mqttjs.mjs", nil)
	for v, want := range map[frames.Version]int{frames.V31: 5, frames.V311: 5, frames.V5: 0x87} {
		client := mqttjsKind("Node", node, v, nil).open(t)
		if code := client.connect(s.url("/mqtt"), "c"+v.String(), "rubbish"); code != want {
			t.Errorf("%s: MQTT.js reports code %#x; want %#x", v, code, want)
		}
	}
}

func TestClientsOfEachKindOverWSSWithAnOwnAuthority(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	origin := servePage(t)
	s, server := newSecureStack(t, ca, openPolicy, settings{"ALLOWED_ORIGINS": origin})
	page := startChromium(t, server.pin)
	page.do(map[string]any{"op": "open", "url": origin + "/page.html"}, nil)
	node := startScript(t, "mqttjs.mjs", nil)
	for _, kind := range []clientKind{
		pahoKind(frames.V31, ca.clientTLS()), pahoKind(frames.V311, ca.clientTLS()),
		mqttjsKind("Node", node, frames.V5, map[string]any{"ca": ca.pem()}),
		mqttjsKind("Chromium", page, frames.V311, nil), mqttjsKind("Chromium", page, frames.V5, nil),
	} {
		t.Run(kind.name, func(t *testing.T) {
			client := kind.open(t)
			if code := client.connect(s.url("/mqtt"), "c", s.issuer.token(t, "alice")); code != 0 {
				t.Fatalf("CONNACK %#x; want 0", code)
			}
			client.subscribe("room")
			client.publish("room", "hello", 1)
			if m := client.next(); m.Topic != "room" || m.Payload != "hello" {
				t.Errorf("received %+v; want hello on room", m)
			}
			client.disconnect()
		})
	}
}

func TestABrowserMayCarryItsTokenInACookie(t *testing.T) {
	t.Parallel()
	origin := servePage(t)
	s := newStack(t, openPolicy, settings{"TOKEN_SOURCES": "cookie:session", "ALLOWED_ORIGINS": origin})
	page := startChromium(t)
	page.do(map[string]any{"op": "cookie", "cookie": map[string]any{
		"name": "session", "value": s.issuer.token(t, "alice"), "domain": "127.0.0.1", "path": "/", "httpOnly": true,
	}}, nil)
	page.do(map[string]any{"op": "open", "url": origin + "/page.html"}, nil)
	client := mqttjsKind("Chromium", page, frames.V5, nil).open(t)
	if code := client.connect(s.url("/mqtt"), "c", ""); code != 0 {
		t.Fatalf("CONNACK %#x; want 0", code)
	}
	s.broker.stderr.await(t, "as alice:c ")
}
