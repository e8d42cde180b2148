package audit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestEqualEventsOfASecondAreOneWithACount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sink := new(fakeSink)
		l, end := start(t, Options{Instance: "gw1", Sinks: map[string]Sink{"fake": sink}})
		begin := time.Now()
		l.Record(topic("a"))
		time.Sleep(300 * time.Millisecond)
		l.Record(topic("b"))
		l.Record(topic("a"))
		l.Record(Event{Action: Publish, Topic: "b", Count: 3})
		time.Sleep(time.Second)
		l.Record(topic("a"))
		time.Sleep(time.Second)
		if err := end(); err != nil {
			t.Errorf("Run() = %v", err)
		}
		sink.want(t, []string{"a", "b", "a"}, []int{2, 4, 1})
		for i, want := range []struct{ happened, written time.Duration }{
			{0, time.Second}, {300 * time.Millisecond, time.Second}, {1300 * time.Millisecond, 2300 * time.Millisecond},
		} {
			e := sink.events[i]
			if happened, written := e.Time.Sub(begin), sink.at[i].Sub(begin); happened != want.happened || written != want.written {
				t.Errorf("event %d: time +%v, written +%v; want +%v, +%v", i, happened, written, want.happened, want.written)
			}
			if e.Instance != "gw1" {
				t.Errorf("event %d: instance %q; want gw1", i, e.Instance)
			}
		}
		if !sink.closed {
			t.Error("the sink is open after Run; want it closed")
		}
	})
}

func TestEveryFieldMakesEventsDifferent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sink := new(fakeSink)
		l, end := start(t, Options{Sinks: map[string]Sink{"fake": sink}})
		kind, want := reflect.TypeFor[Event](), 1
		l.Record(Event{})
		for i := range kind.NumField() {
			var e Event
			switch field := reflect.ValueOf(&e).Elem().Field(i); field.Kind() {
			case reflect.String:
				field.SetString("x")
			case reflect.Bool:
				field.SetBool(true)
			case reflect.Int:
				field.SetInt(2)
			case reflect.Uint8:
				field.SetUint(2)
			case reflect.Struct:
				field.Set(reflect.ValueOf(time.Now().Add(time.Millisecond)))
			default:
				t.Fatalf("field %s of kind %v has no case here", kind.Field(i).Name, field.Kind())
			}
			if name := kind.Field(i).Name; name != "Time" && name != "Count" {
				want++
			}
			l.Record(e)
		}
		_ = end()
		if len(sink.events) != want || sink.events[0].Count != 1+1+2 {
			t.Errorf("%d events, the first counts %d; want %d, 4", len(sink.events), sink.events[0].Count, want)
		}
	})
}

func TestHalfFullTableIsWrittenBeforeTheSecondIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sink, drops := new(fakeSink), new(dropCount)
		l, end := start(t, Options{Sinks: map[string]Sink{"fake": sink}, QueueSize: 4, Dropped: drops.add})
		for _, name := range []string{"a", "b", "c", "d", "e", "f"} {
			l.Record(topic(name))
			synctest.Wait()
		}
		sink.want(t, []string{"a", "b", "c", "d", "e", "f"}, []int{1, 1, 1, 1, 1, 1})
		drops.want(t, nil)
		_ = end()
	})
}

// A user who has many things refused in a second is counted by and by; others are heard of one by one.
func TestAFloodOfOneUsersPushesOutNobodyElses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sink := &fakeSink{}
		lost := 0
		l, end := start(t, Options{Instance: "i", Sinks: map[string]Sink{"fake": sink}, QueueSize: 80, Dropped: func(_ string, n int) { lost += n }})
		for i := range 300 {
			l.Record(Event{User: "mallory", Topic: fmt.Sprint(i)})
		}
		for i := range 5 {
			l.Record(Event{User: "alice", Topic: fmt.Sprint(i)})
		}
		if err := end(); err != nil {
			t.Errorf("Run() = %v", err)
		}
		heard := map[string]int{}
		for _, e := range sink.events {
			if e.Reason == ReasonQueueFull {
				if e.User != "mallory" || e.Count != 290 || e.Instance != "i" {
					t.Errorf("the loss is told by %+v; want 290 of mallory's", e)
				}
				continue
			}
			heard[e.User]++
		}
		if heard["alice"] != 5 || heard["mallory"] != 10 || lost != 290 {
			t.Errorf("%v were heard of, %d lost; want 5 of alice, 10 of mallory and 290", heard, lost)
		}
	})
}

// Who is not known yet shares by address, and all of them have half of the table: a flood of strangers pushes out no user
// and no other stranger.
func TestStrangersShareByAddress(t *testing.T) {
	table := newTable(80)
	add := func(user, remote string, n int) {
		e := Event{User: user, Remote: remote, Topic: fmt.Sprint(n)}
		table.add(uint64(n)<<32|uint64(len(table.entries)), &e, time.Now(), 1)
	}
	for n := range 300 {
		add("", "[2001:db8::"+fmt.Sprintf("%x", n+1)+"]:4711", n) // one network
	}
	add("", "192.0.2.1:4711", 1000)
	for n := range 300 {
		add("", fmt.Sprintf("198.51.%d.%d:4711", n/200, n%200), 2000+n)
	}
	for n := range 10 {
		add("alice", "192.0.2.2:4711", 3000+n)
	}
	got := map[string]int{}
	events, lost, beyond := table.take()
	for _, e := range events {
		switch {
		case e.Reason == ReasonQueueFull:
			got["lost"]++
		case e.User != "":
			got[e.User]++
		default:
			got[e.Remote[:4]]++
		}
	}
	if got["[200"] != 10 || got["192."] != 1 || got["198."] != 29 || got["alice"] != 10 || got["lost"] != 1 || beyond != 290 || lost != 271 {
		t.Errorf("%v, %d beyond, %d lost; want 10 of the network, one of the quiet stranger, 29 of the others, 10 of alice, and the rest counted", got, beyond, lost)
	}
}

func TestFullTableIsCountedAndAudited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one, two, drops := new(fakeSink), new(fakeSink), new(dropCount)
		l := New(Options{Instance: "gw1", Sinks: map[string]Sink{"one": one, "two": two}, QueueSize: 2, Dropped: drops.add})
		for _, name := range []string{"a", "b", "c", "a", "d", "d"} { // nobody empties the table yet
			l.Record(topic(name))
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		result := make(chan error, 1)
		go func() { result <- l.Run(ctx) }()
		synctest.Wait()
		for _, sink := range []*fakeSink{one, two} {
			sink.want(t, []string{"a", "b", ReasonQueueFull}, []int{2, 1, 3})
			if e := sink.events[2]; e != (Event{Time: e.Time, Instance: "gw1", Reason: ReasonQueueFull, Count: 3}) {
				t.Errorf("event for what was lost = %+v; want time, instance, reason and count alone", e)
			}
		}
		drops.want(t, map[string]int{"one": 3, "two": 3})
		cancel()
		if err := <-result; err != nil {
			t.Errorf("Run() = %v", err)
		}
	})
}

func TestHungSinkDelaysNobodyAndItsLossIsAudited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		hung := &fakeSink{write: func(context.Context, []Event) error { <-release; return nil }}
		sound, drops := new(fakeSink), new(dropCount)
		l, end := start(t, Options{Sinks: map[string]Sink{"hung": hung, "sound": sound}, QueueSize: 4, Dropped: drops.add})
		names := []string{"a", "b", "c", "d", "e", "f", "g", "h", "i", "j"}
		for _, name := range names {
			l.Record(topic(name))
			synctest.Wait()
		}
		sound.want(t, names, []int{1, 1, 1, 1, 1, 1, 1, 1, 1, 1})
		hung.want(t, nil, nil)
		// a and b are in its hands, c to f are queued.
		drops.want(t, map[string]int{"hung": 4})

		close(release)
		synctest.Wait()
		hung.want(t, []string{"a", "b", "c", "d", "e", "f", ReasonQueueFull}, []int{1, 1, 1, 1, 1, 1, 4})
		l.Record(topic("k"))
		if err := end(); err != nil {
			t.Errorf("Run() = %v", err)
		}
		hung.want(t, []string{"a", "b", "c", "d", "e", "f", ReasonQueueFull, "k"}, []int{1, 1, 1, 1, 1, 1, 4, 1})
		sound.want(t, append(names, "k"), []int{1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1})
	})
}

func TestFailedWriteIsTriedAgainWithGrowingPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tries []time.Duration
		begin := time.Now()
		sink := new(fakeSink)
		sink.write = func(_ context.Context, events []Event) error {
			tries = append(tries, time.Since(begin))
			switch len(tries) {
			case 1:
				return errors.New("away")
			case 2:
				sink.mu.Lock()
				defer sink.mu.Unlock()
				sink.events = append(sink.events, events[0])
				return &WriteError{1, errors.New("lost after the first")}
			case 3, 4, 5, 6, 7, 8, 9:
				return errors.New("away")
			}
			return nil
		}
		var log strings.Builder
		l, end := start(t, Options{Sinks: map[string]Sink{"fake": sink}, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		l.Record(topic("a"))
		l.Record(topic("b"))
		time.Sleep(time.Minute)
		if err := end(); err != nil {
			t.Errorf("Run() = %v", err)
		}
		sink.want(t, []string{"a", "b"}, []int{1, 1})
		// Each pause is half as long to one and a half times as long as that.
		pauses := []time.Duration{100, 200, 400, 800, 1600, 3200, 5000, 5000, 5000} // ms
		if len(tries) != len(pauses)+1 {
			t.Fatalf("tries at %v; want %d", tries, len(pauses)+1)
		}
		for i, pause := range pauses {
			pause *= time.Millisecond
			if got := tries[i+1] - tries[i]; got < pause/2 || got > pause*3/2 {
				t.Errorf("try %d came %v after the one before; want about %v", i+2, got, pause)
			}
		}
		if got := strings.Count(log.String(), "level=WARN"); got != 1 || !strings.Contains(log.String(), "works again") {
			t.Errorf("%d warnings; want 1, and that it works again:\n%s", got, &log)
		}
	})
}

func TestRunDrainsWithinABound(t *testing.T) {
	for _, tt := range []struct {
		name  string
		write func(ctx context.Context, _ []Event) error
		took  time.Duration
		fails bool
	}{
		{"slow", func(context.Context, []Event) error { time.Sleep(4 * time.Second); return nil }, 4 * time.Second, false},
		{"away", func(context.Context, []Event) error { return errors.New("away") }, drainTimeout, true},
		{"hung until told", func(ctx context.Context, _ []Event) error { <-ctx.Done(); return ctx.Err() }, drainTimeout, true},
		{"hung for good", func(context.Context, []Event) error { time.Sleep(time.Hour); return nil }, drainTimeout + drainGrace, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sound, drops := new(fakeSink), new(dropCount)
				l, end := start(t, Options{Sinks: map[string]Sink{"bad": &fakeSink{write: tt.write}, "sound": sound}, Dropped: drops.add})
				l.Record(topic("a"))
				l.Record(topic("a"))
				synctest.Wait()
				stopped := time.Now()
				err := end()
				if took := time.Since(stopped); took != tt.took || (err != nil) != tt.fails {
					t.Errorf("Run() = %v after %v; want an error: %v, after %v", err, took, tt.fails, tt.took)
				}
				sound.want(t, []string{"a"}, []int{2})
				if tt.took == drainTimeout {
					drops.want(t, map[string]int{"bad": 2})
				}
				time.Sleep(time.Hour) // the bubble wants all goroutines to end
			})
		})
	}
}

func TestLongStringsAreCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sink := new(fakeSink)
		l, end := start(t, Options{Sinks: map[string]Sink{"fake": sink}})
		for _, s := range []string{
			strings.Repeat("x", maxText),
			strings.Repeat("x", 65535),
			"x" + strings.Repeat("é", 32767),   // the 1,024th byte is the first half of a character
			strings.Repeat("\x80", maxText+10), // no UTF-8: must not be searched for a beginning
		} {
			l.Record(Event{Topic: s, ClientID: s, Rule: s})
		}
		_ = end()
		for i, want := range []string{
			strings.Repeat("x", maxText),
			strings.Repeat("x", maxText) + "…[65535 bytes]",
			"x" + strings.Repeat("é", 511) + "…[65535 bytes]",
			strings.Repeat("\x80", maxText-4) + "…[1034 bytes]",
		} {
			if e := sink.events[i]; e.Topic != want || e.ClientID != want || e.Rule != want {
				t.Errorf("topic %d = %q; want %q, as client id and rule", i, e.Topic, want)
			}
		}
	})
}

func TestNobodyToWriteTo(t *testing.T) {
	var none *Log
	none.Record(topic("a"))
	l := New(Options{})
	l.Record(topic("a"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Run(ctx); err != nil {
		t.Errorf("Run() = %v", err)
	}
}

func TestRecordFromManyGoroutinesLosesNothing(t *testing.T) {
	sink := new(fakeSink)
	l, end := start(t, Options{Sinks: map[string]Sink{"fake": sink}})
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 1000 {
				l.Record(topic(string(rune('a' + (i+j)%20))))
			}
		})
	}
	wg.Wait()
	if err := end(); err != nil {
		t.Errorf("Run() = %v", err)
	}
	if got := lossOf(sink.events); got != 8000 {
		t.Errorf("events count %d operations; want 8000", got)
	}
}

func TestFoldingAllocatesNothing(t *testing.T) {
	l := New(Options{Instance: "gw1", Sinks: map[string]Sink{"fake": new(fakeSink)}})
	e := exampleEvent()
	l.Record(e)
	if got := testing.AllocsPerRun(1000, func() { l.Record(e) }); got != 0 {
		t.Errorf("Record of an event that is folded allocates %v times; want 0", got)
	}
}
