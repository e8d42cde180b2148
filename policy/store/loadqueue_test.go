package store

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"

	"topicgate/policy"
)

// gate is a hook that holds up, or fails, the round trips that read a user's keys.
type gate struct {
	user string
	open chan struct{} // closed: nothing is held up
	fail bool
	held *sync.Map // keys that are held up; nil: nobody asks
}

func (g gate) concerns(cmds []redis.Cmder) bool {
	return slices.ContainsFunc(cmds, func(c redis.Cmder) bool { return strings.Contains(fmt.Sprint(c.Args()...), g.user) })
}

func (g gate) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

func (g gate) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }

func (g gate) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		if !g.concerns(cmds) {
			return next(ctx, cmds)
		}
		if g.fail {
			err := errors.New("too much for this server")
			for _, c := range cmds {
				c.SetErr(err)
			}
			return err
		}
		if g.held != nil {
			for _, c := range cmds {
				g.held.Store(fmt.Sprint(c.Args()...), true)
			}
		}
		<-g.open
		return next(ctx, cmds)
	}
}

// openAll opens sessions of users at the same time, which must work for all but mallory.
func openAll(t *testing.T, s *testStore, users []string) {
	t.Helper()
	grants, errs := make([]*Grant, len(users)), make([]error, len(users))
	var opens sync.WaitGroup
	for i, user := range users {
		opens.Go(func() { grants[i], errs[i] = s.Open(t.Context(), policy.Principal{Username: user}, nil) })
	}
	opens.Wait()
	for i, err := range errs {
		if (err != nil) != (users[i] == "mallory") {
			t.Errorf("Open(%s) = %v", users[i], err)
		}
		if err == nil {
			t.Cleanup(grants[i].Close)
		}
	}
}

func crowdNames(n int) []string {
	users := make([]string, n)
	for i := range users {
		users[i] = fmt.Sprint("u", i)
	}
	return users
}

// hold keeps readers from reading for Opens, until the function that it returns is called.
func (s *testStore) hold() (goOn func()) {
	s.loads.mu.Lock()
	defer s.loads.mu.Unlock()
	s.loads.quick += quickReads
	return func() {
		for range quickReads {
			s.loads.leave()
		}
	}
}

// waiting is how many loads no reader has taken yet, and how many keys are in the first of them.
func (s *testStore) waiting() (loads, keys int) {
	s.loads.mu.Lock()
	defer s.loads.mu.Unlock()
	if first := s.loads.waiting.Front(); first != nil {
		keys = len(first.Value.(*load).entries)
	}
	return s.loads.waiting.Len(), keys
}

func TestReadsThatWaitTogetherShareARoundTrip(t *testing.T) {
	_, s, _ := chatUser(t)
	const users = 200
	goOn := s.hold()
	done := make(chan struct{})
	go func() {
		defer close(done)
		openAll(t, s, crowdNames(users))
	}()
	keys := 0
	eventually(t, "all wait", func() bool {
		var loads int
		loads, keys = s.waiting()
		return loads == users
	})
	goOn()
	<-done
	shared := func(e Event) bool { return isRead(e) && e.Keys > keys }
	eventually(t, "all are read with others", func() bool {
		together := 0
		s.count(func(e Event) bool {
			if shared(e) {
				together += e.Keys
			}
			return false
		})
		return together == users*keys
	})
	if got, most := s.count(shared), users/(maxBatch/keys)+1; got > most {
		t.Errorf("%d sessions of %d keys made %d round trips; want at most %d", users, keys, got, most)
	}
}

func TestASlowReadHoldsUpNobodyElse(t *testing.T) {
	_, s, _ := chatUser(t)
	g := gate{user: "slow", open: make(chan struct{}), held: &sync.Map{}}
	s.client.AddHook(g)
	slow := []string{"slow-1", "slow-2", "slow-3", "slow-4"}
	done := make(chan struct{})
	go func() {
		defer close(done)
		openAll(t, s, slow)
	}()
	eventually(t, "the slow ones are being read", func() bool {
		return !slices.ContainsFunc(slow, func(user string) bool {
			held := false
			g.held.Range(func(args, _ any) bool { held = held || strings.Contains(args.(string), user); return !held })
			return !held
		})
	})
	openAll(t, s, crowdNames(20))
	close(g.open)
	<-done
}

func TestWhoSharedAFailedRoundTripIsReadAlone(t *testing.T) {
	_, s, _ := chatUser(t)
	s.client.AddHook(gate{user: "mallory", fail: true})
	s.alone.AddHook(gate{user: "mallory", fail: true})
	goOn := s.hold()
	done := make(chan struct{})
	go func() {
		defer close(done)
		openAll(t, s, append(crowdNames(3), "mallory"))
	}()
	eventually(t, "all wait", func() bool {
		loads, _ := s.waiting()
		return loads == 4
	})
	goOn()
	<-done
}

func TestAnOpenGivenUpLeavesNothingToRead(t *testing.T) {
	_, s, _ := chatUser(t)
	defer s.hold()()
	size := s.CachedKeys()
	ctx, cancel := context.WithCancel(t.Context())
	o := s.Begin(policy.Principal{Username: "bob"}, nil)
	if loads, _ := s.waiting(); loads != 1 {
		t.Errorf("%d loads wait after Begin(); want 1", loads)
	}
	cancel()
	if _, err := o.Wait(ctx); !errors.Is(err, ErrUndecided) {
		t.Errorf("Wait() = %v; want ErrUndecided", err)
	}
	if loads, _ := s.waiting(); loads != 0 || s.CachedKeys() != size {
		t.Errorf("%d loads wait, %d keys are cached; want 0, %d", loads, s.CachedKeys(), size)
	}
}
