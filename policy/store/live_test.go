package store

import (
	"fmt"
	"testing"

	"topicgate/policy"
)

func TestEveryKindOfChangeArrives(t *testing.T) {
	r := startRedis(t)
	r.do("SET", "topicgate:acl", roomRules)
	s := startStore(t, "redis://"+r.addr)
	g := s.open(t, policy.Principal{Username: "alice"})
	const rooms = "topicgate:user:alice:rooms"
	steps := []struct {
		words []any
		want  bool
	}{
		{[]any{"SADD", rooms, "7"}, true},
		{[]any{"SREM", rooms, "7"}, false},
		{[]any{"SADD", "elsewhere", "7", "8"}, false},
		{[]any{"SUNIONSTORE", rooms, "elsewhere"}, true},
		{[]any{"DEL", rooms}, false},
		{[]any{"RENAME", "elsewhere", rooms}, true},
		{[]any{"RENAME", rooms, "elsewhere"}, false},
		{[]any{"COPY", "elsewhere", rooms}, true},
		{[]any{"UNLINK", rooms}, false},
		{[]any{"EVAL", "return redis.call('SADD', KEYS[1], '7')", 1, rooms}, true},
		{[]any{"EVAL", "return redis.call('SREM', KEYS[1], '7')", 1, rooms}, false},
		{[]any{"SADD", rooms, "7"}, true},
		{[]any{"PEXPIRE", rooms, 50}, false},
		{[]any{"SADD", rooms, "7"}, true},
		{[]any{"SADD", "topicgate:user:alice:banned", "7"}, false},
		{[]any{"DEL", "topicgate:user:alice:banned"}, true},
		{[]any{"SET", "topicgate:acl", "pattern read nothing"}, false},
		{[]any{"SET", "topicgate:acl", roomRules}, true},
		{[]any{"SPOP", rooms, 2}, false},
		{[]any{"SADD", "topicgate:user:alice:roles", "moderator"}, true},
		{[]any{"DEL", "topicgate:user:alice:roles"}, false},
		{[]any{"SADD", "topicgate:acl:user:alice", "read chat/room/7/#"}, true},
		{[]any{"DEL", "topicgate:acl:user:alice"}, false},
		{[]any{"SADD", "topicgate:user:alice:roles", "team"}, false},
		{[]any{"SADD", "topicgate:acl:role:team", "read chat/room/{team-rooms}/#"}, false},
		{[]any{"SADD", "topicgate:user:alice:team-rooms", "7"}, true},
		{[]any{"FLUSHALL"}, false},
	}
	for _, step := range steps {
		r.do(step.words...)
		eventually(t, fmt.Sprintf("%v: alice reads = %v", step.words, step.want), func() bool {
			return reads(g, "chat/room/7/x") == step.want
		})
	}
}
