package auth

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// What is no clear answer is an outage: the client is held, not refused.
func TestAnswersThatSayNothingRefuseNobody(t *testing.T) {
	for name, broken := range map[string]func(*http.Request, string) (*http.Response, error){
		"no connection": func(*http.Request, string) (*http.Response, error) { return nil, errDown },
		"silence":       func(req *http.Request, _ string) (*http.Response, error) { return silent(req) },
		"401":           answers(401, `{"active":false}`),
		"400":           answers(400, `{"error":"invalid_request"}`),
		"500":           answers(500, ""),
		"503":           answers(503, ""),
		"204":           answers(204, ""),
		"no JSON":       answers(200, "<html>"+opaqueToken),
		"a list":        answers(200, `[{"active":true}]`),
		"nothing":       answers(200, `{}`),
		"null":          answers(200, `{"active":null}`),
		"a text":        answers(200, `{"active":"true","sub":"alice"}`),
		"twice":         answers(200, `{"active":true,"active":false}`),
		"too long":      answers(200, `{"active":false,"x":"`+strings.Repeat("x", maxIntrospectionBytes)+`"}`),
		"sent elsewhere": func(*http.Request, string) (*http.Response, error) {
			r := answer(307, "")
			r.Header.Set("Location", elsewhereURL)
			return r, nil
		},
	} {
		introspects(t, func(t *testing.T, b *testbed, n *introspection) {
			n.answers(broken)
			_, err := b.Verify(t.Context(), opaqueToken)
			if reasonOf(t, err) != ReasonIssuerDown || leaks(opaqueToken, err.Error()) != "" {
				t.Errorf("%s: Verify() = %v; want %s without the token", name, err, ReasonIssuerDown)
			}
			synctest.Wait()
			if log := b.logged(); !strings.Contains(log, "introspection failed") || leaks(opaqueToken, log) != "" {
				t.Errorf("%s: the log does not tell, or tells the token: %s", name, log)
			}
			n.answers(says())
			pass(introspectionPause)
			b.want(t, name+", and then an answer", opaqueToken, "ok")
		})
	}
}

func TestAnswerIsHeldToWhatIsAskedOfAJWT(t *testing.T) {
	for _, c := range []struct {
		what   string
		edit   claims
		reason string
	}{
		{"good", claims{}, "ok"},
		{"of a kind that is good", claims{"token_type": "Bearer", "token_use": "access_token", "typ": "Bearer"}, "ok"},
		{"another issuer's", claims{"iss": "https://other.example"}, ReasonUnknownIssuer},
		{"for others", claims{"aud": "web"}, ReasonWrongAudience},
		{"for nobody", claims{"aud": nil}, ReasonWrongAudience},
		{"without an end", claims{"exp": nil}, ReasonNoExpiry},
		{"past", claims{"exp": 1}, ReasonExpired},
		{"too early", claims{"nbf": time.Now().Unix() + 1<<33}, ReasonNotYetValid},
		{"without a subject", claims{"sub": nil}, ReasonNoSubject},
		{"with a name that no rule may hold", claims{"sub": "a/b"}, ReasonBadUsername},
		{"with roles that nobody can read", claims{"roles": 1}, ReasonBadRoles},
		{"a refresh token", claims{"token_use": "refresh_token"}, ReasonWrongType},
		{"a refresh token of Keycloak", claims{"typ": "Refresh"}, ReasonWrongType},
		{"an ID token", claims{"typ": "ID"}, ReasonWrongType},
		{"one that its client must prove to have", claims{"token_type": "DPoP"}, ReasonWrongType},
		{"one that is bound to a certificate", claims{"token_type": "Bearer", "cnf": claims{"x5t#S256": "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"}}, ReasonWrongType},
		{"of a kind that is no text", claims{"token_type": 1}, ReasonWrongType},
		{"a logout token", claims{"events": claims{}}, ReasonWrongType},
	} {
		introspects(t, func(t *testing.T, b *testbed, n *introspection) {
			n.answers(says(c.edit))
			_, err := b.Verify(t.Context(), opaqueToken)
			if got := reasonOf(t, err); got != c.reason {
				t.Errorf("%s: Verify() = %v; want %s", c.what, err, c.reason)
			}
			if got := firstError(b.Explain(t.Context(), opaqueToken)); (got == nil) != (err == nil) || got != nil && got.Error() != err.Error() {
				t.Errorf("%s: Explain() says first %v; Verify says %v", c.what, got, err)
			}
		})
	}
}
