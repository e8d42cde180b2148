//go:build linux

package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	growSessions      = "growth: sessions"
	growRules         = "growth: rules"
	growRooms         = "growth: rooms of a user"
	growSubscriptions = "growth: subscriptions of a session"
	growChanges       = "growth: policy changes a second"
)

// growth shows how the cost of a message grows with what lies around. Nothing of it may lie on the message's path. The pipe is
// played beside it, as its own cost grows too: with what the kernel and the broker have to keep.
func (b *bench) growth(ctx context.Context) error {
	for _, part := range []func(context.Context) error{b.growRules, b.growRooms, b.growSubscriptions, b.growChanges, b.growSessions} {
		if err := part(ctx); err != nil {
			return err
		}
	}
	return nil
}

// step is one size of what grows: a target under a load by some users.
type step struct {
	label  string
	target string
	load   load
	users  []user
}

// climb plays steps in turn, round by round.
func (b *bench) climb(ctx context.Context, page *page, steps []step) error {
	for r := range b.rounds {
		for k := range steps {
			s := steps[(k+r)%len(steps)]
			t, err := b.target(ctx, s.target)
			if err != nil {
				return err
			}
			o, err := b.play(ctx, t, s.load, s.users)
			if err != nil {
				return fmt.Errorf("%s: %w", s.label, err)
			}
			page.noteOutcome(s.label, o)
		}
	}
	return nil
}

func (b *bench) showGrowth(load string) {
	fmt.Fprintf(b.out, "\n%s (medians of %d)\n%12s %9s %9s %9s %9s\n", load, b.rounds, "", "CPU us", "broker us", "p50 us", "p99 us")
	for _, label := range b.labels(load) {
		fmt.Fprintf(b.out, "%12s %9.2f %9.2f %9.0f %9.0f\n", label, b.median(load, label, cpuMicros), b.median(load, label, brokerCPU),
			b.median(load, label, p50Micros), b.median(load, label, p99Micros))
	}
}

// labels returns the sizes noted under a load, the smallest first; words follow them.
func (b *book) labels(load string) []string {
	var labels []string
	if p := b.Loads[load]; p != nil {
		for label := range p.Values {
			labels = append(labels, label)
		}
	}
	size := func(label string) int {
		n, err := strconv.Atoi(label)
		if err != nil {
			return 1 << 30
		}
		return n
	}
	slices.SortFunc(labels, func(x, y string) int { return cmp.Or(size(x)-size(y), strings.Compare(x, y)) })
	return labels
}

func (b *bench) growRules(ctx context.Context) error {
	page := b.turn(growRules)
	users, err := b.common(ctx, 0, 20)
	if err != nil {
		return err
	}
	steps := []step{{label: "pipe", target: "pipe", load: b.maximum(growRules), users: users}}
	for _, n := range []int{10, 100, 1000, 10_000} {
		label := strconv.Itoa(n)
		t, err := b.startGateway(ctx, "rules-"+label, b.gateway, policyOf(n), nil)
		if err != nil {
			return err
		}
		t.name = "rules-" + label
		b.targets[t.name] = t
		defer b.stopTarget(t)
		steps = append(steps, step{label, t.name, b.maximum(growRules), users})
	}
	if err := b.climb(ctx, page, steps); err != nil {
		return err
	}
	b.showGrowth(growRules)
	return nil
}

// common returns users who share the common room.
func (b *bench) common(ctx context.Context, first, n int) ([]user, error) {
	users, err := b.issuer.users(first, n)
	if err != nil {
		return nil, err
	}
	return users, b.enroll(ctx, users, first, commonRoom)
}

func (b *bench) growRooms(ctx context.Context) error {
	page := b.turn(growRooms)
	var steps []step
	for k, n := range []int{1, 10, 100, 1000, 10_000} {
		users, err := b.issuer.users(20_000+100*k, 20)
		if err != nil {
			return err
		}
		for _, u := range users {
			members := []any{commonRoom}
			for i := range n - 1 {
				members = append(members, room(k, i))
			}
			if err := b.redis.SAdd(ctx, roomsKey(u.name), members...).Err(); err != nil {
				return err
			}
		}
		steps = append(steps, step{strconv.Itoa(n), "topicgate", b.maximum(growRooms), users})
	}
	if err := b.climb(ctx, page, steps); err != nil {
		return err
	}
	b.showGrowth(growRooms)
	return nil
}

func (b *bench) growSubscriptions(ctx context.Context) error {
	page := b.turn(growSubscriptions)
	users, err := b.common(ctx, 0, 20)
	if err != nil {
		return err
	}
	var steps []step
	for _, n := range []int{1, 10, 100, 1000} {
		l := b.maximum(growSubscriptions)
		l.filters = n - 1
		steps = append(steps, step{strconv.Itoa(n), "topicgate", l, users})
	}
	if err := b.climb(ctx, page, steps); err != nil {
		return err
	}
	b.showGrowth(growSubscriptions)
	return nil
}

// growChanges plays the load for latency while rooms of the users who talk, and of others who listen, come and go.
func (b *bench) growChanges(ctx context.Context) error {
	page := b.turn(growChanges)
	users, err := b.common(ctx, 0, 20)
	if err != nil {
		return err
	}
	t, err := b.target(ctx, "topicgate")
	if err != nil {
		return err
	}
	others, err := b.crewFrom(ctx, 30_000, 200)
	if err != nil {
		return err
	}
	sleepers, err := b.sleepers(t, others, 30_000)
	defer hangUp(sleepers)
	if err != nil {
		return err
	}
	l := b.maximum(growChanges)
	l.rate, l.window, l.measure = 1000, 1000, 2*b.window
	for r := range b.rounds {
		for k := range 3 {
			perSecond := []int{0, 100, 1000}[(k+r)%3]
			changing, stop := context.WithCancel(ctx)
			ended := b.churn(changing, slices.Concat(users, others), perSecond)
			o, err := b.play(ctx, t, l, users)
			stop()
			if err := <-ended; err != nil {
				return err
			}
			if err != nil {
				return err
			}
			page.noteOutcome(strconv.Itoa(perSecond), o)
		}
	}
	b.showGrowth(growChanges)
	return nil
}

// churn lets users join and leave rooms, so many changes a second, until ctx ends; then it says how that went.
func (b *bench) churn(ctx context.Context, users []user, perSecond int) <-chan error {
	ended := make(chan error, 1)
	if perSecond == 0 {
		ended <- nil
		return ended
	}
	go func() {
		tick := time.NewTicker(time.Second / time.Duration(perSecond))
		defer tick.Stop()
		for k := 0; ; k++ {
			select {
			case <-tick.C:
			case <-ctx.Done():
				ended <- nil
				return
			}
			key, err := roomsKey(users[k/2%len(users)].name), error(nil)
			if k%2 == 0 {
				err = b.redis.SAdd(ctx, key, "passing").Err()
			} else {
				err = b.redis.SRem(ctx, key, "passing").Err()
			}
			if err != nil && ctx.Err() == nil {
				ended <- err
				return
			}
		}
	}()
	return ended
}

// growSessions plays the maximum and a fixed rate beside ever more silent sessions.
func (b *bench) growSessions(ctx context.Context) error {
	page := b.turn(growSessions)
	users, err := b.common(ctx, 0, 20)
	if err != nil {
		return err
	}
	t, err := b.fresh(ctx, "topicgate")
	if err != nil {
		return err
	}
	sizes := []int{100, 1000, 9000 - len(users)}
	others, err := b.crewFrom(ctx, 10_000, sizes[len(sizes)-1])
	if err != nil {
		return err
	}
	for k, from := range []int{0, sizes[0], sizes[1]} {
		sleepers, err := b.sleepers(t, others[from:sizes[k]], 10_000+from)
		defer hangUp(sleepers)
		if err != nil {
			return err
		}
		err = b.climb(ctx, page, []step{
			{strconv.Itoa(sizes[k]), "topicgate", b.maximum(growSessions), users},
			{fmt.Sprintf("pipe beside %d", sizes[k]), "pipe", b.maximum(growSessions), users},
		})
		if err != nil {
			return err
		}
	}
	b.showGrowth(growSessions)
	return nil
}
