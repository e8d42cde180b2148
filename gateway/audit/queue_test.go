package audit

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A sink that is away for long keeps what each user has left; the one who goes on and on has a share of its queue.
func TestAFloodPushesOutNobodyElsesFromTheQueueOfASinkThatIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var here atomic.Bool
		sink := &fakeSink{write: func(context.Context, []Event) error {
			if !here.Load() {
				return errors.New("away")
			}
			return nil
		}}
		drops := new(dropCount)
		l, end := start(t, Options{Instance: "i", Sinks: map[string]Sink{"fake": sink}, QueueSize: 80, Dropped: drops.add})
		l.Record(Event{User: "first", Topic: "x"}) // in the hands of the sink
		time.Sleep(2 * time.Second)
		for second := range 20 {
			for n := range 10 { // no more than the table takes of one
				l.Record(Event{User: "mallory", Topic: fmt.Sprint(second, "/", n)})
				l.Record(Event{Remote: "192.0.2.1:1", Topic: fmt.Sprint(second, "/", n)})
			}
			time.Sleep(2 * time.Second)
		}
		for n := range 5 {
			l.Record(Event{User: "alice", Topic: fmt.Sprint(n)})
		}
		time.Sleep(2 * time.Second)
		drops.want(t, map[string]int{"fake": 2 * 190})
		here.Store(true)
		time.Sleep(time.Minute) // longer than any pause
		if err := end(); err != nil {
			t.Errorf("Run() = %v", err)
		}
		heard, lost := map[string]int{}, map[string]int{}
		for _, e := range sink.events {
			if e.Reason == ReasonQueueFull {
				lost[e.User+e.Remote] += e.Count
				if e.Instance != "i" {
					t.Errorf("instance %q; want i", e.Instance)
				}
				continue
			}
			heard[e.User+e.Remote]++
		}
		if heard["first"] != 1 || heard["alice"] != 5 || heard["mallory"] != 10 || heard["192.0.2.1:1"] != 10 ||
			lost["mallory"] != 190 || lost["192.0.2.1/32"] != 190 || len(lost) != 2 {
			t.Errorf("%v were heard of, %v lost; want all of alice, 10 of mallory and of the stranger, and 190 each counted", heard, lost)
		}
		drops.want(t, map[string]int{"fake": 2 * 190}) // once each
	})
}

func TestWhatASinkRefusesIsCountedAndToldWithWhatComesNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var refuse atomic.Bool
		refuse.Store(true)
		writes := 0
		sink := new(fakeSink)
		sink.write = func(_ context.Context, events []Event) error {
			writes++
			if refuse.Load() && len(events) > 1 {
				sink.mu.Lock()
				defer sink.mu.Unlock()
				sink.events = append(sink.events, events[0])
				return &WriteError{1, &RefusedError{len(events) - 1, errors.New("no")}}
			} else if refuse.Load() {
				return &RefusedError{len(events), errors.New("no")}
			}
			return nil
		}
		drops := new(dropCount)
		l, end := start(t, Options{Sinks: map[string]Sink{"fake": sink}, Dropped: drops.add})
		for _, name := range []string{"a", "b", "c", "b"} {
			l.Record(topic(name))
		}
		time.Sleep(time.Hour)
		sink.want(t, []string{"a"}, []int{1})
		drops.want(t, map[string]int{"fake": 3})
		if writes != 1 {
			t.Errorf("%d writes; want 1: a refusal alone is not told to who refuses", writes)
		}
		l.Record(topic("d"))
		time.Sleep(time.Hour)
		refuse.Store(false)
		l.Record(topic("e"))
		time.Sleep(time.Hour)
		sink.want(t, []string{"a", ReasonSinkRefused, "e"}, []int{1, 4, 1})
		drops.want(t, map[string]int{"fake": 4})
		if err := end(); err != nil {
			t.Errorf("Run() = %v", err)
		}
	})
}
