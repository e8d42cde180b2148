package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"topicgate/auth"
	"topicgate/config"
)

// provider is a section of auth/README.md.
type provider struct {
	name     string
	settings map[string]string // by full name
	claims   map[string]any    // of its tokens, or, where it is asked about opaque ones, its answer
	user     string
	roles    []string
	mistake  string // the reason that the log has for the usual one
}

var (
	providerHeading = regexp.MustCompile(`(?m)^### (.+)$`)
	assignment      = regexp.MustCompile(`(TOPICGATE_\w+)=('[^']*'|\S*)`)
	outcomeLine     = regexp.MustCompile("(?m)^Gives the user `([^`]+)` (?:with the roles (`.+`)|without a role)\\.$")
	mistakeLine     = regexp.MustCompile("(?m)^\\*\\*Usual mistake\\*\\* \\(`(\\w+)`\\): ")
)

func readProviders(t *testing.T) []provider {
	t.Helper()
	_, text, found := strings.Cut(readDocument(t, "auth/README.md"), "\n## Providers\n")
	text, _, closed := strings.Cut(text, "\n## ")
	if !found || !closed {
		t.Fatal("auth/README.md has no section Providers, or nothing after it")
	}
	var list []provider
	headings := providerHeading.FindAllStringSubmatchIndex(text, -1)
	for n, at := range headings {
		end := len(text)
		if n+1 < len(headings) {
			end = headings[n+1][0]
		}
		p := provider{name: text[at[2]:at[3]], settings: make(map[string]string)}
		section := text[at[1]:end]
		for _, m := range assignment.FindAllStringSubmatch(block(t, p.name, section, "sh"), -1) {
			p.settings[m[1]] = strings.Trim(m[2], "'")
		}
		if err := json.Unmarshal([]byte(block(t, p.name, section, "json")), &p.claims); err != nil {
			t.Fatalf("%s: %v", p.name, err)
		}
		outcome, mistake := outcomeLine.FindStringSubmatch(section), mistakeLine.FindStringSubmatch(section)
		if outcome == nil || mistake == nil {
			t.Fatalf("%s: no line that says whom it gives, or none of the usual mistake", p.name)
		}
		p.user, p.mistake = outcome[1], mistake[1]
		for _, m := range code.FindAllStringSubmatch(outcome[2], -1) {
			p.roles = append(p.roles, m[1])
		}
		list = append(list, p)
	}
	return list
}

// block is the only fenced one of its language.
func block(t *testing.T, name, section, language string) string {
	t.Helper()
	parts := strings.Split(section, "\n```"+language+"\n")
	if len(parts) != 2 {
		t.Fatalf("%s: %d blocks of %s; want one", name, len(parts)-1, language)
	}
	text, _, _ := strings.Cut(parts[1], "\n```")
	return text
}

// opaque says that the section's tokens are, and that claims are what the provider answers.
func (p provider) opaque() bool {
	return strings.Contains(p.settings["TOPICGATE_OIDC_ISSUER"], " introspection=")
}

// current are claims with dates of now in place of those in the document.
func (p provider) current(edits map[string]any) map[string]any {
	now := time.Now().Unix()
	current := make(map[string]any)
	for name, value := range p.claims {
		current[name] = value
	}
	for name, distance := range map[string]int64{"iat": 0, "nbf": -10, "exp": 600} {
		if _, ok := current[name]; ok {
			current[name] = now + distance
		}
	}
	for name, value := range edits {
		current[name] = value
		if value == nil {
			delete(current, name)
		}
	}
	return current
}

// internet is all providers: it has a discovery document wherever one is looked for, keys at each other address, and the
// answer about opaque tokens.
type internet struct {
	answer map[string]any
}

func (i internet) RoundTrip(req *http.Request) (*http.Response, error) {
	var body any = publicKeys()
	address, isDocument := strings.CutSuffix(req.URL.String(), "/.well-known/openid-configuration")
	switch {
	case req.Method == http.MethodPost:
		body = i.answer
	case isDocument:
		if strings.HasSuffix(req.URL.Host, "auth0.com") { // whose issuers end in a slash
			address += "/"
		} else if strings.HasPrefix(req.URL.Host, "authentik.") {
			address += "/"
		}
		body = map[string]any{"issuer": address, "jwks_uri": "https://" + req.URL.Host + "/keys"}
	}
	text, err := json.Marshal(body)
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}},
		Body: io.NopCloser(bytes.NewReader(text)), Request: req}, err
}

// verify has a token with these claims judged by the gateway's parts as these settings make them.
func (p provider) verify(t *testing.T, settings map[string]string, claims map[string]any) (auth.Identity, error) {
	t.Helper()
	if p.opaque() {
		return p.verifyText(t, settings, claims, "ory_at_kq5n8Vv3w1.Zp8xLOxBtZp8")
	}
	return p.verifyText(t, settings, claims, sign(t, claims))
}

func (p provider) verifyText(t *testing.T, settings map[string]string, claims map[string]any, token string) (auth.Identity, error) {
	t.Helper()
	var environ []string
	for name, value := range settings {
		environ = append(environ, name+"="+value)
	}
	c, err := config.Load(environ)
	if err != nil {
		t.Fatalf("%s: %v", p.name, err)
	}
	if len(c.Warnings) > 0 {
		t.Errorf("%s: warnings %v", p.name, c.Warnings)
	}
	options, err := verifierOptions(c)
	if err != nil {
		t.Fatalf("%s: %v", p.name, err)
	}
	options.HTTPClient = &http.Client{Transport: internet{claims}}
	verifier, err := auth.NewVerifier(options)
	if err != nil {
		t.Fatalf("%s: %v", p.name, err)
	}
	return verifier.Verify(t.Context(), token)
}

func reasonOf(err error) string {
	if refused, ok := err.(*auth.Refused); ok {
		return refused.Reason
	}
	return fmt.Sprint(err)
}

// What auth/README.md says of a provider is what the gateway does.
func TestEachProvidersSettingsAcceptItsTokens(t *testing.T) {
	for _, p := range readProviders(t) {
		t.Run(p.name, func(t *testing.T) {
			claims := p.current(nil)
			got, err := p.verify(t, p.settings, claims)
			if err != nil || got.Username != p.user || !slices.Equal(got.Roles, p.roles) {
				t.Fatalf("the token gives %q with roles %q, %v; want %q, %q", got.Username, got.Roles, err, p.user, p.roles)
			}
			// Each setting is needed: without it, or with another value where it must be there, the token is refused or gives
			// another user or other roles.
			for name, value := range p.settings {
				changed := make(map[string]string)
				for n, v := range p.settings {
					changed[n] = v
				}
				required := name == "TOPICGATE_OIDC_ISSUER" || name == "TOPICGATE_OIDC_AUDIENCE"
				if required {
					first, rest, _ := strings.Cut(value, " ")
					changed[name] = strings.TrimSpace(first + "x " + rest)
				} else {
					delete(changed, name)
				}
				got, err := p.verify(t, changed, claims)
				if err == nil && (required || got.Username == p.user && slices.Equal(got.Roles, p.roles)) {
					t.Errorf("without %s=%s the token gives the same, %q with roles %q", name, value, got.Username, got.Roles)
				}
				if want := map[string]string{"TOPICGATE_OIDC_ISSUER": auth.ReasonUnknownIssuer, "TOPICGATE_OIDC_AUDIENCE": auth.ReasonWrongAudience}[name]; want != "" && reasonOf(err) != want {
					t.Errorf("with another %s: %v; want %s", name, err, want)
				}
			}
		})
	}
}

// usualMistakes are what the sections tell of: claims that differ from the good token's, or another text in its place.
var usualMistakes = map[string]struct {
	claims map[string]any
	text   string
}{
	"Keycloak":                {claims: map[string]any{"aud": "account"}},
	"Auth0":                   {claims: map[string]any{"iss": "https://TENANT.eu.auth0.com"}},
	"Microsoft Entra ID":      {claims: map[string]any{"iss": "https://sts.windows.net/0b5e6d5e-7c0e-4b1c-9d4a-0d3c6e4f5a61/", "ver": "1.0"}},
	"Amazon Cognito":          {claims: map[string]any{"client_id": nil, "username": nil, "aud": "1h57kf5cpq17m0eml12EXAMPLE", "token_use": "id", "cognito:username": "alice"}},
	"Google":                  {text: "ya29.a0AfH6SMBx"},
	"Okta":                    {claims: map[string]any{"iss": "https://ORG.okta.com", "aud": "https://ORG.okta.com"}},
	"Zitadel":                 {text: "dEnBmcTmiXlcGQcxwIVsnDuZ5PsFDYuUyj7SqPfR"},
	"authentik":               {text: "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.e30.c2lnbmF0dXJl"},
	"Ory Hydra":               {claims: map[string]any{"aud": []string{}}},
	"Firebase Authentication": {claims: map[string]any{"iss": "firebase-adminsdk@PROJECT.iam.gserviceaccount.com", "aud": "https://identitytoolkit.googleapis.com/"}},
	"Supabase":                {text: "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.e30.c2lnbmF0dXJl"},
	"AD FS":                   {claims: map[string]any{"iss": "https://adfs.example.com/adfs"}},
	"Clerk":                   {claims: map[string]any{"exp": 1767225660}},
	"Dex":                     {claims: map[string]any{"iss": "https://dex.example.com"}},
}

func TestEachProvidersUsualMistakeIsNamedAsItIs(t *testing.T) {
	providers := readProviders(t)
	for _, p := range providers {
		mistake, ok := usualMistakes[p.name]
		if !ok {
			t.Errorf("%s: nobody tries its usual mistake", p.name)
			continue
		}
		claims := p.current(mistake.claims)
		var err error
		if mistake.text != "" {
			_, err = p.verifyText(t, p.settings, claims, mistake.text)
		} else {
			_, err = p.verify(t, p.settings, claims)
		}
		if reasonOf(err) != p.mistake {
			t.Errorf("%s: the usual mistake gives %v; the document says %s", p.name, err, p.mistake)
		}
	}
	if len(providers) != len(usualMistakes) {
		t.Errorf("%d providers are described; want %d", len(providers), len(usualMistakes))
	}
}
