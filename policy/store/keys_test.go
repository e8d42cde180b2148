package store

import (
	"strings"
	"testing"

	"topicgate/policy"
)

func TestNoNameReachesAnotherKeysMeaning(t *testing.T) {
	k := keyNames{"topicgate:"}
	names := []string{"a", "b", "a:b", ":", "user", "role", "acl", "blocked", "roles", "a:roles", "user:a", "a:b:c", "roles:a", "%", "*", " "}
	sets := []string{"a", "b", "roles", "rooms", "user", "acl", "blocked"}
	seen := map[string]string{k.text(): "text", k.blocked(): "blocked"}
	claim := func(key, meaning string) {
		if other, ok := seen[key]; ok {
			t.Errorf("%s and %s have the same key %q", other, meaning, key)
		}
		seen[key] = meaning
	}
	for _, name := range names {
		claim(k.userLines(name), "lines of user "+name)
		claim(k.roleLines(name), "lines of role "+name)
		claim(k.revoked(name), "token "+name)
		claim(k.schema(name), "schema "+name)
		claim(k.words(name), "words "+name)
		for _, set := range sets {
			claim(k.set(name, set), "set "+set+" of user "+name)
		}
	}
}

func TestTrackedPrefixesDoNotOverlapAndSpareTheAudit(t *testing.T) {
	k := keyNames{"topicgate:"}
	prefixes := k.tracked("P")
	for i, a := range prefixes {
		for j, b := range prefixes {
			if i != j && strings.HasPrefix(a, b) {
				t.Errorf("%q begins with %q: Redis refuses that", a, b)
			}
		}
		for _, other := range []string{"topicgate:audit", "topicgate:session:x", "topicgate:schemas", "topicgate:word"} {
			if strings.HasPrefix(other, a) {
				t.Errorf("%q is tracked by %q", other, a)
			}
		}
	}
	if !strings.HasPrefix(k.canary("P", "0"), k.gateway("P")) {
		t.Error("the canary is not tracked")
	}
}

func TestSetNamesThatMayStandInAKey(t *testing.T) {
	for name, want := range map[string]bool{"rooms": true, "A-b_9": true, "": false, "a:b": false, "a b": false, "ä": false, "*": false} {
		if got := validSetName(name); got != want {
			t.Errorf("validSetName(%q) = %v; want %v", name, got, want)
		}
	}
}

func TestOddUsernamesAreNotLetIn(t *testing.T) {
	s := startStore(t, "none")
	for _, username := range []string{"", "+", "a#", "a/b", "a\x00", "a\nb", "\x7f", "\xff"} {
		if _, err := s.Open(t.Context(), policy.Principal{Username: username}, nil); err == nil {
			t.Errorf("Open(%q) succeeded", username)
		}
	}
	for _, username := range []string{"a:b", "*", "alice smith", "ünïcode"} {
		s.open(t, policy.Principal{Username: username})
	}
}
