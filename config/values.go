package config

import (
	"fmt"
	"io"
	"log/slog"
	"math"
	"slices"
	"strconv"
	"strings"
)

const redacted = "[redacted]"

// Secret is a text that shows itself to nobody but the caller of Reveal.
type Secret struct{ text string }

// NewSecret wraps a text.
func NewSecret(text string) Secret { return Secret{text} }

// Reveal returns the text.
func (s Secret) Reveal() string { return s.text }

func (s Secret) String() string   { return redacted }
func (s Secret) GoString() string { return redacted }

// Format serves the verbs that would reach past String, such as %d.
func (s Secret) Format(state fmt.State, _ rune)   { io.WriteString(state, redacted) }
func (s Secret) LogValue() slog.Value             { return slog.StringValue(redacted) }
func (s Secret) MarshalText() ([]byte, error)     { return []byte(redacted), nil }
func (s *Secret) UnmarshalText(text []byte) error { s.text = string(text); return nil }

// Size is a number of bytes.
type Size int64

// In the order in which a size is printed with the largest unit that divides it.
var sizeUnits = []struct {
	name  string
	bytes int64
}{
	{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10},
	{"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}, {"B", 1},
}

// UnmarshalText reads a whole number with an optional unit, in any case: B, kB, MB, GB (powers
// of 1000), KiB, MiB, GiB (powers of 1024).
func (s *Size) UnmarshalText(text []byte) error {
	digits := strings.TrimRight(string(text), "bgikmBGIKM ")
	unit := strings.TrimSpace(string(text[len(digits):]))
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n < 0 {
		return fmt.Errorf("%q is not a size such as 2MiB, 64KiB or 1MB", text)
	}
	if unit == "" {
		unit = "B"
	}
	for _, u := range sizeUnits {
		if strings.EqualFold(u.name, unit) {
			if n > math.MaxInt64/u.bytes {
				return fmt.Errorf("%q is too large", text)
			}
			*s = Size(n * u.bytes)
			return nil
		}
	}
	return fmt.Errorf("%q has no known unit (B, kB, MB, GB, KiB, MiB, GiB)", text)
}

// String gives the size in the largest unit that divides it.
func (s Size) String() string {
	for _, u := range sizeUnits {
		if n := int64(s); n != 0 && n%u.bytes == 0 {
			return strconv.FormatInt(n/u.bytes, 10) + u.name
		}
	}
	return "0"
}

// The settings that are one word of a few.
type (
	ClientAuth    string
	ProxyProtocol string
	Dialect       string
	SubscribeMode string
	DenyPublish   string
	Unavailable   string
	LogFormat     string
)

const (
	ClientAuthOptional ClientAuth = "optional"
	ClientAuthRequire  ClientAuth = "require"

	ProxyProtocolOff ProxyProtocol = "off"
	ProxyProtocolV2  ProxyProtocol = "v2"

	DialectMQTT     Dialect = "mqtt"
	DialectRabbitMQ Dialect = "rabbitmq"
	DialectNATS     Dialect = "nats"
	DialectEMQX     Dialect = "emqx"

	SubscribeNarrow SubscribeMode = "narrow"
	SubscribeStrict SubscribeMode = "strict"

	DenyPublishAck        DenyPublish = "ack"
	DenyPublishDisconnect DenyPublish = "disconnect"

	UnavailableClose   Unavailable = "close"
	UnavailableConnack Unavailable = "connack"

	LogJSON LogFormat = "json"
	LogText LogFormat = "text"
)

func (v *ClientAuth) UnmarshalText(t []byte) error {
	return word(v, t, ClientAuthOptional, ClientAuthRequire)
}
func (v *ProxyProtocol) UnmarshalText(t []byte) error {
	return word(v, t, ProxyProtocolOff, ProxyProtocolV2)
}
func (v *Dialect) UnmarshalText(t []byte) error {
	return word(v, t, DialectMQTT, DialectRabbitMQ, DialectNATS, DialectEMQX)
}
func (v *SubscribeMode) UnmarshalText(t []byte) error {
	return word(v, t, SubscribeNarrow, SubscribeStrict)
}
func (v *DenyPublish) UnmarshalText(t []byte) error {
	return word(v, t, DenyPublishAck, DenyPublishDisconnect)
}
func (v *Unavailable) UnmarshalText(t []byte) error {
	return word(v, t, UnavailableClose, UnavailableConnack)
}
func (v *LogFormat) UnmarshalText(t []byte) error { return word(v, t, LogJSON, LogText) }

// LogLevel is one of slog's four levels.
type LogLevel struct{ slog.Level }

func (v *LogLevel) UnmarshalText(t []byte) error {
	var name string
	if err := word(&name, t, "debug", "info", "warn", "error"); err != nil {
		return err
	}
	return v.Level.UnmarshalText([]byte(name))
}

func (v LogLevel) String() string { return strings.ToLower(v.Level.String()) }

// word sets v to the allowed word that text is, in any case.
func word[T ~string](v *T, text []byte, allowed ...T) error {
	i := slices.IndexFunc(allowed, func(a T) bool { return strings.EqualFold(string(a), string(text)) })
	if i >= 0 {
		*v = allowed[i]
		return nil
	}
	names := make([]string, len(allowed))
	for i, a := range allowed {
		names[i] = string(a)
	}
	return fmt.Errorf("%q is not one of %s", text, strings.Join(names, ", "))
}

// TokenSource says where a client may put its token.
type TokenSource struct {
	Kind string // "password", "username", "header", "cookie" or "query"
	Name string // of the cookie or the query parameter
}

func (s TokenSource) String() string {
	if s.Name == "" {
		return s.Kind
	}
	return s.Kind + ":" + s.Name
}
