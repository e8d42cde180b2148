package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/expirable"
	"github.com/redis/go-redis/v9"

	"topicgate/frames"
)

// What a client is subscribed to belongs to its MQTT Session, which may outlive the connection: a
// client that comes back, perhaps to another instance, has the pieces upstream that were right when
// it left. So that they can be put right, subscriptions are kept beside the broker's Session.

const (
	// sleepMargin is how much longer than the broker its subscriptions are kept.
	sleepMargin = 24 * time.Hour
	// sleepWithoutEnd is how long they are kept where the Session has no end, each connection
	// beginning it anew. Later the check at delivery alone protects the Session.
	sleepWithoutEnd = 180 * 24 * time.Hour
	// sleepRefresh is how often the end of living sessions is put off.
	sleepRefresh = 6 * time.Hour
	// sleepTimeout bounds one command.
	sleepTimeout = 5 * time.Second
	// sleepWriters is how many sessions are written at a time.
	sleepWriters = 4
	// sleepInMemory bounds what is kept without Redis.
	sleepInMemory = 10_000
)

// sleeperStore keeps what sleeping Sessions are subscribed to, by upstream Client Identifier.
type sleeperStore interface {
	load(ctx context.Context, upstreamID string) ([]byte, error) // nil: nothing is kept
	save(ctx context.Context, upstreamID string, data []byte, ttl time.Duration) error
}

// redisSleepers shares them among all instances.
type redisSleepers struct {
	client redis.UniversalClient
	prefix string
}

func (r redisSleepers) load(ctx context.Context, upstreamID string) ([]byte, error) {
	data, err := r.client.Get(ctx, r.prefix+upstreamID).Bytes()
	if errors.Is(err, redis.Nil) {
		return nil, nil
	}
	return data, err
}

func (r redisSleepers) save(ctx context.Context, upstreamID string, data []byte, ttl time.Duration) error {
	return r.client.Set(ctx, r.prefix+upstreamID, data, ttl).Err()
}

// memorySleepers serves a gateway without Redis: what it knows is lost with it.
type memorySleepers struct {
	lru *expirable.LRU[string, []byte]
}

func (m memorySleepers) load(_ context.Context, upstreamID string) ([]byte, error) {
	data, _ := m.lru.Get(upstreamID)
	return data, nil
}

func (m memorySleepers) save(_ context.Context, upstreamID string, data []byte, _ time.Duration) error {
	m.lru.Add(upstreamID, data)
	return nil
}

// sleepers writes down, off the data path, what sessions are subscribed to. A session is queued at
// most once, so the queue is no longer than there are sessions.
type sleepers struct {
	store sleeperStore

	mu     sync.Mutex
	queue  []*session
	wake   sync.Cond // L is mu
	closed bool
	end    chan struct{}
	done   sync.WaitGroup
}

// newSleepers starts the writers; close ends them. refresh is called now and then, to put off the end of
// what living sessions have stored.
func newSleepers(client redis.UniversalClient, prefix string, refresh func()) *sleepers {
	s := &sleepers{end: make(chan struct{})}
	s.wake.L = &s.mu
	if client != nil {
		s.store = redisSleepers{client: client, prefix: prefix + "session:"}
	} else {
		s.store = memorySleepers{expirable.NewLRU[string, []byte](sleepInMemory, nil, 0)}
	}
	for range sleepWriters {
		s.done.Go(s.write)
	}
	s.done.Go(func() {
		ticker := time.NewTicker(sleepRefresh / 6)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				refresh()
			case <-s.end:
				return
			}
		}
	})
	return s
}

// close returns when all that was queued has been written, or could not be.
func (s *sleepers) close() {
	s.mu.Lock()
	if !s.closed {
		s.closed = true
		close(s.end)
	}
	s.wake.Broadcast()
	s.mu.Unlock()
	s.done.Wait()
}

// remember has the subscriptions of a session written soon.
func (s *sleepers) remember(session *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if session.sleep.queued {
		return
	}
	session.sleep.queued = true
	s.queue = append(s.queue, session)
	s.wake.Signal()
}

func (s *sleepers) write() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		for len(s.queue) == 0 && !s.closed {
			s.wake.Wait()
		}
		if len(s.queue) == 0 {
			return
		}
		session := s.queue[0]
		s.queue[0] = nil
		s.queue = s.queue[1:]
		session.sleep.queued = false
		s.mu.Unlock()
		session.writeDown(s, false)
		s.mu.Lock()
	}
}

// sleeping is the state of a session that concerns its sleep.
type sleeping struct {
	persistent bool          // the broker keeps the MQTT Session when the connection ends
	ttl        time.Duration // for how long

	queued bool // guarded by sleepers.mu

	mu      sync.Mutex // one write at a time, the newest last
	written uint64     // version of the subscriptions that was written
	at      time.Time
}

// writeDown stores what the session is subscribed to, if that has changed or the record is about to end. Once
// the session has ended it stores nothing: see rememberLast.
func (s *session) writeDown(to *sleepers, quick bool) {
	s.sleep.mu.Lock()
	defer s.sleep.mu.Unlock()
	if s.cause() == nil {
		s.store(to, quick)
	}
}

// store does that. s.sleep.mu is held.
func (s *session) store(to *sleepers, quick bool) {
	version := s.subs.version() // before the snapshot: it may be newer, and is then written again
	if version == s.sleep.written && time.Since(s.sleep.at) < sleepRefresh {
		return
	}
	stored, known, whole := s.subs.snapshot(quick)
	if !known {
		return // the review that is sending has it stored when it has sent
	}
	data, err := json.Marshal(stored)
	if err == nil {
		ctx, cancel := context.WithTimeout(context.Background(), sleepTimeout)
		err = to.store.save(ctx, s.upstreamID, data, s.sleep.ttl)
		cancel()
	}
	if err != nil {
		// Until the next change the record is older than what the broker has; the check at delivery
		// holds all the same.
		s.log(slog.LevelWarn, "subscriptions not stored", "err", err.Error())
		return
	}
	if whole {
		s.sleep.written = version
	}
	s.sleep.at = time.Now()
}

// wakeUp reads what the MQTT Session was subscribed to when its client left; nil if nothing is known.
func (s *session) wakeUp(ctx context.Context) (*storedSubscriptions, error) {
	data, err := s.server.sleepers.store.load(ctx, s.upstreamID)
	if err != nil {
		return nil, fmt.Errorf("load subscriptions: %w", err)
	}
	if data == nil {
		return nil, nil
	}
	var record storedSubscriptions
	if err := json.Unmarshal(data, &record); err != nil {
		s.log(slog.LevelWarn, "stored subscriptions are not readable", "err", err.Error())
		return nil, nil // as if the Session came from before the gateway
	}
	return &record, nil
}

// expectSleep notes whether and how long the broker keeps the MQTT Session, from what was asked of it and
// what it answered.
func (s *session) expectSleep(connect *frames.Connect, connack frames.Properties) {
	if s.version != frames.V5 {
		s.sleep.persistent, s.sleep.ttl = !connect.CleanStart, sleepWithoutEnd
		return
	}
	seconds, _ := connect.Properties.Uint(frames.PropSessionExpiryInterval)
	if n, ok := connack.Uint(frames.PropSessionExpiryInterval); ok {
		seconds = n // [MQTT-3.2.2.3.2]
	}
	s.sleep.persistent = seconds > 0
	s.sleep.ttl = min(time.Duration(seconds)*time.Second+sleepMargin, sleepWithoutEnd)
}

// remember has the subscriptions written down if they outlive the connection.
func (s *session) remember() {
	if s.sleep.persistent {
		s.server.sleepers.remember(s)
	}
}

// rememberNow writes before the broker is asked, so before the client has its answer: however soon it comes
// back, and wherever, what it was granted is known. What the gateway writes and could not ask for any more
// the client has no answer to, and asks for again. What takes a while to find is written after the broker's answer:
// here it would cost more the oftener a client asks.
func (s *session) rememberNow() {
	if s.sleep.persistent {
		s.writeDown(s.server.sleepers, true)
	}
}

// rememberLast stores what a session that is about to leave the broker has asked it for. An older record may
// do harm: a room that was left and joined again counts as subscribed, though it was unsubscribed in between. What a
// lost broker has heard nobody knows, though, and another instance may have the Session by then.
func (s *session) rememberLast(end EndReason) {
	if !s.sleep.persistent || end == EndBrokerLost || end == EndBrokerDisconnect || end == EndBrokerProtocolError {
		return
	}
	s.subs.awaitSent()
	s.sleep.mu.Lock()
	defer s.sleep.mu.Unlock()
	s.store(s.server.sleepers, false)
}
