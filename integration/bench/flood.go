//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

const loadFloods = "floods of changes, 5,000 sessions"

// Quantities of a flood.
const (
	settleMillis = "settle_ms" // from its beginning until the gateway is at rest
	cpuMillis    = "cpu_ms"    // of the gateway meanwhile
	moreMiB      = "more_mib"  // resident memory at the end, less before
)

// flood is a change that concerns many sessions, or nobody, a great many times.
type flood struct {
	name string
	run  func(ctx context.Context, b *bench, users []user, first int) error
}

var floods = []flood{
	{"FLUSHALL", func(ctx context.Context, b *bench, _ []user, _ int) error { return b.redis.FlushAll(ctx).Err() }},
	{"all rooms are back", func(ctx context.Context, b *bench, users []user, first int) error { return b.enroll(ctx, users, first) }},
	{"100,000 members of a room leave it one by one", func(ctx context.Context, b *bench, users []user, _ int) error {
		const members = 100_000
		pipeline := b.redis.Pipeline()
		for n := range members {
			name := fmt.Sprintf("nobody-%d", n)
			if n < len(users) {
				name = users[n].name
			}
			pipeline.SRem(ctx, roomsKey(name), hall)
			if pipeline.Len() == 1000 {
				if _, err := pipeline.Exec(ctx); err != nil {
					return err
				}
			}
		}
		return nil
	}},
	{"every connection to Redis is lost", func(ctx context.Context, b *bench, _ []user, _ int) error {
		_, err := b.redis.ClientKillByFilter(ctx, "SKIPME", "yes").Result()
		return err
	}},
}

// hall is the room of everybody.
const hall = "hall"

// flood measures what each of them costs, and until when.
func (b *bench) flood(ctx context.Context, t *target, users []user, first int) error {
	page := b.turn(loadFloods)
	for _, f := range floods {
		if strings.Contains(f.name, "members") {
			if err := b.enrollAll(ctx, users, hall); err != nil {
				return err
			}
		}
		if _, err := b.restful(ctx, t); err != nil {
			return err
		}
		before, err := b.account(ctx, t)
		if err != nil {
			return err
		}
		start := sinceBegan()
		if err := f.run(ctx, b, users, first); err != nil {
			return err
		}
		last, err := b.restful(ctx, t)
		if err != nil {
			return err
		}
		after, err := b.account(ctx, t)
		if err != nil {
			return err
		}
		page.note(f.name, settleMillis, micros(last-start)/1e3)
		page.note(f.name, cpuMillis, micros(after.cpu-before.cpu)/1e3)
		page.note(f.name, commands, float64(after.asked-before.asked)/float64(len(users)))
		page.note(f.name, moreMiB, float64(after.memory-before.memory)/(1<<20))
		fmt.Fprintf(b.out, "%s: %s: at rest after %.0f ms, %.0f ms of CPU, %.2f commands a session, %+.1f MiB\n", loadFloods, f.name,
			b.median(loadFloods, f.name, settleMillis), b.median(loadFloods, f.name, cpuMillis), b.median(loadFloods, f.name, commands), b.median(loadFloods, f.name, moreMiB))
	}
	return nil
}

// account is what a target has cost so far.
type account struct {
	cpu    time.Duration
	asked  int   // commands of Redis
	memory int64 // resident bytes now
}

func (b *bench) account(ctx context.Context, t *target) (a account, err error) {
	var errs [3]error
	a.cpu, errs[0] = cpuTimes(t.pids)
	a.asked, errs[1] = b.commandsProcessed(ctx)
	a.memory, errs[2] = residentOfAll(t.pids)
	return a, errors.Join(errs[:]...)
}

// enrollAll puts everybody into one more room.
func (b *bench) enrollAll(ctx context.Context, users []user, room string) error {
	pipeline := b.redis.Pipeline()
	for _, u := range users {
		pipeline.SAdd(ctx, roomsKey(u.name), room)
	}
	_, err := pipeline.Exec(ctx)
	return err
}

// restful waits until the target has done next to nothing for a second, and returns when that second began.
func (b *bench) restful(ctx context.Context, t *target) (since time.Duration, err error) {
	const look, silence, little = 20 * time.Millisecond, time.Second, 0.03
	before, err := cpuTimes(t.pids)
	if err != nil {
		return 0, err
	}
	since = sinceBegan()
	for at := since; at < since+silence; at = sinceBegan() {
		select {
		case <-time.After(look):
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
		now, err := cpuTimes(t.pids)
		if err != nil {
			return 0, err
		}
		if float64(now-before) > little*float64(look) {
			since = sinceBegan()
		}
		before = now
	}
	return since, nil
}

func (b *book) writeFloods(t *strings.Builder) {
	if b.Loads[loadFloods] == nil {
		return
	}
	fmt.Fprintf(t, "\n## %s\n\n%s| | at rest after ms | CPU ms | Redis commands a session | memory MiB |\n|---|--:|--:|--:|--:|\n", title(loadFloods), b.source(loadFloods))
	for _, f := range floods {
		fmt.Fprintf(t, "| %s | %s | %s | %s | %s |\n", f.name, number(b.median(loadFloods, f.name, settleMillis), 0), number(b.median(loadFloods, f.name, cpuMillis), 0),
			number(b.median(loadFloods, f.name, commands), 2), number(b.median(loadFloods, f.name, moreMiB), 1))
	}
}
