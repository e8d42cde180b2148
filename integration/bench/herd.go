//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"topicgate/frames"
)

// loadHerd is a herd of clients whose broker restarts, each of which tries again a second after it was sent away, as
// MQTT.js does.
const loadHerd = "2,000 clients, broker restarted after 3 s"

const (
	herdClients = 2000
	herdAway    = 3 * time.Second
	herdPause   = time.Second

	backMillis = "back_ms"  // from the broker's return until all are back
	refusals   = "refusals" // CONNACKs that were no success
	sentAway   = "sent_away"
)

// herd measures how soon all of them are back.
func (b *bench) herd(ctx context.Context) error {
	page := b.turn(loadHerd)
	users, err := b.crewFrom(ctx, 80_000, herdClients)
	if err != nil {
		return err
	}
	for range b.rounds {
		t, err := b.fresh(ctx, "topicgate")
		if err != nil {
			return err
		}
		if err := b.returnOfHerd(ctx, page, t, users); err != nil {
			return err
		}
	}
	fmt.Fprintf(b.out, "%s: all back %.1f s after it, %.0f refused, %.0f sent away once more\n", loadHerd,
		b.median(loadHerd, herdTarget, backMillis)/1e3, b.median(loadHerd, herdTarget, refusals), b.median(loadHerd, herdTarget, sentAway))
	return nil
}

// herdTarget is the one target of a herd.
const herdTarget = "topicgate"

func (b *bench) returnOfHerd(ctx context.Context, page *page, t *target, users []user) error {
	ctx, stop := context.WithTimeout(ctx, 2*time.Minute)
	defer stop()
	var refused, away, connected atomic.Int64
	var returned atomic.Bool
	last := make(chan time.Duration, len(users))
	var all sync.WaitGroup
	defer all.Wait()
	defer stop()
	for n, u := range users {
		all.Go(func() {
			for ctx.Err() == nil {
				c, err := connect(t, frames.V311, u, fmt.Sprint("herd-", n))
				if err != nil {
					if strings.Contains(err.Error(), "CONNACK") && !strings.Contains(err.Error(), "waiting for") {
						refused.Add(1)
					} else if returned.Load() {
						away.Add(1)
					}
				} else {
					connected.Add(1)
					if returned.Load() {
						last <- sinceBegan()
						<-ctx.Done()
						_ = c.Close()
						return
					}
					undo := context.AfterFunc(ctx, func() { _ = c.Close() })
					_, _ = c.await(frames.TypeAuth) // reads until the end
					undo()
					_ = c.Close()
					connected.Add(-1)
				}
				select {
				case <-time.After(herdPause):
				case <-ctx.Done():
				}
			}
		})
	}
	for connected.Load() < int64(len(users)) {
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	b.broker.stop()
	select {
	case <-time.After(herdAway):
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	returned.Store(true)
	if err := b.restartBroker(ctx); err != nil {
		return err
	}
	begin, end := sinceBegan(), time.Duration(0)
	for range users {
		select {
		case at := <-last:
			end = max(end, at)
		case <-ctx.Done():
			return errors.New("not all came back")
		}
	}
	page.note(herdTarget, backMillis, micros(end-begin)/1e3)
	page.note(herdTarget, refusals, float64(refused.Load()))
	page.note(herdTarget, sentAway, float64(away.Load()))
	return nil
}

// restartBroker starts the broker once more, where it was.
func (w *world) restartBroker(ctx context.Context) (err error) {
	path, err := program("mosquitto")
	if err != nil {
		return err
	}
	config := filepath.Join(w.dir, "mosquitto.conf")
	if _, err := os.Stat(config); err != nil {
		return err
	}
	if w.broker, err = w.start("mosquitto", path, []string{"-c", config}, nil); err != nil {
		return err
	}
	return w.broker.await(ctx, func() bool { return listening(w.brokerTCP) && listening(w.brokerWS) })
}

func (b *book) writeHerd(t *strings.Builder) {
	if b.Loads[loadHerd] == nil {
		return
	}
	fmt.Fprintf(t, "\n## %s\n\n%sAll are back %s s after the broker; %s were refused, %s sent away once more.\n", title(loadHerd), b.source(loadHerd),
		number(b.median(loadHerd, herdTarget, backMillis)/1e3, 1), number(b.median(loadHerd, herdTarget, refusals), 0), number(b.median(loadHerd, herdTarget, sentAway), 0))
}
