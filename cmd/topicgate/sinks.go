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
	for _, s := range c.AuditSinks() {
		switch s.Kind {
		case "stdout":
			sinks[s.String()] = audit.NewWriterSink(stdout)
		case "redis":
			sinks[s.String()] = audit.NewRedisSink(p.store.Client(), c.RedisPrefix+"audit", auditRecords)
		case "file":
			file := audit.NewFileSink(s.Target.Reveal())
			p.auditFiles = append(p.auditFiles, file)
			sinks[s.String()] = file
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
