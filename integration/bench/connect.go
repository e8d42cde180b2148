//go:build linux

package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"topicgate/frames"
)

const (
	loadConnect = "connect, 8 at a time"
	loadStorm   = "connect, storm of 2,000"
)

// connects measures what the way to a CONNACK costs: every client is another user with a token that the gateway has not seen.
func (b *bench) connects(ctx context.Context) error {
	// Mosquitto's listener takes 0.1 s for each, and many rounds' worth of time; what is compared most is near each other.
	names := b.chosenOf([]string{"tcp", "listener", "nginx", "pipe", "topicgate", "topicgate-unix"})
	for _, l := range []struct {
		name                     string
		clients, atOnce, repeats int // repeats of each round: what a noisy machine does to one is often over at the next
	}{
		{loadConnect, 200, 8, 4},
		{loadStorm, 2000, 2000, 1},
	} {
		page := b.turn(l.name)
		for r := range l.repeats * b.rounds {
			users, err := b.crewFrom(ctx, 0, l.clients) // fresh tokens
			if err != nil {
				return err
			}
			for k := range names {
				t, err := b.target(ctx, names[(k+r)%len(names)])
				if err != nil {
					return err
				}
				if err := b.rush(page, t, users, l.atOnce); err != nil {
					return fmt.Errorf("%s through %s: %w", l.name, t.name, err)
				}
			}
		}
		fmt.Fprintf(b.out, "\n%s (medians of %d)\n%-14s %9s %7s %9s %9s %9s\n", l.name, l.repeats*b.rounds, "", "CPU us", "of G", "p50 us", "p99 us", "of G")
		for _, name := range names {
			fmt.Fprintf(b.out, "%-14s %9.0f %7.2f %9.0f %9.0f %9.2f\n", name, b.median(l.name, name, cpuMicros), b.ratio(l.name, name, "pipe", cpuMicros),
				b.median(l.name, name, p50Micros), b.median(l.name, name, p99Micros), b.ratio(l.name, name, "pipe", p99Micros))
		}
	}
	return nil
}

// rush connects all users, as many at once as told, and notes what it took from the first SYN to CONNACK.
func (b *bench) rush(page *page, t *target, users []user, atOnce int) error {
	before, err := cpuTimes(t.pids)
	if err != nil {
		return err
	}
	took := make([]time.Duration, len(users))
	clients, err := open(len(users), atOnce, func(n int) (*client, error) {
		start := time.Now()
		c, err := connect(t, frames.V311, users[n], fmt.Sprintf("rush-%d", n))
		took[n] = time.Since(start)
		return c, err
	})
	defer hangUp(clients)
	if err != nil {
		return err
	}
	after, err := cpuTimes(t.pids)
	if err != nil {
		return err
	}
	page.note(t.name, cpuMicros, micros(after-before)/float64(len(users)))
	page.note(t.name, p50Micros, micros(percentile(took, 0.5)))
	page.note(t.name, p99Micros, micros(percentile(took, 0.99)))
	page.note(t.name, maxMicros, micros(percentile(took, 1)))
	return nil
}

// open makes n clients, as many at once as told. On an error it returns what there is.
func open(n, atOnce int, one func(n int) (*client, error)) ([]*client, error) {
	clients := make([]*client, n)
	var mu sync.Mutex
	var failed error
	numbers := make(chan int)
	var workers sync.WaitGroup
	for range min(n, atOnce) {
		workers.Go(func() {
			for k := range numbers {
				c, err := one(k)
				mu.Lock()
				clients[k] = c
				if err != nil && failed == nil {
					failed = err
				}
				mu.Unlock()
			}
		})
	}
	for k := range n {
		numbers <- k
	}
	close(numbers)
	workers.Wait()
	return clients, failed
}

// hangUp says goodbye for clients and closes them; nil ones are passed over.
func hangUp(clients []*client) {
	for _, c := range clients {
		if c != nil {
			_ = c.send([]byte{byte(frames.TypeDisconnect) << 4, 0})
			_ = c.Close()
		}
	}
}
