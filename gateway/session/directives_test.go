package session

import (
	"encoding/hex"
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"topicgate/frames"
	"topicgate/gateway/internal/play"
	"topicgate/gateway/subs"
)

const directiveRules = `pattern readwrite #
limit small/# max_size=10
limit plain/# max_qos=1 retain=no
limit slow/# rate=2/s
stamp said/# json=from
limit said/short max_size=20
`

// newDirectedRig makes a rig with directives.
func newDirectedRig(t testing.TB, change func(*rigOptions)) *rig {
	r := newRig(t, change)
	r.SetRules(directiveRules)
	return r
}

// listens subscribes to $topicgate/rejected.
func listens(c *play.Conversation) {
	c.T.Helper()
	c.Asks(9, 0, play.At(0, subs.TopicRejected))
	c.Granted(9, 0)
}

// hearsRejected reads what was told about a rejection.
func hearsRejected(c *play.Conversation) map[string]any {
	c.T.Helper()
	p, err := frames.ParsePublish(c.Expect(frames.TypePublish), c.V)
	if err != nil || string(p.TopicName) != subs.TopicRejected {
		c.T.Fatalf("heard %+v, %v; want %s", p, err, subs.TopicRejected)
	}
	var told map[string]any
	if err := json.Unmarshal(p.Payload, &told); err != nil {
		c.T.Fatalf("%s: %v", p.Payload, err)
	}
	return told
}

func TestALimitRefusesAndSaysWhy(t *testing.T) {
	for _, tt := range []struct {
		name, topic, payload string
		qos                  frames.QoS
		retain               bool
		ack                  frames.ReasonCode // of 5.0
		reason, rule, detail string
		code                 float64
	}{
		{"size", "small/x", "12345678901", 1, false, frames.QuotaExceeded, "limit_size", "limit small/# max_size=10", "the message has 11 bytes; at most 10 are allowed here", 0x95},
		{"QoS", "plain/x", "x", 2, false, frames.ImplementationSpecificError, "limit_qos", "limit plain/# max_qos=1 retain=no", "QoS 2; at most 1 is allowed here", 0x9b},
		{"retain", "plain/x", "x", 1, true, frames.ImplementationSpecificError, "limit_retain", "limit plain/# max_qos=1 retain=no", "retained messages are not allowed here", 0x9a},
		{"stamp", "said/x", "hello", 1, false, frames.PayloadFormatInvalid, "stamp_no_object", "stamp said/# json=from", "the message has to be a JSON object, for the name of its sender goes into it", 0x99},
	} {
		t.Run(tt.name, func(t *testing.T) {
			play.EachVersion(t, func(t *testing.T, v frames.Version) {
				r := newDirectedRig(t, nil)
				c := r.Connect(v, "alice")
				listens(c)
				publish := frames.Publish{TopicName: []byte(tt.topic), QoS: tt.qos, Retain: tt.retain, PacketID: 7, Payload: []byte(tt.payload)}
				c.Send(publish.Append(nil, v))
				told := hearsRejected(c)
				for name, want := range map[string]any{"action": "publish", "topic": tt.topic, "reason": tt.reason, "reason_code": tt.code, "rule": tt.rule, "detail": tt.detail} {
					if told[name] != want {
						t.Errorf("%s = %v; want %v", name, told[name], want)
					}
				}
				code, kind := tt.ack, frames.TypePuback
				if v != frames.V5 {
					code = frames.Success
				}
				if tt.qos == 2 {
					kind = frames.TypePubrec
				}
				c.Hears(play.AckHex(kind, 7, code, v))
				if kind == frames.TypePubrec && v != frames.V5 {
					c.Say("62 02 00 07")
					c.Hears("70 02 00 07")
				}
				c.NothingUp()
				r.WantAudited(`"reason":"`+tt.reason+`"`, `"rule":"`, tt.rule)
				if strings.Contains(r.Audited.String(), tt.detail) {
					t.Error("the audit tells what is for the client")
				}
			})
		})
	}
}

func TestWhatALimitAllowsPassesAsItCame(t *testing.T) {
	play.EachVersion(t, func(t *testing.T, v frames.Version) {
		c := newDirectedRig(t, func(o *rigOptions) { o.UserProperty = "" }).Connect(v, "alice")
		for _, topic := range []string{"small/x", "plain/x", "slow/x", "free"} {
			c.Say(play.PublishHex(v, topic, 1, 7, "1234567890"))
			c.Passes(play.PublishHex(v, topic, 1, 7, "1234567890"))
			c.Reply("40 02 00 07")
			c.Hears("40 02 00 07")
		}
	})
}

func TestAStampGoesUpInEveryVersion(t *testing.T) {
	long := strings.Repeat("x", 200) // so that the Remaining Length takes a byte more with the stamp
	for _, tt := range []struct{ payload, want string }{
		{`{"text":"hi"}`, `{"from":"alice","text":"hi"}`},
		{`{"from":"bob","text":"hi","fr\u006fm":1}`, `{"from":"alice","text":"hi"}`},
		{`{"from":"somebody whose name is a long one"}`, `{"from":"alice"}`},
		{`{"text":"` + long[:103] + `"}`, `{"from":"alice","text":"` + long[:103] + `"}`},
		{`{"text":"` + long + `"}`, `{"from":"alice","text":"` + long + `"}`},
	} {
		play.EachVersion(t, func(t *testing.T, v frames.Version) {
			c := newDirectedRig(t, nil).Connect(v, "alice")
			for id := uint16(1); id <= 2; id++ { // the second one by what was remembered
				c.Say(play.PublishHex(v, "said/x", 1, id, tt.payload))
				want := play.PublishHex(v, "said/x", 1, id, tt.want)
				if v == frames.V5 {
					want = play.StampedHex("said/x", 1, id, tt.want, "alice")
				}
				c.Passes(want)
			}
		})
	}
}

func TestStampsAndRefusalsLeaveAliasesRight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newDirectedRig(t, nil).Connect(frames.V5, "alice")
		// Refused with the packet that sets the alias: the broker has not heard of it.
		c.Say(play.PublishOf("said/x", play.Aliased(3), "no object"))
		c.Say(play.PublishOf("", play.Aliased(3), `{"a":1}`))
		c.Passes(play.PublishOf("said/x", play.Stamp(play.Aliased(3)), `{"from":"alice","a":1}`))
		c.Say(play.PublishOf("", play.Aliased(3), `{"a":2}`))
		c.Passes(play.PublishOf("", play.Stamp(play.Aliased(3)), `{"from":"alice","a":2}`))
	})
}

func TestAStampedMessageThatIsTooLongForTheBrokerIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newDirectedRig(t, func(o *rigOptions) { o.UserProperty = "" })
		connack := frames.Connack{}
		connack.Properties = connack.Properties.AppendUint(frames.PropMaximumPacketSize, 100)
		c := r.ConnectWith(play.ConnectOf(frames.V5, "alice"), hex.EncodeToString(connack.Append(nil, frames.V5)))
		c.Say(play.PublishHex(frames.V5, "said/x", 1, 7, `{"text":"`+strings.Repeat("x", 50)+`"}`))
		c.Hears(play.AckHex(frames.TypePuback, 7, frames.NotAuthorized, frames.V5))
		c.NothingUp()
		r.WantAudited(`"reason":"packet_too_large"`)
	})
}

func TestLimitsAreAskedBeforeStamps(t *testing.T) {
	play.EachVersion(t, func(t *testing.T, v frames.Version) {
		c := newDirectedRig(t, func(o *rigOptions) { o.UserProperty = "" }).Connect(v, "alice")
		c.Say(play.PublishHex(v, "said/short", 0, 0, `{"text":"123456789"}`)) // 20 bytes; more with the stamp
		c.Passes(play.PublishHex(v, "said/short", 0, 0, `{"from":"alice","text":"123456789"}`))
	})
}

func TestARateCountsAUserOverItsSessions(t *testing.T) {
	play.EachVersion(t, func(t *testing.T, v frames.Version) {
		r := newDirectedRig(t, func(o *rigOptions) { o.UserProperty = "" })
		one, other, bob := r.ConnectAs(v, "alice", "c1"), r.ConnectAs(v, "alice", "c2"), r.ConnectAs(v, "bob", "c3")
		listens(other)
		for _, c := range []*play.Conversation{one, other, bob, bob} {
			c.Say(play.PublishHex(v, "slow/x", 0, 0, "passes"))
			c.Passes(play.PublishHex(v, "slow/x", 0, 0, "passes"))
		}
		other.Say(play.PublishHex(v, "slow/y", 1, 7, "refused"))
		told := hearsRejected(other)
		if told["reason"] != "limit_rate" || told["rule"] != "limit slow/# rate=2/s" || told["reason_code"] != float64(0x97) {
			t.Errorf("told %v", told)
		}
		if ms, _ := told["retry_after_ms"].(float64); ms < 500 || ms > 502 {
			t.Errorf("retry_after_ms = %v; want half a second", told["retry_after_ms"])
		} else {
			time.Sleep(time.Duration(ms) * time.Millisecond)
		}
		code := frames.Success
		if v == frames.V5 {
			code = frames.QuotaExceeded
		}
		other.Hears(play.AckHex(frames.TypePuback, 7, code, v))
		one.Say(play.PublishHex(v, "slow/x", 0, 0, "passes again"))
		one.Passes(play.PublishHex(v, "slow/x", 0, 0, "passes again"))
		one.Say(play.PublishHex(v, "slow/x", 0, 0, "dropped"))
		one.NothingUp()
		r.WantAudited(`"reason":"limit_rate"`)
	})
}

func TestWhoComesBackHasTheSameRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newDirectedRig(t, func(o *rigOptions) { o.UserProperty = "" })
		c := r.Connect(frames.V311, "alice")
		for range 2 {
			c.Say(play.PublishHex(frames.V311, "slow/x", 0, 0, "passes"))
			c.Passes(play.PublishHex(frames.V311, "slow/x", 0, 0, "passes"))
		}
		c.Say("e0 00")
		c.Passes("e0 00")
		c.BrokerEnds()
		c = r.Connect(frames.V311, "alice")
		c.Say(play.PublishHex(frames.V311, "slow/x", 0, 0, "dropped"))
		c.NothingUp()
		users := func() int {
			h := &r.server.rates
			h.mu.Lock()
			defer h.mu.Unlock()
			return len(h.users)
		}
		if n := users(); n != 1 {
			t.Errorf("%d users are counted; want 1", n)
		}
		c.Say("e0 00")
		c.Passes("e0 00")
		c.BrokerEnds()
		play.Pass(2)
		synctest.Wait()
		if n := users(); n != 0 {
			t.Errorf("%d users are counted though nothing counts against them", n)
		}
	})
}

func TestDirectivesChangeWithThePolicy(t *testing.T) {
	play.EachVersion(t, func(t *testing.T, v frames.Version) {
		r := newDirectedRig(t, func(o *rigOptions) { o.UserProperty = "" })
		c := r.Connect(v, "alice")
		c.Say(play.PublishHex(v, "free", 0, 0, "hello"))
		c.Passes(play.PublishHex(v, "free", 0, 0, "hello"))
		r.Follow(directiveRules + "limit free max_size=4")
		c.Say(play.PublishHex(v, "free", 0, 0, "hello"))
		c.NothingUp()
		r.Follow(directiveRules)
		c.Say(play.PublishHex(v, "free", 0, 0, "hello"))
		c.Passes(play.PublishHex(v, "free", 0, 0, "hello"))
	})
}

// willOf is a CONNECT of alice with a Will.
func willOf(v frames.Version, topic, payload string, qos frames.QoS, retain bool) frames.Connect {
	connect := play.ConnectOf(v, "alice")
	connect.Will = &frames.Will{TopicName: topic, Payload: []byte(payload), QoS: qos, Retain: retain}
	return connect
}

func TestAWillHasToMeetDirectives(t *testing.T) {
	for _, tt := range []struct {
		topic, payload string
		qos            frames.QoS
		retain         bool
		code           frames.ReasonCode
		reason         string
	}{
		{"small/x", "12345678901", 0, false, 0x95, "limit_size"},
		{"plain/x", "x", 2, false, 0x9b, "limit_qos"},
		{"plain/x", "x", 1, true, 0x9a, "limit_retain"},
		{"said/x", "bye", 0, false, 0x99, "stamp_no_object"},
	} {
		play.EachVersion(t, func(t *testing.T, v frames.Version) {
			r := newDirectedRig(t, nil)
			r.Dial(v).Opens(willOf(v, tt.topic, tt.payload, tt.qos, tt.retain)).WantRefused(5, tt.code, 4403)
			r.WantAudited(`"action":"will"`, `"reason":"`+tt.reason+`"`)
		})
	}
}

func TestAWillIsStampedByDirective(t *testing.T) {
	play.EachVersion(t, func(t *testing.T, v frames.Version) {
		r := newDirectedRig(t, nil)
		c := r.Dial(v).Opens(willOf(v, "said/x", `{"from":"bob","text":"bye"}`, 1, false))
		c.Accept()
		up, err := frames.ParseConnect(c.FromGateway(frames.TypeConnect))
		if err != nil {
			t.Fatal(err)
		}
		if want := `{"from":"alice","text":"bye"}`; up.Will == nil || string(up.Will.Payload) != want {
			t.Errorf("upstream Will = %+v; want %s", up.Will, want)
		}
		c.Reply(play.AcceptedBy(v))
		c.Expect(frames.TypeConnack)
		_ = c.WS.Close() // it fires
		c.BrokerEnds()
	})
}

func TestAWillIsHeldAgainstDirectivesOnceMoreAtTheEnd(t *testing.T) {
	short, long := `{"from":"alice"}`, `{"from":"alice","text":"`+strings.Repeat("x", 1<<10)+`"}`
	for _, tt := range []struct {
		name, topic, payload, rules string
		fires                       bool
	}{
		{"nothing changes", "said/x", `{"a":1}`, "stamp said/# json=from", true},
		{"the stamp goes", "said/x", `{"a":1}`, "", true},
		{"a limit comes", "free", "hello", "limit free max_size=4", false},
		{"a limit that allows it comes", "free", "hello", "limit free max_size=5", true},
		{"a stamp comes", "free", `{"a":1}`, "stamp free json=from", false},
		{"a stamp comes that says what it says", "free", short, "stamp free json=from", true},
		{"another stamp comes", "said/x", `{"a":1}`, "stamp said/# json=by", false},
		{"a stamp comes for what was not kept", "free", long, "stamp free json=from", false},
		{"a limit comes for what was not kept", "free", long, "limit free retain=no", true},
		{"the rate is used up", "free", "hello", "limit slow/# rate=1/h\nlimit free rate=1/h", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			play.EachVersion(t, func(t *testing.T, v frames.Version) {
				r := newDirectedRig(t, nil)
				c := r.ConnectWith(willOf(v, tt.topic, tt.payload, 0, false), play.AcceptedBy(v))
				r.Follow("pattern readwrite #\n" + tt.rules)
				_ = c.WS.Close()
				if !tt.fires {
					c.Passes("e0 00")
				}
				c.BrokerEnds()
			})
		})
	}
}

func TestAWillOverTheRateDoesNotFire(t *testing.T) {
	play.EachVersion(t, func(t *testing.T, v frames.Version) {
		r := newDirectedRig(t, func(o *rigOptions) { o.UserProperty = "" })
		r.SetRules("pattern readwrite #\nlimit slow/# rate=1/h")
		c := r.ConnectWith(willOf(v, "slow/x", "bye", 0, false), play.AcceptedBy(v))
		c.Say(play.PublishHex(v, "slow/x", 0, 0, "one"))
		c.Passes(play.PublishHex(v, "slow/x", 0, 0, "one"))
		_ = c.WS.Close()
		c.Passes("e0 00")
		c.BrokerEnds()
		r.WantAudited(`"action":"will"`, `"reason":"limit_rate"`)
	})
}

// Only so many CPUs work on long payloads: who waits for its turn is woken by its end.
func TestWhoWaitsForATurnEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newDirectedRig(t, nil)
		for range payloadWorkers() {
			r.server.payloads.begin("somebody", 1)
		}
		one, other := r.ConnectAs(frames.V311, "alice", "c1"), r.ConnectAs(frames.V311, "bob", "c2")
		long := `{"text":"` + strings.Repeat("x", heavyPayload) + `"}`
		for _, c := range []*play.Conversation{one, other} {
			c.Say(play.PublishHex(frames.V311, "said/x", 0, 0, long))
		}
		synctest.Wait()
		s := r.server.live()[0]
		s.End(EndBlocked)
		<-s.Done()
		r.server.payloads.end()
		waits := one
		if s.whose.username() == "alice" {
			waits = other
		}
		p, err := frames.ParsePublish(waits.FromGateway(frames.TypePublish), frames.V311)
		if err != nil || !strings.HasPrefix(string(p.Payload), `{"from":"`) {
			t.Errorf("the broker got %.100s, %v", p.Payload, err)
		}
	})
}
