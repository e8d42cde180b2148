//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"topicgate/frames"
)

// trials is how often a room is joined and left for one figure.
const trials = 200

func loadChanges(sessions, perSecond int) string {
	if perSecond > 0 {
		return fmt.Sprintf("changes, %d sessions, %d other changes a second", sessions, perSecond)
	}
	return fmt.Sprintf("changes, %d sessions", sessions)
}

// changeCases are the circumstances in which a change is timed.
var changeCases = []struct{ sessions, perSecond int }{{1, 0}, {1000, 0}, {5000, 0}, {5000, 1000}}

// changes measures how long a plain SADD takes until the first message of the room arrives, and a plain SREM until the last one has,
// beside other sessions and other changes; and how many commands a change makes the gateway ask Redis.
func (b *bench) changes(ctx context.Context) error {
	t, err := b.fresh(ctx, "topicgate")
	if err != nil {
		return err
	}
	const first = 50_000
	users, err := b.crewFrom(ctx, first, 5000)
	if err != nil {
		return err
	}
	p, err := b.newProbe(t, users[0])
	if err != nil {
		return err
	}
	defer p.close()
	live := 1
	for _, c := range changeCases {
		sleepers, err := b.sleepers(t, users[live:c.sessions], first+live)
		defer hangUp(sleepers)
		if err != nil {
			return err
		}
		live = max(live, c.sessions)
		changing, stop := context.WithCancel(ctx)
		ended := b.churn(changing, users[1:], c.perSecond)
		err = b.probeChanges(ctx, p, b.turn(loadChanges(c.sessions, c.perSecond)))
		stop()
		if err := errors.Join(err, <-ended); err != nil {
			return err
		}
		if c.perSecond == 0 {
			if err := b.countCommands(ctx, users[0], b.Loads[loadChanges(c.sessions, 0)]); err != nil {
				return err
			}
		}
		b.showChanges(loadChanges(c.sessions, c.perSecond))
	}
	return b.flood(ctx, t, users[:live], first)
}

func (b *bench) showChanges(load string) {
	fmt.Fprintf(b.out, "%s:", load)
	for _, what := range []string{joined, left} {
		fmt.Fprintf(b.out, " %s p50 %.2f ms, p99 %.2f ms;", what, b.median(load, what, p50Micros)/1e3, b.median(load, what, p99Micros)/1e3)
	}
	fmt.Fprintf(b.out, " %s commands a change\n", number(b.median(load, "redis", commands), 1))
}

// What is timed: from SADD to the first delivery, from SREM to the last.
const (
	joined = "SADD to the first delivery"
	left   = "SREM to the last delivery"
)

// probe is a session whose user joins and leaves a room in which somebody talks without a pause.
type probe struct {
	user      user
	reader    *client
	publisher *client // straight to the broker
	letter    letter
	arrived   atomic.Int64  // when the last message came, since began
	arrival   chan struct{} // something arrived
	failed    chan error
}

// probeRoom is not among the rooms that anybody has otherwise.
const probeRoom = "probe"

func (b *bench) newProbe(t *target, u user) (*probe, error) {
	p := &probe{user: u, letter: newLetter(frames.V311, roomTopic(probeRoom, 0), 0, 64), arrival: make(chan struct{}, 1), failed: make(chan error, 1)}
	var err error
	if p.reader, err = connect(t, frames.V311, u, "probe"); err != nil {
		return nil, err
	}
	if err := p.reader.subscribe(0, roomFilter(0)); err != nil {
		return nil, errors.Join(err, p.reader.Close())
	}
	if p.publisher, err = connect(&target{name: "tcp", address: b.brokerTCP}, frames.V311, u, "talker"); err != nil {
		return nil, errors.Join(err, p.reader.Close())
	}
	go func() { p.failed <- p.listen() }()
	return p, nil
}

func (p *probe) close() {
	_ = p.reader.Close()
	_ = p.publisher.Close()
}

func (p *probe) listen() error {
	for {
		packet, err := p.reader.await(frames.TypePublish)
		if err != nil {
			return err
		}
		if _, err := frames.ParsePublish(packet, frames.V311); err != nil {
			return err
		}
		p.arrived.Store(int64(sinceBegan()))
		select {
		case p.arrival <- struct{}{}:
		default:
		}
	}
}

// probeChanges joins and leaves, and notes how long that took.
func (b *bench) probeChanges(ctx context.Context, p *probe, page *page) error {
	talking, stop := context.WithCancel(ctx)
	talked := make(chan error, 1)
	go func() { talked <- p.talk(talking) }()
	var joins, leaves []time.Duration
	var err error
	for range trials {
		var in, out time.Duration
		if in, err = b.join(ctx, p); err != nil {
			break
		}
		if out, err = b.leave(ctx, p); err != nil {
			break
		}
		joins, leaves = append(joins, in), append(leaves, out)
	}
	stop()
	if err := errors.Join(err, <-talked); err != nil {
		return err
	}
	for what, durations := range map[string][]time.Duration{joined: joins, left: leaves} {
		page.note(what, p50Micros, micros(percentile(durations, 0.5)))
		page.note(what, p99Micros, micros(percentile(durations, 0.99)))
		page.note(what, maxMicros, micros(percentile(durations, 1)))
	}
	return nil
}

// talk publishes a message each half millisecond: so exact are the figures.
func (p *probe) talk(ctx context.Context) error {
	tick := time.NewTicker(500 * time.Microsecond)
	defer tick.Stop()
	for n := uint64(0); ; n++ {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		if err := p.publisher.send(p.letter.number(n, sinceBegan())); err != nil {
			return err
		}
	}
}

func (b *bench) join(ctx context.Context, p *probe) (time.Duration, error) {
	select {
	case <-p.arrival: // a note of what came before
	default:
	}
	start := sinceBegan()
	if err := b.redis.SAdd(ctx, roomsKey(p.user.name), probeRoom).Err(); err != nil {
		return 0, err
	}
	select {
	case <-p.arrival:
		return time.Duration(p.arrived.Load()) - start, nil
	case err := <-p.failed:
		return 0, err
	case <-time.After(patience):
		return 0, errors.New("joined a room, and heard nothing")
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
}

// leave waits until nothing has come for as long as the contract gives the gateway, and more.
func (b *bench) leave(ctx context.Context, p *probe) (time.Duration, error) {
	const silence = 60 * time.Millisecond
	start := sinceBegan()
	if err := b.redis.SRem(ctx, roomsKey(p.user.name), probeRoom).Err(); err != nil {
		return 0, err
	}
	for deadline := start + patience; ; {
		last := max(time.Duration(p.arrived.Load()), start)
		quiet := last + silence - sinceBegan()
		if quiet <= 0 {
			return last - start, nil
		}
		if sinceBegan() > deadline {
			return 0, errors.New("left a room, and still hears it")
		}
		select {
		case <-time.After(quiet):
		case err := <-p.failed:
			return 0, err
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
	}
}

// countCommands notes how many commands of the gateway a change of one user's rooms comes to, less those that it sends anyhow.
func (b *bench) countCommands(ctx context.Context, u user, page *page) error {
	const changes, every = 100, 30 * time.Millisecond
	spend := func(change bool) (int, error) {
		before, err := b.commandsProcessed(ctx)
		if err != nil {
			return 0, err
		}
		for k := range changes {
			switch {
			case !change:
			case k%2 == 0:
				err = b.redis.SAdd(ctx, roomsKey(u.name), "passing").Err()
			default:
				err = b.redis.SRem(ctx, roomsKey(u.name), "passing").Err()
			}
			if err != nil {
				return 0, err
			}
			select {
			case <-time.After(every):
			case <-ctx.Done():
				return 0, context.Cause(ctx)
			}
		}
		after, err := b.commandsProcessed(ctx)
		return after - before, err
	}
	quiet, err := spend(false)
	if err != nil {
		return err
	}
	busy, err := spend(true)
	if err != nil {
		return err
	}
	page.note("redis", commands, float64(busy-quiet)/changes)
	return nil
}

// commandsProcessed sums what Redis has counted [INFO commandstats], but for the commands of this program.
func (b *bench) commandsProcessed(ctx context.Context) (int, error) {
	info, err := b.redis.Info(ctx, "commandstats").Result()
	if err != nil {
		return 0, err
	}
	return callsIn(info, "info", "sadd", "srem")
}

func callsIn(info string, but ...string) (sum int, err error) {
	for line := range strings.Lines(info) {
		name, rest, ok := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "cmdstat_"), ":calls=")
		if !ok || slices.Contains(but, name) {
			continue
		}
		calls, _, _ := strings.Cut(rest, ",")
		n, err := strconv.Atoi(calls)
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}
