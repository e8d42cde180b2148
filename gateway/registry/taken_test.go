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
		g.Start(Host{Obey: func(Order) {}, Has: func(c Client) bool { return c.ID == has }})
		t.Cleanup(g.Close)
		return g
	}
	asks := start("one", "alice:tab")
	if asks.Elsewhere(t.Context(), Client{ID: "alice:tab"}) {
		t.Error("taken over by nobody")
	}
	start("two", "alice:phone")
	redistest.Eventually(t, "the other one says yes", func() bool { return asks.Elsewhere(t.Context(), Client{ID: "alice:phone"}) })
	if asks.Elsewhere(t.Context(), Client{ID: "alice:tab"}) {
		t.Error("taken over by oneself")
	}
	if asks.Elsewhere(t.Context(), Client{ID: "alice:desk"}) {
		t.Error("taken over though nobody has it")
	}
	if n := len(asks.asked); n != 0 {
		t.Errorf("%d questions are left", n)
	}
	for range maxAsked {
		asks.asked[string(rune('a'+len(asks.asked)))] = make(chan bool)
	}
	if asks.Elsewhere(t.Context(), Client{ID: "alice:phone"}) {
		t.Error("more is asked than may be at the same time")
	}
}
