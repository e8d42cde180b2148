//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"topicgate/frames"
)

const (
	loadBesideStorm    = "10 pairs, 1,000 msg/s, beside storms of 2,000 connects"
	loadBesideStormTLS = loadBesideStorm + ", TLS"
)

// stormEvery is how often the clients of a storm come.
const stormEvery = 2 * time.Second

// storms measures what live sessions feel while 2,000 clients connect at once, hang up, and come again after a while. The clients
// are a process of their own, or the pairs' readers would wait for them in the load generator.
func (b *bench) storms(ctx context.Context) error {
	for _, c := range []struct {
		name    string
		targets []string
	}{{loadBesideStorm, []string{"pipe", "topicgate"}}, {loadBesideStormTLS, []string{"topicgate-tls"}}} {
		l := b.maximum(c.name)
		l.rate, l.window, l.measure = 1000, 1000, 3*stormEvery
		names := b.chosenOf(c.targets)
		if len(names) == 0 {
			continue
		}
		users, err := b.issuer.users(0, l.groups*(1+l.readers))
		if err != nil {
			return err
		}
		if err := b.enroll(ctx, users, 0, commonRoom); err != nil {
			return err
		}
		page := b.turn(c.name)
		for r := range b.rounds {
			comers, err := b.crewFrom(ctx, 70_000, 2000) // fresh tokens
			if err != nil {
				return err
			}
			for k := range names {
				t, err := b.target(ctx, names[(k+r)%len(names)])
				if err != nil {
					return err
				}
				o, err := b.playInStorm(ctx, t, l, users, comers)
				if err != nil {
					return err
				}
				page.noteOutcome(t.name, o)
			}
		}
		for _, name := range names {
			fmt.Fprintf(b.out, "%s: %s p50 %.1f ms, p99 %.1f ms\n", c.name, name, b.median(c.name, name, p50Micros)/1e3, b.median(c.name, name, p99Micros)/1e3)
		}
	}
	return nil
}

func (b *bench) playInStorm(ctx context.Context, t *target, l load, users, comers []user) (o outcome, err error) {
	file := filepath.Join(b.dir, "storm.json")
	s := storm{Address: t.address, Secure: t.secure}
	for _, u := range comers {
		s.Tokens = append(s.Tokens, u.token)
	}
	text, err := json.Marshal(s)
	if err != nil {
		return o, err
	}
	if err := os.WriteFile(file, text, 0o600); err != nil {
		return o, err
	}
	p, err := b.start("storm", b.self, []string{"storm", file}, nil)
	if err != nil {
		return o, err
	}
	defer p.stop()
	return b.play(ctx, t, l, users)
}

// storm is what the process of the clients is told.
type storm struct {
	Address string
	Secure  bool
	Tokens  []string
}

// runStorm connects all users of a storm at once, every now and then, until ctx ends.
func runStorm(ctx context.Context, file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var s storm
	if err := json.Unmarshal(text, &s); err != nil {
		return err
	}
	if _, err := raiseFileLimit(); err != nil {
		return err
	}
	t := &target{name: "storm", address: s.Address, websocket: true, secure: s.Secure}
	next := time.NewTicker(stormEvery)
	defer next.Stop()
	for ctx.Err() == nil {
		clients, err := open(len(s.Tokens), len(s.Tokens), func(n int) (*client, error) {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			return connect(t, frames.V311, user{userName(n), s.Tokens[n]}, fmt.Sprintf("storm-%d", n))
		})
		hangUp(clients)
		if err != nil && !errors.Is(err, context.Canceled) {
			return err
		}
		select {
		case <-next.C:
		case <-ctx.Done():
		}
	}
	return nil
}

// writeStorms writes a table for each load beside storms. The CPU time has no place in it: most of it is the storm's.
func (b *book) writeStorms(t *strings.Builder) {
	for _, load := range []string{loadBesideStorm, loadBesideStormTLS} {
		if b.Loads[load] == nil {
			continue
		}
		fmt.Fprintf(t, "\n## %s\n\n%s| | p50 ms | p99 ms |\n|---|--:|--:|\n", title(load), b.source(load))
		for _, n := range targetNames {
			if b.values(load, n.target, p50Micros) != nil {
				fmt.Fprintf(t, "| %s | %s | %s |\n", n.name, number(b.median(load, n.target, p50Micros)/1e3, 1), number(b.median(load, n.target, p99Micros)/1e3, 1))
			}
		}
	}
}
