package session

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"sync/atomic"
	"time"

	"topicgate/frames"
	"topicgate/gateway/sleep"
	"topicgate/gateway/subs"
)

// What a client is subscribed to belongs to its MQTT Session, and is kept beside the broker's (package sleep). Before
// the broker is asked for something, what will be true then is kept as an open record; when the broker has
// answered everything, as one that is not.

const (
	// sleepMargin is how much longer than the broker its subscriptions are kept.
	sleepMargin = 24 * time.Hour
	// sleepWithoutEnd is how long they are kept where the Session has no end, each connection
	// beginning it anew. Later the check at delivery alone protects the Session.
	sleepWithoutEnd = 180 * 24 * time.Hour
)

// sleeping is the state of a session that concerns its sleep.
type sleeping struct {
	item *sleep.Item // nil: the MQTT Session ends with the connection

	// Owned by whoever item lets write.
	at     int64  // when the last record was written, in Unix time; 0: never
	expiry uint32 // for how long the broker keeps the MQTT Session, in seconds
	open   bool   // the record is an open one
	long   bool   // it was too long, and nothing is kept

	over    bool        // by the client's DISCONNECT: its MQTT Session ends with the connection after all; owned by up
	planned atomic.Bool // an open record is kept, or about to be, of what is not yet committed
}

// keep keeps what will be true with a plan, as an open record, before the broker is asked. It waits for Redis, with no
// lock but the turn. What it returns is to be called when the plan is committed. An error says that the session has
// ended: its MQTT Session may be another's by now, and so is the record.
func (s *Session) keep(plan *subs.Plan) (committed func(), err error) {
	switch {
	case s.sleep.item == nil:
		return func() {}, nil
	case !plan.Changes() && plan.Rereads():
		return func() {
			s.sleep.item.Do(func() { s.sleep.at = 0 }) // so that it is written anew
			s.remember()
		}, nil
	case !plan.Changes():
		return func() {}, nil
	}
	s.sleep.planned.Store(true)
	record := plan.Record(s.broker.Address)
	s.sleep.item.Do(func() {
		if err = s.cause(); err == nil {
			s.write(record, true)
		}
	})
	if err != nil {
		s.sleep.planned.Store(false)
		return nil, err
	}
	return func() {
		s.sleep.planned.Store(false)
		s.remember() // the broker may have been asked nothing
	}, nil
}

// remember has what the session is subscribed to written down soon, if it outlives the connection.
func (s *Session) remember() {
	if s.sleep.item != nil {
		s.sleep.item.Later()
	}
}

// writeDown stores what the broker has, if it has answered everything and the last record is open or about to end.
// Once the session has ended it stores nothing: see rememberLast.
func (s *Session) writeDown() {
	if s.cause() != nil || s.sleep.planned.Load() || !s.sleep.open && s.sleep.at != 0 && time.Since(time.Unix(s.sleep.at, 0)) < sleep.Refresh {
		return
	}
	s.writeSettled()
}

func (s *Session) writeSettled() {
	if record, settled := s.table.Record(s.broker.Address); settled && !s.sleep.planned.Load() {
		s.write(record, false)
	}
}

// write keeps a record; one that would be too long is none at all, which is said once and written once.
func (s *Session) write(record *subs.Record, open bool) {
	s.sleep.open, s.sleep.at = open, time.Now().Unix()
	var data []byte
	fits := record != nil
	if fits {
		data, fits = record.Bytes()
	}
	var err error
	switch {
	case fits:
		s.sleep.long = false
		err = s.host.Sleepers.Keep(context.Background(), s.upstreamID, data, recordLife(s.sleep.expiry))
	case !s.sleep.long:
		s.log(slog.LevelInfo, "too many subscriptions to be stored: after a pause the client will be asked for them anew")
		err = s.host.Sleepers.Forget(context.Background(), s.upstreamID)
		s.sleep.long = err == nil
	}
	if err != nil {
		s.sleep.at = 0
		// Until it can be written what is stored is older; the check at delivery holds all the same.
		s.log(slog.LevelWarn, "subscriptions not stored, tried again", "err", err.Error())
	}
}

// wakeUp reads what the MQTT Session was subscribed to when its client left; nil if nothing is known.
func (s *Session) wakeUp(ctx context.Context) (*subs.Record, error) {
	kept, err := s.host.Sleepers.Load(ctx, s.upstreamID)
	if err != nil {
		return nil, fmt.Errorf("load subscriptions: %w", err)
	}
	if kept.Data == nil {
		return nil, nil
	}
	record, err := subs.ParseRecord(kept.Data)
	if err != nil {
		s.log(slog.LevelWarn, "stored subscriptions are not readable", "err", err.Error())
		return nil, nil // as if the Session came from before the gateway
	}
	record.Older = kept.Older
	record.Open = record.Open || kept.Older || kept.Outdated(record.Broker)
	return record, nil
}

// resume takes over the subscriptions of a resumed MQTT Session and brings them up to date. It is called before the
// pumps start: nothing has been delivered yet.
func (s *Session) resume(record *subs.Record) error {
	turn := s.table.Turn()
	defer turn.End()
	plan := turn.Resume(record, s.broker.Address, s.access())
	all, err := s.commit(plan, nil)
	if err == nil {
		err = s.send(all.Packets)
	}
	if err == nil {
		err = s.tellAccess(plan.Covers)
	}
	if err != nil {
		return err
	}
	if err := s.upstream.Flush(); err != nil {
		return s.brokerWriteError(err)
	}
	return nil
}

// expectSleep notes whether and how long the broker keeps the MQTT Session, from what was asked of it and
// what it answered.
func (s *Session) expectSleep(connect *frames.Connect, connack frames.Properties) {
	expiry, persistent := sleepOf(connect, connack)
	if !persistent {
		if connect.CleanStart { // whatever there was has ended
			s.host.Sleepers.ForgetSoon(s.upstreamID)
			s.host.Index.Drop(s.whose.username(), s.upstreamID)
		}
		return
	}
	s.host.Index.Note(s.whose.username(), s.upstreamID, recordLife(expiry))
	s.sleep.expiry, s.sleep.item = expiry, s.host.Sleepers.Item(s.writeDown)
}

// sleepOf is for how long the broker keeps the MQTT Session, in seconds; false: it ends with the connection.
func sleepOf(connect *frames.Connect, connack frames.Properties) (expiry uint32, persistent bool) {
	if connect.Version != frames.V5 {
		return math.MaxUint32, !connect.CleanStart
	}
	seconds, _ := connect.Properties.Uint(frames.PropSessionExpiryInterval)
	if n, ok := connack.Uint(frames.PropSessionExpiryInterval); ok {
		seconds = n // [MQTT-3.2.2.3.2]
	}
	return seconds, seconds > 0
}

// recordLife is for how long a record is kept with a Session Expiry Interval.
func recordLife(seconds uint32) time.Duration {
	return min(time.Duration(seconds)*time.Second+sleepMargin, sleepWithoutEnd)
}

// expectLess takes over the Session Expiry Interval of a DISCONNECT, if it has one [MQTT-3.14.2-2].
func (s *Session) expectLess(properties frames.Properties) {
	seconds, ok := properties.Uint(frames.PropSessionExpiryInterval)
	if !ok || s.sleep.item == nil {
		return
	}
	s.sleep.over = seconds == 0
	s.sleep.item.Do(func() { s.sleep.expiry, s.sleep.at = seconds, 0 }) // the record gets its new end
}

// rememberLast stores what a session that is about to leave its broker has there, if that is known: what was asked for
// and not answered is in the open record that was kept before. What a lost broker has nobody knows, and another
// instance may have the Session by then.
func (s *Session) rememberLast(end EndReason) {
	if s.sleep.item == nil {
		return
	}
	if !s.sleep.over {
		s.host.Index.Note(s.whose.username(), s.upstreamID, recordLife(s.sleep.expiry))
	} else {
		s.host.Index.Drop(s.whose.username(), s.upstreamID)
	}
	switch end {
	case EndBrokerLost, EndTakenOver, EndClientSilent, EndBrokerDisconnect, EndBrokerProtocolError:
		return
	}
	s.sleep.item.Do(func() {
		if s.sleep.over {
			s.host.Sleepers.ForgetSoon(s.upstreamID)
			return
		}
		if s.sleep.open || s.sleep.at == 0 {
			s.writeSettled()
		}
	})
}
