package auth

import (
	"reflect"
	"testing"
)

// FuzzVerify: whatever comes is refused or undecided, or is a token that was signed here.
func FuzzVerify(f *testing.F) {
	key, rsa := newKey("a"), signer{"rsa", "RS256", rsaKey()}
	good := key.token()
	for _, c := range refusals(key, rsa) {
		if len(c.token) < 4096 {
			f.Add(c.token)
		}
	}
	f.Add(good)
	b := newTestbed(f, newProvider(testIssuer, key, rsa))
	want, err := b.Verify(f.Context(), good)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, token string) {
		id, err := b.Verify(t.Context(), token)
		if err != nil {
			reasonOf(t, err)
		} else if !reflect.DeepEqual(id, want) {
			t.Errorf("Verify(%q) = %+v; want an error", token, id)
		}
	})
}

// FuzzSignedPayload: whatever an issuer signs, claims are checked type by type, and no username passes
// that could widen a rule.
func FuzzSignedPayload(f *testing.F) {
	for _, payload := range []string{
		`{}`, `null`, `[]`, `{"iss":1}`, `{"exp":1e400}`, `{"aud":[["topicgate"]]}`,
		`{"iss":"` + testIssuer + `","aud":"topicgate","sub":"alice","exp":4000000000}`,
		`{"iss":"` + testIssuer + `","aud":["topicgate"],"sub":"al+ce","exp":4000000000,"roles":"a b","jti":"x"}`,
		`{"iss":"` + testIssuer + `","aud":["topicgate"],"sub":"\ud800","exp":4000000000,"roles":[null]}`,
	} {
		f.Add([]byte(payload))
	}
	key := newKey("a")
	b := newTestbed(f, newProvider(testIssuer, key))
	f.Fuzz(func(t *testing.T, payload []byte) {
		id, err := b.Verify(t.Context(), key.sign(nil, payload))
		if err != nil {
			reasonOf(t, err)
			return
		}
		if problem := nameProblem(id.Username); problem != "" || id.Subject == "" || id.Expiry.IsZero() {
			t.Errorf("Verify() of %q = %+v", payload, id)
		}
	})
}
