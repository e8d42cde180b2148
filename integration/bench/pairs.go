//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"topicgate/frames"
)

// group is one publisher and those who read what it publishes: a pair, or one to many.
type group struct {
	publisher *client
	letter    letter
	qos       frames.QoS
	window    uint64 // messages on their way to the slowest reader, and not acknowledged, at most

	readers []*reader
	sent    atomic.Uint64
	acked   atomic.Uint64 // PUBACKs of the broker
	wake    chan struct{} // the window may have opened
}

// reader is a subscriber of a group.
type reader struct {
	*client
	group    *group
	tally    tally
	latency  histogram
	received atomic.Uint64
}

// load is what a target is put under.
type load struct {
	name    string
	version frames.Version
	qos     frames.QoS
	bytes   int           // of a payload
	groups  int           // publishers
	readers int           // of each publisher
	filters int           // that readers subscribe to besides, which nothing matches
	window  uint64        // of each publisher
	rate    float64       // messages a second published in all; 0: as fast as the window lets them
	warmUp  time.Duration // not measured
	measure time.Duration
	repeats int // of each round; 0: one
}

// crowd is the clients of a load, connected and subscribed.
type crowd struct {
	load   load
	groups []*group

	measuring atomic.Bool // latencies count
	closing   atomic.Bool
	failed    chan error // capacity 1: the first
	running   sync.WaitGroup
}

// gather connects a load's clients to a target, many at once. Users are those of the world, from 0 on, members of their rooms.
func (w *world) gather(t *target, l load, users []user) (*crowd, error) {
	c := &crowd{load: l, failed: make(chan error, 1)}
	each := l.readers + 1 // the readers of a group, then its publisher
	clients, err := open(l.groups*each, gathering, func(k int) (*client, error) {
		conn, err := connect(t, l.version, users[k%len(users)], fmt.Sprintf("member-%d", k))
		if err != nil || k%each == l.readers {
			return conn, err
		}
		for n := range l.filters {
			if err := conn.subscribe(0, fmt.Sprintf("chat/room/%s/silence-%d", commonRoom, n)); err != nil {
				return conn, err
			}
		}
		return conn, conn.subscribe(l.qos, roomFilter(k/each))
	})
	if err != nil {
		hangUp(clients)
		return c, err
	}
	for n := range l.groups {
		g := &group{qos: l.qos, window: l.window, wake: make(chan struct{}, 1), letter: newLetter(l.version, roomTopic(commonRoom, n), l.qos, l.bytes)}
		for _, conn := range clients[n*each : n*each+l.readers] {
			g.readers = append(g.readers, &reader{client: conn, group: g})
		}
		g.publisher = clients[n*each+l.readers]
		c.groups = append(c.groups, g)
	}
	return c, nil
}

// gathering is how many clients connect at once.
const gathering = 32

// commonRoom is the room that all users of a crowd are in, besides rooms of their own.
const commonRoom = "common"

// fail notes the first error of a client that is not ours.
func (c *crowd) fail(err error) {
	if c.closing.Load() && (errors.Is(err, net.ErrClosed) || errors.Is(err, io.EOF)) {
		return
	}
	select {
	case c.failed <- err:
	default:
	}
}

// listen starts all that read.
func (c *crowd) listen() {
	for _, g := range c.groups {
		for _, r := range g.readers {
			c.running.Go(func() { c.fail(fmt.Errorf("reader: %w", r.run(c))) })
		}
		c.running.Go(func() { c.fail(fmt.Errorf("publisher reads: %w", g.readAcks())) })
	}
}

// close hangs up and waits for everybody.
func (c *crowd) close() {
	c.closing.Store(true)
	for _, g := range c.groups {
		_ = g.publisher.Close()
		for _, r := range g.readers {
			_ = r.Close()
		}
	}
	c.running.Wait()
}

// run counts what arrives, chunk by chunk, until the connection ends.
func (r *reader) run(c *crowd) error {
	ack := []byte{byte(frames.TypePuback) << 4, 2, 0, 0}
	for {
		if err := r.fill(); err != nil {
			return err
		}
		now, measuring := sinceBegan(), c.measuring.Load()
		for {
			p, ok, err := r.inbox.Next(r.version, maxPacketBytes)
			if err != nil {
				return err
			}
			if !ok {
				break
			}
			if p.Type() != frames.TypePublish {
				continue
			}
			publish, err := frames.ParsePublish(p, r.version)
			if err != nil {
				return err
			}
			n, sent, ok := readStamp(publish.Payload)
			if !ok {
				return errors.New("a message of somebody else's")
			}
			r.tally.see(n)
			if measuring {
				r.latency.add(now - sent)
			}
			if publish.QoS == 1 {
				ack[2], ack[3] = byte(publish.PacketID>>8), byte(publish.PacketID)
				r.add(ack)
			}
		}
		if err := r.flush(); err != nil {
			return err
		}
		r.received.Store(r.tally.delivered)
		r.group.stir()
	}
}

// stir lets the publisher look at its window again.
func (g *group) stir() {
	select {
	case g.wake <- struct{}{}:
	default:
	}
}

// readAcks counts the broker's acknowledgements until the connection ends.
func (g *group) readAcks() error {
	for {
		if err := g.publisher.fill(); err != nil {
			return err
		}
		acked := uint64(0)
		for {
			p, ok, err := g.publisher.inbox.Next(g.publisher.version, maxPacketBytes)
			if err != nil {
				return err
			}
			if !ok {
				break
			}
			if p.Type() == frames.TypePuback {
				acked++
			}
		}
		if acked > 0 {
			g.acked.Add(acked)
			g.stir()
		}
	}
}

// arrived returns how many messages all readers have, and the publisher knows to be safe.
func (g *group) arrived() uint64 {
	least := g.sent.Load()
	if g.qos > 0 {
		least = g.acked.Load()
	}
	for _, r := range g.readers {
		least = min(least, r.received.Load())
	}
	return least
}

// delivered returns how many messages have arrived in all.
func (c *crowd) delivered() (sum uint64) {
	for _, g := range c.groups {
		for _, r := range g.readers {
			sum += r.received.Load()
		}
	}
	return sum
}

// flood publishes as much as the window allows until ctx ends: what became free goes out in one write.
func (g *group) flood(ctx context.Context) error {
	for {
		sent := g.sent.Load()
		room := g.window - (sent - g.arrived())
		if room == 0 {
			select {
			case <-g.wake:
				continue
			case <-ctx.Done():
				return nil
			}
		}
		if ctx.Err() != nil {
			return nil
		}
		now := sinceBegan()
		for n := sent; n < sent+room; n++ {
			g.publisher.add(g.letter.number(n, now))
		}
		g.sent.Store(sent + room) // before anybody can have received it
		if err := g.publisher.flush(); err != nil {
			return err
		}
	}
}

// drained waits until all that was sent has arrived, or nothing has for a while.
func (c *crowd) drained() {
	const silence = 3 * time.Second
	last, since := uint64(0), time.Now()
	for tick := time.NewTicker(2 * time.Millisecond); ; <-tick.C {
		missing := uint64(0)
		for _, g := range c.groups {
			missing += g.sent.Load() - g.arrived()
		}
		if now := c.delivered(); now != last {
			last, since = now, time.Now()
		}
		if missing == 0 || time.Since(since) > silence {
			tick.Stop()
			return
		}
	}
}
