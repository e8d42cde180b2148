package session

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"topicgate/frames"
	"topicgate/gateway/internal/play"
)

// A broker that goes away sends its clients back over a second, each of them to be told by a close that lets it come
// back by itself.
func TestTheEndsOfAHerdAreSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		const clients = 300
		ends := make(chan time.Duration, clients)
		var all []*play.Conversation
		for n := range clients {
			all = append(all, r.ConnectAs(frames.V311, "alice", fmt.Sprint(n)).Patient())
		}
		begin := time.Now()
		for _, c := range all {
			_ = c.Conn.Close()
			go func() {
				c.Closes(1013)
				ends <- time.Since(begin)
			}()
		}
		early, last := 0, time.Duration(0)
		for range clients {
			end := <-ends
			if last = max(last, end); end < 100*time.Millisecond {
				early++
			}
		}
		if last > time.Second || last < 300*time.Millisecond || early > clients*2/3 {
			t.Errorf("%d of %d ended within 100ms, the last after %v; want them spread over up to a second", early, clients, last)
		}
	})
}

func TestOneLostBrokerEndsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h herd
		for range 100 {
			if pause := h.pause(); pause >= herdStep {
				t.Errorf("one session alone waits %v; want less than %v", pause, herdStep)
			}
			time.Sleep(herdSpread + 1)
		}
	})
}
