package session

import (
	"crypto/rand"
	"encoding/base32"
	"fmt"
	"strings"
)

// A clientIDTemplate makes the upstream Client Identifier. The mapping is injective: in a
// substituted username every '%' and every byte of the template's own text is percent-encoded, so
// the first occurrence of the template's text after the username ends it, whatever names and
// client ids hold. (A user "a:b" with id "c" would otherwise share the MQTT Session of the user
// "a" with id "b:c".)
type clientIDTemplate struct {
	prefix, middle, suffix string
	usernameFirst          bool
}

func parseClientIDTemplate(s string) (clientIDTemplate, error) {
	const user, id = "{username}", "{client_id}"
	u, c := strings.Index(s, user), strings.Index(s, id)
	if u < 0 || c < 0 || strings.Count(s, user) != 1 || strings.Count(s, id) != 1 {
		return clientIDTemplate{}, fmt.Errorf("client id template %q: want {username} and {client_id} once each", s)
	}
	t := clientIDTemplate{usernameFirst: u < c}
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
	if strings.Trim(t.middle, "%0123456789ABCDEF") == "" {
		// What percent-encoding itself writes can't separate.
		return clientIDTemplate{}, fmt.Errorf("client id template %q: the separator must hold a character other than %%, 0-9 and A-F", s)
	}
	return t, nil
}

// expand returns the upstream Client Identifier of clientID, as the user named username sent it.
func (t clientIDTemplate) expand(username, clientID string) string {
	var b strings.Builder
	b.Grow(len(t.prefix) + len(t.middle) + len(t.suffix) + len(username) + len(clientID))
	encoded := func() {
		for i := range len(username) {
			c := username[i]
			if c == '%' || strings.IndexByte(t.middle, c) >= 0 {
				fmt.Fprintf(&b, "%%%02X", c)
			} else {
				b.WriteByte(c)
			}
		}
	}
	b.WriteString(t.prefix)
	if t.usernameFirst {
		encoded()
		b.WriteString(t.middle)
		b.WriteString(clientID)
	} else {
		b.WriteString(clientID)
		b.WriteString(t.middle)
		encoded()
	}
	b.WriteString(t.suffix)
	return b.String()
}

// newClientID makes the identifier of a client that sent none [MQTT-3.1.3-6]: 26 characters out of
// a-z2-7, 130 random bits.
func newClientID() string {
	var b [17]byte
	_, _ = rand.Read(b[:]) // never fails
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(b[:]))[:26]
}
