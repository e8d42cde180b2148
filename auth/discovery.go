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

const wellKnown = "/.well-known/openid-configuration"

// discover finds jwks_uri (OpenID Connect Discovery 1.0 section 4).
func (i *issuer) discover(ctx context.Context) (jwksURL string, err error) {
	ctx = oidc.ClientContext(ctx, i.client)
	address := i.Name
	if i.DiscoveryURL != "" {
		address = strings.TrimSuffix(i.DiscoveryURL, wellKnown)
		ctx = oidc.InsecureIssuerURLContext(ctx, i.Name) // the operator vouches for the address
	}
	provider, err := oidc.NewProvider(ctx, address)
	if err != nil {
		return "", err
	}
	var metadata struct {
		Issuer  string `json:"issuer"`
		JWKSURL string `json:"jwks_uri"`
	}
	if err := provider.Claims(&metadata); err != nil {
		return "", err
	}
	if metadata.Issuer != i.Name && metadata.Issuer != i.otherName {
		i.otherName = metadata.Issuer
		i.logger.Info("the discovery document gives the issuer another name", "name", quoted(metadata.Issuer))
	}
	u, err := url.Parse(metadata.JWKSURL)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return "", errors.New("jwks_uri is not an absolute URL")
	case u.Scheme == "http" && strings.HasPrefix(address, "https:"):
		return "", errors.New("jwks_uri is not an https URL although that of the discovery document is one")
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

// check refuses what cannot be an issuer (OpenID Connect Core 1.2, "Issuer Identifier"). Plain http
// is accepted for development and for issuers behind a private network's proxy; insecure says that it is
// used towards another machine.
func (i Issuer) check() (insecure bool, err error) {
	if insecure, err = checkAddress("issuer", i.Name); err != nil {
		return false, err
	}
	if strings.Contains(i.Name, "?") {
		return false, errors.New("issuer with a query")
	}
	if i.UsernamePrefix != "" && (!isASCII(i.UsernamePrefix) || nameProblem(i.UsernamePrefix) != "") {
		return false, fmt.Errorf("no username can begin with %q", i.UsernamePrefix)
	}
	if i.DiscoveryURL != "" {
		if insecure, err = checkAddress("discovery document", i.DiscoveryURL); err != nil {
			return false, err
		}
	}
	if i.KeysURL != "" {
		if insecure, err = checkAddress("key set", i.KeysURL); err != nil {
			return false, err
		}
	}
	if i.Introspection == nil {
		return insecure, nil
	}
	open, err := checkAddress("introspection", i.Introspection.URL)
	return insecure || open, err
}

func checkAddress(what, address string) (insecure bool, err error) {
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return false, fmt.Errorf("the address of the %s is not an absolute http or https URL", what)
	case u.User != nil || strings.Contains(address, "#"):
		return false, fmt.Errorf("the address of the %s, on %s, has a user or a fragment", what, u.Host)
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
