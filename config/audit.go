package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// AuditSink is one place that audit records go to.
type AuditSink struct {
	Kind   string // "stdout", "redis", "file"; "none" stands for no place at all
	Target Secret // path of the file
}

// String gives the sink as it could be written in the environment, without what may be secret.
func (s AuditSink) String() string {
	switch s.Kind {
	case "file":
		return s.Kind + ":" + s.Target.Reveal()
	}
	return s.Kind
}

func parseAuditSink(text string) (AuditSink, error) {
	kind, target, _ := strings.Cut(text, ":")
	switch kind {
	case "stdout", "redis", "none":
		if text == kind {
			return AuditSink{Kind: kind}, nil
		}
	case "file":
		if target == "" || strings.HasSuffix(target, "/") || !isText(target) {
			return AuditSink{}, errors.New("file: needs the path of a file, such as file:/var/log/topicgate/audit.jsonl")
		}
		return AuditSink{Kind: kind, Target: NewSecret(target)}, nil
	case "mqtt", "webhook": // not shown whole: a webhook's URL may hold a secret
		return AuditSink{}, fmt.Errorf("audit to %s: is not in this version yet", kind)
	}
	return AuditSink{}, fmt.Errorf("%q is not one of stdout, redis, file:PATH, none", text)
}

func (c *Config) checkAudit(p *Problems) {
	duplicates(p, "AUDIT", c.Audit)
	if c.auditsTo("none") && len(c.Audit) > 1 {
		p.add("AUDIT", "none must stand alone")
	}
	if !c.UsesRedis() && c.Given("AUDIT") && c.auditsTo("redis") {
		p.add("AUDIT", "redis cannot be had together with %sREDIS_URL=none", Prefix)
	}
}

func (c *Config) auditsTo(kind string) bool {
	return slices.ContainsFunc(c.Audit, func(s AuditSink) bool { return s.Kind == kind })
}

// AuditSinks are the places that audit records go to: those of Audit without "none", and without
// Redis where there is none.
func (c *Config) AuditSinks() []AuditSink {
	return slices.DeleteFunc(slices.Clone(c.Audit), func(s AuditSink) bool {
		return s.Kind == "none" || s.Kind == "redis" && !c.UsesRedis()
	})
}
