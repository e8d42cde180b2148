package integration

import (
	"strings"
	"testing"
	"time"

	"topicgate/frames"
)

// TestASubscriberThatDoesNotReadCostsNobodyAnything floods a subscriber that reads nothing with 200 MB. What the
// gateway holds for it is bounded, so its memory stays flat, and other sessions are served meanwhile.
func TestASubscriberThatDoesNotReadCostsNobodyAnything(t *testing.T) {
	t.Parallel()
	s := newStack(t, openPolicy, settings{"WRITE_TIMEOUT": "10m", "AUDIT": "none"})
	token := s.issuer.token(t, "alice")
	lazy, _ := s.connectingBy(t, dialOptions{readBuffer: 4096}, frames.V311, "lazy", token)
	lazy.subscribed("flood")
	fast := s.connect(t, frames.V311, "fast", token)
	fast.subscribed("chat")
	hand := s.broker.direct(t, frames.V311, "hand")

	flood := func(bytes int) {
		payload := strings.Repeat("x", 100_000)
		packet := encode(message("flood", payload, 0), frames.V311)
		for sent := 0; sent < bytes; sent += len(payload) {
			_ = hand.conn.SetWriteDeadline(time.Now().Add(patience))
			if _, err := hand.conn.Write(packet); err != nil {
				t.Fatalf("the broker takes no more: %v", err)
			}
			if sent%(5_000_000) == 0 { // the other session is served all the while
				hand.publish(message("chat", "hello", 1))
				fast.receives("chat", "hello")
			}
		}
		hand.publish(message("chat", "end", 1))
		fast.receives("chat", "end")
	}
	flood(10_000_000) // buffers have their size now
	before := s.rss(t)
	flood(200_000_000)
	if grown := s.rss(t) - before; grown > 40<<20 {
		t.Errorf("the gateway grew by %d MiB; want under 40", grown>>20)
	}
	fast.ping()
}

// The other direction: a broker that does not read stops its client, and the gateway holds a bounded part.
func TestABrokerThatDoesNotReadStopsItsClientAlone(t *testing.T) {
	t.Parallel()
	s := newScripted(t, openPolicy, settings{"WRITE_TIMEOUT": "10m", "AUDIT": "none"})
	otherDown, otherUp := s.session(t, frames.V311, "other")
	down, _ := s.session(t, frames.V311, "c")
	before := s.g.rss(t)
	packet := encode(message("flood", strings.Repeat("x", 1_000_000), 0), frames.V311)
	stopped := false
	for range 200 {
		_ = down.ws.SetWriteDeadline(time.Now().Add(2 * time.Second))
		if err := down.ws.WriteMessage(2, packet); err != nil {
			stopped = true // back-pressure has arrived
			break
		}
	}
	if !stopped {
		t.Error("200 MB went into a gateway whose broker reads nothing")
	}
	if grown := s.g.rss(t) - before; grown > 40<<20 {
		t.Errorf("the gateway grew by %d MiB; want under 40", grown>>20)
	}
	answersPing(otherDown, otherUp)
}
