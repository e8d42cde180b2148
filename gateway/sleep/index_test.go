package sleep

import (
	"slices"
	"strings"
	"sync"
	"testing"
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

func TestAnIndexWithoutRedisDoesNothing(t *testing.T) {
	x := NewIndex(nil, "tg:", 3, nil)
	x.Note("alice", "a", time.Hour)
	x.Drop("alice", "a")
	x.Close()
}
