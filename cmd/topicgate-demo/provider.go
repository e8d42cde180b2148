package main

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	codeLifetime    = time.Minute
	refreshLifetime = 12 * time.Hour
	maxLogins       = 1000     // of which a provider for one visitor needs a handful; above it nobody logs in until some are old
	maxFormBytes    = 16 << 10 // of a request's body
)

// account is a user of the development provider.
type account struct {
	Name  string
	About string   // a word for the login page
	Roles []string // the roles claim
}

// provider is a development OpenID Provider: Authorization Code with PKCE (S256, RFC 7636) for one
// public client, refresh tokens that are replaced at each use, and no passwords at all.
type provider struct {
	// Immutable.
	issuer, origin        string // origin: of the page, for CORS (Fetch Standard)
	clientID, redirectURI string
	audience              string // of access tokens
	lifetime              time.Duration
	accounts              []account
	keys                  *keys
	page                  *template.Template
	now                   func() time.Time

	mu        sync.Mutex
	byCode    map[string]*login
	byRefresh map[string]*login // used ones too, so that a second use is noticed
}

// login is one sign-in and everything that it brought. Guarded by the provider's mu.
type login struct {
	account   account
	nonce     string
	challenge string
	at        time.Time
	code      string
	codeUsed  bool
	refresh   string   // the current refresh token; empty before the first
	spent     []string // those before it
}

// newProvider makes a provider for the page at origin page.
func newProvider(issuer, page string, lifetime time.Duration) (*provider, error) {
	k, err := newKeys()
	if err != nil {
		return nil, fmt.Errorf("make the provider's keys: %w", err)
	}
	return &provider{
		issuer: issuer, origin: page, clientID: clientID, redirectURI: page + "/", audience: audience,
		lifetime: lifetime, accounts: accounts, keys: k, now: time.Now,
		page:   template.Must(template.ParseFS(webFiles, "web/login.html")),
		byCode: make(map[string]*login), byRefresh: make(map[string]*login),
	}, nil
}

// handler serves the endpoints that the discovery document names.
func (p *provider) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", p.cors(p.discovery))
	mux.HandleFunc("GET /jwks", p.cors(func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, p.keys.public) }))
	mux.HandleFunc("GET /authorize", p.authorize)
	mux.HandleFunc("POST /authorize", p.authorize) // OpenID Connect Core 3.1.2.1 wants both
	mux.HandleFunc("POST /token", p.cors(p.token))
	mux.HandleFunc("GET /style.css", serveFile("web/style.css"))
	return mux
}

func (p *provider) discovery(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]any{
		"issuer":                                         p.issuer,
		"authorization_endpoint":                         p.issuer + "/authorize",
		"token_endpoint":                                 p.issuer + "/token",
		"jwks_uri":                                       p.issuer + "/jwks",
		"response_types_supported":                       []string{"code"},
		"response_modes_supported":                       []string{"query"},
		"grant_types_supported":                          []string{"authorization_code", "refresh_token"},
		"subject_types_supported":                        []string{"public"},
		"id_token_signing_alg_values_supported":          []string{"RS256"},
		"scopes_supported":                               []string{"openid"},
		"claims_supported":                               []string{"sub", "roles"},
		"token_endpoint_auth_methods_supported":          []string{"none"},
		"code_challenge_methods_supported":               []string{"S256"},
		"authorization_response_iss_parameter_supported": true, // RFC 9207
	})
}

// authorize shows the login page, and sends a code to the client once a button was pressed.
func (p *provider) authorize(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxFormBytes)
	if err := r.ParseForm(); err != nil {
		http.Error(w, "The request cannot be read.", http.StatusBadRequest)
		return
	}
	// Nobody is sent to an address that is not the client's own, letter by letter (RFC 9700 section 2.1).
	if r.Form.Get("client_id") != p.clientID || r.Form.Get("redirect_uri") != p.redirectURI {
		http.Error(w, "Unknown client_id, or a redirect_uri that is not registered for it.", http.StatusBadRequest)
		return
	}
	answer := url.Values{"state": r.Form["state"], "iss": {p.issuer}}
	code, failure := "", authorizationError(r.Form)
	who := slices.IndexFunc(p.accounts, func(a account) bool { return r.Method == http.MethodPost && a.Name == r.PostForm.Get("user") })
	if failure == "" && who < 0 {
		p.showLogin(w, r.Form)
		return
	}
	if failure == "" {
		code, failure = p.begin(p.accounts[who], r.Form)
	}
	if failure != "" {
		answer.Set("error", failure)
	} else {
		answer.Set("code", code)
	}
	w.Header().Set("Cache-Control", "no-store")
	http.Redirect(w, r, p.redirectURI+"?"+answer.Encode(), http.StatusSeeOther)
}

// authorizationError is the error of RFC 6749 section 4.1.2.1 that a request deserves, or "".
func authorizationError(form url.Values) string {
	switch {
	case form.Get("response_type") != "code":
		return "unsupported_response_type"
	case !slices.Contains(strings.Fields(form.Get("scope")), "openid"):
		return "invalid_scope"
	case form.Get("code_challenge_method") != "S256" || len(form.Get("code_challenge")) != base64.RawURLEncoding.EncodedLen(sha256.Size):
		return "invalid_request"
	case form.Get("prompt") == "none":
		return "login_required" // there is no session here that could answer silently
	}
	return ""
}

// showLogin asks who the visitor wants to be. The form brings the whole request back, so nothing is kept.
func (p *provider) showLogin(w http.ResponseWriter, form url.Values) {
	request := url.Values{}
	for _, name := range []string{"client_id", "redirect_uri", "response_type", "scope", "state", "nonce", "code_challenge", "code_challenge_method"} {
		request[name] = form[name]
	}
	// form-action covers the redirect after the form as well, so the page's origin is named.
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; img-src data:; form-action 'self' "+p.origin+"; base-uri 'none'; frame-ancestors 'none'")
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	_ = p.page.Execute(w, map[string]any{"Request": request, "Accounts": p.accounts}) // fails when the visitor has gone
}

// begin keeps a login and returns its code, or an error of RFC 6749 section 4.1.2.1.
func (p *provider) begin(a account, form url.Values) (code, failure string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	for _, old := range p.byCode {
		if now.Sub(old.at) > refreshLifetime || old.refresh == "" && now.Sub(old.at) > codeLifetime {
			p.forget(old)
		}
	}
	if len(p.byCode) >= maxLogins {
		return "", "temporarily_unavailable"
	}
	l := &login{account: a, nonce: form.Get("nonce"), challenge: form.Get("code_challenge"), at: now, code: rand.Text()}
	p.byCode[l.code] = l
	return l.code, ""
}

// forget makes every token of a login worthless, but for access tokens until they expire.
func (p *provider) forget(l *login) {
	delete(p.byCode, l.code)
	delete(p.byRefresh, l.refresh)
	for _, token := range l.spent {
		delete(p.byRefresh, token)
	}
}

// token is the token endpoint (RFC 6749 sections 4.1.3 and 6).
func (p *provider) token(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	r.Body = http.MaxBytesReader(w, r.Body, maxFormBytes)
	if err := r.ParseForm(); err != nil {
		writeJSON(w, http.StatusBadRequest, map[string]string{"error": "invalid_request"})
		return
	}
	form := r.PostForm
	p.mu.Lock()
	defer p.mu.Unlock()
	var l *login
	failure := ""
	switch {
	case form.Get("client_id") != p.clientID:
		failure = "invalid_client"
	case form.Get("grant_type") == "authorization_code":
		l = p.redeemCode(form)
	case form.Get("grant_type") == "refresh_token":
		l = p.redeemRefresh(form.Get("refresh_token"))
	default:
		failure = "unsupported_grant_type"
	}
	if failure == "" && l == nil {
		failure = "invalid_grant"
	}
	if failure != "" {
		writeJSON(w, http.StatusBadRequest, map[string]string{"error": failure})
		return
	}
	answer, err := p.issue(l)
	if err != nil {
		writeJSON(w, http.StatusInternalServerError, map[string]string{"error": "server_error"})
		return
	}
	writeJSON(w, http.StatusOK, answer)
}

// redeemCode returns the login of a code, or nil. A code that comes a second time was stolen, before or
// now: what it brought ends (RFC 6749 section 4.1.2).
func (p *provider) redeemCode(form url.Values) *login {
	l := p.byCode[form.Get("code")]
	if l == nil {
		return nil
	}
	if l.codeUsed {
		p.forget(l)
		return nil
	}
	l.codeUsed = true // also by a failed attempt: one guess at the verifier is all there is
	sum := sha256.Sum256([]byte(form.Get("code_verifier")))
	challenge := base64.RawURLEncoding.EncodeToString(sum[:])
	if p.now().Sub(l.at) > codeLifetime || form.Get("redirect_uri") != p.redirectURI ||
		subtle.ConstantTimeCompare([]byte(challenge), []byte(l.challenge)) != 1 {
		p.forget(l)
		return nil
	}
	return l
}

// redeemRefresh returns the login of a refresh token, or nil. One that was replaced already ends the
// login: two parties hold it (RFC 9700 section 4.14.2).
func (p *provider) redeemRefresh(token string) *login {
	l := p.byRefresh[token]
	if l == nil {
		return nil
	}
	if token != l.refresh || p.now().Sub(l.at) > refreshLifetime {
		p.forget(l)
		return nil
	}
	return l
}

// cors lets the page, and no other, read the answers.
func (p *provider) cors(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Vary", "Origin")
		if r.Header.Get("Origin") == p.origin {
			w.Header().Set("Access-Control-Allow-Origin", p.origin)
		}
		next(w, r)
	}
}

// writeJSON answers with v. An error means that the peer has gone: nobody is left to be told.
func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}
