package session

import (
	"errors"
	"sync"
)

// ending is the end of a session, which comes once: the first cause is the one that counts.
type ending struct {
	done chan struct{} // closed by first

	mu    sync.Mutex
	err   error  // the first cause
	abort func() // ends the wait of a client on its way in; nil: there is none that could be ended. It never blocks
}

// first ends the session because of err, unless something has ended it already, and calls wake while nobody who would
// go on is in unlessEnded.
func (e *ending) first(err error, wake func()) {
	if err == nil {
		err = ended(EndInternal, errors.New("BUG: ended without a cause"))
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.err != nil {
		return
	}
	e.err = err
	close(e.done)
	if e.abort != nil {
		e.abort()
	}
	wake()
}

// unlessEnded calls do, which sets abort or what first's wake undoes, unless the session has ended. It returns the
// cause if it has.
func (e *ending) unlessEnded(do func()) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.err == nil {
		do()
	}
	return e.err
}

// cause is why the session ended; nil while it has not.
func (e *ending) cause() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.err
}
