package integration

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"testing"

	"topicgate/frames"
)

const examplesDir = "../deploy/examples"

// shown is what a page of an example would show.
type shown map[string]any

// playing is one story of deploy/examples, with its policy.
type playing struct {
	*stack
	t      testing.TB
	node   *script
	story  string
	tokens string
	pages  int
}

// page is what one user has open.
type page struct {
	*playing
	name string
}

// newPlaying starts a story whose users get their tokens from tokenOf.
func newPlaying(t testing.TB, s *stack, story string, tokenOf func(user string) string) *playing {
	t.Helper()
	origin := servePage(t, func(mux *http.ServeMux) {
		mux.HandleFunc("GET /token", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, tokenOf(r.FormValue("user"))) })
	})
	return &playing{stack: s, t: t, node: startScript(t, "examples.mjs", nil), story: story, tokens: origin + "/token"}
}

// playExample plays one before an issuer of the test's own, which gives these roles.
func playExample(t testing.TB, story string, roles map[string][]string) *playing {
	t.Helper()
	s := newStack(t, readExample(t, story+".acl"))
	return newPlaying(t, s, story, func(user string) string { return s.issuer.token(t, user, claims{"roles": roles[user]}) })
}

func readExample(t testing.TB, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(examplesDir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// open opens a page for a user.
func (p *playing) open(user string, more map[string]any) *page {
	p.t.Helper()
	p.pages++
	one := &page{p, fmt.Sprint(user, " ", p.pages)}
	p.node.do(map[string]any{"op": "start", "name": one.name, "story": p.story, "user": user, "url": p.url("/mqtt"), "tokens": p.tokens, "more": more}, nil)
	return one
}

func (p *page) does(what string, args ...any) {
	p.t.Helper()
	p.node.do(map[string]any{"op": "call", "name": p.name, "what": what, "args": args}, nil)
}

// closes ends the page, as when a browser is shut.
func (p *page) closes() { p.node.do(map[string]any{"op": "die", "name": p.name}, nil) }

// told is all that the page has shown so far.
func (p *page) told() []shown {
	p.t.Helper()
	var result struct{ Events []shown }
	p.node.do(map[string]any{"op": "told", "name": p.name}, &result)
	return result.Events
}

// shows waits until the page has shown something, in JSON.
func (p *page) shows(text string) {
	p.t.Helper()
	var want shown
	if err := json.Unmarshal([]byte(text), &want); err != nil {
		p.t.Fatal(err)
	}
	eventually(p.t, fmt.Sprintf("%s shows %s", p.name, text), func() bool {
		for _, event := range p.told() {
			if reflect.DeepEqual(event, want) {
				return true
			}
		}
		return false
	})
}

// showsNot wants the page to have shown nothing like that; what comes before it must have been waited for.
func (p *page) showsNot(kind, field, value string) {
	p.t.Helper()
	for _, event := range p.told() {
		if event["kind"] == kind && event[field] == value {
			p.t.Errorf("%s shows %v", p.name, event)
		}
	}
}

// A message waits for who is away, and everybody sees who is there, also when a browser is shut.
func TestTheExampleOfOneToOneChat(t *testing.T) {
	t.Parallel()
	p := playExample(t, "direct", nil)
	alice, bob := p.open("alice", nil), p.open("bob", nil)
	alice.shows(`{"kind":"status","who":"bob","status":"here"}`)
	alice.does("send", "bob", "hello")
	bob.shows(`{"kind":"message","from":"alice","text":"hello"}`)
	bob.closes()
	alice.shows(`{"kind":"status","who":"bob","status":"gone"}`)
	alice.does("send", "bob", "are you there?")
	bob = p.open("bob", nil)
	bob.shows(`{"kind":"message","from":"alice","text":"are you there?"}`)
	bob.shows(`{"kind":"status","who":"alice","status":"here"}`)
	bob.does("leave")
	eventually(t, "alice sees that bob has left", func() bool {
		gone := 0
		for _, event := range alice.told() {
			if event["kind"] == "status" && event["who"] == "bob" && event["status"] == "gone" {
				gone++
			}
		}
		return gone == 2
	})
	mallory := p.connect(t, frames.V5, "other", p.issuer.token(t, "mallory"))
	if code := mallory.publish(message("chat/to/bob/alice", "forged", 1)); code != frames.NotAuthorized {
		t.Errorf("mallory's message in alice's name: %v; want it refused", code)
	}
}

// The back end moves people between rooms while their pages are open.
func TestTheExampleOfRooms(t *testing.T) {
	t.Parallel()
	p := playExample(t, "rooms", nil)
	for _, user := range []string{"alice", "bob"} {
		p.redis.do(t, "SADD", roomsOf(user), "lobby")
	}
	alice, bob := p.open("alice", nil), p.open("bob", nil)
	bob.shows(`{"kind":"rooms","rooms":["lobby"]}`)
	alice.does("send", "lobby", "hello")
	bob.shows(`{"kind":"message","room":"lobby","from":"alice","text":"hello"}`)
	p.redis.do(t, "SADD", roomsOf("alice"), "attic")
	p.redis.do(t, "SADD", roomsOf("bob"), "attic")
	bob.shows(`{"kind":"rooms","rooms":["attic","lobby"]}`)
	alice.does("send", "attic", "up here")
	bob.shows(`{"kind":"message","room":"attic","from":"alice","text":"up here"}`)
	p.redis.do(t, "SREM", roomsOf("bob"), "lobby")
	bob.shows(`{"kind":"rooms","rooms":["attic"]}`)
	alice.does("send", "lobby", "among us")
	alice.does("send", "attic", "for both")
	bob.shows(`{"kind":"message","room":"attic","from":"alice","text":"for both"}`)
	bob.showsNot("message", "text", "among us")
}

// Desks print, readers choose by wildcards and see the last headline at once.
func TestTheExampleOfANewsTicker(t *testing.T) {
	t.Parallel()
	p := playExample(t, "ticker", map[string][]string{"desk": {"sports-desk"}})
	desk := p.open("desk", nil)
	desk.does("print", "sports", "football/final", "2:1")
	fan, all := p.open("alice", map[string]any{"filter": "news/sports/#"}), p.open("bob", nil)
	for _, reader := range []*page{fan, all} {
		reader.shows(`{"kind":"headline","desk":"sports","subject":"football/final","text":"2:1"}`)
	}
	desk.does("print", "world", "summit", "over")
	desk.shows(`{"kind":"refused","desk":"world","code":135}`)
	desk.does("print", "sports", "tennis", "rain")
	all.shows(`{"kind":"headline","desk":"sports","subject":"tennis","text":"rain"}`)
	all.showsNot("headline", "desk", "world")
}

// A page that is loaded while a job runs shows how far it is.
func TestTheExampleOfProgressBars(t *testing.T) {
	t.Parallel()
	p := playExample(t, "progress", map[string][]string{"job-7": {"job"}})
	job := p.open("job-7", nil)
	job.does("report", "alice", "export", 40)
	alice, bob := p.open("alice", nil), p.open("bob", nil)
	alice.shows(`{"kind":"progress","job":"export","percent":40}`)
	job.does("report", "alice", "export", 80)
	alice.shows(`{"kind":"progress","job":"export","percent":80}`)
	job.does("finish", "alice", "export")
	alice.shows(`{"kind":"over","job":"export"}`)
	job.does("report", "bob", "import", 1)
	bob.shows(`{"kind":"progress","job":"import","percent":1}`)
	bob.showsNot("progress", "job", "export")
}

// A worker validates the bids of an auction, in JavaScript and in Go, with a token of its own by client credentials of a
// certified provider. What was the price before it is started anew is the price.
func TestTheExampleOfAnAuction(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(testing.TB, []string) *process{"JavaScript": startScriptWorker, "Go": startGoWorker} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			provider := startProvider(t, map[string][]string{"auction-worker": {"auction-worker"}})
			s := prepareStack(t, readExample(t, "auction.acl"))
			s.gateway = startGateway(t, s.settings(settings{"OIDC_ISSUER": provider.issuer}))
			tokens := map[string]string{"alice": provider.login(t, "alice"), "bob": provider.login(t, "bob")}
			p := newPlaying(t, s, "auction", func(user string) string { return tokens[user] })
			worker := func() *process {
				w := start(t, []string{"TOKEN_URL=" + provider.issuer + "/token", "CLIENT_ID=auction-worker", "CLIENT_SECRET=a secret of the worker alone",
					"GATEWAY=" + p.url("/mqtt")})
				w.stdout.await(t, "ready")
				return w
			}
			for _, user := range []string{"alice", "bob"} {
				s.redis.do(t, "SADD", "topicgate:user:"+user+":auctions", "vase")
			}
			w := worker()
			alice, bob := p.open("alice", nil), p.open("bob", nil)
			alice.does("bid", "vase", 10)
			bob.shows(`{"kind":"price","auction":"vase","amount":10,"by":"alice"}`)
			bob.does("bid", "vase", 9)
			bob.shows(`{"kind":"rejected","auction":"vase","amount":9,"reason":"the price is 10 already"}`)
			bob.does("bid", "vase", 12)
			alice.shows(`{"kind":"price","auction":"vase","amount":12,"by":"bob"}`)
			w.kill()
			eventually(t, "the worker has gone", func() bool { return s.metric(t, "topicgate_sessions") == 2 })
			alice.does("bid", "vase", 11) // waits for the worker
			alice.does("bid", "vase", 13)
			worker()
			alice.shows(`{"kind":"rejected","auction":"vase","amount":11,"reason":"the price is 12 already"}`)
			bob.shows(`{"kind":"price","auction":"vase","amount":13,"by":"alice"}`)
			alice.showsNot("rejected", "reason", "the price is 10 already")
		})
	}
}

// startScriptWorker runs worker.mjs as somebody does who has copied the directory and installed MQTT.js.
func startScriptWorker(t testing.TB, env []string) *process {
	t.Helper()
	dir := t.TempDir()
	for _, part := range []string{"examples", "browser"} {
		if err := os.CopyFS(filepath.Join(dir, part), os.DirFS(filepath.Join("../deploy", part))); err != nil {
			t.Fatal(err)
		}
	}
	packages, err := filepath.Abs(filepath.Join(nodeDir, "node_modules"))
	if err != nil {
		t.Fatal(err)
	}
	node := nodeProgram(t)
	if err := os.Symlink(packages, filepath.Join(dir, "node_modules")); err != nil {
		t.Fatal(err)
	}
	return start(t, "worker.mjs", node, []string{filepath.Join(dir, "examples", "worker.mjs")}, env)
}

// startGoWorker runs the one in Go.
func startGoWorker(t testing.TB, env []string) *process {
	t.Helper()
	path := filepath.Join(t.TempDir(), "worker")
	if out, err := exec.Command("go", "build", "-o", path, "topicgate/deploy/examples/worker").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return start(t, "worker", path, nil, env)
}
