// Package evict ends, at their brokers, the MQTT Sessions of users who may not have any more: those who are blocked.
//
// A user who is on is ended by its own sessions. What sleeps at a broker nobody serves: messages gather for it, and a
// Will with a Will Delay waits. So whenever the set of blocked users changes, whoever is new in it is looked up in
// sleep.Index, and each MQTT Session is taken over by a connection of the gateway's own, which calls the Will off
// [MQTT-3.1.3-9], and left with a Session Expiry Interval of zero. Each instance does that; twice does no harm.
package evict

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"topicgate/frames"
	"topicgate/gateway/sleep"
	"topicgate/gateway/upstream"
	"topicgate/policy/store"
)

const (
	// settle is how long a change is left before it is looked at: live sessions end first, and changes come together.
	settle = 500 * time.Millisecond
	// again is when what could not be done is tried again, and rest when everything is looked at, as a last resort.
	again = 30 * time.Second
	rest  = 10 * time.Minute
	// mostUsers is how many blocked users are looked at. Those beyond have their rights checked at delivery, as all.
	mostUsers = 250_000
	// usersAtOnce are looked up in one round trip.
	usersAtOnce = 100
	// timeout bounds a step: a round trip to Redis, one connection to a broker.
	timeout = 5 * time.Second
)

// Options are what an Evictor needs to know.
type Options struct {
	Policy  *store.Store
	Index   *sleep.Index
	Brokers *upstream.Brokers
	// Forget removes the record of an MQTT Session that was ended.
	Forget func(clientID string)
	// Credentials are what the broker is told of a user.
	Credentials func(username string) (name, password string)
	// Ended hears of each MQTT Session, and whether it could be ended.
	Ended  func(ok bool)
	Logger *slog.Logger
}

// Evictor ends MQTT Sessions. Its one goroutine is Run.
type Evictor struct {
	Options
	restless chan string // users who are to be looked up again
}

// New makes an Evictor, of which nothing runs yet.
func New(o Options) *Evictor { return &Evictor{Options: o, restless: make(chan string, 1000)} }

// Again has a user looked up once more who was blocked while a session was on: its MQTT Session sleeps from now on. It
// never blocks.
func (e *Evictor) Again(username string) {
	select {
	case e.restless <- username:
	default: // the next look at everybody will find it
	}
}

// Run ends the MQTT Sessions of whoever is blocked, until ctx ends.
func (e *Evictor) Run(ctx context.Context) {
	done := map[string]bool{} // users of whom nothing sleeps any more
	next := time.NewTimer(settle)
	defer next.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-e.Policy.BlockedChanged():
			next.Reset(settle)
			continue
		case username := <-e.restless:
			delete(done, username)
			next.Reset(settle)
			continue
		case <-next.C:
		}
		if err := e.sweep(ctx, done); err != nil && ctx.Err() == nil {
			e.Logger.Warn("sleeping sessions of blocked users not ended, tried again", "err", err.Error())
			next.Reset(again)
		} else {
			next.Reset(rest)
		}
	}
}

// sweep ends what sleeps of blocked users that are not in done, and puts them there; those who are blocked no more it
// takes out.
func (e *Evictor) sweep(ctx context.Context, done map[string]bool) error {
	blocked := map[string]bool{}
	var fresh []string
	err := e.Policy.BlockedUsers(ctx, func(usernames []string) bool {
		for _, username := range usernames {
			if !blocked[username] && !done[username] {
				fresh = append(fresh, username)
			}
			blocked[username] = true
		}
		return len(blocked) < mostUsers
	})
	if err != nil {
		return err
	}
	for username := range done {
		if !blocked[username] {
			delete(done, username)
		}
	}
	for len(fresh) > 0 {
		some := fresh[:min(len(fresh), usersAtOnce)]
		fresh = fresh[len(some):]
		if failed := e.evict(ctx, some, done); failed != nil {
			err = failed
		}
	}
	return err
}

// evict ends what sleeps of some users.
func (e *Evictor) evict(ctx context.Context, usernames []string, done map[string]bool) (err error) {
	step, cancel := context.WithTimeout(ctx, timeout)
	ids, err := e.Index.Of(step, usernames)
	cancel()
	if err != nil {
		return err
	}
	for i, username := range usernames {
		ok := true
		for _, id := range ids[i] {
			failed := e.end(ctx, username, id)
			if failed != nil {
				ok, err = false, failed
			}
			e.Ended(failed == nil)
		}
		if ok {
			done[username] = true
		}
	}
	return err
}

// end ends one MQTT Session, on whichever broker.
func (e *Evictor) end(ctx context.Context, username, id string) error {
	step, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if still, err := e.Policy.IsBlocked(step, username); err != nil || !still {
		return err
	}
	name, password := e.Credentials(username)
	if err := e.Brokers.EndSession(ctx, timeout, frames.Connect{ClientID: id, HasUsername: name != "", Username: name,
		HasPassword: password != "", Password: []byte(password)}); err != nil {
		return fmt.Errorf("end the session of %q: %w", username, err)
	}
	e.Forget(id)
	e.Index.Drop(username, id)
	e.Logger.Info("sleeping session of a blocked user ended", "username", username)
	return nil
}
