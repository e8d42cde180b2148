package auth

import (
	"strings"
	"testing"
	"testing/synctest"

	"github.com/go-jose/go-jose/v4"
)

// window is the shortest piece of a token that counts as leaked: a base64 part of that many characters
// does not appear in a text by chance.
const window = 12

// leaks returns a piece of token found in text.
func leaks(token, text string) string {
	for i := 0; i+window <= len(token); i++ {
		if piece := token[i : i+window]; strings.Contains(text, piece) {
			return piece
		}
	}
	return ""
}

func TestNothingOfATokenIsInErrorsOrLogs(t *testing.T) {
	key, rsa := newKey("a"), signer{"rsa", "RS256", rsaKey()}
	const marker = "do-not-tell-this"
	marked := claims{"sub": marker, "jti": marker, "preferred_username": marker, "name": marker}
	cases := refusals(key, rsa)
	for _, edit := range []claims{
		{"exp": marker}, {"exp": 1}, {"iss": claims{marker: 1}}, {"aud": claims{marker: 1}}, {"nonce": claims{marker: 1}},
		{"roles": claims{marker: marker}}, {"sub": marker + "/#"}, {"nbf": marker}, {"iat": marker}, {"jti": []string{marker}},
		{"_claim_names": claims{marker: marker}, "_claim_sources": claims{}}, {"ISS": marker},
	} {
		cases = append(cases, refusal{"marked", key.token(marked, edit), ""})
	}
	for _, header := range []claims{{"typ": marker}, {"crit": []string{marker}}, {"nonce": claims{marker: 1}}, {"x5c": []string{marker}, "typ": marker}} {
		cases = append(cases, refusal{"marked header", key.tokenWithHeader(header, marked), ""})
	}
	cases = append(cases,
		refusal{"marked kid", newKey(marker).token(marked), ""},
		refusal{"marked alg", compact(`{"alg":"`+marker+`"}`, `{"sub":"`+marker+`"}`, []byte(marker)), ""},
		refusal{"marked text", marker + "." + marker + "." + marker, ""},
	)
	// Issuer and audience are told, but no token that stands there.
	cases = append(cases, refusal{"token as its issuer", key.token(marked, claims{"iss": key.token()}), ""},
		refusal{"token as its audience", key.token(marked, claims{"aud": []string{"x", "x:" + key.token()}}), ""})
	hidden := key.token()
	for _, fault := range []string{"up", "down"} {
		synctest.Test(t, func(t *testing.T) {
			p := newProvider(testIssuer, key, rsa)
			if fault == "down" {
				p.fail(down)
			}
			b := newTestbed(t, p)
			b.start(t)
			synctest.Wait()
			for _, c := range cases {
				_, err := b.Verify(t.Context(), c.token)
				if err == nil {
					t.Errorf("Verify(%s) succeeded; want an error", c.what)
					continue
				}
				if piece := leaks(c.token, err.Error()); piece != "" || strings.Contains(err.Error(), marker) || leaks(hidden, err.Error()) != "" {
					t.Errorf("Verify(%s) = %q; that shows %q", c.what, err, piece)
				}
			}
			b.Verify(t.Context(), key.token(marked)) // a good one, or one whose issuer is down
			log := b.logged()
			for _, c := range append(cases, refusal{"good", key.token(marked), ""}) {
				if piece := leaks(c.token, log); piece != "" {
					t.Errorf("the log shows %q of %s", piece, c.what)
				}
			}
			if strings.Contains(log, marker) || log == "" {
				t.Errorf("log = %s", log)
			}
		})
	}
}

// What the libraries say does quote tokens: that is why their texts are not passed on.
func TestTheSecrecyTestWouldNotice(t *testing.T) {
	const marker = "do-not-tell-this"
	_, err := jose.ParseSignedCompact(compact(`{"alg":"`+marker+`"}`, "{}", nil), algorithms)
	if err == nil || !strings.Contains(err.Error(), marker) {
		t.Errorf("ParseSignedCompact() = %v; want it to quote the header", err)
	}
	key := newKey("a")
	if leaks(key.token(), "x "+key.token()[40:60]+" y") == "" {
		t.Error("leaks() does not find a piece of 20 characters")
	}
}
