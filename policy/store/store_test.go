package store

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"topicgate/policy"
)

// testStore is a running Store with what it told.
type testStore struct {
	*Store
	mu     sync.Mutex
	events []Event
	log    strings.Builder
}

func (s *testStore) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.Write(p)
}

// count is how many events f is true for.
func (s *testStore) count(f func(Event) bool) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.countLocked(f)
}

func (s *testStore) countLocked(f func(Event) bool) (n int) {
	for _, e := range s.events {
		if f(e) {
			n++
		}
	}
	return n
}

// away is that Redis was away for too long. On a slow machine that is so until it is watched for the first time.
func away(e Event) bool { return e.Kind == EventAway && !e.OK }

func resetFor(reason string) func(Event) bool {
	return func(e Event) bool { return e.Kind == EventReset && e.Reason == reason }
}

// startStore runs a Store until the test ends; with changes what is not the usual.
func startStore(t testing.TB, url string, with ...func(*Store, *Options)) *testStore {
	t.Helper()
	ts := &testStore{}
	o := Options{
		RedisURL: url,
		Prefix:   "topicgate:",
		StaleMax: 30 * time.Second,
		Instance: "test",
		Logger:   slog.New(slog.NewTextHandler(ts, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Observe: func(e Event) {
			ts.mu.Lock()
			defer ts.mu.Unlock()
			ts.events = append(ts.events, e)
		},
	}
	for _, f := range with {
		f(nil, &o)
	}
	s, err := New(o)
	if err != nil {
		t.Fatalf("New() = %v", err)
	}
	for _, f := range with {
		f(s, &o)
	}
	ts.Store = s
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run() = %v; want nil", err)
		}
		s.Close()
		if t.Failed() {
			ts.mu.Lock()
			defer ts.mu.Unlock()
			t.Logf("the store logged:\n%s", &ts.log)
		}
	})
	return ts
}

// known returns when all that was changed before is known: what follows is read once.
func (s *testStore) known(t *testing.T) {
	t.Helper()
	now := time.Now()
	eventually(t, "all changes are known", func() bool { return s.canarySeen(t).After(now) })
}

// file has the store read rules from a file.
func file(path string) func(*Store, *Options) {
	return func(_ *Store, o *Options) { o.PolicyFile = path }
}

func staleMax(d time.Duration) func(*Store, *Options) {
	return func(_ *Store, o *Options) { o.StaleMax = d }
}

// timed changes the timing.
func timed(f func(*timing)) func(*Store, *Options) {
	return func(s *Store, _ *Options) {
		if s != nil {
			f(&s.timing)
		}
	}
}

func (s *testStore) open(t testing.TB, p policy.Principal) *Grant {
	t.Helper()
	return s.openWith(t, p, nil)
}

func (s *testStore) openWith(t testing.TB, p policy.Principal, changed func()) *Grant {
	t.Helper()
	g, err := s.Open(context.Background(), p, changed)
	if err != nil {
		t.Fatalf("Open(%s) = %v", p.Username, err)
	}
	t.Cleanup(g.Close)
	return g
}

func reads(g *Grant, topicName string) bool { return g.Access().Receive([]byte(topicName)).Allowed }

const roomRules = "pattern readwrite chat/room/{rooms}/#\npattern deny chat/room/{banned}/#\npattern read chat/to/%u\nrole moderator\ntopic readwrite chat/room/#\n"

func TestRulesOfTheFileAloneNeedNoRedis(t *testing.T) {
	path := writeFile(t, "rules.acl", roomRules)
	s := startStore(t, "none", file(path))
	alice := s.open(t, policy.Principal{Username: "alice"})
	mod := s.open(t, policy.Principal{Username: "mod", Roles: []string{"moderator"}})
	for _, c := range []struct {
		g     *Grant
		topic string
		want  bool
	}{
		{alice, "chat/to/alice", true},
		{alice, "chat/to/bob", false},
		{alice, "chat/room/7/x", false},
		{mod, "chat/room/7/x", true},
	} {
		if got := reads(c.g, c.topic); got != c.want {
			t.Errorf("Receive(%s) = %v; want %v", c.topic, got, c.want)
		}
	}
	if st := s.Status(); !st.Ready || st.Detail["redis"] != "none" {
		t.Errorf("Status() = %+v; want ready without redis", st)
	}
	if s.Client() != nil {
		t.Error("Client() is a client; want nil")
	}
}
