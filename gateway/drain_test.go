package gateway

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"topicgate/frames"
	"topicgate/gateway/internal/play"
	"topicgate/gateway/session"
)

func TestDrainSpreadsTheEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newGate(t, nil)
		var sessions []*play.Conversation
		for i := range 3 {
			connect := play.ConnectOf(frames.V5, "alice")
			connect.ClientID = fmt.Sprint("c", i)
			sessions = append(sessions, r.ConnectWith(connect, "20 03 00 00 00").Patient())
		}
		synctest.Wait()
		begin := time.Now()
		drained := make(chan time.Duration)
		go func() { r.server.Drain(t.Context()); drained <- time.Since(begin) }()
		ends := make(chan time.Duration)
		for _, c := range sessions {
			go func() {
				c.Hears("e0 01 8b")
				c.Closes(1012)
				ends <- time.Since(begin)
			}()
		}
		var at []time.Duration
		for range sessions {
			at = append(at, <-ends)
		}
		if step := 30 * time.Second * 3 / 4 / 3; at[0] != 0 || at[1] != step || at[2] != 2*step {
			t.Errorf("sessions ended after %v; want 0, %v, %v", at, step, 2*step)
		}
		if d := <-drained; d != at[2] {
			t.Errorf("Drain returned after %v; want %v", d, at[2])
		}
		if !r.server.Draining() {
			t.Error("Draining() = false")
		}
	})
}

func TestADrainDuringTheUpgradeIsNotForgotten(t *testing.T) {
	for range 20 {
		r := newGate(t, nil)
		c := r.Dial(frames.V311)
		go r.server.Close() // whether the session has begun to read or not
		c.Closes(1012)
	}
}

// drained is a session that spread ends.
type drained struct {
	done chan struct{}
	at   time.Time // its end; zero: not yet
	why  session.EndReason
}

func (d *drained) Done() <-chan struct{}        { return d.done }
func (d *drained) End(reason session.EndReason) { d.at, d.why = time.Now(), reason }

// However many there are, the last ends in time: what each waits too long does not add up.
func TestADrainKeepsItsTime(t *testing.T) {
	for _, n := range []int{1, 3, 3_000, 50_000} {
		synctest.Test(t, func(t *testing.T) {
			const within = 10 * time.Second
			live := make([]*drained, n)
			for i := range live {
				live[i] = &drained{done: make(chan struct{})}
			}
			begin := time.Now()
			spread(t.Context(), live, within)
			for i, d := range live {
				if want := within * time.Duration(i) / time.Duration(n); d.at.Sub(begin).Round(time.Millisecond) != want.Round(time.Millisecond) || d.why != session.EndDraining {
					t.Fatalf("%d of %d ended after %v with %v; want %v", i, n, d.at.Sub(begin), d.why, want)
				}
			}
		})
	}
}

// Who has ended by itself takes no time of the others, and nobody waits once the drain is cut short.
func TestADrainWaitsForNobodyWhoHasEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		live := make([]*drained, 1000)
		for i := range live {
			live[i] = &drained{done: make(chan struct{})}
			if i > 0 {
				close(live[i].done)
			}
		}
		begin := time.Now()
		spread(t.Context(), live, time.Hour)
		if d := time.Since(begin); d != 0 {
			t.Errorf("waited %v for sessions that have ended; want no time", d)
		}
		for _, d := range live {
			d.done = make(chan struct{})
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		spread(ctx, live, time.Hour)
		if d := time.Since(begin); d != time.Second || live[999].at.IsZero() {
			t.Errorf("ended all after %v; want after the second that there was", d)
		}
	})
}
