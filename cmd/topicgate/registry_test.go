package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// register writes what a gateway with these sessions (id, user, Client Identifier) has in Redis.
func register(t *testing.T, client *redis.Client, process, name string, sessions ...[3]string) {
	t.Helper()
	ctx := t.Context()
	_, err := client.Pipelined(ctx, func(p redis.Pipeliner) error {
		p.SAdd(ctx, "tg:instances", process)
		p.Set(ctx, "tg:instance:"+process, name, time.Minute)
		for _, s := range sessions {
			text, err := json.Marshal(map[string]string{"session": s[0], "user": s[1], "client_id": s[2], "version": "5.0",
				"remote": "192.0.2.1:5", "upstream": "broker:1883", "since": "2026-11-21T10:00:0" + s[0][:1] + ".5Z", "expires": "2026-11-21T11:00:00Z"})
			if err != nil {
				return err
			}
			p.HSet(ctx, "tg:sessions:"+process, s[0], text)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestSessions(t *testing.T) {
	url, client := startRedis(t)
	environ := []string{"TOPICGATE_REDIS_URL=" + url, "TOPICGATE_REDIS_PREFIX=tg:"}
	if got := topicgate(t, environ, "", "sessions"); got != (result{exitDone, "no live sessions\n", ""}) {
		t.Errorf("sessions without any = %+v", got)
	}
	if got := topicgate(t, environ, "", "sessions", "--json"); got != (result{exitDone, "[]\n", ""}) {
		t.Errorf("sessions --json without any = %+v", got)
	}
	register(t, client, "p1", "west", [3]string{"3", "alice", "phone"}, [3]string{"1", "bob", "x\x1b[2J\ty"})
	register(t, client, "p2", "east", [3]string{"2", "alice", "desk"})
	if err := client.HSet(t.Context(), "tg:sessions:p2", "4", "broken").Err(); err != nil {
		t.Fatal(err)
	}
	want := "USER   CLIENT ID      MQTT  REMOTE       BROKER       SINCE                 EXPIRES               INSTANCE  SESSION\n" +
		`bob    "x\x1b[2J\ty"` + "  5.0   192.0.2.1:5  broker:1883  2026-11-21T10:00:01Z  2026-11-21T11:00:00Z  west      1\n" +
		"alice  desk           5.0   192.0.2.1:5  broker:1883  2026-11-21T10:00:02Z  2026-11-21T11:00:00Z  east      2\n" +
		"alice  phone          5.0   192.0.2.1:5  broker:1883  2026-11-21T10:00:03Z  2026-11-21T11:00:00Z  west      3\n"
	if got := topicgate(t, environ, "", "sessions"); got != (result{exitDone, want, ""}) {
		t.Errorf("sessions = %d\n%s%s; want\n%s", got.status, got.stdout, got.stderr, want)
	}
	got := topicgate(t, environ, "", "sessions", "--user", "alice", "--json")
	var sessions []struct {
		Instance, User, Session string
		ClientID                string `json:"client_id"`
	}
	if err := json.Unmarshal([]byte(got.stdout), &sessions); err != nil || got.status != exitDone || len(sessions) != 2 ||
		sessions[0].ClientID != "desk" || sessions[0].Instance != "east" || sessions[1].ClientID != "phone" {
		t.Errorf("sessions --user alice --json = %+v, %v; want desk and phone", got, err)
	}
	if got := topicgate(t, environ, "", "sessions", "--user", "eve"); got != (result{exitDone, "no live sessions\n", ""}) {
		t.Errorf("sessions --user eve = %+v", got)
	}
}

// An instance that obeys orders as a gateway does, but has one session that won't end.
func TestDisconnect(t *testing.T) {
	url, client := startRedis(t)
	environ := []string{"TOPICGATE_REDIS_URL=" + url, "TOPICGATE_REDIS_PREFIX=tg:"}
	orders := client.Subscribe(t.Context(), "tg:ctl")
	if _, err := orders.Receive(t.Context()); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for message := range orders.Channel() {
			if message.Payload == `{"disconnect":{"user":"alice"}}` {
				client.HDel(t.Context(), "tg:sessions:p1", "1", "2")
			}
		}
	}()
	register(t, client, "p1", "west", [3]string{"1", "alice", "phone"}, [3]string{"2", "alice", "desk"}, [3]string{"3", "mallory", "c"})

	if got := topicgate(t, environ, "", "disconnect", "eve"); got != (result{exitFailed, "", "topicgate: \"eve\" has no such live session\n"}) {
		t.Errorf("disconnect eve = %+v; want that there is none", got)
	}
	if got := topicgate(t, environ, "", "disconnect", "alice", "--client-id", "tablet"); got.status != exitFailed || got.stdout != "" {
		t.Errorf("disconnect alice --client-id tablet = %+v; want that there is none", got)
	}
	got := topicgate(t, environ, "", "disconnect", "alice")
	lines := slices.Collect(strings.Lines(got.stdout))
	if got.status != exitDone || got.stderr != "" || len(lines) != 3 || !strings.Contains(lines[1], "phone") || !strings.Contains(lines[2], "desk") {
		t.Errorf("disconnect alice = %+v; want phone and desk", got)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	var stdout, stderr bytes.Buffer
	status := execute(ctx, newRoot(environ), []string{"disconnect", "mallory"}, &stdout, &stderr)
	if status != exitFailed || stdout.Len() > 0 || stderr.String() != "topicgate: told to end, but still live: 3 on west\n" {
		t.Errorf("disconnect mallory = %d, %s, %s; want that it has not ended", status, stdout.String(), stderr.String())
	}
	orders.Close()
	<-done
}

func TestRegistryCommandsNeedRedis(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close() // nobody answers there
	none := "TOPICGATE_REDIS_URL=none TOPICGATE_POLICY_FILE=" + writeFile(t, "acl", "pattern read a\n")
	for _, test := range []struct {
		environ string
		args    []string
		status  int
		want    string
	}{
		{none, []string{"sessions"}, exitUsage, "TOPICGATE_REDIS_URL is none"},
		{none, []string{"disconnect", "a"}, exitUsage, "TOPICGATE_REDIS_URL is none"},
		{none, []string{"audit"}, exitUsage, "TOPICGATE_REDIS_URL is none"},
		{"TOPICGATE_REDIS_URL=redis://" + address, []string{"audit"}, exitFailed, "XREAD topicgate:audit: "},
		{"TOPICGATE_REDIS_URL=redis://" + address, []string{"audit", "--topic", "a/#/b"}, exitUsage, "--topic: "},
		{"TOPICGATE_REDIS_URL=redis://" + address, []string{"audit", "--since", "-1h"}, exitUsage, "--since: \"-1h\" is neither"},
		{"TOPICGATE_REDIS_URL=redis://" + address, []string{"audit", "--since", "yesterday"}, exitUsage, "--since: \"yesterday\" is neither"},
		{"TOPICGATE_REDIS_URL=http://x", []string{"sessions"}, exitUsage, "TOPICGATE_REDIS_URL: "},
		{"TOPICGATE_REDIS_URI=none", []string{"sessions"}, exitUsage, "did you mean TOPICGATE_REDIS_URL?"},
		{"TOPICGATE_REDIS_URL=redis://" + address, []string{"sessions"}, exitFailed, "registry of sessions: "},
		{"TOPICGATE_REDIS_URL=redis://" + address, []string{"disconnect", "a"}, exitFailed, "registry of sessions: "},
		{"TOPICGATE_REDIS_URL=redis://" + address, []string{"disconnect", "a", "--client-id", ""}, exitUsage, "--client-id is empty"},
		{"TOPICGATE_REDIS_URL=redis://" + address, []string{"disconnect"}, exitUsage, "which USER"},
		{"TOPICGATE_REDIS_URL=redis://" + address, []string{"disconnect", "a", "b"}, exitUsage, "which USER"},
		{"TOPICGATE_REDIS_URL=redis://" + address, []string{"disconnect", ""}, exitUsage, "which USER"},
	} {
		got := topicgate(t, strings.Fields(test.environ), "", test.args...)
		if got.status != test.status || got.stdout != "" || !strings.Contains(got.stderr, test.want) {
			t.Errorf("%s %q = %+v; want status %d and %q", test.environ, test.args, got, test.status, test.want)
		}
	}
}

func TestCellsAreHarmless(t *testing.T) {
	for text, want := range map[string]string{
		"": "-", "phone": "phone", "Zoë 李": "Zoë 李", "a\tb": `"a\tb"`, "\x1b[2J": `"\x1b[2J"`, "a\u202eb": `"a\u202eb"`, "\x9b2J": `"\x9b2J"`,
	} {
		if got := cell(text); got != want {
			t.Errorf("cell(%s) = %s; want %s", fmt.Sprintf("%q", text), got, want)
		}
	}
}
