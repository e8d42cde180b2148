package registry

import (
	"testing"

	"topicgate/gateway/internal/redistest"
)

// Another instance says that a client has come to it; who asks hears no answer of its own.
func TestAnotherInstanceSaysThatAClientHasCome(t *testing.T) {
	r := startRedis(t)
	start := func(name, has string) *Registry {
		g := newTestRegistry(t, r, name)
		g.Start(Host{Obey: func(Order) {}, Has: func(clientID string) bool { return clientID == has }})
		t.Cleanup(g.Close)
		return g
	}
	asks := start("one", "alice:tab")
	if asks.TakenOver(t.Context(), "alice:tab") {
		t.Error("taken over by nobody")
	}
	start("two", "alice:phone")
	redistest.Eventually(t, "the other one says yes", func() bool { return asks.TakenOver(t.Context(), "alice:phone") })
	if asks.TakenOver(t.Context(), "alice:tab") {
		t.Error("taken over by oneself")
	}
	if asks.TakenOver(t.Context(), "alice:desk") {
		t.Error("taken over though nobody has it")
	}
	if n := len(asks.asked); n != 0 {
		t.Errorf("%d questions are left", n)
	}
	for range maxAsked {
		asks.asked[string(rune('a'+len(asks.asked)))] = make(chan struct{})
	}
	if asks.TakenOver(t.Context(), "alice:phone") {
		t.Error("more is asked than may be at the same time")
	}
}
