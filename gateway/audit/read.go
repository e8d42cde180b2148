package audit

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// readAhead is how many entries are read at a time.
	readAhead = 100
	// clockSlack is how far the clocks of a gateway and of Redis may be apart: entries are found by the time of Redis,
	// and stand for what happened by the gateway's.
	clockSlack = time.Minute
)

// Reader reads what NewRedisSink has written. It is used by one goroutine.
type Reader struct {
	client redis.UniversalClient
	stream string
	since  time.Time
	last   string // entry that was read
}

// NewReader reads the events from a time on, by the clock of the gateway that wrote them. The client belongs to the
// caller.
func NewReader(c redis.UniversalClient, stream string, since time.Time) *Reader {
	return &Reader{c, stream, since, fmt.Sprintf("%d-0", max(0, since.Add(-clockSlack).UnixMilli()))}
}

// Next returns events that follow the last ones, in the order of the stream; none: these were all. It waits for some
// for as long as wait says, with 0 not at all. After an error it goes on where it was.
func (r *Reader) Next(ctx context.Context, wait time.Duration) ([]Event, error) {
	for {
		args := &redis.XReadArgs{Streams: []string{r.stream, r.last}, Count: readAhead, Block: -1}
		if wait > 0 {
			args.Block = wait
		}
		streams, err := r.client.XRead(ctx, args).Result()
		switch {
		case err == redis.Nil || err == nil && len(streams) == 0:
			return nil, nil
		case err != nil:
			return nil, fmt.Errorf("XREAD %s: %w", r.stream, err)
		}
		var events []Event
		for _, entry := range streams[0].Messages {
			r.last = entry.ID
			if e := parseEntry(entry); !e.Time.Before(r.since) {
				events = append(events, e)
			}
		}
		if len(events) > 0 {
			return events, nil
		}
	}
}

// parseEntry reads the flat fields. What is missing, or is no number, is nothing: others may write to the stream.
func parseEntry(entry redis.XMessage) Event {
	text := func(name string) string { s, _ := entry.Values[name].(string); return s }
	number := func(name string) int { n, _ := strconv.Atoi(text(name)); return n }
	e := Event{
		Instance: text("instance"), Session: text("session"), User: text("user"), Issuer: text("issuer"),
		ClientID: text("client_id"), Remote: text("remote"), Action: Action(text("action")), Topic: text("topic"),
		QoS: uint8(number("qos")), Retain: text("retain") == "true", Bytes: number("bytes"),
		Decision: text("decision"), Reason: text("reason"), Rule: text("rule"), Count: number("count"),
	}
	var err error
	if e.Time, err = time.Parse(timeFormat, text("time")); err != nil {
		milliseconds, _, _ := strings.Cut(entry.ID, "-")
		ms, _ := strconv.ParseInt(milliseconds, 10, 64)
		e.Time = time.UnixMilli(ms).UTC()
	}
	return e
}
