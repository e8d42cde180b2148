package integration

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"topicgate/frames"
)

// denial is the code of a refused filter in a SUBACK; 3.1 has none and is answered as 3.1.1.
func denial(v frames.Version) frames.ReasonCode {
	if v == frames.V5 {
		return frames.NotAuthorized
	}
	return frames.UnspecifiedError // 0x80
}

func TestEachFilterIsJudgedOnItsOwnAndAnsweredInOrder(t *testing.T) {
	t.Parallel()
	s := newStack(t, "pattern read open/+\npattern read mine/%u/#\n")
	hand := s.broker.direct(t, frames.V5, "hand")
	for _, v := range versions {
		t.Run(v.String(), func(t *testing.T) {
			w := s.connect(t, v, "c"+v.String(), s.issuer.token(t, "alice"))
			no := denial(v)
			for _, test := range []struct {
				filters []string
				want    []frames.ReasonCode
			}{
				{[]string{"open/+", "secret/#", "mine/alice/#", "mine/bob/#", "secret/#"}, []frames.ReasonCode{2, no, 2, no, no}},
				{[]string{"secret/1"}, []frames.ReasonCode{no}},
				{[]string{"secret/1", "secret/2"}, []frames.ReasonCode{no, no}},
				{[]string{"secret/1", "open/x"}, []frames.ReasonCode{no, 2}},
				{[]string{"mine/alice"}, []frames.ReasonCode{2}}, // '#' matches the parent level as well
			} {
				if got := w.subscribe(test.filters...); !slices.Equal(got, test.want) {
					t.Errorf("SUBSCRIBE %q answered % x; want % x", test.filters, got, test.want)
				}
			}
			hand.publish(message("secret/1", "no", 1))
			hand.publish(message("mine/bob/1", "no", 1))
			hand.publish(message("mine/alice/1", "yes", 1))
			w.receives("mine/alice/1", "yes")
			w.disconnect()
		})
	}
	if log := s.broker.stderr.String(); strings.Contains(log, "secret/# (QoS") || strings.Contains(log, "mine/bob/# (QoS") {
		t.Error("a refused filter reached the broker")
	}
}

func TestStrictRefusesFiltersThatAreWiderThanTheRules(t *testing.T) {
	t.Parallel()
	s := newStack(t, "pattern read a/+/c\npattern read b/#\npattern read b2/+\npattern deny b/secret\n", settings{"SUBSCRIBE_MODE": "strict"})
	w := s.connect(t, frames.V5, "c", s.issuer.token(t, "alice"))
	for filter, allowed := range map[string]bool{
		"a/+/c": true, "a/1/c": true, "a/#": false, "a/+/#": false, "a/+/+": false, "+/+/c": false, "#": false, "+/#": false, "+": false,
		"b/#": true, "b/+": true, "b/+/x/#": true, "b": true, "b2/#": false, "b2/+": true, "b/secret": false, "/a": false, "a": false,
	} {
		if got := w.subscribe(filter)[0] < 0x80; got != allowed {
			t.Errorf("SUBSCRIBE %s allowed: %v; want %v", filter, got, allowed)
		}
	}
}

func TestASharedSubscriptionIsJudgedByItsFilter(t *testing.T) {
	t.Parallel()
	s := newStack(t, "pattern read jobs/+\n")
	hand := s.broker.direct(t, frames.V5, "hand")
	for _, v := range []frames.Version{frames.V311, frames.V5} {
		t.Run(v.String(), func(t *testing.T) {
			w := s.connect(t, v, "c"+v.String(), s.issuer.token(t, "alice"))
			want := []frames.ReasonCode{2, denial(v), denial(v)}
			if got := w.subscribe("$share/g/jobs/+", "$share/g/secret/#", "$share/jobs/secret"); !slices.Equal(got, want) {
				t.Errorf("SUBSCRIBE answered % x; want % x", got, want)
			}
			hand.publish(message("secret/1", "no", 1))
			hand.publish(message("jobs/1", "yes", 1))
			w.receives("jobs/1", "yes")
			w.ping()
			w.disconnect()
		})
	}
}

func TestMembersOfAShareGetEachMessageOnce(t *testing.T) {
	t.Parallel()
	s := newStack(t, "pattern read jobs/+\n")
	hand := s.broker.direct(t, frames.V5, "hand")
	bob := s.connect(t, frames.V5, "b", s.issuer.token(t, "bob"))
	bob.subscribed("jobs/end")
	alice := s.connect(t, frames.V5, "a", s.issuer.token(t, "alice"))
	alice.subscribed("jobs/end")
	alice.subscribed("$share/g/jobs/work")
	bob.subscribed("$share/g/jobs/work")
	const n = 20
	for i := range n {
		hand.publish(message("jobs/work", fmt.Sprint(i), 1))
	}
	hand.publish(message("jobs/end", "", 1))
	seen := map[string]int{}
	for _, w := range []*wire{alice, bob} {
		for m := w.receive(); string(m.TopicName) != "jobs/end"; m = w.receive() {
			seen[string(m.Payload)]++
		}
	}
	if len(seen) != n {
		t.Errorf("%d of %d messages arrived", len(seen), n)
	}
	for payload, times := range seen {
		if times != 1 {
			t.Errorf("message %s arrived %d times; want once", payload, times)
		}
	}
}

func TestTheOptionsOfASubscriptionHold(t *testing.T) {
	t.Parallel()
	s := newStack(t, openPolicy)
	hand := s.broker.direct(t, frames.V5, "hand")
	kept := message("room/1", "kept", 1)
	kept.Retain = true
	hand.publish(kept)
	w := s.connect(t, frames.V5, "c", s.issuer.token(t, "alice"))
	w.subscribeAs(frames.Subscribe{
		PacketID: w.id(), Properties: frames.Properties(nil).AppendUint(frames.PropSubscriptionIdentifier, 4711),
		Filters: []frames.Subscription{{TopicFilter: "room/+", QoS: 1, NoLocal: true, RetainAsPublished: true}},
	})
	for _, want := range []struct{ payload string }{{"kept"}, {"live"}} {
		m := w.receives("room/1", want.payload)
		if id, _ := m.Properties.Uint(frames.PropSubscriptionIdentifier); id != 4711 || m.QoS != 1 || !m.Retain {
			t.Errorf("%s: Subscription Identifier %d, QoS %d, RETAIN %v; want 4711, 1, true", want.payload, id, m.QoS, m.Retain)
		}
		if want.payload == "kept" {
			w.publish(message("room/2", "own", 1)) // No Local: does not come back
			live := message("room/1", "live", 2)
			live.Retain = true
			hand.publish(live)
		}
	}
	// Retain Handling 1: only if the subscription did not exist.
	w.subscribeAs(frames.Subscribe{PacketID: w.id(), Filters: []frames.Subscription{{TopicFilter: "room/+", QoS: 1, RetainHandling: 1}}})
	w.ping()
}

func TestAfterUnsubscribeNothingMoreComes(t *testing.T) {
	t.Parallel()
	s := newStack(t, "pattern read room/#\n")
	hand := s.broker.direct(t, frames.V5, "hand")
	for _, v := range versions {
		w := s.connect(t, v, "c"+v.String(), s.issuer.token(t, "alice"))
		w.subscribed("room/a", "room/b")
		u := frames.Unsubscribe{PacketID: w.id(), TopicFilters: []string{"room/a", "never/asked"}}
		w.send(u.Append(nil, v))
		a, err := frames.ParseUnsuback(w.expect(frames.TypeUnsuback), v)
		if err != nil || a.PacketID != u.PacketID {
			t.Errorf("%s: UNSUBACK %+v, %v; want identifier %d", v, a, err, u.PacketID)
		}
		if v == frames.V5 && (len(a.Reasons) != 2 || a.Reasons[0] != frames.Success || a.Reasons[1] != frames.NoSubscriptionExisted) {
			t.Errorf("UNSUBACK % x; want 00 11", a.Reasons)
		}
		hand.publish(message("room/a", "no", 1))
		hand.publish(message("room/b", "yes", 1))
		w.receives("room/b", "yes")
		w.disconnect()
	}
}
