package will

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"topicgate/frames"
	"topicgate/gateway/internal/play"
	"topicgate/gateway/registry"
	"topicgate/gateway/upstream"
	"topicgate/policy"
)

const (
	allowed = "pattern write will/%u\n"
	denied  = "pattern read will/%u\n"
)

// watched is vigils, of Wills at a broker.
type watched struct {
	*Vigils
	*play.Visited
	stage *play.Stage
	live  bool // every client is served

	mu   sync.Mutex
	told []string // what CalledOff heard
}

func (w *watched) calledOff(reason string, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.told = append(w.told, fmt.Sprint(reason, " ", ok))
}

// inBubble runs a test of vigils with time of its own.
func inBubble(t *testing.T, test func(t *testing.T, w *watched)) {
	synctest.Test(t, func(t *testing.T) {
		w := &watched{Visited: &play.Visited{}, stage: play.NewStage(t)}
		w.stage.SetRules(allowed)
		w.Vigils = NewVigils(Options{
			Policy:      w.stage.Policy,
			Brokers:     upstream.New(upstream.Options{URLs: []*url.URL{{Scheme: "tcp", Host: "a:1"}, {Scheme: "tcp", Host: "b:1"}}, Dial: w.Dial, Observe: func(string) {}}),
			Live:        func(registry.Client) bool { return w.live },
			Credentials: func(username string) (string, string) { return username, "" },
			CalledOff:   w.calledOff,
			Audit:       w.stage.Audit,
			Logger:      slog.New(slog.DiscardHandler),
		})
		ctx, stop := context.WithCancel(context.Background())
		done := make(chan struct{}, 2)
		go func() { _ = w.stage.Policy.Run(ctx); done <- struct{}{} }()
		go func() { _ = w.stage.Audit.Run(ctx); done <- struct{}{} }()
		test(t, w)
		w.Vigils.Close()
		stop()
		<-done
		<-done
	})
}

// left is what a session of alice's leaves: a Will with a delay of a minute.
func left(change func(*Left)) Left {
	l := Left{Principal: policy.Principal{Username: "alice", ClientID: "phone"}, Session: "s1", Remote: "192.0.2.1:4711", UpstreamID: "alice:phone", Broker: "a:1",
		Since: time.Now(), Expiry: 600, Will: &Will{Topic: "will/alice", QoS: 1, Bytes: 4, Delay: time.Minute}}
	if change != nil {
		change(&l)
	}
	return l
}

// rules changes the policy and waits until everybody has acted.
func (w *watched) rules(text string) {
	w.stage.SetRules(text)
	time.Sleep(2 * time.Second)
	synctest.Wait()
}

// has fails unless so many are kept, so many visits were made, and this was told.
func (w *watched) has(t *testing.T, kept, visits int, told ...string) {
	t.Helper()
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.Vigils.mu.Lock()
	defer w.Vigils.mu.Unlock()
	slices.Sort(w.told)
	if len(w.kept) != kept || len(w.Connects()) != visits || !slices.Equal(w.told, told) {
		t.Errorf("%d vigils, %d visits, told %q; want %d, %d, %q", len(w.kept), len(w.Connects()), w.told, kept, visits, told)
	}
	if len(w.users) > len(w.kept) {
		t.Errorf("%d users are counted, of %d vigils", len(w.users), len(w.kept))
	}
}

// A Will that loses its right while it waits is called off: its MQTT Session is taken over, and left as it was.
func TestAWillIsCalledOffWithItsRight(t *testing.T) {
	inBubble(t, func(t *testing.T, w *watched) {
		w.Keep(left(nil))
		time.Sleep(10 * time.Second)
		w.has(t, 1, 0)
		w.rules(denied)
		w.has(t, 0, 1, "policy true")
		c := w.Connects()[0]
		if expiry, _ := c.Properties.Uint(frames.PropSessionExpiryInterval); c.ClientID != "alice:phone" || c.Username != "alice" || c.CleanStart || c.Version != frames.V5 || c.Will != nil || expiry != 590 {
			t.Errorf("the broker got %+v, to keep the Session for %d s; want alice's Session taken over and kept for the 590 s that are left", c, expiry)
		}
		w.stage.WantAudited(`"action":"will"`, `"decision":"refused"`, `"session":"s1"`, `"topic":"will/alice"`, `"client_id":"phone"`)
	})
}

// A directive that comes while a Will waits is asked of it, too.
func TestAWillIsCalledOffByADirective(t *testing.T) {
	inBubble(t, func(t *testing.T, w *watched) {
		waits := Of(&frames.Will{TopicName: "will/alice", Payload: []byte("gone"), Properties: frames.Properties(nil).AppendUint(frames.PropWillDelayInterval, 60)})
		w.Keep(left(func(l *Left) { l.Will = waits }))
		w.rules(allowed + "limit will/# max_size=4\n")
		w.has(t, 1, 0)
		w.rules(allowed + "limit will/# max_size=3\n")
		w.has(t, 0, 1, "limit_size true")
	})
}

// A vigil ends with the delay, or with the Session if that is sooner.
func TestAVigilEndsWithTheDelay(t *testing.T) {
	inBubble(t, func(t *testing.T, w *watched) {
		w.Keep(left(nil))
		w.Keep(left(func(l *Left) {
			l.UpstreamID, l.Expiry, l.Will = "alice:desk", 20, &Will{Topic: "will/alice", Delay: time.Hour}
		}))
		w.has(t, 2, 0)
		time.Sleep(20*time.Second + late)
		w.has(t, 1, 0)
		time.Sleep(40 * time.Second)
		w.has(t, 0, 0)
		w.rules(denied)
		w.has(t, 0, 0)
		for _, change := range []func(*Left){
			func(l *Left) { l.Will = nil },
			func(l *Left) { l.Will = &Will{Topic: "will/alice"} }, // it fires at once
			func(l *Left) { l.Expiry = 0 },                        // so does that
		} {
			w.Keep(left(change))
			w.has(t, 0, 0)
		}
	})
}

// A client that comes back has called its Will off at that broker, and at no other.
func TestAVigilEndsWithTheClientsReturn(t *testing.T) {
	inBubble(t, func(t *testing.T, w *watched) {
		w.Keep(left(nil))
		w.Keep(left(func(l *Left) { l.Broker = "b:1" }))
		w.has(t, 2, 0)
		w.Returned("alice:phone", "a:1")
		w.Returned("bob:phone", "b:1")
		w.has(t, 1, 0)
		if !w.Has(registry.Client{ID: "alice:phone", Broker: "b:1", Since: time.Now().Add(-time.Minute)}) ||
			w.Has(registry.Client{ID: "alice:phone", Broker: "b:1", Since: time.Now().Add(time.Minute)}) ||
			w.Has(registry.Client{ID: "alice:phone", Broker: "a:1"}) {
			t.Error("what other instances are told is wrong")
		}
		w.rules(denied)
		w.has(t, 0, 1, "policy true")
	})
}

// What an older session leaves late changes nothing of a newer one's.
func TestTheNewestWillCounts(t *testing.T) {
	inBubble(t, func(t *testing.T, w *watched) {
		older := left(func(l *Left) { l.Will = &Will{Topic: "will/bob", Delay: time.Minute} })
		time.Sleep(time.Second)
		w.Keep(left(nil))
		w.Keep(older)
		w.has(t, 1, 0)
		if v := w.kept[place{"alice:phone", "a:1"}]; v.Will.Topic != "will/alice" {
			t.Errorf("a vigil is kept for %s; want that of the newest session", v.Will.Topic)
		}
		time.Sleep(time.Second)
		w.Keep(left(func(l *Left) { l.Will = &Will{Topic: "will/alice", Delay: 2 * time.Minute} }))
		time.Sleep(90 * time.Second) // nothing of the earlier one ends it
		w.has(t, 1, 0)
		w.Returned("alice:phone", "a:1")
		w.live = true
		w.Keep(older) // while the client is served
		w.has(t, 0, 0)
	})
}

// A vigil is bounded by user; what is beyond is called off at once.
func TestVigilsAreBounded(t *testing.T) {
	inBubble(t, func(t *testing.T, w *watched) {
		for n := range mostOfUser + 1 {
			w.Keep(left(func(l *Left) { l.UpstreamID = fmt.Sprint("alice:", n) }))
		}
		w.Keep(left(func(l *Left) { l.UpstreamID, l.Principal.Username = "bob:", "bob" }))
		w.has(t, mostOfUser, 2, "policy true", "quota true") // bob may not write will/alice
	})
}

// What fails is tried again until the Will is due, and then said once.
func TestACallOffIsTriedAgain(t *testing.T) {
	inBubble(t, func(t *testing.T, w *watched) {
		w.Answers = func(n int, c frames.Connect) []byte {
			if n < 3 {
				return nil
			}
			return play.Accepted(c.Version)
		}
		w.Keep(left(nil))
		w.rules(denied)
		time.Sleep(30 * time.Second)
		w.has(t, 0, 4, "policy true")
		for _, c := range w.Connects() {
			if c.Version != frames.V5 || c.CleanStart {
				t.Errorf("the broker got %+v; a Session that is replaced has its Will fire", c)
			}
		}
	})
	inBubble(t, func(t *testing.T, w *watched) {
		w.Answers = func(int, frames.Connect) []byte { return nil }
		w.Keep(left(nil))
		w.rules(denied)
		time.Sleep(2 * time.Minute)
		if visits := len(w.Connects()); visits < 3 {
			t.Errorf("%d visits; want some", visits)
		}
		w.has(t, 0, len(w.Connects()), "policy false")
	})
}

// A right that comes back before a call-off has succeeded has the Will wait on.
func TestAWillMayWaitOn(t *testing.T) {
	inBubble(t, func(t *testing.T, w *watched) {
		works := false
		w.Answers = func(_ int, c frames.Connect) []byte {
			if works {
				return play.Accepted(c.Version)
			}
			return nil
		}
		w.Keep(left(nil))
		w.rules(denied)
		w.rules(allowed)
		works = true
		time.Sleep(20 * time.Second)
		tried := len(w.Connects())
		w.has(t, 1, tried)
		w.rules(denied)
		w.has(t, 0, tried+1, "policy true")
	})
}

// A Session without end has none afterwards.
func TestASessionWithoutEndStaysSo(t *testing.T) {
	inBubble(t, func(t *testing.T, w *watched) {
		w.Keep(left(func(l *Left) { l.Expiry = noExpiry }))
		time.Sleep(time.Second)
		w.rules(denied)
		w.has(t, 0, 1, "policy true")
		if expiry, _ := w.Connects()[0].Properties.Uint(frames.PropSessionExpiryInterval); expiry != noExpiry {
			t.Errorf("the Session is kept for %d s; want for ever", expiry)
		}
	})
	inBubble(t, func(t *testing.T, w *watched) { // one that is about to end does so soon, not in 136 years
		v := newVigil(w.Vigils, left(nil))
		time.Sleep(time.Hour)
		if got := v.expiresIn(); got != 1 {
			t.Errorf("%d s are left of a Session that has ended; want 1", got)
		}
	})
}

// With the gateway all vigils end, and nothing is begun after that.
func TestVigilsEndWithTheGateway(t *testing.T) {
	inBubble(t, func(t *testing.T, w *watched) {
		w.Answers = func(int, frames.Connect) []byte { return nil }
		w.Keep(left(nil))
		w.Keep(left(func(l *Left) { l.UpstreamID = "alice:desk" }))
		w.rules(denied) // calls them off, in vain
		w.Vigils.Close()
		visits := len(w.Connects())
		w.Keep(left(nil))
		w.rules(denied)
		w.has(t, 0, visits)
	})
}
