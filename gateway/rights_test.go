package gateway

import (
	"testing"
	"time"

	"topicgate/gateway/internal/redistest"
)

// The rights that deploy/README.md names are enough for what the gateway keeps of sleeping Sessions.
func TestRedisRightsAreEnoughForSleepers(t *testing.T) {
	client, check := redistest.Start(t).Limited("../deploy/README.md")
	sleeping := redisSleepers{client: client, prefix: "topicgate:session:"}
	if err := sleeping.save(t.Context(), "alice:c1", []byte("x"), time.Minute); err != nil {
		t.Errorf("save() = %v", err)
	}
	if got, err := sleeping.load(t.Context(), "alice:c1"); string(got) != "x" {
		t.Errorf("load() = %q, %v; want x", got, err)
	}
	check()
}
