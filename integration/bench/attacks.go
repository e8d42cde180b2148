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
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"topicgate/frames"
)

// What one client does to a gateway, and what the others feel of it: their messages, and how soon a room that they have left
// is silent; and what they feel of it who are not behind the gateway. The attacker is a process of its own, on the same two cores.

const loadAttacks = "10 pairs, 1,000 msg/s, and changes, under attack"

// attackerRooms is how many rooms the attacker is a member of.
const attackerRooms = 1000

// attack is what an attacker does over and over until ctx ends.
type attack struct {
	name string
	run  func(*attacker, context.Context) error
}

var attacks = []attack{
	{"UNSUBSCRIBE of 1.7 MB, and changes of the own rooms", (*attacker).unsubscribe},
	{"5,000 subscriptions, and 5,000 overlapping ones", (*attacker).overlap},
	{"6,000 repeats of a filter in a SUBSCRIBE", (*attacker).repeat},
	{"refused publishes, beside 5,000 subscriptions", (*attacker).refused},
	{"the own token again each 100 ms, twice", (*attacker).renew},
	{"a set of 260,000 members, and connects", (*attacker).large},
	{"connects with a good token", (*attacker).connects},
	{"connects without one", (*attacker).strangers},
	{"pings", (*attacker).pings},
	{"messages of one byte", (*attacker).bytes},
	{"a firehose that is not read", (*attacker).deaf},
}

// attacks measures a quiet turn and one under each attack, round by round.
func (b *bench) attacks(ctx context.Context) error {
	l := b.maximum(loadAttacks)
	l.rate, l.window, l.measure = 1000, 1000, b.window
	users, err := b.issuer.users(0, l.groups*(1+l.readers))
	if err != nil {
		return err
	}
	if err := b.enroll(ctx, users, 0, commonRoom); err != nil {
		return err
	}
	others, err := b.crewFrom(ctx, 90_000, 2)
	if err != nil {
		return err
	}
	mallory := others[1]
	page := b.turn(loadAttacks)
	for range b.rounds {
		t, err := b.fresh(ctx, "topicgate")
		if err != nil {
			return err
		}
		p, err := b.newProbe(t, others[0])
		if err != nil {
			return err
		}
		for n := -1; n < len(attacks); n++ {
			name := "none"
			if n >= 0 {
				name = attacks[n].name
			}
			if err := b.underAttack(ctx, page, t, l, users, p, mallory, n, name); err != nil {
				p.close()
				return fmt.Errorf("%s: %w", name, err)
			}
		}
		p.close()
	}
	b.showAttacks()
	return nil
}

// underAttack plays the load and the changes while the attack with number n goes on; -1: none.
func (b *bench) underAttack(ctx context.Context, page *page, t *target, l load, users []user, p *probe, mallory user, n int, name string) error {
	rooms := make([]any, attackerRooms)
	for k := range rooms {
		rooms[k] = fmt.Sprintf("mine-%d", k)
	}
	if err := errors.Join(b.redis.Del(ctx, roomsKey(mallory.name)).Err(), b.redis.SAdd(ctx, roomsKey(mallory.name), rooms...).Err()); err != nil {
		return err
	}
	if n >= 0 {
		file := filepath.Join(b.dir, "attack.json")
		text, err := json.Marshal(attacker{Attack: n, Address: t.address, Name: mallory.name, Token: mallory.token, Redis: b.redisAt})
		if err != nil {
			return err
		}
		if err := os.WriteFile(file, text, 0o600); err != nil {
			return err
		}
		process, err := b.start("attack", b.self, []string{"attack", file}, nil)
		if err != nil {
			return err
		}
		defer process.stop()
	}
	probing, stop := context.WithCancel(ctx)
	defer stop()
	changed := make(chan error, 1)
	var leaves []time.Duration
	go func() {
		talked := make(chan error, 1)
		go func() { talked <- p.talk(probing) }()
		var err error
		for err == nil && probing.Err() == nil {
			var out time.Duration
			if _, err = b.join(probing, p); err == nil {
				if out, err = b.leave(probing, p); err == nil {
					leaves = append(leaves, out)
				}
			}
		}
		if probing.Err() != nil {
			err = nil
		}
		stop()
		changed <- errors.Join(err, <-talked)
	}()
	o, err := b.play(ctx, t, l, users)
	stop()
	if err := errors.Join(err, <-changed); err != nil {
		return err
	}
	if err := b.redis.SRem(ctx, roomsKey(p.user.name), probeRoom).Err(); err != nil {
		return err
	}
	page.noteOutcome(name, o)
	page.note(name, leftMicros, micros(percentile(leaves, 0.99)))
	tcp, err := b.target(ctx, "tcp")
	if err != nil {
		return err
	}
	floor, err := b.play(ctx, tcp, l, users) // during the same attack, past the gateway
	if err != nil {
		return err
	}
	page.note(name, floorMicros, micros(floor.P99))
	return nil
}

const (
	// leftMicros is the p99 of how long a room that was left is heard.
	leftMicros = "left_p99_us"
	// floorMicros is the p99 of the same messages straight at the broker, during the same attack: what the attacker's share
	// of the two cores costs anybody.
	floorMicros = "floor_p99_us"
)

func (b *bench) showAttacks() {
	fmt.Fprintf(b.out, "\n%s (medians of %d)\n%-55s %9s %9s %7s %9s %7s %12s\n", loadAttacks, b.rounds, "", "p50 us", "p99 us", "quiet", "floor us", "quiet", "SREM p99 ms")
	for _, name := range attackNames() {
		fmt.Fprintf(b.out, "%-55s %9.0f %9.0f %7.2f %9.0f %7.2f %12.1f\n", name, b.median(loadAttacks, name, p50Micros), b.median(loadAttacks, name, p99Micros),
			b.ratio(loadAttacks, name, "none", p99Micros), b.median(loadAttacks, name, floorMicros), b.ratio(loadAttacks, name, "none", floorMicros), b.median(loadAttacks, name, leftMicros)/1e3)
	}
}

func attackNames() []string {
	names := []string{"none"}
	for _, a := range attacks {
		names = append(names, a.name)
	}
	return names
}

func (b *book) writeAttacks(t *strings.Builder) {
	if b.Loads[loadAttacks] == nil {
		return
	}
	fmt.Fprintf(t, "\n## %s\n\n%sThe attacker shares the two cores with the gateway and the other clients.\n\n| attack | p50 ms | p99 ms | of quiet | straight at the broker, p99 ms | of quiet | SREM to the last delivery, p99 ms | lost |\n|---|--:|--:|--:|--:|--:|--:|--:|\n",
		title(loadAttacks), b.source(loadAttacks))
	for _, name := range attackNames() {
		fmt.Fprintf(t, "| %s | %s | %s | %s | %s | %s | %s | %s |\n", name, number(b.median(loadAttacks, name, p50Micros)/1e3, 1), number(b.median(loadAttacks, name, p99Micros)/1e3, 1),
			number(b.ratio(loadAttacks, name, "none", p99Micros), 2), number(b.median(loadAttacks, name, floorMicros)/1e3, 1), number(b.ratio(loadAttacks, name, "none", floorMicros), 2), number(b.median(loadAttacks, name, leftMicros)/1e3, 1), number(b.median(loadAttacks, name, lost), 0))
	}
}

// attacker is what the process of an attack is told, and its connection.
type attacker struct {
	Attack  int
	Address string
	Name    string
	Token   string
	Redis   string

	target *target
	redis  *redis.Client
}

// runAttack attacks until ctx ends.
func runAttack(ctx context.Context, file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var a attacker
	if err := json.Unmarshal(text, &a); err != nil {
		return err
	}
	if _, err := raiseFileLimit(); err != nil {
		return err
	}
	a.target = &target{name: "attack", address: a.Address, websocket: true}
	a.redis = redis.NewClient(&redis.Options{Addr: a.Redis})
	defer a.redis.Close()
	for ctx.Err() == nil { // one that is thrown out comes again
		if err := attacks[a.Attack].run(&a, ctx); err != nil {
			time.Sleep(10 * time.Millisecond)
		}
	}
	return nil
}

func (a *attacker) connect(v frames.Version, clientID string) (*client, error) {
	return connect(a.target, v, user{a.Name, a.Token}, clientID)
}

// session connects, and hands over a client whose deliveries are read by somebody.
func (a *attacker) session(ctx context.Context, v frames.Version, clientID string, attack func(c *client) error) error {
	c, err := a.connect(v, clientID)
	if err != nil {
		return err
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { _ = c.Close() })()
	return attack(c)
}

// change has one of the attacker's own rooms come or go.
func (a *attacker) change(ctx context.Context, n int) error {
	if n%2 == 0 {
		return a.redis.SAdd(ctx, roomsKey(a.Name), "passing").Err()
	}
	return a.redis.SRem(ctx, roomsKey(a.Name), "passing").Err()
}

func (a *attacker) unsubscribe(ctx context.Context) error {
	packet := frames.Unsubscribe{PacketID: 1}
	for n := range 200_000 {
		packet.TopicFilters = append(packet.TopicFilters, fmt.Sprintf("a/%d", n))
	}
	bytes := packet.Append(nil, frames.V311)
	return a.session(ctx, frames.V311, "attack", func(c *client) error {
		if err := c.subscribe(0, "chat/room/+/x"); err != nil {
			return err
		}
		for n := 0; ctx.Err() == nil; n++ {
			if err := errors.Join(c.send(bytes), a.change(ctx, n)); err != nil {
				return err
			}
			if _, err := c.await(frames.TypeUnsuback); err != nil {
				return err
			}
		}
		return nil
	})
}

// filters are n that a member of all rooms may have.
func filters(n int, form string) (all []frames.Subscription) {
	for k := range n {
		all = append(all, frames.Subscription{TopicFilter: fmt.Sprintf(form, k%attackerRooms, k)})
	}
	return all
}

func (a *attacker) overlap(ctx context.Context) error {
	return a.session(ctx, frames.V5, "attack", func(c *client) error {
		for ctx.Err() == nil {
			for id, form := range map[uint32]string{1: "chat/room/mine-%d/%d", 2: "chat/room/mine-%d/%d/#"} {
				packet := frames.Subscribe{PacketID: 1, Filters: filters(5000, form), Properties: frames.Properties(nil).AppendUint(frames.PropSubscriptionIdentifier, id)}
				if err := c.send(packet.Append(nil, frames.V5)); err != nil {
					return err
				}
				if _, err := c.await(frames.TypeSuback); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

func (a *attacker) repeat(ctx context.Context) error {
	packet := frames.Subscribe{PacketID: 1}
	for range 6000 {
		packet.Filters = append(packet.Filters, frames.Subscription{TopicFilter: "chat/room/+/x"})
	}
	bytes := packet.Append(nil, frames.V311)
	return a.session(ctx, frames.V311, "attack", func(c *client) error {
		for ctx.Err() == nil {
			if err := c.send(bytes); err != nil {
				return err
			}
			if _, err := c.await(frames.TypeSuback); err != nil {
				return err
			}
		}
		return nil
	})
}

func (a *attacker) refused(ctx context.Context) error {
	return a.session(ctx, frames.V311, "attack", func(c *client) error {
		packet := frames.Subscribe{PacketID: 1, Filters: append(filters(5000, "chat/room/mine-%d/%d"), frames.Subscription{TopicFilter: "$topicgate/rejected"})}
		if err := c.send(packet.Append(nil, frames.V311)); err != nil {
			return err
		}
		go func() { _, _ = c.await(frames.TypeAuth) }() // reads until the end
		var batch []byte
		for n := range 100 {
			p := frames.Publish{TopicName: fmt.Appendf(nil, "nope/%d", n)}
			batch = p.Append(batch, frames.V311)
		}
		for ctx.Err() == nil {
			if err := c.send(batch); err != nil {
				return err
			}
		}
		return nil
	})
}

func (a *attacker) renew(ctx context.Context) error {
	var both sync.WaitGroup
	for n := range 2 {
		both.Go(func() {
			_ = a.session(ctx, frames.V311, fmt.Sprint("attack-", n), func(c *client) error {
				if err := c.subscribe(0, "chat/room/+/#"); err != nil {
					return err
				}
				p := frames.Publish{TopicName: []byte("$topicgate/token"), Payload: []byte(a.Token)}
				bytes := p.Append(nil, frames.V311)
				for ctx.Err() == nil {
					if err := c.send(bytes); err != nil {
						return err
					}
					time.Sleep(100 * time.Millisecond)
				}
				return nil
			})
		})
	}
	both.Wait()
	return nil
}

func (a *attacker) large(ctx context.Context) error {
	pipeline := a.redis.Pipeline()
	for n := range 260 {
		members := make([]any, 1000)
		for k := range members {
			members[k] = n*1000 + k
		}
		pipeline.SAdd(ctx, roomsKey(a.Name), members...)
	}
	if _, err := pipeline.Exec(ctx); err != nil {
		return err
	}
	return a.connects(ctx)
}

func (a *attacker) connects(ctx context.Context) error {
	var all sync.WaitGroup
	for n := range 8 {
		all.Go(func() {
			for ctx.Err() == nil {
				if c, err := a.connect(frames.V311, fmt.Sprint("attack-", n)); err == nil {
					_ = c.Close()
				}
			}
		})
	}
	all.Wait()
	return nil
}

func (a *attacker) strangers(ctx context.Context) error {
	stranger := *a
	stranger.Token = "none"
	return stranger.connects(ctx)
}

func (a *attacker) pings(ctx context.Context) error {
	return a.session(ctx, frames.V311, "attack", func(c *client) error {
		go func() { _, _ = c.await(frames.TypeAuth) }()
		batch := []byte(strings.Repeat("\xc0\x00", 1000))
		for ctx.Err() == nil {
			if err := c.send(batch); err != nil {
				return err
			}
		}
		return nil
	})
}

func (a *attacker) bytes(ctx context.Context) error {
	p := frames.Publish{TopicName: []byte("chat/room/mine-1/x"), Payload: []byte("a message, byte by byte")}
	bytes := p.Append(nil, frames.V311)
	return a.session(ctx, frames.V311, "attack", func(c *client) error {
		for n := 0; ctx.Err() == nil; n++ {
			if err := c.send(bytes[n%len(bytes):][:1]); err != nil {
				return err
			}
		}
		return nil
	})
}

func (a *attacker) deaf(ctx context.Context) error {
	return a.session(ctx, frames.V311, "deaf", func(deaf *client) error {
		if err := deaf.subscribe(0, "chat/room/mine-1/x"); err != nil {
			return err
		}
		return a.session(ctx, frames.V311, "hose", func(c *client) error {
			p := frames.Publish{TopicName: []byte("chat/room/mine-1/x"), Payload: make([]byte, 16<<10)}
			bytes := p.Append(nil, frames.V311)
			for ctx.Err() == nil {
				if err := c.send(bytes); err != nil {
					return err
				}
			}
			return nil
		})
	})
}
