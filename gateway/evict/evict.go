package evict

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"golang.org/x/sync/errgroup"

	"topicgate/frames"
	"topicgate/gateway/sleep"
	"topicgate/gateway/upstream"
	"topicgate/policy/store"
)

const (
	// settle is how long a change is left before it is looked at: live sessions end first, and changes come together.
	settle = 500 * time.Millisecond
	// againFirst, doubled up to againMost, is when what could not be done is tried again.
	againFirst = time.Second
	againMost  = time.Minute
	// rest is when everything is looked at, as a last resort.
	rest = 10 * time.Minute
	// mostUsers is how many blocked users are looked at. Those beyond have their rights checked at delivery, as all.
	mostUsers = 250_000
	// usersAtOnce are looked up in one round trip.
	usersAtOnce = 100
	// sessionsAtOnce are ended at the same time: a few, as the brokers have clients to serve.
	sessionsAtOnce = 8
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
	slept chan struct{} // a user is to be looked up again

	mu   sync.Mutex
	done map[string]bool // blocked users of whom nothing sleeps any more
}

// New makes an Evictor, of which nothing runs yet.
func New(o Options) *Evictor {
	return &Evictor{Options: o, slept: make(chan struct{}, 1), done: map[string]bool{}}
}

// Slept is told of a user of whom one more MQTT Session sleeps from now on: who is blocked is looked up once more. It
// never blocks.
func (e *Evictor) Slept(username string) {
	e.mu.Lock()
	restless := e.done[username]
	delete(e.done, username)
	e.mu.Unlock()
	if !restless {
		return // or nobody has looked yet
	}
	select {
	case e.slept <- struct{}{}:
	default: // one waiting signal is as good as two
	}
}

// Run ends the MQTT Sessions of whoever is blocked, until ctx ends.
func (e *Evictor) Run(ctx context.Context) {
	pauses := backoff.ExponentialBackOff{InitialInterval: againFirst, Multiplier: 2, RandomizationFactor: 0.5, MaxInterval: againMost}
	everything := time.NewTicker(rest)
	defer everything.Stop()
	next := newAlarm()
	defer next.timer.Stop()
	next.in(settle)
	for {
		select {
		case <-ctx.Done():
			return
		case <-e.Policy.BlockedChanged():
			next.in(settle)
			continue
		case <-e.slept:
			next.in(settle)
			continue
		case <-everything.C:
			e.forgetDone()
			next.in(0)
			continue
		case <-next.timer.C:
			next.at = time.Time{}
		}
		if err := e.sweep(ctx); err != nil && ctx.Err() == nil {
			e.Logger.Warn("sleeping sessions of blocked users not ended, tried again", "err", err.Error())
			next.in(pauses.NextBackOff())
		} else {
			pauses.Reset()
		}
	}
}

// alarm is a timer that is never put off.
type alarm struct {
	timer *time.Timer
	at    time.Time // zero: it is not set
}

func newAlarm() *alarm {
	a := &alarm{timer: time.NewTimer(0)}
	a.timer.Stop()
	return a
}

// in sets it, unless it goes off sooner.
func (a *alarm) in(pause time.Duration) {
	if at := time.Now().Add(pause); a.at.IsZero() || at.Before(a.at) {
		a.at = at
		a.timer.Reset(pause)
	}
}

// sweep ends what sleeps of blocked users that are not in done, and puts them there; those who are blocked no more it
// takes out.
func (e *Evictor) sweep(ctx context.Context) error {
	blocked := map[string]bool{}
	var fresh []string
	err := e.Policy.BlockedUsers(ctx, func(usernames []string) bool {
		e.mu.Lock()
		defer e.mu.Unlock()
		for _, username := range usernames {
			if !blocked[username] && !e.done[username] {
				fresh = append(fresh, username)
			}
			blocked[username] = true
		}
		return len(blocked) < mostUsers
	})
	if err != nil {
		return err
	}
	e.keepDone(blocked)
	for len(fresh) > 0 && ctx.Err() == nil {
		some := fresh[:min(len(fresh), usersAtOnce)]
		fresh = fresh[len(some):]
		if failed := e.evict(ctx, some); failed != nil {
			err = failed
		}
	}
	return err
}

// keepDone forgets of done who is not blocked any more.
func (e *Evictor) keepDone(blocked map[string]bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for username := range e.done {
		if !blocked[username] {
			delete(e.done, username)
		}
	}
}

func (e *Evictor) forgetDone() {
	e.mu.Lock()
	defer e.mu.Unlock()
	clear(e.done)
}

// setDone notes whether a user is done with.
func (e *Evictor) setDone(usernames []string, done bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, username := range usernames {
		if done {
			e.done[username] = true
		} else {
			delete(e.done, username)
		}
	}
}

// evict ends what sleeps of some users.
func (e *Evictor) evict(ctx context.Context, usernames []string) error {
	e.setDone(usernames, true) // before the look: who is told of a Session that sleeps later takes it back
	step, cancel := context.WithTimeout(ctx, timeout)
	ids, err := e.Index.Of(step, usernames)
	cancel()
	if err != nil {
		e.setDone(usernames, false)
		return err
	}
	var visits errgroup.Group
	visits.SetLimit(sessionsAtOnce)
	for i, username := range usernames {
		for _, id := range ids[i] {
			visits.Go(func() error {
				err := e.end(ctx, username, id)
				if err != nil {
					e.setDone([]string{username}, false)
				}
				return err
			})
		}
	}
	return visits.Wait()
}

// errUnblocked says that a user may have its MQTT Sessions after all.
var errUnblocked = errors.New("unblocked")

// end ends one MQTT Session, on whichever broker.
func (e *Evictor) end(ctx context.Context, username, id string) error {
	err := e.tryEnd(ctx, username, id)
	if errors.Is(err, errUnblocked) {
		e.setDone([]string{username}, false) // perhaps for a moment only
		return nil
	}
	e.Ended(err == nil)
	if err != nil {
		return fmt.Errorf("end the session of %q: %w", username, err)
	}
	e.Forget(id)
	e.Index.Drop(username, id)
	e.Logger.Info("sleeping session of a blocked user ended", "username", username)
	return nil
}

func (e *Evictor) tryEnd(ctx context.Context, username, id string) error {
	step, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if still, err := e.Policy.IsBlocked(step, username); err != nil {
		return err
	} else if !still {
		return errUnblocked
	}
	name, password := e.Credentials(username)
	return e.Brokers.EndSession(ctx, timeout, frames.Connect{ClientID: id, HasUsername: name != "", Username: name,
		HasPassword: password != "", Password: []byte(password)})
}
