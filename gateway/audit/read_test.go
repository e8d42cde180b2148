package audit

import (
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

func TestTheStreamIsReadAsItWasWritten(t *testing.T) {
	client, _ := startRedis(t)
	now := time.Now().UTC().Truncate(time.Millisecond)
	var want []Event
	for i := range 2*readAhead + 1 {
		e := exampleEvent()
		e.Time, e.Topic = now.Add(time.Duration(i)*time.Millisecond), fmt.Sprint(i)
		want = append(want, e)
	}
	if err := NewRedisSink(client, stream, 0).Write(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	r := NewReader(client, stream, now.Add(time.Millisecond)) // without the first
	var got []Event
	for {
		events, err := r.Next(t.Context(), 0)
		if err != nil {
			t.Fatalf("Next() = %v", err)
		}
		if len(events) == 0 {
			break
		}
		got = append(got, events...)
	}
	if len(got) != len(want)-1 {
		t.Fatalf("%d events; want %d", len(got), len(want)-1)
	}
	for i, e := range got {
		if e != want[i+1] {
			t.Errorf("event %d = %+v; want %+v", i, e, want[i+1])
		}
	}
	go client.XAdd(t.Context(), &redis.XAddArgs{Stream: stream, Values: []string{"topic", "what others write", "qos", "many"}})
	var events []Event
	await(t, "what comes is read", func() bool {
		var err error
		if events, err = r.Next(t.Context(), time.Second); err != nil {
			t.Fatalf("Next() = %v", err)
		}
		return len(events) > 0
	})
	if len(events) != 1 || events[0].Topic != "what others write" || events[0].Time.Before(now) {
		t.Errorf("Next() = %+v; want the one, with the time of its entry", events)
	}
}

func TestAReaderGoesOnAfterAnError(t *testing.T) {
	client, _ := startRedis(t)
	r := NewReader(client, stream, time.Time{})
	client.Set(t.Context(), stream, "no stream", 0)
	if events, err := r.Next(t.Context(), 0); err == nil {
		t.Errorf("Next() = %v, nil; want an error", events)
	}
	client.Del(t.Context(), stream)
	if events, err := r.Next(t.Context(), 0); len(events) > 0 || err != nil {
		t.Errorf("Next() without a stream = %v, %v; want nothing", events, err)
	}
	if err := NewRedisSink(client, stream, 0).Write(t.Context(), []Event{topic("a")}); err != nil {
		t.Fatal(err)
	}
	if events, err := r.Next(t.Context(), 0); len(events) != 1 || err != nil {
		t.Errorf("Next() = %v, %v; want a", events, err)
	}
}
