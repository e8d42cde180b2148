package main

import (
	"io"

	"topicgate/config"
	"topicgate/gateway/audit"
)

const (
	// auditRecords is about how many records the Redis stream keeps (MAXLEN ~).
	auditRecords = 100_000
	// auditQueue is how many records wait for a slow sink before the next ones are dropped.
	auditQueue = 8192
)

// newAuditLog makes the audit with its sinks; nil without any.
func newAuditLog(c config.Config, p *process, stdout io.Writer) *audit.Log {
	sinks := make(map[string]audit.Sink)
	for _, name := range c.AuditSinks() {
		switch name {
		case "stdout":
			sinks["stdout"] = audit.NewWriterSink(stdout)
		case "redis":
			sinks["redis"] = audit.NewRedisSink(p.store.Client(), c.RedisPrefix+"audit", auditRecords)
		}
	}
	if len(sinks) == 0 {
		return nil
	}
	return audit.New(audit.Options{
		Instance:  p.instance,
		Sinks:     sinks,
		QueueSize: auditQueue,
		Logger:    p.log,
		Dropped:   p.metrics.AuditDropped,
	})
}
