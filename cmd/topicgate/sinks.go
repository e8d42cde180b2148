package main

import (
	"fmt"
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
		name := s.String()
		for n := 2; sinks[name] != nil; n++ { // of a webhook it is not all
			name = fmt.Sprintf("%s %d", s, n)
		}
		switch s.Kind {
		case "stdout":
			sinks[name] = audit.NewWriterSink(stdout)
		case "redis":
			sinks[name] = audit.NewRedisSink(p.store.Client(), c.RedisPrefix+"audit", auditRecords)
		case "file":
			file := audit.NewFileSink(s.Target.Reveal())
			p.auditFiles = append(p.auditFiles, file)
			sinks[name] = file
		case "webhook":
			sinks[name] = audit.NewWebhookSink(s.Target.Reveal(), c.AuditWebhookSecret.Reveal())
		case "mqtt":
			sinks[name] = audit.NewMQTTSink(audit.MQTTOptions{
				Topic:         s.Target.Reveal(),
				Brokers:       upstreamURLs(c),
				TLS:           p.upstreamTLS,
				ProxyProtocol: c.UpstreamProxyProtocol == config.ProxyProtocolV2,
				Username:      c.AuditMQTTUsername,
				Password:      c.AuditMQTTPassword.Reveal(),
			})
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
