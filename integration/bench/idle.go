//go:build linux

package main

import (
	"context"
	"fmt"
	"time"

	"topicgate/frames"
)

// settling is how long sessions have been idle when memory is measured.
const settling = 15 * time.Second

func loadIdle(sessions int) string { return fmt.Sprintf("idle, %d sessions", sessions) }

// idleSessions are the sizes that idle memory is measured at.
var idleSessions = []int{2000, 9000}

// idle measures the memory of sessions that have subscribed and have each sent and received a message, and are silent since. Each
// measurement has a process of its own, once: memory does not scatter.
func (b *bench) idle(ctx context.Context) error {
	names := b.chosenOf([]string{"pipe", "nginx", "topicgate", "topicgate-tls"})
	users, err := b.crewFrom(ctx, 0, idleSessions[len(idleSessions)-1])
	if err != nil {
		return err
	}
	for _, n := range idleSessions {
		page := b.turn(loadIdle(n))
		for _, name := range names {
			t, err := b.fresh(ctx, name)
			if err != nil {
				return err
			}
			if err := b.rest(ctx, page, t, users[:n]); err != nil {
				return fmt.Errorf("%s through %s: %w", loadIdle(n), name, err)
			}
			b.stopTarget(t)
			fmt.Fprintf(b.out, "%s: %-14s %6.1f KiB a session\n", loadIdle(n), name, b.median(loadIdle(n), name, kibibytes))
		}
	}
	return nil
}

// crewFrom returns n users, numbered from first on, who are in rooms of their own.
func (b *bench) crewFrom(ctx context.Context, first, n int) ([]user, error) {
	users, err := b.issuer.users(first, n)
	if err != nil {
		return nil, err
	}
	return users, b.enroll(ctx, users, first)
}

// fresh returns a target in a process that has done nothing yet.
func (b *bench) fresh(ctx context.Context, name string) (*target, error) {
	if t := b.targets[name]; t != nil {
		b.stopTarget(t)
	}
	return b.target(ctx, name)
}

func (b *bench) rest(ctx context.Context, page *page, t *target, users []user) error {
	before, err := residentOfAll(t.pids)
	if err != nil {
		return err
	}
	clients, err := b.sleepers(t, users, 0)
	defer hangUp(clients)
	if err != nil {
		return err
	}
	select {
	case <-time.After(settling):
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	after, err := residentOfAll(t.pids)
	if err != nil {
		return err
	}
	page.note(t.name, kibibytes, float64(after-before)/1024/float64(len(users)))
	return nil
}

// sleepers opens a session for each user, numbered from first on, that has subscribed and has sent itself a message, in a room of its own.
func (b *bench) sleepers(t *target, users []user, first int) ([]*client, error) {
	return open(len(users), 32, func(n int) (*client, error) {
		c, err := connect(t, frames.V311, users[n], fmt.Sprintf("sleeper-%d", first+n))
		if err != nil {
			return nil, err
		}
		if err := c.subscribe(0, roomFilter(first+n)); err != nil {
			return c, err
		}
		if err := c.send(newLetter(frames.V311, roomTopic(room(first+n, 0), first+n), 0, 64).packet); err != nil {
			return c, err
		}
		if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
			return c, err
		}
		if _, err := c.await(frames.TypePublish); err != nil {
			return c, err
		}
		c.socket.rest()
		c.inbox.Release()
		return c, c.SetDeadline(time.Time{})
	})
}

func residentOfAll(pids []int) (sum int64, err error) {
	for _, pid := range pids {
		n, err := residentBytes(pid)
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}
