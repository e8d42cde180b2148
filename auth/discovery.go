package auth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/coreos/go-oidc/v3/oidc"
)

// discover finds jwks_uri (OpenID Connect Discovery 1.0 section 4).
func (i *issuer) discover(ctx context.Context) (jwksURL string, err error) {
	provider, err := oidc.NewProvider(oidc.ClientContext(ctx, i.client), i.name)
	if err != nil {
		return "", err
	}
	var metadata struct {
		JWKSURL string `json:"jwks_uri"`
	}
	if err := provider.Claims(&metadata); err != nil {
		return "", err
	}
	u, err := url.Parse(metadata.JWKSURL)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return "", errors.New("jwks_uri is not an absolute URL")
	case u.Scheme == "http" && strings.HasPrefix(i.name, "https:"):
		return "", errors.New("jwks_uri is not an https URL although the issuer is one")
	}
	return metadata.JWKSURL, nil
}

// get fetches the keys past every cache, so that a rotation is seen.
func (i *issuer) get(ctx context.Context, address string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Cache-Control", "no-cache")
	resp, err := i.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	return io.ReadAll(resp.Body)
}

// checkIssuer refuses what cannot be an issuer (OpenID Connect Core 1.2, "Issuer Identifier"). Plain http
// is accepted for development and for issuers behind a private network's proxy; insecure says that it is
// used towards another machine.
func checkIssuer(issuer string) (insecure bool, err error) {
	u, err := url.Parse(issuer)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return false, errors.New("issuer is not an absolute http or https URL")
	case u.User != nil || u.RawQuery != "" || u.ForceQuery || strings.Contains(issuer, "#"):
		return false, fmt.Errorf("issuer on %s has a user, a query or a fragment", u.Host)
	}
	host := u.Hostname()
	return u.Scheme == "http" && host != "localhost" && host != "::1" && !strings.HasPrefix(host, "127."), nil
}

const (
	// maxErrorBytes bounds error texts, which may quote what an issuer answered.
	maxErrorBytes = 300
	// maxQuotedBytes bounds what is quoted of an issuer's words.
	maxQuotedBytes = 100
)

// shortened is an error with a bounded text of printable characters.
type shortened struct{ error }

func (e shortened) Unwrap() error { return e.error }

func (e shortened) Error() string {
	return strings.Map(func(r rune) rune {
		if !strconv.IsPrint(r) {
			return ' '
		}
		return r
	}, cut(e.error.Error(), maxErrorBytes))
}

func brief(err error) error { return shortened{err} }

// quoted is text for a log, bounded and with all escaped that cannot be printed.
func quoted(text string) string { return strconv.Quote(cut(text, maxQuotedBytes)) }

func cut(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "..."
}
