package main

import (
	"log/slog"
	"math"
	"syscall"

	"topicgate/config"
)

// warnOfFileLimit says when the process may open fewer files than the sessions that it is to
// take need. The Go runtime has raised the soft limit to the hard one already.
func warnOfFileLimit(c config.Config, log *slog.Logger) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		log.Warn("limit of open files unknown", "err", err.Error())
		return
	}
	if sessions := sessionsWithin(uint64(limit.Cur)); c.MaxConnections > sessions {
		log.Warn("limit of open files is too low for the sessions allowed", "limit", uint64(limit.Cur),
			"sessions", sessions, "max_connections", c.MaxConnections)
	}
}

// sessionsWithin is how many sessions a limit of open files has room for: each takes two, and
// listeners, Redis and issuers take some.
func sessionsWithin(limit uint64) int {
	const others = 64
	return (int(min(limit, math.MaxInt32)) - others) / 2 // no limit is the largest number there is
}
