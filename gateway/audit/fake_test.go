package audit

import (
	"context"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"
)

// fakeSink remembers what it was given, and when.
type fakeSink struct {
	write func(ctx context.Context, events []Event) error // nil: takes everything

	mu     sync.Mutex
	events []Event
	at     []time.Time
	closed bool
}

func (s *fakeSink) Write(ctx context.Context, events []Event) error {
	if s.write != nil {
		if err := s.write(ctx, events); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range events {
		s.events, s.at = append(s.events, e), append(s.at, time.Now())
	}
	return nil
}

func (s *fakeSink) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	return nil
}

// summary is topic or reason, and count, of each event that the sink was given.
func (s *fakeSink) summary() (topics []string, counts []int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.events {
		topics, counts = append(topics, e.Topic+e.Reason), append(counts, e.Count)
	}
	return topics, counts
}

func (s *fakeSink) want(t *testing.T, topics []string, counts []int) {
	t.Helper()
	if gotTopics, gotCounts := s.summary(); !slices.Equal(gotTopics, topics) || !slices.Equal(gotCounts, counts) {
		t.Errorf("sink has %q, counts %v; want %q, counts %v", gotTopics, gotCounts, topics, counts)
	}
}

// start runs a Log; the function that it returns ends it and gives the error of Run.
func start(t *testing.T, o Options) (l *Log, end func() error) {
	t.Helper()
	l = New(o)
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() { result <- l.Run(ctx) }()
	return l, func() error {
		cancel()
		return <-result
	}
}

// dropCount is an Options.Dropped that sums up.
type dropCount struct {
	mu     sync.Mutex
	bySink map[string]int
}

func (d *dropCount) add(sink string, n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.bySink == nil {
		d.bySink = make(map[string]int)
	}
	d.bySink[sink] += n
}

func (d *dropCount) want(t *testing.T, want map[string]int) {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.bySink)+len(want) > 0 && !reflect.DeepEqual(d.bySink, want) {
		t.Errorf("dropped %v; want %v", d.bySink, want)
	}
}

func topic(name string) Event { return Event{Action: Publish, Topic: name} }

func exampleEvent() Event {
	return Event{
		Time: time.Date(2026, 11, 21, 9, 0, 0, 7_900_000, time.FixedZone("", 3600)), Instance: "gw1", Session: "s1",
		User: "alice", Issuer: "https://issuer.test", ClientID: "web-1", Remote: "198.51.100.7:4711",
		Action: Publish, Topic: "chat/messages/bob/alice", QoS: 1, Retain: true, Bytes: 12,
		Decision: Refused, Reason: "not_authorized", Rule: "acl:3", Count: 2,
	}
}
