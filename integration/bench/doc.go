//go:build linux

// Command bench asks one question: what does the gateway cost, beside doing nothing at all?
//
// It is its own load generator. Each load (a file each: pairs.go, fan.go, connect.go, idle.go, ...) is played through several
// targets in turn, round by round, so that whatever else the machine is doing hurts them alike; what is compared are medians over the rounds:
//
//	tcp        straight to mosquitto's TCP listener
//	listener   mosquitto's own websockets listener
//	pipe       G: a WebSocket to TCP pipe that checks nothing (pipe.go), this program started a second time
//	nginx      nginx as a WebSocket proxy before mosquitto's websockets listener
//	topicgate  the gateway: token checked, 40 rules, rooms in Redis, narrowed subscriptions, metrics and audit on
//	topicgate-unix  the same to mosquitto's Unix socket instead of its TCP listener
//	open       the gateway with the one rule `pattern readwrite #`
//
// Clients are made to be cheap, as they share the machine with what they measure: no allocation a message, many packets
// in a write, one packet in a WebSocket message as browsers send them, large reads. A publisher never has more than a window of
// messages on their way, so that the broker never has a reason to drop one; every message carries its number,
// and what is lost, delivered twice or out of order is counted.
//
// `make bench ONLY=rate,latency ROUNDS=1` plays a part, and keeps nothing unless RESULTS names a directory. The program itself takes -targets to leave
// some out, and -profile to keep a profile of each load by perf(1), which sees kernel and program alike.
//
// CPU time is that of a target's own processes by the kernel's account, divided by the messages delivered meanwhile. Everything happens
// on loopback, on free ports and in a temporary directory, and is bounded in time. Linux only: it is the kernel that accounts. Nothing of ours is imported but the wire codec.
package main
