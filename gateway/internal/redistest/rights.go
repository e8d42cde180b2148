package redistest

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"strings"

	"github.com/redis/go-redis/v9"
)

// Limited is a client that has the rights to the gateway's sessions which readme, the path of deploy/README.md, names.
// The function checks that they were enough.
func (r *Server) Limited(readme string) (client *redis.Client, check func()) {
	r.t.Helper()
	text, err := os.ReadFile(readme)
	if err != nil {
		r.t.Fatal(err)
	}
	rights := regexp.MustCompile(`(?m)^ +(~topicgate:.*(?:\n +[+].*)*)$`).FindSubmatch(text)
	if rights == nil {
		r.t.Fatalf("%s names no rights", readme)
	}
	command := []any{"acl", "setuser", "gate", "on", ">secret"}
	for right := range strings.FieldsSeq(string(rights[1])) {
		command = append(command, right)
	}
	r.Run(command...)
	client = redis.NewClient(&redis.Options{Addr: r.Addr, Username: "gate", Password: "secret"})
	r.t.Cleanup(func() { _ = client.Close() })
	return client, func() {
		r.t.Helper()
		denied, err := r.Do(context.Background(), "acl", "log").Slice()
		if err != nil {
			r.t.Fatal(err)
		}
		for _, entry := range denied {
			if !strings.Contains(fmt.Sprint(entry), "setinfo") { // go-redis names itself where it may
				r.t.Errorf("Redis denied %v", entry)
			}
		}
	}
}
