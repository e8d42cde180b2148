package integration

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"topicgate/frames"
)

func TestRefusalsAreAuditedOnStandardOutputAndInRedis(t *testing.T) {
	t.Parallel()
	s := newStack(t, "pattern write mine/%u\npattern deny mine/bob\n")
	hand := s.broker.direct(t, frames.V5, "hand")
	token := s.issuer.token(t, "alice")
	w := s.connect(t, frames.V5, "tab", token)
	m := message("mine/bob", "a payload that is nobody's business", 1)
	m.Retain = true
	w.publish(m)
	w.subscribe("secret/#")
	hand.ping()
	s.connecting(t, frames.V5, "tab-2", s.issuer.token(t, "mallory", claims{"aud": "elsewhere"}))
	want := []record{
		{"action": "publish", "user": "alice", "client_id": "tab", "topic": "mine/bob", "qos": 1, "retain": true, "bytes": len(m.Payload), "issuer": s.issuer.url, "decision": "refused"},
		{"action": "subscribe", "user": "alice", "client_id": "tab", "topic": "secret/#", "decision": "refused"},
		{"action": "connect", "client_id": "tab-2", "decision": "refused"},
	}
	for _, r := range want {
		r["type"] = "audit" // no line of a log
		got := s.audited(t, r)
		for _, name := range []string{"instance", "session", "remote", "reason"} {
			if fmt.Sprint(got[name]) == "" || got[name] == nil {
				t.Errorf("audit record %v has no %s", got, name)
			}
		}
		if at, err := time.Parse(time.RFC3339Nano, fmt.Sprint(got["time"])); err != nil || time.Since(at) > time.Hour || !strings.Contains(fmt.Sprint(got["time"]), ".") {
			t.Errorf("audit record has time %v (%v); want RFC 3339 with milliseconds", got["time"], err)
		}
	}
	if r := s.audited(t, want[0]); !strings.Contains(fmt.Sprint(r["rule"]), ":2") {
		t.Errorf("audit record has rule %v; want the line of the deny, FILE:2", r["rule"])
	}
	eventually(t, "the same records stand in the stream", func() bool {
		entries := s.stream(t)
		for _, r := range want {
			found := false
			for _, e := range entries {
				found = found || e.has(streamed(r))
			}
			if !found {
				return false
			}
		}
		return true
	})
	if all := s.stdout.String() + s.redis.do(t, "XRANGE", "topicgate:audit", "-", "+"); strings.Contains(all, "nobody's business") {
		t.Error("a payload stands in the audit")
	}
}

// streamed is a record as the flat fields of the stream show it.
func streamed(r record) record {
	flat := record{}
	for name, value := range r {
		flat[name] = fmt.Sprint(value)
	}
	return flat
}

// stream reads the audit stream.
func (s *stack) stream(t testing.TB) (entries []record) {
	t.Helper()
	lines := strings.Split(s.redis.do(t, "--json", "XRANGE", "topicgate:audit", "-", "+"), "\n")
	var raw [][2]any
	if err := json.Unmarshal([]byte(strings.Join(lines, "")), &raw); err != nil {
		t.Fatalf("XRANGE: %v", err)
	}
	for _, entry := range raw {
		r := record{}
		fields, _ := entry[1].([]any)
		for i := 0; i+1 < len(fields); i += 2 {
			r[fmt.Sprint(fields[i])] = fields[i+1]
		}
		entries = append(entries, r)
	}
	return entries
}

func TestAFloodOfEqualRefusalsIsFoldedAndNoneIsForgotten(t *testing.T) {
	t.Parallel()
	s := newStack(t, "pattern write mine/%u\n", settings{"AUDIT": "stdout"})
	w := s.connect(t, frames.V5, "c", s.issuer.token(t, "alice"))
	const n = 500
	for range n {
		w.publish(message("mine/bob", "x", 1))
	}
	counted := func() (records, events int) {
		for line := range strings.Lines(s.stdout.String()) {
			r := record{}
			if json.Unmarshal([]byte(line), &r) != nil || r["action"] != "publish" {
				continue
			}
			records++
			if count, ok := r["count"].(float64); ok && count > 1 {
				events += int(count)
			} else {
				events++
			}
		}
		return records, events
	}
	eventually(t, "all refusals are told", func() bool { _, events := counted(); return events == n })
	if records, _ := counted(); records > n/2 {
		t.Errorf("%d records for %d equal events; want them folded", records, n)
	}
	if dropped := s.metric(t, "topicgate_audit_dropped_total"); dropped != 0 {
		t.Errorf("topicgate_audit_dropped_total is %v; want 0", dropped)
	}
}

func TestWhatIsAllowedIsAuditedWhenTheOperatorWants(t *testing.T) {
	t.Parallel()
	s := newStack(t, "pattern readwrite mine/%u\n", settings{"AUDIT": "stdout", "AUDIT_ALLOWED": "true"})
	w := s.connect(t, frames.V311, "c", s.issuer.token(t, "alice"))
	w.subscribed("mine/alice")
	w.publish(message("mine/alice", "x", 1))
	for _, action := range []string{"connect", "subscribe", "publish"} {
		s.audited(t, record{"action": action, "user": "alice", "decision": "allowed"})
	}
}
