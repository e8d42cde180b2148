package auth

import (
	"encoding/json"
	"errors"
	"reflect"
	"testing"
	"unicode/utf8"
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

// FuzzClaimsSet: the members of a payload are those that encoding/json finds, and none stands there twice.
func FuzzClaimsSet(f *testing.F) {
	for _, payload := range []string{
		`{}`, `null`, ` null `, `[]`, `"a"`, `{`, `{}}`, `{"a":1}x`, "\ufeff{}", `{"a":1,}`, `{"a" :01}`, `{"a":"\x"}`, "{\"a\":\"\t\"}",
		` { "a" : [ 1 , "b" ] , "c" : { "a" : null , "a" : -0.5e+7 } , "a" : true } `, `{"a":"\ud800","\ud800":1,"\u0061":"\"\\"}`,
		"{\"a\":\"\xff\"}", `{"é":"é","` + "\u2028" + `":"` + "\x7f" + `","":1e999}`,
	} {
		f.Add([]byte(payload))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		var want map[string]json.RawMessage
		ok := json.Unmarshal(payload, &want) == nil && utf8.Valid(payload)
		got, err := ParseClaimsSet(payload)
		if errors.Is(err, errTwice) {
			return // an error that may come before a later one
		}
		if (err == nil) != ok {
			t.Fatalf("ParseClaimsSet(%q) = %v; encoding/json takes it: %v", payload, err, ok)
		}
		if err != nil {
			return
		}
		if got.json != string(payload) { // before and after
			t.Errorf("ParseClaimsSet(%q) keeps %q", payload, got.json)
		}
		if len(got.members) != len(want) {
			t.Errorf("ParseClaimsSet(%q) has %d members; encoding/json %d", payload, len(got.members), len(want))
		}
		for _, m := range got.members {
			if _, ok := want[m.name]; !ok {
				t.Errorf("ParseClaimsSet(%q) = %q; want %q", payload, got, want)
			}
		}
		for name, raw := range want {
			if value, ok := got.get(name); !ok || value != string(raw) {
				t.Errorf("claim %q of %q = %q, %v; want %q", name, payload, value, ok, raw)
			}
			var text string
			isText := raw[0] == '"'
			if value, ok := got.Text(name); isText && (json.Unmarshal(raw, &text) != nil || value != text) || ok != (isText || string(raw) == "null") {
				t.Errorf("Text(%q) of %q = %q, %v; want %q", name, payload, value, ok, text)
			}
		}
	})
}
