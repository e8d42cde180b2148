package sleep

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"topicgate/gateway/internal/redistest"
)

// The index has the sessions of a user that outlive their connections, no more than its bound; who ends soonest goes first,
// and the record with it.
func TestTheIndexIsBounded(t *testing.T) {
	r := redistest.Start(t)
	var mu sync.Mutex
	var forgotten []string
	x := NewIndex(r.Client, "tg:", 3, func(id string) {
		mu.Lock()
		defer mu.Unlock()
		forgotten = append(forgotten, id)
	})
	defer x.Close()
	is := func(user, want string) {
		t.Helper()
		redistest.Eventually(t, user+" has "+want, func() bool {
			ids, err := x.Of(t.Context(), []string{"nobody", user})
			return err == nil && len(ids) == 2 && len(ids[0]) == 0 && strings.Join(ids[1], " ") == want
		})
	}
	for n, id := range []string{"a", "b", "c"} {
		x.Note("alice", id, time.Duration(n+1)*time.Hour)
	}
	x.Note("bob", "d", time.Hour)
	is("alice", "a b c")
	is("bob", "d")
	x.Drop("alice", "b")
	is("alice", "a c")
	x.Note("alice", "e", 30*time.Minute)
	is("alice", "e a c")
	x.Note("alice", "a", 5*time.Hour) // it was on once more
	x.Note("alice", "f", 4*time.Hour)
	is("alice", "c f a")
	redistest.Eventually(t, "the record of the session that ends soonest is forgotten", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return slices.Equal(forgotten, []string{"e"})
	})
}

// Without Redis the bound holds all the same.
func TestTheIndexInMemoryIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var forgotten []string
		x := NewIndex(nil, "tg:", 3, func(id string) { forgotten = append(forgotten, id) })
		for n, id := range []string{"a", "b", "c"} {
			x.Note("alice", id, time.Duration(n+1)*time.Hour)
			x.Note("bob", id+"2", time.Hour)
		}
		x.Drop("alice", "b")
		time.Sleep(time.Second)
		synctest.Wait()
		x.Note("alice", "d", 2*time.Hour)
		time.Sleep(time.Second)
		synctest.Wait()
		if len(forgotten) > 0 {
			t.Errorf("%q are forgotten; want none", forgotten)
		}
		x.Note("alice", "e", 10*time.Hour)
		time.Sleep(4 * time.Hour) // a, d and c have ended, of whom a was pushed out
		x.Note("alice", "f", time.Hour)
		x.Note("alice", "g", time.Hour)
		x.Note("alice", "h", 4*time.Hour)
		time.Sleep(time.Second)
		synctest.Wait()
		if got := strings.Join(forgotten, " "); got != "a f" && got != "a g" {
			t.Errorf("%q are forgotten; want a, and of f and g one", got)
		}
		for n := range 2 * inMemory {
			x.Note(fmt.Sprint("user ", n), fmt.Sprint("id ", n), time.Hour)
			if n%1000 == 0 {
				time.Sleep(time.Second)
				synctest.Wait()
			}
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if x.local.total > inMemory || x.local.users.Len() > inMemory {
			t.Errorf("%d Sessions of %d users are kept; want %d at most", x.local.total, x.local.users.Len(), inMemory)
		}
		x.Close()
	})
}

// What Redis does not take is written when it does; of one user no more waits than is kept.
func TestTheIndexIsWrittenLater(t *testing.T) {
	r := redistest.Start(t)
	x := NewIndex(r.Client, "tg:", 3, func(string) {})
	defer x.Close()
	r.Client.ConfigSet(t.Context(), "maxmemory", "1")
	x.Note("bob", "b", time.Hour)
	for n := range 1000 {
		x.Note("alice", fmt.Sprint("a", n), time.Hour)
	}
	redistest.Eventually(t, "Redis has refused a write", func() bool {
		return strings.Contains(r.Client.Info(t.Context(), "errorstats").Val(), "errorstat_OOM")
	})
	x.mu.Lock()
	if n := len(x.notes); n > 7 {
		t.Errorf("%d notes wait; want 7 at most", n)
	}
	x.mu.Unlock()
	r.Client.ConfigSet(t.Context(), "maxmemory", "0")
	redistest.Eventually(t, "all is written", func() bool {
		ids, err := x.Of(t.Context(), []string{"alice", "bob"})
		return err == nil && len(ids[0]) == 3 && len(ids[1]) == 1
	})
}

// A key that is somebody else's keeps nobody's from being written.
func TestAKeyOfAnotherTypeIsPassedOver(t *testing.T) {
	r := redistest.Start(t)
	x := NewIndex(r.Client, "tg:", 3, func(string) {})
	defer x.Close()
	r.Client.Set(t.Context(), "tg:sleeping:alice", "mine", 0)
	x.Note("alice", "a", time.Hour)
	x.Note("bob", "b", time.Hour)
	redistest.Eventually(t, "the other one is written", func() bool {
		ids, err := x.Of(t.Context(), []string{"bob"})
		return err == nil && len(ids[0]) == 1
	})
	redistest.Eventually(t, "nothing waits any more", func() bool {
		x.mu.Lock()
		defer x.mu.Unlock()
		return len(x.notes) == 0
	})
}
