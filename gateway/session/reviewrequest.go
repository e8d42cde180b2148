package session

import (
	"sync"
	"sync/atomic"
)

// reviewRequest is whether the subscriptions are to be reviewed. It has a lock of its own, which is never held over
// work: whoever changes the policy asks for a review, and must not wait for a session that works.
type reviewRequest struct {
	of     atomic.Int32 // how many subscriptions there are
	closed atomic.Bool  // the session has ended: nobody reviews or waits any more

	mu      sync.Mutex
	wanted  bool          // a review
	running bool          // one is under way, or is soon
	ended   chan struct{} // closed when that has ended; nil: nobody waits for it
}

// want asks for a review, and reports whether the caller is to have one made. Requests that come while one runs make
// one more of it.
func (r *reviewRequest) want() bool {
	if r.of.Load() == 0 {
		return false // who asks from now on sees the policy as it is; see reviewedWith
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.wanted = true
	if r.running || r.closed.Load() {
		return false
	}
	r.running = true
	return true
}

// begin reports whether the review that was asked for is still wanted.
func (r *reviewRequest) begin() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.wanted = false
	if r.closed.Load() {
		r.end()
		return false
	}
	return true
}

// more reports, at the end of a review, whether one more was asked for meanwhile.
func (r *reviewRequest) more() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.wanted && !r.closed.Load() {
		return true
	}
	r.end()
	return false
}

// end notes that no review is under way or wanted. mu is held.
func (r *reviewRequest) end() {
	r.running = false
	if r.ended != nil {
		close(r.ended)
		r.ended = nil
	}
}

// isRunning reports whether a review is under way, or is soon.
func (r *reviewRequest) isRunning() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.running
}

// await returns when the reviews of an ended session have ended too.
func (r *reviewRequest) await() {
	for {
		r.mu.Lock()
		if !r.running {
			r.mu.Unlock()
			return
		}
		if r.ended == nil {
			r.ended = make(chan struct{})
		}
		ended := r.ended
		r.mu.Unlock()
		<-ended
	}
}
