package session

import (
	"runtime"
	"sync"

	"topicgate/policy/fair"
)

// reviewers review sessions whose policy has changed. No more than there are processors compute at a time, so
// that a storm of changes takes little memory and leaves room for the pumps. Users are served in turn, by cost: who has
// many sessions, or many subscriptions, holds up nobody else. Before one waits for something
// (a broker, a client, another review of that session), it steps aside and another takes its place: who does
// not read holds up nobody else.
//
// The zero value is ready for use. Its goroutines live as long as there is work.
type reviewers struct {
	mu      sync.Mutex
	waiting fair.Turns[*Session]            // each at most once
	users   map[string]*fair.Line[*Session] // by username, of a storm
	working int                             // that have not stepped aside
}

// add has a session reviewed when it is its user's turn.
func (r *reviewers) add(s *Session) {
	username := s.whose.username()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.users == nil {
		r.users = map[string]*fair.Line[*Session]{}
	}
	line := r.users[username]
	if line == nil {
		line = &fair.Line[*Session]{}
		r.users[username] = line
	}
	r.waiting.Add(line, s)
	if r.working < runtime.GOMAXPROCS(0) {
		r.working++
		go r.work()
	}
}

// work reviews sessions until none waits, or it has stepped aside and others are enough.
func (r *reviewers) work() {
	for {
		s := r.next()
		if s == nil {
			return
		}
		aside := false
		stepAside := func() {
			if !aside {
				aside = true
				r.stepAside()
			}
		}
		if s.requested.begin() {
			s.review(stepAside)
			if s.requested.more() {
				r.add(s)
			}
		}
		if aside && !r.comeBack() {
			return
		}
	}
}

// next takes the next session; nil: none waits, and the caller is no reviewer any more.
func (r *reviewers) next() *Session {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.waiting.Empty() {
		r.waiting, r.users = fair.Turns[*Session]{}, nil // the storm is over
		r.working--
		return nil
	}
	return r.waiting.Take(func(s *Session) int { return 1 + s.table.Followers() })
}

// stepAside lets another goroutine work in the caller's place.
func (r *reviewers) stepAside() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.waiting.Empty() {
		go r.work()
		return
	}
	r.working--
}

// comeBack reports whether the caller, who had stepped aside, is needed again.
func (r *reviewers) comeBack() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.waiting.Empty() || r.working >= runtime.GOMAXPROCS(0) {
		return false
	}
	r.working++
	return true
}
