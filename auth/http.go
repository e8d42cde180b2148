package auth

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

const (
	// fetchTimeout is the longest that discovery and keys together may take.
	fetchTimeout = 10 * time.Second
	// maxResponseBytes bounds a discovery document or JWKS, after decompression. Real ones have a few
	// kilobytes; at more the fetch fails.
	maxResponseBytes = 1 << 20
	maxRedirects     = 3
)

// guardedClient returns a copy of base that reads bounded answers of status 200 and follows redirects
// only within the same scheme, host and port: keys come from where the operator, or the issuer's
// discovery document, says that they are. Each request says by agent, unless that is empty, who asks.
func guardedClient(base *http.Client, agent string) *http.Client {
	client := *base
	if client.Transport == nil {
		client.Transport = http.DefaultTransport
	}
	client.Transport = guard{client.Transport, agent}
	client.CheckRedirect = func(req *http.Request, via []*http.Request) error {
		switch first := via[0].URL; {
		case req.URL.Scheme != first.Scheme || req.URL.Host != first.Host:
			return errors.New("redirected to another host")
		case len(via) > maxRedirects:
			return errors.New("redirected too often")
		}
		return nil
	}
	return &client
}

type guard struct {
	next  http.RoundTripper
	agent string
}

func (g guard) RoundTrip(req *http.Request) (*http.Response, error) {
	if g.agent != "" {
		req = req.Clone(req.Context()) // which is the caller's
		req.Header.Set("User-Agent", g.agent)
	}
	resp, err := g.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	redirect := resp.StatusCode/100 == 3 && resp.Header.Get("Location") != ""
	if resp.StatusCode != http.StatusOK && !redirect {
		resp.Body.Close()
		return nil, &statusError{resp.StatusCode}
	}
	resp.Body = &boundedBody{ReadCloser: resp.Body, left: maxResponseBytes}
	return resp, nil
}

// statusError is an answer of another HTTP status than 200.
type statusError struct{ code int }

func (e *statusError) Error() string { return fmt.Sprintf("answered with status %d", e.code) }

// CloseIdleConnections lets http.Client.CloseIdleConnections through.
func (g guard) CloseIdleConnections() {
	if closer, ok := g.next.(interface{ CloseIdleConnections() }); ok {
		closer.CloseIdleConnections()
	}
}

type boundedBody struct {
	io.ReadCloser
	left int
}

func (b *boundedBody) Read(p []byte) (int, error) {
	if len(p) > b.left+1 {
		p = p[:b.left+1] // one more than allowed tells a full body from a longer one
	}
	n, err := b.ReadCloser.Read(p)
	if b.left -= n; b.left < 0 {
		return 0, fmt.Errorf("answer is longer than %d bytes", maxResponseBytes)
	}
	return n, err
}
