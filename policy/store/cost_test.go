package store

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"topicgate/policy"
)

// crowd opens n sessions of as many users, each in room 0.
func crowd(t testing.TB, r *testRedis, s *testStore, n int, changed func()) []*Grant {
	t.Helper()
	for from := 0; from < n; from += 1000 {
		_, err := r.Pipelined(context.Background(), func(pipe redis.Pipeliner) error {
			for i := from; i < min(n, from+1000); i++ {
				pipe.SAdd(context.Background(), fmt.Sprintf("topicgate:user:u%d:rooms", i), "0")
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	grants := make([]*Grant, n)
	for i := range grants {
		grants[i] = s.openWith(t, policy.Principal{Username: fmt.Sprint("u", i), TokenID: fmt.Sprint("t", i)}, changed)
	}
	return grants
}

func settled(s *testStore) func() bool {
	return func() bool { return s.cache.oldest().IsZero() && s.Status().Ready }
}

func TestChangeForOneUserReadsOneKey(t *testing.T) {
	const sessions = 5000
	r := startRedis(t)
	r.do("SET", "topicgate:acl", roomRules)
	s := startStore(t, "redis://"+r.addr)
	var told atomic.Int64
	grants := crowd(t, r, s, sessions, func() { told.Add(1) })

	before, read := r.calls(), s.count(isRead)
	r.do("SADD", "topicgate:user:u4711:rooms", "7")
	eventually(t, "joined", func() bool { return reads(grants[4711], "chat/room/7/x") })
	eventually(t, "settled", settled(s))
	after := r.calls()
	for _, name := range []string{"sscan", "pttl"} {
		if got := after[name] - before[name]; got != 1 {
			t.Errorf("one change made %d calls of %s; want 1", got, name)
		}
	}
	for _, name := range []string{"getrange", "exists", "smismember", "scard"} {
		if got := after[name] - before[name]; got != 0 {
			t.Errorf("one change made %d calls of %s; want none", got, name)
		}
	}
	if got := s.count(isRead) - read; got != 1 {
		t.Errorf("one change made %d round trips; want 1", got)
	}
	if got := told.Load(); got != 1 {
		t.Errorf("one change was told to %d sessions; want 1", got)
	}

	// The blocked set is asked about the live users, in batches, and not read.
	before, read = r.calls(), s.count(isRead)
	r.do("SADD", "topicgate:blocked", "u17", "mallory")
	eventually(t, "blocked", func() bool { return grants[17].Standing() == Blocked })
	eventually(t, "settled", settled(s))
	if got, most := s.count(isRead)-read, sessions/maxBatch+2*builders; got > most {
		t.Errorf("a change of the blocked set made %d round trips; want at most %d", got, most)
	}
	if got := r.calls()["sscan"] - before["sscan"]; got != 0 {
		t.Errorf("a change of the blocked set made %d calls of sscan; want none", got)
	}

	// A flush reads everything again, in batches, and tells those who lost something.
	read = s.count(isRead)
	r.do("FLUSHALL")
	eventually(t, "flushed", func() bool { return !reads(grants[0], "chat/room/0/x") && !reads(grants[sessions-1], "chat/room/0/x") })
	eventually(t, "settled", settled(s))
	if got, most := s.count(isRead)-read, 6*sessions/maxBatch+6*builders; got > most {
		t.Errorf("FLUSHALL made %d round trips; want at most %d", got, most)
	}
	for i, g := range grants {
		if reads(g, "chat/room/0/x") || reads(g, "chat/to/u0") {
			t.Fatalf("u%d is allowed something after FLUSHALL", i)
		}
	}
}

func isRead(e Event) bool { return e.Kind == EventRead }

func TestResetThatChangesNothingTellsNobody(t *testing.T) {
	r, s, _ := chatUser(t)
	var told atomic.Int64
	grants := crowd(t, r, s, 100, func() { told.Add(1) })
	before := s.count(resetFor(ResetLost))
	r.do("CLIENT", "KILL", "TYPE", "pubsub")
	eventually(t, "reset", func() bool { return s.count(resetFor(ResetLost)) > before })
	eventually(t, "settled", settled(s))
	r.do("SREM", "topicgate:user:u1:rooms", "0")
	eventually(t, "u1 left", func() bool { return !reads(grants[1], "chat/room/0/x") })
	eventually(t, "settled", settled(s))
	if got := told.Load(); got != 1 {
		t.Errorf("a reset and one change were told %d times; want 1", got)
	}
}

func TestRoomEmptiedOneByOneIsCoalesced(t *testing.T) {
	const members = 20000
	r, s, _ := chatUser(t)
	values := make([]any, members)
	for i := range values {
		values[i] = fmt.Sprint(i)
	}
	if err := r.SAdd(t.Context(), "topicgate:user:bob:rooms", values...).Err(); err != nil {
		t.Fatal(err)
	}
	g := s.open(t, policy.Principal{Username: "bob"})
	if !reads(g, "chat/room/19999/x") || reads(g, "chat/room/20000/x") {
		t.Error("the large set is not read as it is")
	}
	before := r.calls()
	for from := 0; from < members; from += 500 {
		_, err := r.Pipelined(t.Context(), func(pipe redis.Pipeliner) error {
			for _, v := range values[from : from+500] {
				pipe.SRem(t.Context(), "topicgate:user:bob:rooms", v)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "all left", func() bool { return !reads(g, "chat/room/0/x") && !reads(g, "chat/room/19999/x") })
	eventually(t, "settled", settled(s))
	if got := r.calls()["pttl"] - before["pttl"]; got > members/10 {
		t.Errorf("%d changes of one key made %d reads of it", members, got)
	}
}

func TestChangesDuringOpenAreNotLost(t *testing.T) {
	r, s, _ := chatUser(t)
	for i := range 300 {
		room := fmt.Sprint(i)
		done := make(chan error, 1)
		go func() { done <- r.SAdd(context.Background(), "topicgate:user:bob:rooms", room).Err() }()
		g := s.open(t, policy.Principal{Username: "bob"})
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		eventually(t, "bob is in room "+room, func() bool { return reads(g, "chat/room/"+room+"/x") })
		g.Close()
	}
}

// BenchmarkChange is the time from SADD or SREM to the new Access, of one user
// among many.
func BenchmarkChange(b *testing.B) {
	for _, sessions := range []int{1, 1000, 5000} {
		b.Run(fmt.Sprint(sessions, "-sessions"), func(b *testing.B) {
			r := startRedis(b)
			r.do("SET", "topicgate:acl", roomRules)
			s := startStore(b, "redis://"+r.addr)
			told := make(chan struct{}, 1)
			grants := crowd(b, r, s, sessions, func() { told <- struct{}{} })
			g, in := grants[sessions/2], false
			key := fmt.Sprintf("topicgate:user:u%d:rooms", sessions/2)
			var worst time.Duration
			for b.Loop() {
				start := time.Now()
				if in = !in; in {
					r.do("SADD", key, "7")
				} else {
					r.do("SREM", key, "7")
				}
				<-told
				worst = max(worst, time.Since(start))
				if reads(g, "chat/room/7/x") != in {
					b.Fatal("told before the new policy.Access was in place")
				}
			}
			b.ReportMetric(float64(worst.Microseconds()), "max-µs")
		})
	}
}
