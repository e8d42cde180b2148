package gateway

import (
	"sync"

	"golang.org/x/sync/semaphore"
)

// crewIdle is how many goroutines of a crew stay for the next job.
const crewIdle = 32

// crew runs jobs on goroutines that have run some before: the stack that establishing a session needs has grown
// already, where a fresh one is copied several times on its way there. It is no limit: a job for which nobody is free
// gets a goroutine of its own, so clients that are slow to say who they are hold up nobody.
type crew struct {
	jobs chan func() // without a buffer: only who waits takes one
	end  chan struct{}
	once sync.Once           // closes end
	idle *semaphore.Weighted // nobody waits for it
	done sync.WaitGroup
}

func newCrew() *crew {
	return &crew{jobs: make(chan func()), end: make(chan struct{}), idle: semaphore.NewWeighted(crewIdle)}
}

// do has job run soon.
func (c *crew) do(job func()) {
	select {
	case c.jobs <- job:
	default:
		c.done.Go(func() { c.work(job) })
	}
}

func (c *crew) work(job func()) {
	for {
		job()
		job = nil // and what it knows may go
		if !c.idle.TryAcquire(1) {
			return
		}
		select {
		case job = <-c.jobs:
			c.idle.Release(1)
		case <-c.end:
			c.idle.Release(1)
			return
		}
	}
}

// close returns when all jobs have ended; no more may come.
func (c *crew) close() {
	c.once.Do(func() { close(c.end) })
	c.done.Wait()
}
