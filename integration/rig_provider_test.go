package integration

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

// provider is npm oidc-provider: an implementation of OpenID Connect that is not ours and that is certified.
type provider struct {
	*script
	issuer string
	opaque bool // access tokens are
}

const redirectURI = "http://127.0.0.1/callback"

// startProvider runs the provider; pages are redirect addresses besides that of login.
func startProvider(t testing.TB, roles map[string][]string, pages ...string) *provider {
	t.Helper()
	return startProviderOf(t, "jwt", roles, pages...)
}

// startProviderOf is startProvider for access tokens of a format, "jwt" or "opaque".
func startProviderOf(t testing.TB, format string, roles map[string][]string, pages ...string) *provider {
	t.Helper()
	port := freePort(t)
	p := &provider{issuer: "http://" + loopback(port), opaque: format == "opaque"}
	p.script = startScript(t, "provider.mjs", map[string]any{
		"port": port, "audience": "urn:topicgate", "roles": roles, "redirectURIs": append(pages, redirectURI), "format": format,
	})
	p.said.await(t, `"issuer"`)
	return p
}

var formAction = regexp.MustCompile(`<form[^>]* action="([^"]+)"`)

// errCallback stops an HTTP client at the redirect back to the application.
var errCallback = errors.New("back at the application")

// login gets an access token by Authorization Code and PKCE (RFC 7636), filling in the provider's forms.
func (p *provider) login(t testing.TB, username string) (accessToken string) {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	var code, state string
	browser := &http.Client{Jar: jar, Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(r *http.Request, _ []*http.Request) error {
			if strings.HasPrefix(r.URL.String(), redirectURI) {
				code, state = r.URL.Query().Get("code"), r.URL.Query().Get("state")
				return errCallback
			}
			return nil
		}}
	verifier, wantState := rand.Text()+rand.Text(), rand.Text()
	challenge := sha256.Sum256([]byte(verifier))
	page := get(t, browser, p.issuer+"/auth?"+url.Values{
		"client_id": {"chat"}, "response_type": {"code"}, "scope": {"openid"}, "redirect_uri": {redirectURI}, "state": {wantState},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(challenge[:])}, "code_challenge_method": {"S256"},
	}.Encode())
	for _, form := range []url.Values{{"prompt": {"login"}, "login": {username}, "password": {"x"}}, {"prompt": {"consent"}}} {
		action := formAction.FindStringSubmatch(page)
		if action == nil {
			t.Fatalf("no form in the provider's page:\n%s", page)
		}
		page = post(t, browser, html.UnescapeString(action[1]), form)
	}
	if code == "" || state != wantState {
		t.Fatalf("the provider ended the login with code %q, state %q; want a code and %q", code, state, wantState)
	}
	var tokens struct {
		AccessToken string `json:"access_token"`
	}
	answer := post(t, browser, p.issuer+"/token", url.Values{
		"grant_type": {"authorization_code"}, "client_id": {"chat"}, "code": {code}, "redirect_uri": {redirectURI}, "code_verifier": {verifier},
	})
	if err := json.Unmarshal([]byte(answer), &tokens); err != nil || (strings.Count(tokens.AccessToken, ".") != 2) != p.opaque || tokens.AccessToken == "" {
		t.Fatalf("the token endpoint answers %s; want a token, opaque: %v", answer, p.opaque)
	}
	keepSecret(tokens.AccessToken)
	return tokens.AccessToken
}

func get(t testing.TB, client *http.Client, address string) string {
	t.Helper()
	response, err := client.Get(address)
	return body(t, response, err)
}

func post(t testing.TB, client *http.Client, address string, form url.Values) string {
	t.Helper()
	response, err := client.PostForm(address, form)
	return body(t, response, err)
}

func body(t testing.TB, response *http.Response, err error) string {
	t.Helper()
	if errors.Is(err, errCallback) {
		return ""
	}
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
