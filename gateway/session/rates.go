package session

import (
	"sync"
	"time"

	"golang.org/x/time/rate"

	"topicgate/policy"
)

const (
	// mostRestingRates bounds users without a session whose counts are kept until they have run out. Beyond it they
	// are forgotten at once.
	mostRestingRates = 10_000
	// mostUserRates bounds the limits that are counted for one user: there are as many as lines in the policy, and more
	// only after changes of it.
	mostUserRates = 1_000
)

// rates count the messages of users for the `rate` of directives, over all their sessions. The zero value is ready.
type rates struct {
	mu      sync.Mutex
	users   map[string]*userRates
	resting int // of users, those without a session
}

// userRates are those of one user. No other user's sessions wait for its mu.
type userRates struct {
	username string

	// Guarded by rates.mu.
	sessions int
	resting  *time.Timer // forgets the user; nil: it has not rested yet

	mu       sync.Mutex
	limiters map[string]*rate.Limiter // by line
}

// enter counts a session in.
func (r *rates) enter(username string) *userRates {
	r.mu.Lock()
	defer r.mu.Unlock()
	u := r.users[username]
	switch {
	case u == nil:
		if r.users == nil {
			r.users = make(map[string]*userRates)
		}
		u = &userRates{username: username, limiters: make(map[string]*rate.Limiter)}
		r.users[username] = u
	case u.sessions == 0:
		u.resting.Stop()
		r.resting--
	}
	u.sessions++
	return u
}

// leave counts a session out. With the last one the user is forgotten, as soon as nothing counts against it any more:
// who connects anew does not start anew.
func (r *rates) leave(u *userRates) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if u.sessions--; u.sessions > 0 {
		return
	}
	rest := u.rest()
	if rest <= 0 || r.resting >= mostRestingRates {
		delete(r.users, u.username)
		return
	}
	r.resting++
	u.resting = time.AfterFunc(rest+time.Millisecond, func() { r.forget(u) })
}

// forget ends a rest, unless the user has come back meanwhile.
func (r *rates) forget(u *userRates) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if u.sessions == 0 && u.rest() <= 0 && r.users[u.username] == u {
		delete(r.users, u.username)
		r.resting--
	}
}

// rest is how long it takes until no message counts any more.
func (u *userRates) rest() (longest time.Duration) {
	u.mu.Lock()
	defer u.mu.Unlock()
	now := time.Now()
	for _, l := range u.limiters {
		missing := float64(l.Burst()) - l.TokensAt(now)
		longest = max(longest, time.Duration(missing/float64(l.Limit())*float64(time.Second)))
	}
	return longest
}

// take counts one message for each rate among rules, or, when one of them is used up, for none: then it returns that
// one and how long it will be.
func (u *userRates) take(rules []*policy.Rule) (over *policy.Rule, wait time.Duration) {
	u.mu.Lock()
	defer u.mu.Unlock()
	now := time.Now()
	var limiters []*rate.Limiter
	for _, r := range rules {
		of := r.Directive().Rate
		if of == (policy.Rate{}) {
			continue
		}
		l := u.limiters[r.String()]
		if l == nil {
			if len(u.limiters) >= mostUserRates {
				clear(u.limiters)
			}
			l = rate.NewLimiter(rate.Limit(float64(of.Messages)/of.Per.Seconds()), of.Messages)
			u.limiters[r.String()] = l
		}
		limiters = append(limiters, l)
		if missing := 1 - l.TokensAt(now); missing > 0 {
			if d := time.Duration(missing / float64(l.Limit()) * float64(time.Second)); d >= wait {
				over, wait = r, d
			}
		}
	}
	if over != nil {
		return over, wait.Truncate(time.Millisecond) + time.Millisecond // no earlier than it may pass
	}
	for _, l := range limiters {
		l.AllowN(now, 1)
	}
	return nil, 0
}
