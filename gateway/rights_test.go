package gateway

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"topicgate/gateway/internal/redistest"

	"github.com/redis/go-redis/v9"
)

// The rights that deploy/README.md names are enough for what the gateway keeps of its sessions.
func TestRedisRightsAreEnough(t *testing.T) {
	r := startRedis(t)
	readme, err := os.ReadFile("../deploy/README.md")
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
	r.Run(command...)
	client := redis.NewClient(&redis.Options{Addr: r.Addr, Username: "gate", Password: "secret"})
	defer client.Close()

	sleeping := redisSleepers{client: client, prefix: "topicgate:session:"}
	if err := sleeping.save(t.Context(), "alice:c1", []byte("x"), time.Minute); err != nil {
		t.Errorf("save() = %v", err)
	}
	if got, err := sleeping.load(t.Context(), "alice:c1"); string(got) != "x" {
		t.Errorf("load() = %q, %v; want x", got, err)
	}

	g := newTestRegistry(t, r, "host")
	g.client, g.keys = client, registryKeys{"topicgate:"}
	g.start(func(disconnectOrder) { g.remove(infoOf(1).Session) })
	g.add(infoOf(1))
	redistest.Eventually(t, "the session is registered", func() bool {
		all, err := LiveSessions(context.Background(), client, "topicgate:")
		return err == nil && len(all) == 1
	})
	if gone, _, err := Disconnect(t.Context(), client, "topicgate:", "alice", ""); err != nil || len(gone) != 1 {
		t.Errorf("Disconnect() = %+v, %v; want one gone", gone, err)
	}
	g.close()

	denied, err := r.Do(t.Context(), "acl", "log").Slice()
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range denied {
		if !strings.Contains(fmt.Sprint(entry), "setinfo") { // go-redis names itself where it may
			t.Errorf("Redis denied %v", entry)
		}
	}
}
