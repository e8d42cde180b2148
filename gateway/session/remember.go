package session

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"time"

	"topicgate/frames"
	"topicgate/gateway/sleep"
)

// What a client is subscribed to belongs to its MQTT Session, and is kept beside the broker's (package sleep).

const (
	// sleepMargin is how much longer than the broker its subscriptions are kept.
	sleepMargin = 24 * time.Hour
	// sleepWithoutEnd is how long they are kept where the Session has no end, each connection
	// beginning it anew. Later the check at delivery alone protects the Session.
	sleepWithoutEnd = 180 * 24 * time.Hour
)

// sleeping is the state of a session that concerns its sleep.
type sleeping struct {
	item *sleep.Item   // nil: the MQTT Session ends with the connection
	ttl  time.Duration // for how long the broker keeps it

	// Owned by whoever item lets write.
	written uint64 // version of the subscriptions that was written
	at      time.Time
}

// writeDown stores what the session is subscribed to, if that has changed or the record is about to end. Once
// the session has ended it stores nothing: see rememberLast. item has let the caller write.
func (s *Session) writeDown(quick bool) {
	if s.cause() == nil {
		s.store(quick)
	}
}

// store does that.
func (s *Session) store(quick bool) {
	version := s.subs.version() // before the snapshot: it may be newer, and is then written again
	if version == s.sleep.written && time.Since(s.sleep.at) < sleep.Refresh {
		return
	}
	stored, known, whole := s.subs.snapshot(quick)
	if !known {
		return // the review that is sending has it stored when it has sent
	}
	data, err := json.Marshal(stored)
	if err == nil {
		err = s.host.Sleepers.Keep(context.Background(), s.upstreamID, data, s.sleep.ttl)
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
func (s *Session) wakeUp(ctx context.Context) (*storedSubscriptions, error) {
	data, err := s.host.Sleepers.Load(ctx, s.upstreamID)
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
func (s *Session) expectSleep(connect *frames.Connect, connack frames.Properties) {
	ttl, persistent := sleepOf(connect, connack)
	if !persistent {
		return
	}
	s.sleep.ttl, s.sleep.item = ttl, s.host.Sleepers.Item(func() { s.writeDown(false) })
}

// sleepOf is for how long a record is kept; false: there need be none.
func sleepOf(connect *frames.Connect, connack frames.Properties) (ttl time.Duration, persistent bool) {
	if connect.Version != frames.V5 {
		return sleepWithoutEnd, !connect.CleanStart
	}
	seconds, _ := connect.Properties.Uint(frames.PropSessionExpiryInterval)
	if n, ok := connack.Uint(frames.PropSessionExpiryInterval); ok {
		seconds = n // [MQTT-3.2.2.3.2]
	}
	return min(time.Duration(seconds)*time.Second+sleepMargin, sleepWithoutEnd), seconds > 0
}

// remember has the subscriptions written down if they outlive the connection.
func (s *Session) remember() {
	if s.sleep.item != nil {
		s.sleep.item.Later()
	}
}

// rememberNow writes before the client can know that the broker has answered: however soon it comes back, and
// wherever, what it was granted is known. What the gateway writes and could not ask for any more the client has no
// answer to, and asks for again. What takes a while to find is written after the broker's answer: here it would cost
// more the oftener a client asks. It waits for Redis: no lock is held.
func (s *Session) rememberNow() {
	if s.sleep.item != nil {
		s.sleep.item.Do(func() { s.writeDown(true) })
	}
}

// rememberLast stores what a session that is about to leave the broker has asked it for. An older record may
// do harm: a room that was left and joined again counts as subscribed, though it was unsubscribed in between. What a
// lost broker has heard nobody knows, though, and another instance may have the Session by then.
func (s *Session) rememberLast(end EndReason) {
	if s.sleep.item == nil || end == EndBrokerLost || end == EndBrokerDisconnect || end == EndBrokerProtocolError {
		return
	}
	s.subs.awaitSent()
	s.sleep.item.Do(func() { s.store(false) })
}
