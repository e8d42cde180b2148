package integration

import (
	"fmt"
	"testing"

	"topicgate/frames"
)

// chatUse is one thing that a user of the chat tries, and the line of the policy that it is about.
type chatUse struct {
	line    string
	user    string
	publish string // a topic, or
	filter  string // a subscription,
	covers  string // with a topic that it covers
	allowed bool
}

var chatUses = []chatUse{
	{line: "pattern write chat/status/%u", user: "alice", publish: "chat/status/alice", allowed: true},
	{line: "pattern write chat/status/%u", user: "alice", publish: "chat/status/bob"},
	{line: "pattern write chat/status/%u", user: "alice", publish: "chat/status/alice/away"},
	{line: "pattern write chat/status/%u", user: "admin", publish: "chat/status/alice"},

	{line: "pattern read chat/status/+", user: "alice", filter: "chat/status/+", covers: "chat/status/bob", allowed: true},
	{line: "pattern read chat/status/+", user: "bob", filter: "chat/status/alice", covers: "chat/status/alice", allowed: true},
	{line: "pattern read chat/status/+", user: "alice", filter: "chat/status/bob/+", covers: "chat/status/bob/away"},
	{line: "pattern read chat/status/+", user: "alice", filter: "chat/presence/+", covers: "chat/presence/bob"},

	{line: "pattern read chat/messages/%u/+", user: "alice", filter: "chat/messages/alice/+", covers: "chat/messages/alice/bob", allowed: true},
	{line: "pattern read chat/messages/%u/+", user: "bob", filter: "chat/messages/bob/alice", covers: "chat/messages/bob/alice", allowed: true},
	{line: "pattern read chat/messages/%u/+", user: "alice", filter: "chat/messages/bob/+", covers: "chat/messages/bob/carol"},
	{line: "pattern read chat/messages/%u/+", user: "mallory", filter: "chat/messages/bob/alice", covers: "chat/messages/bob/alice"},

	{line: "pattern write chat/messages/+/%u", user: "alice", publish: "chat/messages/bob/alice", allowed: true},
	{line: "pattern write chat/messages/+/%u", user: "alice", publish: "chat/messages/bob/carol"},
	{line: "pattern write chat/messages/+/%u", user: "alice", publish: "chat/messages/alice"},
	{line: "pattern write chat/messages/+/%u", user: "mallory", publish: "chat/messages/bob/alice"},

	{line: "user admin: topic read chat/messages/+/+", user: "admin", filter: "chat/messages/+/+", covers: "chat/messages/bob/alice", allowed: true},
	{line: "user admin: topic read chat/messages/+/+", user: "mallory", filter: "chat/messages/+/alice", covers: "chat/messages/bob/alice"},
	{line: "user admin: topic read chat/messages/+/+", user: "admin", publish: "chat/messages/bob/alice"},
}

// TestEachLineOfTheChatPolicyHoldsForEachClient goes through the whole of the main job: a token from a certified
// provider by Authorization Code and PKCE, real client libraries, real Redis, real mosquitto.
func TestEachLineOfTheChatPolicyHoldsForEachClient(t *testing.T) {
	t.Parallel()
	s := newChat(t)
	node := startScript(t, "mqttjs.mjs", nil)
	page := startChromium(t)
	page.do(map[string]any{"op": "open", "url": s.page + "/page.html"}, nil)
	for _, kind := range []clientKind{
		pahoKind(frames.V31, nil), pahoKind(frames.V311, nil),
		mqttjsKind("Node", node, frames.V31, nil), mqttjsKind("Node", node, frames.V311, nil), mqttjsKind("Node", node, frames.V5, nil),
		mqttjsKind("Chromium", page, frames.V311, nil), mqttjsKind("Chromium", page, frames.V5, nil),
	} {
		t.Run(kind.name, func(t *testing.T) {
			for i, use := range chatUses {
				t.Run(fmt.Sprintf("%s/%d", use.line, i), func(t *testing.T) {
					if use.publish != "" {
						s.tryPublish(t, kind, use)
					} else {
						s.trySubscribe(t, kind, use)
					}
				})
			}
		})
	}
}

// chat is a stack whose issuer is the provider, with tokens of its users and a page for browsers.
type chat struct {
	*stack
	tokens map[string]string
	page   string
}

func newChat(t testing.TB, more ...settings) *chat {
	t.Helper()
	c := &chat{page: servePage(t), tokens: map[string]string{}}
	p := startProvider(t, nil, c.page+"/page.html")
	c.stack = prepareStack(t, chatPolicy)
	c.stack.gateway = startGateway(t, c.settings(append(more, settings{
		"OIDC_ISSUER": p.issuer, "ALLOWED_ORIGINS": c.page, "SUBSCRIBE_MODE": "strict",
	})...))
	for _, user := range []string{"alice", "bob", "admin", "mallory"} {
		c.tokens[user] = p.login(t, user)
	}
	return c
}

func (c *chat) open(t testing.TB, kind clientKind, user string) chatClient {
	t.Helper()
	client := kind.open(t)
	if code := client.connect(c.url("/mqtt"), "chat-"+user, c.tokens[user]); code != 0 {
		t.Fatalf("%s: CONNACK %#x; want 0", user, code)
	}
	return client
}

// tryPublish publishes with each QoS. That a refused message stayed away is seen by the allowed one that follows.
func (c *chat) tryPublish(t *testing.T, kind clientKind, use chatUse) {
	client := c.open(t, kind, use.user)
	broker := c.broker.direct(t, frames.V5, "eye")
	broker.subscribed("chat/#")
	wantCode := 0
	if !use.allowed && kind.version == frames.V5 {
		wantCode = 0x87 // Not authorized
	}
	for qos := range 3 {
		want := wantCode
		if qos == 0 {
			want = 0
		}
		payload := fmt.Sprintf("%s says %d", use.user, qos)
		if code := client.publish(use.publish, payload, qos); code != want {
			t.Errorf("PUBLISH to %s with QoS %d answered %#x; want %#x", use.publish, qos, code, want)
		}
		if use.allowed {
			broker.receives(use.publish, payload)
		}
	}
	client.publish("chat/status/"+use.user, "after", 1)
	broker.receives("chat/status/"+use.user, "after")
	client.disconnect()
}

// trySubscribe subscribes; that a refused subscription is none is seen by the message of another that comes first.
func (c *chat) trySubscribe(t *testing.T, kind clientKind, use chatUse) {
	client := c.open(t, kind, use.user)
	broker := c.broker.direct(t, frames.V311, "hand")
	code := client.subscribe(use.filter)
	want := 1
	if !use.allowed {
		if want = 0x80; kind.version == frames.V5 {
			want = 0x87
		}
		after := "chat/messages/" + use.user + "/after"
		if code := client.subscribe(after); code != 1 {
			t.Errorf("SUBSCRIBE to %s answered %#x; want 1", after, code)
		}
		broker.publish(message(use.covers, "not for you", 1))
		broker.publish(message(after, "for you", 1))
		if m := client.next(); m.Topic != after {
			t.Errorf("received %+v; want the message on %s", m, after)
		}
	} else {
		broker.publish(message(use.covers, "for you", 1))
		if m := client.next(); m.Topic != use.covers || m.Payload != "for you" {
			t.Errorf("received %+v; want the message on %s", m, use.covers)
		}
	}
	if code != want {
		t.Errorf("SUBSCRIBE to %s answered %#x; want %#x", use.filter, code, want)
	}
	client.disconnect()
}
