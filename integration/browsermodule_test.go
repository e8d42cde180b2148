package integration

import (
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"topicgate/frames"
)

// gated is what a page knows that uses deploy/browser/topicgate.js.
type gated struct {
	Connected bool
	Connects  int
	Rejected  []string
	Stopped   *struct {
		Message string
		Code    int
	}
}

// tokenPage gives a page its tokens, and counts how they were asked for.
type tokenPage struct {
	mu    sync.Mutex
	next  func() string
	asked int
	fresh int // of these
}

func (p *tokenPage) serve(mux *http.ServeMux) {
	mux.HandleFunc("GET /token", func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.asked++
		if r.FormValue("fresh") == "true" {
			p.fresh++
		}
		fmt.Fprint(w, p.next())
	})
}

func (p *tokenPage) give(next func() string) (asked, fresh int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.next = next
	return p.asked, p.fresh
}

// The module for pages: a token at each connection, a fresh one before the old one ends, refusals that are told, and an
// end where trying again is no use.
func TestTheBrowserModule(t *testing.T) {
	t.Parallel()
	s := newStack(t, "pattern readwrite room\n", settings{"OIDC_CLOCK_SKEW": "0s", "ALLOWED_ORIGINS": "*"})
	token := func(lifetime time.Duration) func() string {
		return func() string { return s.issuer.token(t, "alice", claims{"exp": time.Now().Add(lifetime).Unix()}) }
	}
	p := &tokenPage{next: token(64 * time.Second)} // the gateway says that it ends when a minute is left
	page := startChromium(t)
	origin := servePage(t, p.serve)
	page.do(map[string]any{"op": "open", "url": origin + "/page.html"}, nil)
	state := func() (g gated) {
		page.do(map[string]any{"op": "gated", "name": "gate"}, &g)
		return g
	}
	open := func(v frames.Version) {
		page.do(map[string]any{"op": "gate", "name": "gate", "url": s.url("/mqtt"), "filters": []string{"room"}, "tokens": origin + "/token",
			"options": map[string]any{"protocolVersion": v}}, nil)
	}
	for _, v := range []frames.Version{frames.V311, frames.V5} {
		p.give(token(64 * time.Second))
		open(v)
		eventually(t, "it is connected", func() bool { return state().Connected })
		p.give(token(time.Hour))
		eventually(t, "the session goes on with a fresh token", func() bool {
			var all []struct{ Expires time.Time }
			if err := json.Unmarshal([]byte(s.get(t, "/sessions")), &all); err != nil {
				t.Fatal(err)
			}
			return len(all) == 1 && time.Until(all[0].Expires) > 30*time.Minute
		})
		if g := state(); g.Connects != 1 {
			t.Errorf("%s: connected %d times; want once: a fresh token is handed over", v, g.Connects)
		}
		page.do(map[string]any{"op": "publish", "name": "gate", "topic": "elsewhere", "payload": "x"}, nil)
		eventually(t, "the refusal is told", func() bool { g := state(); return len(g.Rejected) == 1 && g.Rejected[0] == "elsewhere" })

		// A connection that comes again brings a token that was asked for then; one that is refused is replaced once.
		asked, _ := p.give(token(time.Hour))
		s.broker.kill()
		eventually(t, "the connection is lost", func() bool { return !state().Connected })
		s.broker.restart(t)
		eventually(t, "it is back", func() bool { return state().Connected })
		if now, _ := p.give(token(-time.Hour)); now <= asked {
			t.Error("no token was asked for when it came back")
		}
		_, fresh := p.give(token(-time.Hour))
		s.broker.kill()
		s.broker.restart(t)
		eventually(t, "it stops", func() bool { return state().Stopped != nil })
		if _, now := p.give(token(time.Hour)); now != fresh+1 {
			t.Errorf("%s: %d fresh tokens were asked for after one was refused; want one", v, now-fresh)
		}
		open(v)
		eventually(t, "it is connected", func() bool { return state().Connected })
		s.redis.do(t, "SADD", "topicgate:blocked", "alice")
		eventually(t, "a blocked user stops", func() bool { return state().Stopped != nil })
		s.redis.do(t, "SREM", "topicgate:blocked", "alice")
	}
}
