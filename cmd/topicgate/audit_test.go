package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"topicgate/gateway/audit"
)

func TestAudit(t *testing.T) {
	url, client := startRedis(t)
	environ := []string{"TOPICGATE_REDIS_URL=" + url, "TOPICGATE_REDIS_PREFIX=tg:"}
	if got := topicgate(t, environ, "", "audit"); got != (result{exitDone, "no audit records\n", ""}) {
		t.Errorf("audit without any = %+v", got)
	}
	if got := topicgate(t, environ, "", "audit", "--json"); got != (result{exitDone, "", ""}) {
		t.Errorf("audit --json without any = %+v", got)
	}
	now := time.Now().UTC()
	events := []audit.Event{
		{Time: now.Add(-2 * time.Hour), User: "alice", Action: audit.Publish, Topic: "old", Decision: audit.Refused, Reason: "policy", Count: 1},
		{Time: now.Add(-3 * time.Second), User: "alice", Action: audit.Publish, Topic: "chat/a", Decision: audit.Refused, Reason: "policy", Count: 7},
		{Time: now.Add(-2 * time.Second), User: "bob", Action: audit.Subscribe, Topic: "$share/g/chat/+", Decision: audit.Refused, Reason: "policy", Count: 1},
		{Time: now.Add(-2 * time.Second), User: "bob", Action: audit.Publish, Topic: "x\x1b[2J\x9b31m", ClientID: "two\nlines", Decision: audit.Refused, Reason: "limit", Count: 1},
		{Time: now.Add(-time.Second), Action: audit.Connect, Decision: audit.Refused, Reason: "token_expired", Count: 1},
		{Time: now, User: "alice", Action: audit.Publish, Topic: "chat/b", Decision: audit.Allowed, Count: 1},
		{Time: now, User: "alice", Reason: audit.ReasonQueueFull, Count: 12},
	}
	if err := audit.NewRedisSink(client, "tg:audit", 0).Write(t.Context(), events); err != nil {
		t.Fatal(err)
	}
	topicsOf := func(args ...string) string {
		t.Helper()
		got := topicgate(t, environ, "", append([]string{"audit", "--json"}, args...)...)
		var topics []string
		for line := range strings.Lines(got.stdout) {
			var e struct{ Type, Topic string }
			if err := json.Unmarshal([]byte(line), &e); err != nil || e.Type != "audit" {
				t.Errorf("audit %q: line %q: %v; want a record", args, line, err)
			}
			topics = append(topics, e.Topic)
		}
		if got.status != exitDone || got.stderr != "" || hasEscape(got.stdout) {
			t.Errorf("audit %q = %+v", args, got)
		}
		return strings.Join(topics, " ")
	}
	odd := "x\x1b[2J\ufffd31m"
	for _, test := range []struct {
		args []string
		want string
	}{
		{nil, "chat/a $share/g/chat/+ " + odd + "  chat/b "},
		{[]string{"--since", "3h"}, "old chat/a $share/g/chat/+ " + odd + "  chat/b "},
		{[]string{"--since", now.Add(-time.Hour).Format(time.RFC3339), "--user", "alice"}, "chat/a chat/b "},
		{[]string{"--user", ""}, ""},
		{[]string{"--user", "carol"}, ""},
		{[]string{"--reason", "limit"}, odd},
		{[]string{"--topic", "chat/#"}, "chat/a $share/g/chat/+ chat/b"},
		{[]string{"--topic", "#", "--user", "bob", "--reason", "policy"}, "$share/g/chat/+"},
	} {
		if got := topicsOf(test.args...); got != test.want {
			t.Errorf("audit %q: topics %q; want %q", test.args, got, test.want)
		}
	}
	got := topicgate(t, environ, "", "audit")
	lines := strings.Split(got.stdout, "\n")
	if len(lines) != 8 || !strings.HasPrefix(lines[0], "TIME ") || !strings.Contains(lines[3], `"x\x1b[2J\x9b31m"`) || !strings.Contains(lines[3], `"two\nlines"`) {
		t.Errorf("audit =\n%swant a heading and six lines, one of them with quoted names", got.stdout)
	}
	for i, want := range []string{"chat/a                            7 ", "$share/g/chat/+ ", "limit ", "token_expired ", "allowed ", "audit_queue_full "} {
		if i+1 < len(lines) && !strings.Contains(lines[i+1], want) {
			t.Errorf("line %d is %q; want %q in it", i+1, lines[i+1], want)
		}
	}
	if hasEscape(got.stdout) {
		t.Errorf("audit wrote an escape sequence to what is no terminal: %q", got.stdout)
	}
}

// hasEscape reports whether text holds what begins a control sequence, in 7 or 8 bits or in UTF-8.
func hasEscape(text string) bool {
	return strings.Contains(text, "\x1b") || strings.ContainsRune(text, '\u009b') || !utf8.ValidString(text)
}

func TestAuditFollowsBeyondAnOutage(t *testing.T) {
	url, client := startRedis(t)
	ctx, stop := context.WithCancel(t.Context())
	var stdout, stderr lockedBuffer
	done := make(chan int)
	go func() {
		done <- execute(ctx, newRoot([]string{"TOPICGATE_REDIS_URL=" + url}), []string{"audit", "--follow"}, &stdout, &stderr)
	}()
	sink := audit.NewRedisSink(client, "topicgate:audit", 0)
	record := func(topic string) {
		t.Helper()
		for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
			err := sink.Write(t.Context(), []audit.Event{{Time: time.Now(), Action: audit.Publish, Topic: topic, Count: 1}})
			if err == nil {
				break
			} else if time.Now().After(deadline) {
				t.Fatal(err)
			}
		}
		stdout.await(t, topic)
	}
	record("before")
	if err := client.Rename(t.Context(), "topicgate:audit", "elsewhere").Err(); err != nil {
		t.Fatal(err)
	}
	if err := client.Set(t.Context(), "topicgate:audit", "no stream", 0).Err(); err != nil { // each read fails
		t.Fatal(err)
	}
	stderr.await(t, "cannot be read")
	if err := client.Rename(t.Context(), "elsewhere", "topicgate:audit").Err(); err != nil {
		t.Fatal(err)
	}
	record("after")
	stderr.await(t, "read again")
	stop()
	if status := <-done; status != exitDone {
		t.Errorf("audit --follow ended with %d; want %d", status, exitDone)
	}
	if text := stdout.String(); strings.Count(text, "before") != 1 || strings.Count(text, "TIME") != 1 || strings.Count(stderr.String(), "\n") != 2 {
		t.Errorf("audit --follow wrote\n%sand said\n%swant each record once, one heading, and two lines about the outage", text, stderr.String())
	}
}

// lockedBuffer is written by one goroutine and read by another.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func (b *lockedBuffer) await(t *testing.T, part string) {
	t.Helper()
	for deadline := time.Now().Add(patience); !strings.Contains(b.String(), part); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("no %q within %v, but %q", part, patience, b.String())
		}
	}
}

func TestColoursAreForATerminal(t *testing.T) {
	terminal, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("no terminal to be had: %v", err)
	}
	defer terminal.Close()
	plainFile, err := os.Create(t.TempDir() + "/out")
	if err != nil {
		t.Fatal(err)
	}
	defer plainFile.Close()
	for _, test := range []struct {
		w       io.Writer
		environ string
		want    bool
	}{
		{terminal, "TERM=xterm", true},
		{terminal, "NO_COLOR=", true}, // empty: as if it were not there
		{terminal, "NO_COLOR=1", false},
		{terminal, "TERM=dumb", false},
		{plainFile, "TERM=xterm", false},
		{new(bytes.Buffer), "TERM=xterm", false},
	} {
		if got := coloured(test.w, []string{test.environ}); got != test.want {
			t.Errorf("coloured(%T, %s) = %v; want %v", test.w, test.environ, got, test.want)
		}
	}
	var b bytes.Buffer
	p := newAuditPrinter(&b, false, true)
	if err := p.print([]audit.Event{{Decision: audit.Refused, Action: audit.Publish, Topic: "\x1b[2J"}}, auditQuery{anyUser: true}); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(b.String(), "\n")
	if len(lines) != 3 || !strings.HasPrefix(lines[0], bold+"TIME") || !strings.HasPrefix(lines[1], red) || !strings.HasSuffix(lines[1], plain) ||
		strings.Count(b.String(), "\x1b") != 4 {
		t.Errorf("printed %q; want a bold heading, a red line, and no other sequence", b.String())
	}
}
