package main

import (
	"log/slog"

	"topicgate/config"
	"topicgate/gateway"
)

// warnOfFileLimit says when the process may open fewer files than the connections that it is to
// take need.
func warnOfFileLimit(c config.Config, log *slog.Logger) {
	if connections, _ := gateway.Bearable(); c.MaxConnections > connections {
		log.Warn("limit of open files is too low for the connections allowed, there will be fewer",
			"connections", connections, "max_connections", c.MaxConnections)
	}
}
