package session

import (
	"runtime"
	"sync"
)

// reviewers review sessions whose policy has changed. No more than there are processors compute at a time, so
// that a storm of changes takes little memory and leaves room for the pumps. Before one waits for something
// (a broker, a client, another review of that session), it steps aside and another takes its place: who does
// not read holds up nobody else.
//
// The zero value is ready for use. Its goroutines live as long as there is work.
type reviewers struct {
	mu      sync.Mutex
	waiting []*Session // each at most once
	working int        // that have not stepped aside
}

// add has a session reviewed after those that wait already.
func (r *reviewers) add(s *Session) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waiting = append(r.waiting, s)
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
		if s.subs.requested.begin() {
			s.review(stepAside)
			if s.subs.requested.more() {
				r.add(s)
			}
		}
		if aside && !r.comeBack() {
			return
		}
	}
}

// next takes the first session; nil: none waits, and the caller is no reviewer any more.
func (r *reviewers) next() *Session {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.waiting) == 0 {
		r.waiting = nil // the storm is over
		r.working--
		return nil
	}
	s := r.waiting[0]
	r.waiting[0] = nil
	r.waiting = r.waiting[1:]
	return s
}

// stepAside lets another goroutine work in the caller's place.
func (r *reviewers) stepAside() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.waiting) > 0 {
		go r.work()
		return
	}
	r.working--
}

// comeBack reports whether the caller, who had stepped aside, is needed again.
func (r *reviewers) comeBack() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.waiting) == 0 || r.working >= runtime.GOMAXPROCS(0) {
		return false
	}
	r.working++
	return true
}
