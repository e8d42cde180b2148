package session

import (
	"crypto/rand"
	"encoding/base32"
	"fmt"
	"strings"

	"topicgate/gateway/dialect"
)

// A clientIDTemplate makes the upstream Client Identifier. The mapping is injective, also for a broker that brings
// Unicode to a normal form or folds the case of what is no ASCII: a substituted username consists of the characters
// of encodeName alone, so the first other one after it (or, with the username last, the last one before it) belongs to the
// template's own text and ends it, whatever names and client ids hold. (A user "a:b" with id "c" would
// otherwise share the MQTT Session of the user "a" with id "b:c", and one named "ﬁ" that of "fi".)
type clientIDTemplate struct {
	prefix, middle, suffix string
	usernameFirst          bool
	encodes                bool // the client's part too
}

func parseClientIDTemplate(s string, d dialect.Dialect) (clientIDTemplate, error) {
	const user, id = usernamePlaceholder, "{client_id}"
	u, c := strings.Index(s, user), strings.Index(s, id)
	if u < 0 || c < 0 || strings.Count(s, user) != 1 || strings.Count(s, id) != 1 {
		return clientIDTemplate{}, fmt.Errorf("client id template %q: want {username} and {client_id} once each", s)
	}
	t := clientIDTemplate{usernameFirst: u < c, encodes: d.EncodesClientID()}
	if t.usernameFirst {
		t.prefix, t.middle, t.suffix = s[:u], s[u+len(user):c], s[c+len(id):]
	} else {
		t.prefix, t.middle, t.suffix = s[:c], s[c+len(id):u], s[u+len(user):]
	}
	if strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) {
		// A separator of several bytes could cut a character of the username in two.
		return clientIDTemplate{}, fmt.Errorf("client id template %q: want printable ASCII", s)
	}
	if t.middle == "" {
		return clientIDTemplate{}, fmt.Errorf("client id template %q: want a separator between {username} and {client_id}", s)
	}
	if !strings.ContainsFunc(t.middle, func(r rune) bool { return r != '%' && !plainInNames(byte(r)) }) {
		// What may stand in an encoded name can't separate.
		return clientIDTemplate{}, fmt.Errorf("client id template %q: the separator must hold a character other than %%, -, _, letters and digits", s)
	}
	if !d.TakesInClientID(t.prefix + t.middle + t.suffix) {
		return clientIDTemplate{}, fmt.Errorf("client id template %q: holds a character that the broker's dialect (%s) has no room for", s, d)
	}
	return t, nil
}

// expand returns the upstream Client Identifier of clientID, as the user named username sent it.
func (t clientIDTemplate) expand(username, clientID string) string {
	b := make([]byte, 0, len(t.prefix)+len(t.middle)+len(t.suffix)+len(username)+len(clientID))
	b = append(b, t.prefix...)
	if t.usernameFirst {
		b = encodeName(b, username)
		b = append(b, t.middle...)
		b = t.appendClientID(b, clientID)
	} else {
		b = t.appendClientID(b, clientID)
		b = append(b, t.middle...)
		b = encodeName(b, username)
	}
	return string(append(b, t.suffix...))
}

func (t clientIDTemplate) appendClientID(b []byte, clientID string) []byte {
	if t.encodes {
		return encodeName(b, clientID)
	}
	return append(b, clientID...)
}

// upstreamUsername returns what the broker sees as the name of username. A template that is the placeholder alone gives
// the name itself, which the broker's own rules may know; in any other it is encoded, or template and name could
// not be told apart. What the broker's dialect has another meaning for is encoded in the name itself, too.
func upstreamUsername(template, username string, d dialect.Dialect) string {
	plain := plainInNames
	if template == usernamePlaceholder {
		plain = func(c byte) bool { return !d.EncodesInUsername(c) }
	}
	return strings.ReplaceAll(template, usernamePlaceholder, string(encode(nil, username, plain)))
}

const usernamePlaceholder = "{username}"

// plainInNames reports whether an encoded name holds c as it is: no broker, and no part of an MQTT address or a
// topic, makes anything of these characters.
func plainInNames(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_'
}

// encodeName appends name, percent-encoded.
func encodeName(b []byte, name string) []byte { return encode(b, name, plainInNames) }

// encode appends name with all bytes percent-encoded that are not plain.
func encode(b []byte, name string, plain func(byte) bool) []byte {
	const digits = "0123456789ABCDEF"
	for i := range len(name) {
		if c := name[i]; plain(c) {
			b = append(b, c)
		} else {
			b = append(b, '%', digits[c>>4], digits[c&15])
		}
	}
	return b
}

// newClientID makes the identifier of a client that sent none [MQTT-3.1.3-6]: 26 characters out of
// a-z2-7, 130 random bits.
func newClientID() string {
	var b [17]byte
	_, _ = rand.Read(b[:]) // never fails
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(b[:]))[:26]
}
