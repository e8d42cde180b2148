package audit

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"
)

// redisTimeout bounds one batch.
const redisTimeout = 5 * time.Second

// NewRedisSink appends to a stream, a batch in one pipeline, and keeps about the last maxLen
// entries (0: all). The client belongs to the caller and stays open. It obeys the end of a context
// only when made with ContextTimeoutEnabled; otherwise its own timeouts and retries bound a Write.
func NewRedisSink(c redis.UniversalClient, stream string, maxLen int64) Sink {
	return &redisSink{c, stream, maxLen}
}

type redisSink struct {
	client redis.UniversalClient
	stream string
	maxLen int64
}

// Write may add an event twice when the connection is lost between a command and its answer.
func (s *redisSink) Write(ctx context.Context, events []Event) error {
	ctx, cancel := context.WithTimeout(ctx, redisTimeout)
	defer cancel()
	// No transaction: in a Cluster, and with an ACL that allows XADD alone, a pipeline is enough.
	commands, err := s.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i := range events {
			p.XAdd(ctx, &redis.XAddArgs{Stream: s.stream, MaxLen: s.maxLen, Approx: s.maxLen > 0, Values: events[i].flat()})
		}
		return nil
	})
	if err == nil {
		return nil
	}
	written := slices.IndexFunc(commands, func(c redis.Cmder) bool { return c.Err() != nil })
	return &WriteError{max(written, 0), fmt.Errorf("XADD %s: %w", s.stream, err)}
}

func (s *redisSink) Close() error { return nil }
