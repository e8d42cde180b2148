package edge

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// OriginAllowed judges the Origin header, which browsers always send and scripts cannot forge
// (RFC 6455 section 10.2). Without one the client is no browser. allowed are scheme://host[:port], or "*" for any;
// empty: the request's own host.
func OriginAllowed(r *http.Request, allowed []string) bool {
	origins := r.Header.Values("Origin")
	if len(origins) == 0 {
		return true
	}
	if len(origins) > 1 {
		return false
	}
	if slices.Contains(allowed, "*") {
		return true
	}
	origin, err := url.Parse(origins[0])
	if err != nil || origin.Host == "" || origin.Path != "" || origin.RawQuery != "" || origin.User != nil {
		return false // "null" among them
	}
	if len(allowed) == 0 {
		// Where the gateway itself serves TLS, http://host is another origin (RFC 6454 section 4): anybody on the way can
		// write its pages. Behind a proxy nobody here knows how the page came.
		return strings.EqualFold(origin.Host, r.Host) && (r.TLS == nil || strings.EqualFold(origin.Scheme, "https"))
	}
	return slices.ContainsFunc(allowed, func(a string) bool {
		want, err := url.Parse(a)
		return err == nil && strings.EqualFold(want.Scheme, origin.Scheme) && strings.EqualFold(withPort(want), withPort(origin))
	})
}

// withPort is u's host with the scheme's own port spelled out.
func withPort(u *url.URL) string {
	if u.Port() != "" {
		return u.Host
	}
	switch strings.ToLower(u.Scheme) {
	case "https", "wss":
		return u.Host + ":443"
	case "http", "ws":
		return u.Host + ":80"
	}
	return u.Host
}
