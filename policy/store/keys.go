package store

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"topicgate/policy"
)

// keyNames names the Redis keyNames under one prefix. Each name is injective in its
// arguments, whatever a username or a role holds:
//
//   - acl:user: and acl:role: are followed by the name alone, to the end of the key;
//   - a set name holds letters, digits, '_' and '-' only, so in user:<username>:<set>
//     the last ':' splits, and user "a:b" with set "c" cannot be user "a" with
//     set "b:c", which is no set name;
//   - what follows the prefix differs in its first word between the families,
//     and no family's word begins another's with a ':' after it.
//
// "acl" alone is the text; it has no ':' behind it.
type keyNames struct{ prefix string }

func (k keyNames) text() string                     { return k.prefix + "acl" }
func (k keyNames) userLines(username string) string { return k.prefix + "acl:user:" + username }
func (k keyNames) roleLines(role string) string     { return k.prefix + "acl:role:" + role }
func (k keyNames) set(username, name string) string {
	return k.prefix + "user:" + username + ":" + name
}
func (k keyNames) schema(name string) string     { return k.prefix + "schema:" + name }
func (k keyNames) words(name string) string      { return k.prefix + "words:" + name }
func (k keyNames) blocked() string               { return k.prefix + "blocked" }
func (k keyNames) revoked(tokenID string) string { return k.prefix + "revoked:" + tokenID }

// of is the key of a kind: of a user, and of a set, a role or a token by its name, where the kind has them.
func (k keyNames) of(kind keyKind, username, name string) string {
	switch {
	case kind == textKind:
		return k.text()
	case kind == linesKind && username == "":
		return k.roleLines(name)
	case kind == linesKind:
		return k.userLines(username)
	case kind == blockedKind:
		return k.blocked()
	case kind == revokedKind:
		return k.revoked(name)
	case kind == schemaKind:
		return k.schema(name)
	case kind == wordsKind:
		return k.words(name)
	}
	return k.set(username, name)
}

// canary is a key of one gateway process, rewritten each second; tag chooses the
// Cluster slot.
func (k keyNames) canary(process, tag string) string { return k.gateway(process) + "{" + tag + "}" }
func (k keyNames) gateway(process string) string     { return k.prefix + "gw:" + process + ":" }

// tracked are the prefixes whose changes concern us. None may begin another
// (Redis refuses overlapping prefixes), and never the bare prefix: each record
// written to the audit stream would come back as an invalidation.
func (k keyNames) tracked(process string) []string {
	return []string{k.prefix + "acl", k.prefix + "user:", k.schema(""), k.words(""), k.blocked(), k.prefix + "revoked:", k.gateway(process)}
}

// validSetName tells the names that may stand in {set} and in a key.
func validSetName(name string) bool {
	for i := range len(name) {
		c := name[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' && c != '-' {
			return false
		}
	}
	return name != ""
}

// checkPrincipal refuses a username that may never expand in a rule. The gateway
// has refused it before, with a better message; this is the second lock.
func checkPrincipal(p policy.Principal) error {
	switch {
	case p.Username == "":
		return errors.New("policy: empty username")
	case !utf8.ValidString(p.Username), strings.ContainsAny(p.Username, "+#/"), strings.ContainsFunc(p.Username, unicode.IsControl):
		return fmt.Errorf("policy: username %q holds '+', '#', '/' or a control character", p.Username)
	}
	return nil
}
