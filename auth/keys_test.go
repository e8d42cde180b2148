package auth

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/go-jose/go-jose/v4"
)

// otherCertificate is a well-formed one that holds some other key.
const otherCertificate = "MIGvMGOgAwIBAgIBATAFBgMrZXAwADAiGA8wMDAxMDEwMTAwMDAwMFoYDzAwMDEwMTAxMDAwMDAwWjAAMCowBQYDK2VwAyEAPpo8/p0LeFMBOhBOybYBWo+eLQDWziDx" +
	"A5esTogjmgowBQYDK2VwA0EAO8e3pbd4X4Fvvz3J96K1rS/tmbfzop1Azn8jlf/mQWqZlMaVTnPANWzCNsb/qeSPeML+ufinW++hHsiMJVrVAA=="

// edited is the JWK of a key with members changed.
func edited(key signer, edits claims) json.RawMessage {
	members := claims{}
	if err := json.Unmarshal(must(json.Marshal(key.public())), &members); err != nil {
		panic(err)
	}
	for name, value := range edits {
		members[name] = value
	}
	return must(json.Marshal(members))
}

// answerKeys has p publish JWKs as they are.
func answerKeys(p *provider, keys ...json.RawMessage) {
	p.fail(func(req *http.Request) (*http.Response, error) {
		if strings.HasSuffix(req.URL.Path, "/.well-known/openid-configuration") {
			return answer(http.StatusOK, string(must(json.Marshal(claims{"issuer": p.name, "jwks_uri": p.name + "/jwks"})))), nil
		}
		return answer(http.StatusOK, string(must(json.Marshal(claims{"keys": keys})))), nil
	})
}

func TestCertificatesBesideAKeyAreOfNoMatter(t *testing.T) {
	key := newKey("a")
	for what, edits := range map[string]claims{
		"x5c that is no certificate":  {"x5c": []string{"MIIBszCCAVmgAwIBAgIB/zAKBg=="}},
		"x5c that is no base64":       {"x5c": []string{"%"}},
		"x5c that is no list":         {"x5c": claims{"a": 1}},
		"x5t that is no digest":       {"x5t": "?", "x5t#S256": 1},
		"x5u that is no URL":          {"x5u": "http://[::1"},
		"a member that nobody knows":  {"expires": []int{1}},
		"all of these at one time":    {"x5c": "a", "x5t": "b", "x5t#S256": "c", "x5u": 1},
		"a certificate of other keys": {"x5c": []string{otherCertificate}},
	} {
		p := newProvider(testIssuer)
		answerKeys(p, edited(key, edits))
		newTestbed(t, p).want(t, "good, with "+what, key.token(), "ok")
	}
	var jwk jose.JSONWebKey // the reason for all this
	if err := json.Unmarshal(edited(key, claims{"x5c": []string{"MIIB"}}), &jwk); err == nil {
		t.Error("go-jose reads a key with a broken certificate; certificateMembers is not needed any more")
	}
}

func TestPrivateKeysAreNotReadAsPublicOnes(t *testing.T) {
	for _, key := range []signer{newKey("a"), {"rsa", "RS256", rsaKey()}} {
		private := must(json.Marshal(jose.JSONWebKey{Key: key.private, KeyID: key.id}))
		if k, err := parseKey(private); err == nil || k.id != key.id {
			t.Errorf("parseKey(private %s) = key %q, %v; want an error", key.algorithm, k.id, err)
		}
	}
}

func TestWhatMakesAKeyUnusableIsLoggedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		good, other := newKey("good"), newKey("other")
		p := newProvider(testIssuer)
		broken := edited(other, claims{"kid": "broken\u009b\n" + strings.Repeat("x", 1000), "x": "?"})
		encryption := edited(other, claims{"kid": "for-encryption", "use": "enc"})
		keys := []json.RawMessage{edited(good, nil), broken, encryption}
		for range 20 {
			keys = append(keys, json.RawMessage(`{"kty":"new","kid":"many","x":1}`))
		}
		answerKeys(p, keys...)
		b := newTestbed(t, p)
		b.start(t)
		synctest.Wait()
		b.want(t, "good", good.token(), "ok")
		log := b.logged()
		if n := strings.Count(log, "issuer key is unusable"); n != maxToldKeys+1 || !strings.Contains(log, "and others") {
			t.Errorf("%d keys are described; want %d", n, maxToldKeys+1)
		}
		if !strings.Contains(log, `broken\\u009b\\nxxx`) || strings.Contains(log, "\u009b") || strings.Contains(log, strings.Repeat("x", 200)) {
			t.Errorf("the log does not name the broken key in bounded, printable words: %s", log)
		}
		if strings.Contains(log, "for-encryption") {
			t.Errorf("the log has a key for encryption: %s", log)
		}

		b.want(t, "unknown", newKey("unknown").token(), ReasonKeyNotYetKnown)
		pass(renewInterval)
		if again := b.logged(); strings.Count(again, "issuer key is unusable") != maxToldKeys+1 {
			t.Errorf("after another fetch the log tells the same again: %s", again[len(log):])
		}
		answerKeys(p, edited(good, nil), edited(other, claims{"kid": "late", "alg": "HS256"}))
		pass(renewInterval)
		if log := b.logged(); !strings.Contains(log, `kid \"late\": algorithm \"HS256\" is not accepted`) {
			t.Errorf("the log does not name a key that came later, beside the same good one: %s", log)
		}
	})
}
