package registry

import (
	"context"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/redis/go-redis/v9"
)

const (
	minControlPause = 100 * time.Millisecond
	maxControlPause = 2 * time.Second
)

// listen hears orders and questions until ctx ends.
func (r *Registry) listen(ctx context.Context, host Host) {
	pauses := backoff.ExponentialBackOff{ // all gateways lose a server at once: each waits a time of its own
		InitialInterval: minControlPause, Multiplier: 2, RandomizationFactor: 0.5, MaxInterval: maxControlPause,
	}
	for ctx.Err() == nil {
		begin := time.Now()
		err := r.hear(ctx, host)
		if ctx.Err() != nil {
			return
		}
		r.log.Debug("control connection lost", "err", err.Error())
		if time.Since(begin) > maxControlPause {
			pauses.Reset()
		}
		select {
		case <-ctx.Done():
		case <-time.After(pauses.NextBackOff()):
		}
	}
}

// hear holds one connection, and returns when it is no good any more.
func (r *Registry) hear(ctx context.Context, host Host) error {
	sub := r.client.Subscribe(ctx, r.keys.control())
	defer sub.Close()
	defer context.AfterFunc(ctx, func() { _ = sub.Close() })()

	// A connection that is half open tells nothing, so it has to answer pings. That is not left to a read
	// deadline: one that struck in the middle of a message would leave the reader there.
	silence := time.AfterFunc(r.timing.silence, func() { _ = sub.Close() })
	defer silence.Stop()
	pinging, stop := context.WithCancel(ctx)
	var pinger sync.WaitGroup
	pinger.Go(func() { r.ping(pinging, sub) })
	defer pinger.Wait()
	defer stop()

	for {
		received, err := sub.Receive(ctx)
		if err != nil {
			return err
		}
		silence.Reset(r.timing.silence)
		message, ok := received.(*redis.Message)
		if !ok {
			continue // a confirmation, or the answer to a ping
		}
		control, err := parseControl(message.Payload)
		if err != nil {
			r.log.Warn("control message dropped", "channel", message.Channel, "bytes", len(message.Payload), "err", err.Error())
			continue
		}
		switch {
		case control.Disconnect != nil:
			host.Obey(*control.Disconnect)
		case control.Asked != nil:
			r.answer(ctx, *control.Asked, host.Has)
		case control.Answered != "":
			r.answered(control.Answered, true)
		default:
			r.answered(control.Denied, false)
		}
	}
}

func (r *Registry) ping(ctx context.Context, sub *redis.PubSub) {
	ticker := time.NewTicker(r.timing.ping)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			_ = sub.Ping(ctx) // a failure shows itself as silence
		}
	}
}
