package session

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"topicgate/frames"
)

// steppedClock is a bubble's clock and what it was stepped by.
type steppedClock struct{ by atomic.Int64 }

func (c *steppedClock) now() time.Time       { return time.Now().Round(0).Add(time.Duration(c.by.Load())) }
func (c *steppedClock) step(d time.Duration) { c.by.Add(int64(d)) }

func TestStepsOfTheWallClockAreNoticed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clock := &steppedClock{}
		closed, steps := make(chan struct{}), 0
		go wallClock{clock.now}.watch(closed, func() { steps++ })
		want := func(what string, n int) {
			t.Helper()
			time.Sleep(clockCheckInterval)
			synctest.Wait()
			if steps != n {
				t.Errorf("after %s: noticed %d steps; want %d", what, steps, n)
			}
		}
		want("nothing", 0)
		clock.step(time.Hour)
		want("a step ahead", 1)
		want("nothing more", 1)
		clock.step(-2 * time.Hour)
		want("a step back", 2)
		clock.step(clockTolerance)
		want("what an adjustment does", 2)
		clock.step(clockTolerance)
		want("what several adjustments do", 3)
		close(closed)
		synctest.Wait()
	})
}

func TestATokenEndsWhenTheWallClockSaysSo(t *testing.T) {
	for _, v := range []frames.Version{frames.V31, frames.V311, frames.V5} {
		for _, tt := range []struct {
			what        string
			lifetime    string
			at          time.Duration // when the clock is stepped
			step        time.Duration
			from, until time.Duration // the session ends in between
		}{
			{"no step", "alice@1h", 0, 0, time.Hour, time.Hour},
			{"the machine sleeps past the end", "alice@1h", 10 * time.Minute, 2 * time.Hour, 10 * time.Minute, 11 * time.Minute},
			{"the machine sleeps", "alice@1h", 10 * time.Minute, 20 * time.Minute, 40 * time.Minute, 40 * time.Minute},
			{"set back", "alice@1h", 10 * time.Minute, -30 * time.Minute, 90 * time.Minute, 90 * time.Minute},
			{"set back just before the end", "alice@1h", time.Hour - time.Second, -time.Minute, 61 * time.Minute, 61 * time.Minute},
			{"past the end in its last minute", "alice@50s", 10 * time.Second, time.Hour, 10 * time.Second, 70 * time.Second},
		} {
			synctest.Test(t, func(t *testing.T) {
				clock := &steppedClock{}
				r := newRig(t, func(o *rigOptions) { o.Now = clock.now })
				start := time.Now()
				c := r.Connect(v, tt.lifetime).Patient()
				time.AfterFunc(tt.at, func() { clock.step(tt.step) })
				if v == frames.V5 {
					c.Hears("e0 01 87")
				}
				c.Closes(4401)
				if after := time.Since(start); after < tt.from || after > tt.until {
					t.Errorf("%v, %s: the session ends after %v; want %v to %v", v, tt.what, after, tt.from, tt.until)
				}
			})
		}
	}
}
