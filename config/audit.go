package config

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// AuditSink is one place that audit records go to.
type AuditSink struct {
	Kind   string // "stdout", "redis", "file", "webhook", "mqtt"; "none" stands for no place at all
	Target Secret // path of the file, URL of the webhook, which may hold a secret, Topic Name
}

// String gives the sink as it could be written in the environment, without what may be secret.
func (s AuditSink) String() string {
	switch s.Kind {
	case "file", "mqtt":
		return s.Kind + ":" + s.Target.Reveal()
	case "webhook":
		u, _ := url.Parse(s.Target.Reveal()) // checked
		return s.Kind + ":" + u.Scheme + "://" + u.Host + "/" + redacted
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
	case "webhook":
		return parseWebhook(target)
	case "mqtt":
		if message := checkAuditTopic(target); message != "" {
			return AuditSink{}, fmt.Errorf("mqtt: %q %s", target, message)
		}
		return AuditSink{Kind: kind, Target: NewSecret(target)}, nil
	}
	return AuditSink{}, fmt.Errorf("%q is not one of stdout, redis, file:PATH, webhook:URL, mqtt:TOPIC, none", text)
}

// checkAuditTopic says why records cannot be published there, or "".
func checkAuditTopic(name string) string {
	first, _, _ := strings.Cut(name, "/")
	switch {
	case name == "" || len(name) > 65535 || !isText(name) || strings.ContainsAny(name, "+#"):
		return "is not a Topic Name such as ops/topicgate/audit, without wildcards"
	case first == "$SYS" || first == "$share" || first == "$topicgate":
		return "begins with " + first + ", where nobody can publish"
	}
	return ""
}

// parseWebhook quotes no URL in its errors.
func parseWebhook(target string) (AuditSink, error) {
	u, err := url.Parse(target)
	switch {
	case err != nil || u.Hostname() == "" || u.Fragment != "":
		return AuditSink{}, errors.New("webhook: needs a URL such as webhook:https://host/path, without a fragment and with %2C for a comma")
	case u.User != nil:
		return AuditSink{}, fmt.Errorf("webhook: the URL holds no username or password; requests are signed with %sAUDIT_WEBHOOK_SECRET", Prefix)
	case u.Scheme != "https" && !(u.Scheme == "http" && isLoopback(u.Hostname())):
		return AuditSink{}, errors.New("webhook: records go to https:// only, or by http:// to this machine")
	}
	return AuditSink{Kind: "webhook", Target: NewSecret(target)}, nil
}

// minWebhookSecret is the fewest bytes of a key that is not to be guessed.
const minWebhookSecret = 16

func (c *Config) checkAudit(p *Problems) {
	duplicates(p, "AUDIT", c.Audit)
	if c.auditsTo("none") && len(c.Audit) > 1 {
		p.add("AUDIT", "none must stand alone")
	}
	if !c.UsesRedis() && c.Given("AUDIT") && c.auditsTo("redis") {
		p.add("AUDIT", "redis cannot be had together with %sREDIS_URL=none", Prefix)
	}
	switch secret := c.AuditWebhookSecret.Reveal(); {
	case c.auditsTo("webhook") && len(secret) < minWebhookSecret:
		p.add("AUDIT_WEBHOOK_SECRET", "needs %d bytes or more, which sign what %sAUDIT sends to a webhook", minWebhookSecret, Prefix)
	case !c.auditsTo("webhook") && secret != "":
		p.add("AUDIT_WEBHOOK_SECRET", "has no use: %sAUDIT names no webhook", Prefix)
	}
	username, password := c.AuditMQTTUsername, c.AuditMQTTPassword.Reveal()
	switch {
	case !c.auditsTo("mqtt") && username != "":
		p.add("AUDIT_MQTT_USERNAME", "has no use: %sAUDIT names no mqtt", Prefix)
	case len(username) > 65535 || !isText(username):
		p.add("AUDIT_MQTT_USERNAME", "is no text that MQTT has room for")
	}
	switch {
	case password == "":
	case username == "": // 3.1.1 section 3.1.2.9
		p.add("AUDIT_MQTT_PASSWORD", "needs %sAUDIT_MQTT_USERNAME too", Prefix)
	case len(password) > 65535:
		p.add("AUDIT_MQTT_PASSWORD", "is longer than the 65535 bytes that MQTT has room for")
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
