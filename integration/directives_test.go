package integration

import (
	"strings"
	"testing"

	"topicgate/frames"
)

const directivePolicy = `pattern readwrite #
limit small/# max_size=20
limit plain/# max_qos=0 retain=no
limit slow/# rate=1/h
stamp said/# json=from
check chat/# schema=chat words=forbidden
stamp chat/# json=from
`

func TestDirectivesBesideARealBroker(t *testing.T) {
	t.Parallel()
	s := newStack(t, directivePolicy, settings{"AUDIT": "stdout"})
	s.redis.do(t, "SET", "topicgate:schema:chat", `{"type":"object","required":["text"],"properties":{"text":{"type":"string"}}}`)
	s.redis.do(t, "SADD", "topicgate:words:forbidden", "darn")
	eye := s.broker.direct(t, frames.V311, "eye")
	eye.subscribed("#")
	for _, v := range []frames.Version{frames.V311, frames.V5} {
		t.Run(v.String(), func(t *testing.T) {
			user := "user" + strings.ReplaceAll(v.String(), ".", "-")
			w := s.connect(t, v, "c", s.issuer.token(t, user))
			w.subscribed(topicRejected)
			refuses := func(m frames.Publish, code frames.ReasonCode, reason, rule, pointer string) {
				t.Helper()
				if v != frames.V5 {
					code = frames.Success
				}
				if got := w.publish(m); got != code {
					t.Errorf("%s: PUBACK %#x; want %#x", m.Payload, uint8(got), uint8(code))
				}
				if told, _ := w.heard(topicRejected); told.Reason != reason || told.Rule != rule || told.Pointer != pointer {
					t.Errorf("%s: told %+v; want %s, %q, %q", m.Payload, told, reason, rule, pointer)
				}
			}
			passes := func(topic, payload, want string) {
				t.Helper()
				if code := w.publish(message(topic, payload, 1)); code >= frames.UnspecifiedError {
					t.Errorf("%s: refused with %#x", payload, uint8(code))
				}
				eye.receivesUntil(topic, want)
			}
			refuses(message("small/x", strings.Repeat("x", 21), 1), frames.QuotaExceeded, "limit_size", "limit small/# max_size=20", "")
			passes("small/x", "short", "short")
			refuses(message("plain/x", "x", 1), frames.ImplementationSpecificError, "limit_qos", "limit plain/# max_qos=0 retain=no", "")
			passes("slow/x", "one", "one")
			refuses(message("slow/x", "two", 1), frames.QuotaExceeded, "limit_rate", "limit slow/# rate=1/h", "")
			refuses(message("said/x", "x", 1), frames.PayloadFormatInvalid, "stamp_no_object", "stamp said/# json=from", "")
			passes("said/x", `{"from":"somebody","fr\u006fm":"else"}`, `{"from":"`+user+`"}`)
			const check = "check chat/# schema=chat words=forbidden"
			refuses(message("chat/x", `{"text":1}`, 1), frames.PayloadFormatInvalid, "check_schema", check, "/text")
			refuses(message("chat/x", `{"text":"oh D\u0061RN"}`, 1), frames.PayloadFormatInvalid, "check_words", check, "/text")
			passes("chat/x", `{"text":"hi"}`, `{"from":"`+user+`","text":"hi"}`)

			// Both change at run time.
			s.redis.do(t, "SADD", "topicgate:words:forbidden", "hi")
			w.becomes(t, `{"text":"hi"}`, "check_words")
			s.redis.do(t, "SREM", "topicgate:words:forbidden", "hi")
			s.redis.do(t, "SET", "topicgate:schema:chat", `{"required":["title"]}`)
			w.becomes(t, `{"text":"hi"}`, "check_schema")
			s.redis.do(t, "SET", "topicgate:schema:chat", `{"required":`) // the last good one stays
			eventually(t, "/readyz names the schema", func() bool { return strings.Contains(s.get(t, "/readyz"), "schema_chat") })
			w.becomes(t, `{"text":"hi"}`, "check_schema")
			s.redis.do(t, "SET", "topicgate:schema:chat", `{"type":"object","required":["text"],"properties":{"text":{"type":"string"}}}`)
			eventually(t, "the schema is good again", func() bool { return !strings.Contains(s.get(t, "/readyz"), "schema_chat") })
			s.audited(t, record{"action": "publish", "user": user, "reason": "check_words", "topic": "chat/x"})
			if s.metric(t, "topicgate_rejections_total", `operation="publish"`, `reason="check_schema"`) < 1 {
				t.Error("check_schema is not counted")
			}
			w.disconnect()
		})
	}
}

// becomes publishes until it is refused for this reason.
func (w *wire) becomes(t *testing.T, payload, reason string) {
	t.Helper()
	eventually(t, payload+" is refused for "+reason, func() bool {
		w.publish(message("chat/x", payload, 1))
		told, _ := w.heard(topicRejected)
		return told.Reason == reason
	})
}

func TestAWillHasToMeetDirectivesBesideARealBroker(t *testing.T) {
	t.Parallel()
	s := newStack(t, directivePolicy, settings{"AUDIT": "stdout"})
	s.redis.do(t, "SET", "topicgate:schema:chat", `{"required":["text"]}`)
	eye := s.broker.direct(t, frames.V311, "eye")
	eye.subscribed("#")
	for _, v := range []frames.Version{frames.V311, frames.V5} {
		t.Run(v.String(), func(t *testing.T) {
			willOf := func(payload string) func(*frames.Connect) {
				return func(c *frames.Connect) { c.Will = &frames.Will{TopicName: "chat/gone", Payload: []byte(payload)} }
			}
			w, connack := s.connecting(t, v, "c", s.issuer.token(t, "alice"), willOf(`{"txt":"bye"}`))
			want := frames.V3NotAuthorized
			if v == frames.V5 {
				want = frames.PayloadFormatInvalid
			}
			if connack.Reason != want {
				t.Errorf("CONNACK %#x; want %#x", uint8(connack.Reason), uint8(want))
			}
			w.expectClosed()
			s.audited(t, record{"action": "will", "reason": "check_schema", "user": "alice"})

			w = s.connect(t, v, "c", s.issuer.token(t, "alice"), willOf(`{"text":"bye"}`))
			_ = w.conn.Close()
			eye.receivesUntil("chat/gone", `{"from":"alice","text":"bye"}`)

			// A schema that is another one by the time of the end.
			w = s.connect(t, v, "c", s.issuer.token(t, "alice"), willOf(`{"text":"bye"}`))
			probe := s.connect(t, v, "probe", s.issuer.token(t, "bob"))
			probe.subscribed(topicRejected)
			s.redis.do(t, "SET", "topicgate:schema:chat", `{"required":["title"]}`)
			probe.becomes(t, `{"text":"hi"}`, "check_schema")
			_ = w.conn.Close()
			s.audited(t, record{"action": "will", "reason": "check_schema", "user": "alice", "topic": "chat/gone"})
			s.broker.direct(t, v, "hand").publish(message("after", "", 0))
			for _, before := range eye.receivesUntil("after", "") {
				if strings.Contains(before, "bye") {
					t.Errorf("the Will fired: %s", before)
				}
			}
			s.redis.do(t, "SET", "topicgate:schema:chat", `{"required":["text"]}`)
		})
	}
}
