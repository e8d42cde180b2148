package auth

import (
	"strings"
	"testing"
	"time"
)

func firstError(steps []Step) error {
	for _, step := range steps {
		if step.Err != nil {
			return step.Err
		}
	}
	return nil
}

func TestExplainSaysWhatVerifySays(t *testing.T) {
	key, rsa := newKey("a"), signer{"rsa", "RS256", rsaKey()}
	p := newProvider(testIssuer, key, rsa)
	for _, c := range append(refusals(key, rsa), refusal{"good", key.token(), "ok"}) {
		_, want := newTestbed(t, p).Verify(t.Context(), c.token)
		got := firstError(newTestbed(t, p).Explain(t.Context(), c.token))
		if (got == nil) != (want == nil) || got != nil && got.Error() != want.Error() {
			t.Errorf("Explain(%s) says first %v; Verify says %v", c.what, got, want)
		}
	}
}

func TestExplainTellsWhatIsFoundBesideWhatIsAccepted(t *testing.T) {
	key := newKey("a")
	b := newTestbed(t, newProvider(testIssuer, key), func(o *Options) { o.Issuers[0].UsernamePrefix = "x:" })
	token := key.token(claims{"exp": time.Now().Unix() - 7200, "iat": nil, "aud": "web", "roles": []string{"a", "b"}})
	var told strings.Builder
	for _, step := range b.Explain(t.Context(), token) {
		told.WriteString(step.Name + ": " + step.Found + "; " + step.Accepted)
		if step.Err != nil {
			told.WriteString("; " + step.Err.Error())
		}
		told.WriteString("\n")
	}
	for _, want := range []string{
		"alg is EdDSA; accepted: RS256",
		`issuer: iss is "https://issuer.example"; accepted: "https://issuer.example"` + "\n",
		`audience: aud is "web"; accepted: "other", "topicgate"; token refused: wrong_audience`,
		" ago); clocks may differ by 30s; token refused: expired",
		`subject: sub: "alice"`,
		`signature: kid: "a"; ` + "\n",
		`username: sub: "x:alice"`,
		`roles: roles: "a", "b"`,
	} {
		if !strings.Contains(told.String(), want) {
			t.Errorf("Explain() tells\n%s; want %q", told.String(), want)
		}
	}
	if piece := leaks(token, told.String()); piece != "" {
		t.Errorf("Explain() shows %q of the token", piece)
	}
}

func TestWhatIsNoJWTIsNamed(t *testing.T) {
	key := newKey("a")
	b := newTestbed(t, newProvider(testIssuer, key))
	good := key.token()
	header := strings.Split(compact(`{"alg":"dir","enc":"A256GCM"}`, "", nil), ".")[0]
	for token, want := range map[string]string{
		"":                       "there is no token",
		" \n":                    "there is no token",
		"8xLOxBtZp8":             "an opaque token",
		"ya29.a0AfH6SMBx":        "an opaque token",
		"ory_at_8Gk.Zp8xLOx":     "an opaque token",
		"a.b.c":                  "an opaque token",
		"bearer " + good:         "the word Bearer",
		good + "\n":              "blanks or line breaks",
		`"` + good + `"`:         "in quotes",
		header + "..iv.text.tag": "an encrypted token (JWE)",
		good[:len(good)/4]:       "JOSE header",
		strings.Split(good, ".")[0] + "." + strings.Split(good, ".")[1]: "is it cut off?",
		`{"access_token":"x"}`:                      "begins like a JSON object",
		hs256(`{"alg":"HS256"}`, `{}`, []byte("x")): "a symmetric one",
		compact(`{"alg":"none"}`, "{}", nil):        "alg is none;",
	} {
		_, err := b.Verify(t.Context(), token)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Verify(%.30q) = %v; want it to say %q", token, err, want)
		}
	}
}
