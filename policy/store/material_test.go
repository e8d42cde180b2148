package store

import (
	"fmt"
	"strings"
	"testing"

	"topicgate/policy"
	"topicgate/policy/payload"
)

const checkRules = "pattern readwrite #\ncheck chat/# schema=chat words=bad\n"

// judged is why a payload may not be published to chat/x; "": it may.
func judged(g *Grant, text string) string {
	access, checks := g.Checked()
	rules, reason := access.Directives([]byte("chat/x"))
	if reason != "" || len(rules) == 0 {
		return "no directives " + reason
	}
	if r := payload.Check(rules, []byte(text), checks); r != nil {
		return r.Reason
	}
	return ""
}

func TestSchemasAndWordsFollowRedis(t *testing.T) {
	r := startRedis(t)
	r.do("SET", "topicgate:acl", checkRules)
	s := startStore(t, "redis://"+r.addr)
	g := s.open(t, policy.Principal{Username: "alice"})
	const text = `{"text":"oh darn"}`
	if got := judged(g, text); got != payload.ReasonUnavailable {
		t.Errorf("without a schema: %q; want %q", got, payload.ReasonUnavailable)
	}
	const schema, words = "topicgate:schema:chat", "topicgate:words:bad"
	strict, loose := `{"required":["text"]}`, `{"required":["other"]}`
	var many []any
	for i := range 3 * pieceMembers {
		many = append(many, fmt.Sprintf("word%d", i))
	}
	for _, step := range []struct {
		words  []any
		want   string
		status string // a part of what is said of the schema and of the words
	}{
		{[]any{"SET", schema, strict}, "", ""},
		{[]any{"SADD", words, "darn"}, payload.ReasonWords, ""},
		{[]any{"SREM", words, "darn"}, "", ""},
		{[]any{"SADD", words, "oh darn", "x"}, payload.ReasonWords, ""},
		{[]any{"DEL", words}, "", ""},
		{[]any{"SET", schema, loose}, payload.ReasonSchema, ""},
		{[]any{"SET", schema, `{"type":"objekt"}`}, payload.ReasonSchema, "at \"/type\": value must be one of"},
		{[]any{"SET", schema, strict}, "", ""},
		{[]any{"SET", schema, `{`}, "", "the schema is no valid JSON; the last good one is in force"},
		{[]any{"SET", schema, strings.Repeat(" ", payload.MaxSchema+9)}, "", "longer than 262144 bytes; the last good one is in force"},
		{[]any{"DEL", schema}, payload.ReasonUnavailable, ""},
		{[]any{"SADD", schema, "x"}, payload.ReasonUnavailable, "the key is no string; there is no earlier one"},
		{[]any{"SET", schema, strict}, "", ""},
		{[]any{"SADD", words, "darn"}, payload.ReasonWords, ""},
		{[]any{"SET", words, "darn"}, payload.ReasonWords, "the key is no set; the last good one is in force"},
		{[]any{"DEL", words}, "", ""},
		{append([]any{"SADD", words, "darn"}, many...), payload.ReasonWords, ""}, // more than one reply
		{[]any{"SREM", words, "darn"}, "", ""},
		{[]any{"FLUSHALL"}, "no directives ", ""},
	} {
		r.do(step.words...)
		name := fmt.Sprintf("%.80v", step.words)
		eventually(t, name+": judged "+step.want, func() bool { return judged(g, text) == step.want })
		eventually(t, name+": status "+step.status, func() bool {
			said := s.Status().Detail["schema_chat"] + s.Status().Detail["words_bad"]
			return said == step.status || step.status != "" && strings.Contains(said, step.status)
		})
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if log := s.log.String(); !strings.Contains(log, "schema or words refused") || !strings.Contains(log, "schema or words loaded") {
		t.Errorf("log = %s", log)
	}
	if s.countLocked(func(e Event) bool { return e.Kind == EventPolicy && !e.OK }) < 4 {
		t.Error("refused schemas and words are not counted")
	}
}

func TestSessionsShareASchema(t *testing.T) {
	r := startRedis(t)
	r.do("SET", "topicgate:acl", checkRules)
	r.do("SET", "topicgate:schema:chat", `{}`)
	s := startStore(t, "redis://"+r.addr)
	_, one := s.open(t, policy.Principal{Username: "alice"}).Checked()
	_, other := s.open(t, policy.Principal{Username: "bob"}).Checked()
	if one.Schemas["chat"] == nil || one.Schemas["chat"] != other.Schemas["chat"] {
		t.Error("each session has a schema of its own")
	}
}

// The last good form outlives the sessions: a schema may break while nobody is there.
func TestABrokenSchemaStaysGoodWithoutSessions(t *testing.T) {
	r := startRedis(t)
	r.do("SET", "topicgate:acl", checkRules)
	r.do("SET", "topicgate:schema:chat", `{"required":["text"]}`)
	s := startStore(t, "redis://"+r.addr)
	s.open(t, policy.Principal{Username: "alice"}).Close()
	r.do("SET", "topicgate:schema:chat", `{`)
	eventually(t, "the schema is refused", func() bool { return s.Status().Detail["schema_chat"] != "" })
	g := s.open(t, policy.Principal{Username: "alice"})
	if got := judged(g, `{"text":1}`) + judged(g, `{}`); got != payload.ReasonSchema {
		t.Errorf("judged %q; want the last good schema", got)
	}
}

func TestWhoseRulesNameNothingHasNoChecks(t *testing.T) {
	r := startRedis(t)
	r.do("SET", "topicgate:acl", checkRules)
	r.do("SET", "topicgate:schema:chat", `{}`)
	s := startStore(t, "redis://"+r.addr)
	g := s.open(t, policy.Principal{Username: "alice"})
	for _, text := range []string{"pattern readwrite #\nlimit chat/# max_qos=1", checkRules} {
		r.do("SET", "topicgate:acl", text)
		want := text == checkRules
		eventually(t, "checks follow the text", func() bool {
			_, checks := g.Checked()
			return (checks != nil) == want && (g.checked.Load() != nil) == want
		})
	}
}

func TestChecksNeedRedis(t *testing.T) {
	for _, url := range []string{"", "none"} {
		_, err := New(Options{RedisURL: url, PolicyFile: writeFile(t, "rules.acl", checkRules)})
		if err == nil || !strings.Contains(err.Error(), "lives in Redis, and there is none") {
			t.Errorf("New = %v; want an error", err)
		}
	}
	s, err := New(Options{PolicyFile: writeFile(t, "rules.acl", "pattern #\nstamp x json=from")})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
