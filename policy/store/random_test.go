package store

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"topicgate/policy"
)

// After any sequence of changes, connections lost and sessions coming and going,
// each session may do what one may that begins now.
func TestRandomChangesSettleToWhatRedisHolds(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	r := startRedis(t)
	s := startStore(t, "redis://"+r.addr)
	const users = 12
	texts := []string{roomRules, "pattern read all\n", "pattern raed all\n", "role b\ntopic read chat/#\n", ""}
	lines := []string{"read chat/room/{rooms}/#", "deny chat/to/%u", "write chat/room/{more}/x", "raed", "read chat/room/1/#"}
	principal := func(i int) policy.Principal {
		return policy.Principal{Username: fmt.Sprint("u", i), TokenID: fmt.Sprint("t", i%3), Roles: []string{"a"}[:i%2]}
	}
	pick := func(from ...string) string { return from[rnd.IntN(len(from))] }
	grants := make([]*Grant, users)
	defer func() {
		for _, g := range grants {
			if g != nil {
				g.Close()
			}
		}
	}()
	for range 1500 {
		i := rnd.IntN(users)
		user := fmt.Sprint("topicgate:user:u", i, ":")
		switch rnd.IntN(14) {
		case 0, 1:
			r.do(pick("SADD", "SREM"), user+"rooms", rnd.IntN(4))
		case 2:
			r.do(pick("SADD", "SREM"), user+"more", rnd.IntN(4))
		case 3:
			r.do(pick("SADD", "SREM"), user+"banned", rnd.IntN(4))
		case 4:
			r.do(pick("SADD", "SREM"), user+"roles", pick("a", "b", "moderator"))
		case 5:
			r.do(pick("SADD", "SREM"), "topicgate:acl:role:"+pick("a", "b"), pick(lines...))
		case 6:
			r.do(pick("SADD", "SREM"), fmt.Sprint("topicgate:acl:user:u", i), pick(lines...))
		case 7:
			r.do("SET", "topicgate:acl", pick(texts...))
		case 8:
			r.do(pick("SADD", "SREM"), "topicgate:blocked", fmt.Sprint("u", i))
		case 9:
			if token := fmt.Sprint("topicgate:revoked:t", i%3); rnd.IntN(2) == 0 {
				r.do("SET", token, "", "PX", 1+rnd.IntN(200))
			} else {
				r.do("DEL", token)
			}
		case 10:
			r.do("PEXPIRE", user+"rooms", 1+rnd.IntN(20))
		case 11:
			switch rnd.IntN(30) {
			case 0:
				r.do("FLUSHALL")
			case 1:
				r.do("CLIENT", "KILL", "TYPE", "pubsub")
			case 2:
				r.do("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
			}
		default:
			if grants[i] == nil {
				grants[i] = s.open(t, principal(i))
			} else {
				grants[i].Close()
				grants[i] = nil
			}
		}
	}
	r.do("SET", "topicgate:acl", roomRules) // else the last good text would be unknown to the judge
	judge := startStore(t, "redis://"+r.addr)
	for i, g := range grants {
		if g == nil {
			continue
		}
		fresh := judge.open(t, principal(i))
		for _, topic := range []string{"all", "chat/to/u1", "chat/to/u2", "chat/room/0/x", "chat/room/1/x", "chat/room/2/x", "chat/room/3/x"} {
			eventually(t, fmt.Sprintf("u%d is right about %s", i, topic), func() bool {
				return reads(g, topic) == reads(fresh, topic) &&
					g.Access().Publish([]byte(topic)).Allowed == fresh.Access().Publish([]byte(topic)).Allowed
			})
		}
		eventually(t, fmt.Sprintf("u%d has the right standing", i), func() bool { return g.Standing() == fresh.Standing() })
	}
}
