package main

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// startRedis runs a redis-server of the test's own on the loopback.
func startRedis(t *testing.T) (url string, client *redis.Client) {
	t.Helper()
	binary, err := exec.LookPath("redis-server")
	if err != nil && os.Getenv("TEST_SERVERS") == "required" {
		t.Fatal("redis-server is missing: apt-get install redis-server")
	} else if err != nil {
		t.Skip("redis-server is missing: apt-get install redis-server")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	_, port, _ := net.SplitHostPort(address)
	var out bytes.Buffer
	server := exec.Command(binary, "--bind", "127.0.0.1", "--port", port, "--save", "", "--dir", t.TempDir())
	server.Stdout, server.Stderr = &out, &out
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	client = redis.NewClient(&redis.Options{Addr: address, MaxRetries: 100, MaxRetryBackoff: 100 * time.Millisecond})
	t.Cleanup(func() {
		client.Close()
		_ = server.Process.Kill()
		_ = server.Wait()
		if t.Failed() {
			t.Logf("redis-server said:\n%s", out.String())
		}
	})
	if err := client.Ping(t.Context()).Err(); err != nil { // retries until the server is up
		t.Fatal(err)
	}
	return "redis://" + address + "/0", client
}

func TestPolicyExplainReadsWhatTheGatewayReads(t *testing.T) {
	url, client := startRedis(t)
	ctx := t.Context()
	for _, err := range []error{
		client.Set(ctx, "tg:acl", "pattern readwrite room/{rooms}/#", 0).Err(),
		client.SAdd(ctx, "tg:user:alice:rooms", "lobby", "attic").Err(),
		client.SAdd(ctx, "tg:user:alice:roles", "guide").Err(),
		client.SAdd(ctx, "tg:acl:role:guide", "read tour/#").Err(),
		client.SAdd(ctx, "tg:acl:user:alice", "deny room/attic/#").Err(),
		client.SAdd(ctx, "tg:blocked", "mallory").Err(),
		client.Set(ctx, "tg:revoked:t1", "", time.Hour).Err(),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	environ := []string{"TOPICGATE_REDIS_URL=" + url, "TOPICGATE_REDIS_PREFIX=tg:"}
	for _, test := range []struct {
		args, stdin string
		status      int
		want        string
	}{
		{"--user alice publish room/lobby/x", "", exitDone, "tg:acl:1: pattern readwrite room/{rooms}/#"},
		{"--user alice publish room/attic/x", "", exitFailed, "tg:acl:user:alice"},
		{"--user bob publish room/lobby/x", "", exitFailed, "denied\n"},
		{"--user alice receive tour/1", "", exitDone, "tg:acl:role:guide"},
		{"--user alice subscribe room/#", "", exitDone, "room/lobby/#"},
		{"--user mallory publish room/lobby/x", "", exitFailed, "denied: the user is blocked\n"},
		{"--user alice --claims - publish room/lobby/x", `{"jti": "t1"}`, exitFailed, "denied: the token is revoked\n"},
	} {
		got := topicgate(t, environ, test.stdin, append([]string{"policy", "explain"}, strings.Fields(test.args)...)...)
		if got.status != test.status || !strings.Contains(got.stdout, test.want) || got.stderr != "" {
			t.Errorf("explain %s = %+v; want status %d and %q", test.args, got, test.status, test.want)
		}
	}
	if err := client.Set(ctx, "tg:acl", "patern read a", 0).Err(); err != nil {
		t.Fatal(err)
	}
	if got := topicgate(t, environ, "", "policy", "explain", "--user", "alice", "publish", "room/lobby/x"); got.status != exitFailed ||
		!strings.Contains(got.stderr, "patern") {
		t.Errorf("explain with a broken rule text = %+v; want it denied, with the mistake told", got)
	}
}

func TestServeWithRedis(t *testing.T) {
	url, client := startRedis(t)
	g := startGateway(t, "TOPICGATE_REDIS_URL="+url)
	g.await("redis is watched")
	if status, body := get(t, "http://"+g.admin+"/readyz"); !strings.Contains(body, `"redis":"ok"`) {
		t.Errorf("/readyz = %d %s; want redis ok", status, body)
	}
	if err := client.Set(t.Context(), "topicgate:acl", "pattern read a", 0).Err(); err != nil {
		t.Fatal(err)
	}
	if line := g.await("policy loaded"); line["source"] != "topicgate:acl" {
		t.Errorf("loaded %v; want topicgate:acl", line)
	}
	g.stop()
	if status := g.exit(); status != exitDone {
		t.Errorf("serve ended with %d; want %d", status, exitDone)
	}
}

// The rights that deploy/README.md names are enough.
func TestRedisRights(t *testing.T) {
	url, client := startRedis(t)
	readme, err := os.ReadFile("../../deploy/README.md")
	if err != nil {
		t.Fatal(err)
	}
	rights := regexp.MustCompile(`(?m)^ +(~topicgate:.*(?:\n +[+].*)*)$`).FindSubmatch(readme)
	if rights == nil {
		t.Fatal("deploy/README.md names no rights")
	}
	command := []any{"acl", "setuser", "gate", "on", ">secret"}
	for right := range strings.FieldsSeq(string(rights[1])) {
		command = append(command, right)
	}
	if err := client.Do(t.Context(), command...).Err(); err != nil {
		t.Fatal(err)
	}
	url = strings.Replace(url, "redis://", "redis://gate:secret@", 1)
	g := startGateway(t, "TOPICGATE_REDIS_URL="+url)
	g.await("redis is watched")
	got := topicgate(t, []string{"TOPICGATE_REDIS_URL=" + url}, `{"jti": "t"}`, "policy", "explain", "--user", "a", "--claims", "-", "publish", "t")
	if got.status != exitFailed || got.stderr != "" {
		t.Errorf("explain = %+v; want it denied, and nothing on standard error", got)
	}
	if got := topicgate(t, []string{"TOPICGATE_REDIS_URL=" + url}, "", "sessions"); got.status != exitDone || got.stderr != "" {
		t.Errorf("sessions = %+v; want none, and nothing on standard error", got)
	}
	if got := topicgate(t, []string{"TOPICGATE_REDIS_URL=" + url}, "", "disconnect", "a"); !strings.Contains(got.stderr, "no such live session") {
		t.Errorf("disconnect = %+v; want that there is none", got)
	}
	if got := topicgate(t, []string{"TOPICGATE_REDIS_URL=" + url}, "", "audit"); got != (result{exitDone, "no audit records\n", ""}) {
		t.Errorf("audit = %+v; want none, and nothing on standard error", got)
	}
	g.stop()
	g.exit()
	denied, err := client.Do(t.Context(), "acl", "log").Slice()
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range denied {
		if !strings.Contains(fmt.Sprint(entry), "setinfo") { // go-redis names itself where it may
			t.Errorf("Redis denied %v", entry)
		}
	}
}

func TestPolicyExplainWithoutRedisCannotDecide(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close() // nobody answers there
	got := topicgate(t, []string{"TOPICGATE_REDIS_URL=redis://" + address}, "", "policy", "explain", "--user", "a", "publish", "t")
	if got.status != exitFailed || got.stdout != "" || !strings.Contains(got.stderr, "cannot decide") {
		t.Errorf("explain = %+v; want status 1: it cannot decide", got)
	}
}
