package session

import (
	"sync"
	"time"

	"topicgate/auth"
)

// credentials are whose session it is, and until when. They are set before the pumps start, and again by a fresh token
// of the same user.
type credentials struct {
	mu       sync.Mutex
	identity auth.Identity
	expiry   *time.Timer
}

func (c *credentials) get() auth.Identity {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.identity
}

func (c *credentials) set(identity auth.Identity) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.identity = identity
}

// username is "" while nobody knows.
func (c *credentials) username() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.identity.Username
}

// replace puts a fresh token's identity in place of the old one; false: it is somebody else's.
func (c *credentials) replace(fresh auth.Identity) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if old := c.identity; fresh.Issuer != old.Issuer || fresh.Subject != old.Subject || fresh.Username != old.Username {
		return false
	}
	c.identity = fresh
	return true
}
