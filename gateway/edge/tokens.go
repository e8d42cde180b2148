package edge

import (
	"crypto/x509"
	"net/http"
	"strings"
)

// TokenSource is a place of the client's first words in which its token may stand.
type TokenSource struct {
	Kind TokenKind
	Name string // of the cookie or the query parameter
}

// TokenKind is the kind of a TokenSource.
type TokenKind string

// The places where a token may stand, beside the MQTT 5.0 Authentication Method "OAUTH2-JWT",
// which always counts.
const (
	TokenPassword TokenKind = "password" // CONNECT password
	TokenUsername TokenKind = "username" // CONNECT username
	TokenHeader   TokenKind = "header"   // Authorization: Bearer
	TokenCookie   TokenKind = "cookie"   // cookie:NAME
	TokenQuery    TokenKind = "query"    // query:NAME
)

// RequestTokens is what the HTTP request may have brought, by token source.
type RequestTokens map[TokenSource]string

// TokensOf picks the tokens of the configured sources out of the request, so that the request
// itself can go.
func TokensOf(r *http.Request, sources []TokenSource) RequestTokens {
	var tokens RequestTokens
	keep := func(source TokenSource, token string) {
		if token == "" {
			return
		}
		if tokens == nil {
			tokens = RequestTokens{}
		}
		tokens[source] = strings.Clone(token)
	}
	for _, source := range sources {
		switch source.Kind {
		case TokenHeader:
			// RFC 6750 section 2.1; the scheme's case does not matter (RFC 9110 section 11.1).
			scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
			if strings.EqualFold(scheme, "Bearer") {
				keep(source, strings.TrimLeft(token, " "))
			}
		case TokenCookie:
			// Browsers send cookies from any page. Without an Origin nobody has said that this page may.
			if r.Header.Get("Origin") == "" {
				continue
			}
			if cookie, err := r.Cookie(source.Name); err == nil {
				keep(source, cookie.Value)
			}
		case TokenQuery:
			keep(source, r.URL.Query().Get(source.Name))
		}
	}
	return tokens
}

// CertificateOf is the client certificate that TLS has verified, or nil. Browsers present theirs on
// behalf of any page, so from them it says nothing.
func CertificateOf(r *http.Request) *x509.Certificate {
	if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 || r.Header.Get("Origin") != "" {
		return nil
	}
	return r.TLS.VerifiedChains[0][0]
}
