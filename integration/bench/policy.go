//go:build linux

package main

import (
	"fmt"
	"strings"
)

// openPolicy lets everybody do everything.
const openPolicy = "pattern readwrite #\n"

// chatPolicy is the policy of 40 rules under which the gateway is measured: rooms from Redis, direct messages, presence, roles, an
// administrator, and rules that deny, so that no delivery is decided by the first look.
const chatPolicy = `pattern readwrite chat/room/{rooms}/#
pattern deny      chat/room/+/private/#
pattern write     chat/status/%u
pattern read      chat/status/+
pattern read      chat/messages/%u/+
pattern write     chat/messages/+/%u
pattern read      news/#
pattern deny      news/internal/#
pattern read      tenant/{claim.tenant}/#
pattern write     devices/%u/+/state
pattern read      devices/%u/+/command
pattern readwrite game/{games}/+/move
pattern read      game/{games}/+/board
pattern write     presence/%u/%c
pattern read      presence/+/+
pattern deny      presence/hidden/+
user admin
topic readwrite admin/#
topic read chat/messages/+/+
topic readwrite chat/room/#
topic read $SYS/broker/clients/#
role member
topic read  members/#
topic write members/+/vote
topic deny  members/board/#
pattern readwrite members/home/%u/#
role reader
topic read  library/#
topic deny  library/closed/#
topic read  weather/+/now
pattern write library/returns/%u
role moderator
topic readwrite chat/room/#
topic deny  chat/room/staff/#
topic write moderation/+/hide
topic read  moderation/#
topic read  audit/moderation/#
role operator
topic readwrite devices/#
topic deny  devices/+/+/secret
topic read  metrics/#
topic write control/+/restart
topic read  control/#
role guest
topic read lobby/#
topic write lobby/hello
`

// rulesIn counts the rules of a policy.
func rulesIn(policy string) (n int) {
	for line := range strings.Lines(policy) {
		switch word, _, _ := strings.Cut(line, " "); word {
		case "pattern", "topic":
			n++
		}
	}
	return n
}

// policyOf returns the first n rules of chatPolicy, or all of them after as many more as it takes to have n.
func policyOf(n int) string {
	var more strings.Builder
	if n < rulesIn(chatPolicy) {
		for line := range strings.Lines(chatPolicy) {
			more.WriteString(line)
			if rulesIn(more.String()) == n {
				return more.String()
			}
		}
	}
	for k := rulesIn(chatPolicy); k < n; k++ {
		switch k % 4 {
		case 0:
			fmt.Fprintf(&more, "pattern read site/%d/+/state\n", k)
		case 1:
			fmt.Fprintf(&more, "pattern deny chat/room/+/p%d/secret\n", k)
		case 2:
			fmt.Fprintf(&more, "pattern readwrite site/+/%d/#\n", k)
		case 3:
			fmt.Fprintf(&more, "pattern write chat/room/{rooms}/extra/%d\n", k)
		}
	}
	return more.String() + chatPolicy // before its first `user` line
}

// roomsOfUser is of how many rooms everybody is a member.
const roomsOfUser = 5

// room is a room of user n; the others are told apart by the last number.
func room(n, k int) string { return fmt.Sprintf("room-%d-%d", n, k) }

// roomTopic is where the pair or group g talks in a room. It is read by roomFilter: a filter that the gateway narrows to the reader's rooms, and
// that without a gateway brings the same messages.
func roomTopic(room string, g int) string { return fmt.Sprintf("chat/room/%s/talk-%d", room, g) }

func roomFilter(g int) string { return fmt.Sprintf("chat/room/+/talk-%d", g) }
