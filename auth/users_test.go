package auth

import (
	"strings"
	"testing"
)

func pattern(t *testing.T, text string) *NamePattern {
	t.Helper()
	p, err := ParseNamePattern(text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPatternTakesAPartOfTheName(t *testing.T) {
	for _, c := range []struct{ pattern, name, want, reason string }{
		{`([^@]+)@example\.com`, "alice@example.com", "alice", "ok"},
		{`([^@]+)@example\.com`, "alice@example.com.evil.example", "", ReasonBadUsername},
		{`([^@]+)@example\.com`, "evil:alice@example.com@example.com", "", ReasonBadUsername},
		{`([^@]+)@example\.com`, "alice@example-com", "", ReasonBadUsername},
		{`([^@]+)@example\.com`, "@example.com", "", ReasonBadUsername},
		{`^auth0\|(.+)$`, "auth0|5f7c", "5f7c", "ok"},
		{`^auth0\|(.+)$`, "google-oauth2|5f7c", "", ReasonBadUsername},
		{`(?:auth0\|)(.*)`, "auth0|", "", ReasonBadUsername},
		{`((?:alice|bob))`, "bob", "bob", "ok"},
		{`(.+)@example\.com`, "al/ice@example.com", "", ReasonBadUsername},
	} {
		set := must(ParseClaimsSet(payloadOf(c.name)))
		got, err := Users{Claim: "email", Pattern: pattern(t, c.pattern)}.Username(set, "")
		if got != c.want || reasonOf(t, err) != c.reason {
			t.Errorf("Username() of %q by %s = %q, %v; want %q, %s", c.name, c.pattern, got, err, c.want, c.reason)
		}
		if err != nil && strings.Contains(err.Error(), c.name) {
			t.Errorf("the error tells the name: %v", err)
		}
	}
}

// payloadOf is a payload whose claim email is name.
func payloadOf(name string) []byte { return []byte(`{"email":"` + name + `"}`) }

func TestPatternThatWouldMakeTwoUsersOneIsRefused(t *testing.T) {
	for text, want := range map[string]string{
		`[^@]+@example\.com`:             "0 groups",
		`([^@]+)@(example\.com)`:         "2 groups",
		`([^@]+)@.+`:                     "no fixed text",
		`([^@]+)@example.com`:            "no fixed text",
		`([^@]+)@(?:a|b)\.example`:       "no fixed text",
		`(?i)([^@]+)@example\.com`:       "no fixed text",
		`([^@]+)(?:@example\.com)?`:      "no fixed text",
		`(a)|b`:                          "no fixed text",
		`(?:(a))*`:                       "no fixed text",
		`([^@]+`:                         "missing closing",
		`(?P<name>[^@]+)\b@example\.com`: "no fixed text",
	} {
		if _, err := ParseNamePattern(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseNamePattern(%s) = %v; want %q", text, err, want)
		}
	}
}

func TestEscapedNamesStayApart(t *testing.T) {
	seen := map[string]string{}
	for _, name := range []string{"a/b", "a%2Fb", "a%252Fb", "a+b", "a%2Bb", "a#b", "a%23b", "a%b", "ab", "xK+3/w==", "a%2fb"} {
		set := must(ParseClaimsSet(payloadOf(name)))
		got, err := Users{Claim: "email", Escape: true}.Username(set, "")
		if err != nil || nameProblem(got) != "" {
			t.Errorf("Username() of %q = %q, %v; want a good name", name, got, err)
		}
		if other, ok := seen[got]; ok {
			t.Errorf("%q and %q are both %q", name, other, got)
		}
		seen[got] = name
	}
	for _, name := range []string{``, `a\u0000b`, `a\u200bb`} { // still refused
		if got, err := (Users{Claim: "email", Escape: true}).Username(must(ParseClaimsSet(payloadOf(name))), ""); err == nil {
			t.Errorf("Username() of %s = %q; want a refusal", name, got)
		}
	}
}

// FuzzNamePattern: two names that a pattern takes are one user only if they are one name.
func FuzzNamePattern(f *testing.F) {
	f.Add(`([^@]+)@example\.com`, "alice@example.com", "bob@example.com")
	f.Add(`(.+)@.+`, "alice@a.example", "alice@b.example")
	f.Add(`^(?:x)(.*)y$`, "xy", "xyy")
	f.Fuzz(func(t *testing.T, text, a, b string) {
		p, err := ParseNamePattern(text)
		if err != nil {
			return
		}
		nameA, okA := p.take(a)
		nameB, okB := p.take(b)
		if okA && okB && (nameA == nameB) != (a == b) {
			t.Errorf("%s makes %q of %q and %q of %q", text, nameA, a, nameB, b)
		}
	})
}

func TestTokenWithoutSubjectIsBoundToItsUsername(t *testing.T) {
	key := newKey("a")
	b := newTestbed(t, newProvider(testIssuer, key), func(o *Options) { o.Users.Claim = "preferred_username" })
	id, err := b.Verify(t.Context(), key.token(claims{"sub": nil, "preferred_username": "alice"}))
	if err != nil || id.Subject != "" || id.Username != "alice" || id.Issuer != testIssuer {
		t.Errorf("Verify() = %+v, %v; want alice without a subject", id, err)
	}
	b.want(t, "sub null", key.sign(nil, []byte(`{"iss":"`+testIssuer+`","aud":"topicgate","sub":null,"exp":4000000000,"preferred_username":"alice"}`)), "ok")
	b.want(t, "sub empty", key.token(claims{"sub": "", "preferred_username": "alice"}), ReasonNoSubject)
	b.want(t, "no name either", key.token(claims{"sub": nil}), ReasonNoUsername)
	if id, err := b.Verify(t.Context(), key.token(claims{"sub": 12345678901234567, "preferred_username": "alice"})); err != nil || id.Subject != "12345678901234567" {
		t.Errorf("Verify() of a number as sub = %+v, %v", id, err)
	}
}

func TestAudienceStandsInTheClaimThatIsChosen(t *testing.T) {
	key := newKey("a")
	b := newTestbed(t, newProvider(testIssuer, key), func(o *Options) { o.AudienceClaim = "client.id" })
	in := func(value any) claims { return claims{"aud": "topicgate", "client": claims{"id": value}} }
	b.want(t, "there", key.token(in("topicgate")), "ok")
	b.want(t, "there, in a list", key.token(in([]string{"x", "other"})), "ok")
	b.want(t, "another", key.token(in("x")), ReasonWrongAudience)
	b.want(t, "null", key.token(in(nil)), ReasonWrongAudience)
	b.want(t, "a number", key.token(in(7)), ReasonMalformed)
	b.want(t, "in aud alone", key.token(), ReasonWrongAudience)
	b.want(t, "behind what is no object", key.token(claims{"client": "topicgate"}), ReasonMalformed)
}

func TestIssuerAndAudienceAreToldAsFound(t *testing.T) {
	key := newKey("a")
	b := newTestbed(t, newProvider(testIssuer, key))
	long := strings.Repeat("x", 3000)
	for _, c := range []struct {
		edit claims
		want []string
	}{
		{claims{"iss": testIssuer + "/"}, []string{`iss is "https://issuer.example/"`, `accepted: "https://issuer.example"`, "slash"}},
		{claims{"iss": strings.ToUpper(testIssuer)}, []string{"capital"}},
		{claims{"iss": "http://issuer.example"}, []string{"http and https"}},
		{claims{"iss": nil}, []string{"there is no iss"}},
		{claims{"iss": "a\n\u202e"}, []string{`iss is "a\n\u202e"`}},
		{claims{"aud": []string{"web", "app"}}, []string{`aud is "web", "app"`, `accepted: "other", "topicgate"`}},
		{claims{"aud": nil}, []string{"there is no aud", `accepted: "other", "topicgate"`}},
		{claims{"aud": []string{long, long, long, long, long, long, long, long, long, long}}, []string{"and more"}},
	} {
		_, err := b.Verify(t.Context(), key.token(c.edit))
		for _, want := range c.want {
			if err == nil || !strings.Contains(err.Error(), want) || len(err.Error()) > 2000 {
				t.Errorf("Verify() with %.100v = %v; want it to say %s, in bounds", c.edit, err, want)
			}
		}
	}
}
