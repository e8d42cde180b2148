package main

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

const (
	pageOrigin = "http://127.0.0.1:1"
	verifier   = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk" // RFC 7636 appendix B
	challenge  = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
)

// client is a browser that follows no redirect.
var client = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

func startProvider(t *testing.T) *provider {
	t.Helper()
	server := httptest.NewUnstartedServer(nil)
	issuer := "http://" + server.Listener.Addr().String()
	p, err := newProvider(issuer, pageOrigin, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	server.Config.Handler = onlyHost(issuer, p.handler())
	server.Start()
	t.Cleanup(server.Close)
	return p
}

// request is a good authorization request, with changes.
func request(changes ...string) url.Values {
	form := url.Values{
		"response_type": {"code"}, "client_id": {clientID}, "redirect_uri": {pageOrigin + "/"}, "scope": {"openid"},
		"state": {"s1"}, "nonce": {"n1"}, "code_challenge": {challenge}, "code_challenge_method": {"S256"}, "user": {"alice"},
	}
	return with(form, changes...)
}

func with(form url.Values, changes ...string) url.Values {
	for pair := range slices.Chunk(changes, 2) {
		form.Set(pair[0], pair[1])
	}
	return form
}

// authorize presses a button of the login page and returns where the browser is sent.
func authorize(t *testing.T, p *provider, form url.Values) (status int, location url.URL) {
	t.Helper()
	response, err := client.PostForm(p.issuer+"/authorize", form)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if to, err := response.Location(); err == nil {
		location = *to
	}
	return response.StatusCode, location
}

// tokens posts to the token endpoint.
func tokens(t *testing.T, p *provider, form url.Values) (status int, answer map[string]any) {
	t.Helper()
	response, err := client.PostForm(p.issuer+"/token", form)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	if got := response.Header.Get("Cache-Control"); got != "no-store" { // RFC 6749 section 5.1
		t.Errorf("Cache-Control of /token = %q; want no-store", got)
	}
	return response.StatusCode, answer
}

// exchange is a good request for the tokens of a code, with changes.
func exchange(code string, changes ...string) url.Values {
	return with(url.Values{"grant_type": {"authorization_code"}, "client_id": {clientID}, "code": {code},
		"redirect_uri": {pageOrigin + "/"}, "code_verifier": {verifier}}, changes...)
}

func newCode(t *testing.T, p *provider) string {
	t.Helper()
	status, to := authorize(t, p, request())
	if status != http.StatusSeeOther || to.Query().Get("code") == "" {
		t.Fatalf("authorize = %d to %v; want 303 with a code", status, &to)
	}
	return to.Query().Get("code")
}

func TestChallengeOfTheExampleInRFC7636(t *testing.T) {
	sum := sha256.Sum256([]byte(verifier))
	if got := base64.RawURLEncoding.EncodeToString(sum[:]); got != challenge {
		t.Errorf("challenge = %s; want %s", got, challenge)
	}
}

func TestCodeBringsTokensThatAVerifierAccepts(t *testing.T) {
	p := startProvider(t)
	status, to := authorize(t, p, request("user", "admin"))
	if got := to.Query(); status != http.StatusSeeOther || got.Get("state") != "s1" || got.Get("iss") != p.issuer {
		t.Fatalf("authorize = %d to %v; want 303 with state s1 and iss", status, &to)
	}
	status, answer := tokens(t, p, exchange(to.Query().Get("code")))
	if status != http.StatusOK || answer["token_type"] != "Bearer" || answer["expires_in"] != 60.0 {
		t.Fatalf("token = %d %v; want 200, a Bearer token for 60 s", status, answer)
	}
	discovered, err := oidc.NewProvider(t.Context(), p.issuer)
	if err != nil {
		t.Fatal(err)
	}
	id, err := discovered.Verifier(&oidc.Config{ClientID: clientID}).Verify(t.Context(), answer["id_token"].(string))
	if err != nil || id.Subject != "admin" || id.Nonce != "n1" {
		t.Errorf("the ID Token is %+v, %v; want subject admin, nonce n1", id, err)
	}
	raw := answer["access_token"].(string)
	access, err := discovered.Verifier(&oidc.Config{ClientID: audience}).Verify(t.Context(), raw)
	if err != nil {
		t.Fatalf("the access token is refused: %v", err)
	}
	var claims struct {
		Roles    []string `json:"roles"`
		TokenID  string   `json:"jti"`
		ClientID string   `json:"client_id"`
	}
	if err := access.Claims(&claims); err != nil || !slices.Contains(claims.Roles, "moderator") || claims.TokenID == "" || claims.ClientID != clientID {
		t.Errorf("claims = %+v, %v; want role moderator, a jti and the client_id", claims, err)
	}
	parsed, err := jwt.ParseSigned(raw, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil || parsed.Headers[0].ExtraHeaders["typ"] != "at+jwt" { // RFC 9068 section 2.1
		t.Errorf("typ = %v, %v; want at+jwt", parsed.Headers[0].ExtraHeaders["typ"], err)
	}
}

func TestBadAuthorizationRequests(t *testing.T) {
	p := startProvider(t)
	for _, test := range []struct {
		name    string
		changes []string
		status  int
		failure string
	}{
		// The browser must not be sent to an address that is not the client's: no redirect at all.
		{"another redirect_uri", []string{"redirect_uri", "http://127.0.0.1:2/"}, http.StatusBadRequest, ""},
		{"a redirect_uri below the registered one", []string{"redirect_uri", pageOrigin + "/x"}, http.StatusBadRequest, ""},
		{"a redirect_uri with a query", []string{"redirect_uri", pageOrigin + "/?a=b"}, http.StatusBadRequest, ""},
		{"another client", []string{"client_id", "other"}, http.StatusBadRequest, ""},
		{"implicit flow", []string{"response_type", "token"}, http.StatusSeeOther, "unsupported_response_type"},
		{"no openid scope", []string{"scope", "profile"}, http.StatusSeeOther, "invalid_scope"},
		{"plain PKCE", []string{"code_challenge_method", "plain"}, http.StatusSeeOther, "invalid_request"},
		{"no PKCE", []string{"code_challenge", "", "code_challenge_method", ""}, http.StatusSeeOther, "invalid_request"},
		{"silent login", []string{"prompt", "none"}, http.StatusSeeOther, "login_required"},
	} {
		t.Run(test.name, func(t *testing.T) {
			status, to := authorize(t, p, request(test.changes...))
			if status != test.status || to.Query().Get("error") != test.failure || to.Query().Has("code") {
				t.Errorf("authorize = %d to %q; want %d, error %q", status, to.String(), test.status, test.failure)
			}
		})
	}
}

func TestBadTokenRequests(t *testing.T) {
	p := startProvider(t)
	for _, test := range []struct {
		name    string
		changes []string
		failure string
	}{
		{"wrong verifier", []string{"code_verifier", strings.Repeat("x", 43)}, "invalid_grant"},
		{"no verifier", []string{"code_verifier", ""}, "invalid_grant"},
		{"another redirect_uri", []string{"redirect_uri", pageOrigin}, "invalid_grant"},
		{"unknown code", []string{"code", "guess"}, "invalid_grant"},
		{"another client", []string{"client_id", "other"}, "invalid_client"},
		{"password grant", []string{"grant_type", "password"}, "unsupported_grant_type"},
	} {
		t.Run(test.name, func(t *testing.T) {
			code := newCode(t, p)
			status, answer := tokens(t, p, exchange(code, test.changes...))
			if status != http.StatusBadRequest || answer["error"] != test.failure {
				t.Errorf("token = %d %v; want 400 %s", status, answer, test.failure)
			}
		})
	}
}

func TestOneGuessAtAVerifierSpendsTheCode(t *testing.T) {
	p := startProvider(t)
	code := newCode(t, p)
	tokens(t, p, exchange(code, "code_verifier", "wrong"))
	if status, answer := tokens(t, p, exchange(code)); status != http.StatusBadRequest {
		t.Errorf("token after a wrong guess = %d %v; want 400", status, answer)
	}
}

func TestCodeExpires(t *testing.T) {
	p := startProvider(t)
	code := newCode(t, p)
	later := time.Now().Add(codeLifetime + time.Second)
	p.mu.Lock()
	p.now = func() time.Time { return later }
	p.mu.Unlock()
	if status, answer := tokens(t, p, exchange(code)); status != http.StatusBadRequest {
		t.Errorf("token for an old code = %d %v; want 400", status, answer)
	}
}

func TestReusedCodeEndsWhatItBrought(t *testing.T) {
	p := startProvider(t)
	code := newCode(t, p)
	_, first := tokens(t, p, exchange(code))
	if status, answer := tokens(t, p, exchange(code)); status != http.StatusBadRequest || answer["error"] != "invalid_grant" {
		t.Errorf("token for a reused code = %d %v; want 400 invalid_grant", status, answer)
	}
	if status, _ := tokens(t, p, renewal(first)); status != http.StatusBadRequest {
		t.Errorf("refresh after the code was reused = %d; want 400", status)
	}
}

func TestRefreshTokenIsReplacedAtEachUse(t *testing.T) {
	p := startProvider(t)
	_, first := tokens(t, p, exchange(newCode(t, p)))
	status, second := tokens(t, p, renewal(first))
	if status != http.StatusOK || second["refresh_token"] == first["refresh_token"] || second["access_token"] == first["access_token"] {
		t.Fatalf("refresh = %d; want 200 with other tokens", status)
	}
	if status, answer := tokens(t, p, renewal(first)); status != http.StatusBadRequest || answer["error"] != "invalid_grant" {
		t.Errorf("refresh with a spent token = %d %v; want 400 invalid_grant", status, answer)
	}
	if status, _ := tokens(t, p, renewal(second)); status != http.StatusBadRequest {
		t.Errorf("refresh with the stolen or rightful other one = %d; want 400: nobody knows which is which", status)
	}
}

func renewal(answer map[string]any) url.Values {
	return url.Values{"grant_type": {"refresh_token"}, "client_id": {clientID}, "refresh_token": {answer["refresh_token"].(string)}}
}

func TestLoginPageShowsThreeButtonsAndEscapes(t *testing.T) {
	p := startProvider(t)
	response, err := client.Get(p.issuer + "/authorize?" + request("state", `"><script>alert(1)</script>`).Encode())
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(response.Body)
	if n := strings.Count(string(body), `name="user" value="`); response.StatusCode != http.StatusOK || n != 3 {
		t.Errorf("GET /authorize = %d with %d buttons; want 200 with 3", response.StatusCode, n)
	}
	if strings.Contains(string(body), "<script") {
		t.Errorf("the state came back as markup:\n%s", body)
	}
}

func TestOnlyThePageMayReadTokens(t *testing.T) {
	p := startProvider(t)
	for origin, want := range map[string]string{pageOrigin: pageOrigin, "http://evil.example": "", "null": ""} {
		r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, p.issuer+"/jwks", nil)
		r.Header.Set("Origin", origin)
		response, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if got := response.Header.Get("Access-Control-Allow-Origin"); got != want {
			t.Errorf("Access-Control-Allow-Origin for %s = %q; want %q", origin, got, want)
		}
	}
}
