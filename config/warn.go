package config

import (
	"net"
	"net/netip"
	"net/url"
	"strings"

	"golang.org/x/net/idna"
)

// warn lists what is allowed and yet worth a line at start.
func (c *Config) warn(p *Problems) {
	for _, issuer := range c.OIDCIssuers {
		if u, err := url.Parse(issuer.keysFrom()); err == nil && u.Scheme == "http" && !isLoopback(u.Hostname()) {
			p.add("OIDC_ISSUER", "%s: keys come over an unencrypted connection; whoever sits on it can forge tokens", u)
		}
	}
	for _, issuer := range c.OIDCIssuers {
		if u, err := url.Parse(issuer.Introspection); err == nil && u.Scheme == "http" && !isLoopback(u.Hostname()) {
			p.add("OIDC_ISSUER", "%s: tokens go there over an unencrypted connection, and whoever sits on it can say what they mean", u)
		}
	}
	c.warnOfNoMatch(p)
	if host, _, err := net.SplitHostPort(c.AdminListen); err == nil && !isLoopback(host) {
		p.add("ADMIN_LISTEN", "%s can be reached from other machines and asks nobody for a password", c.AdminListen)
	}
	for _, n := range c.TrustedProxies {
		if n.Bits() == 0 {
			p.add("TRUSTED_PROXIES", "%s believes anybody who names an address", n)
		}
	}
}

// warnOfNoMatch tells of what is compared with something that never looks like it.
func (c *Config) warnOfNoMatch(p *Problems) {
	for _, origin := range c.AllowedOrigins {
		u, err := url.Parse(origin)
		if err != nil || origin == "*" {
			continue
		}
		if page, ok := map[string]string{"wss": "https", "ws": "http"}[u.Scheme]; ok {
			p.add("ALLOWED_ORIGINS", "%s never matches: an origin is the address of the page, which is %s://%s, not that of the WebSocket", origin, page, u.Host)
		} else if ascii, err := idna.Lookup.ToASCII(u.Hostname()); !isASCII(u.Hostname()) && err == nil {
			p.add("ALLOWED_ORIGINS", "%s never matches: browsers write such a name as %s", origin, ascii)
		} else if !isASCII(u.Hostname()) {
			p.add("ALLOWED_ORIGINS", "%s never matches: browsers write a name in ASCII (punycode)", origin)
		}
	}
	for _, audience := range c.OIDCAudiences {
		if strings.Trim(audience, `"'`) != audience {
			p.add("OIDC_AUDIENCE", "%s never matches, unless an audience has quotes in it; the environment takes them as they stand", audience)
		}
	}
	for _, issuer := range c.OIDCIssuers {
		if name, found := strings.CutSuffix(issuer.URL, "/.well-known/openid-configuration"); found {
			p.add("OIDC_ISSUER", "%s never matches: that is the address of the discovery document; the issuer is %s", issuer.URL, name)
		}
	}
}

func isASCII(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return r > '~' })
}

func isLoopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.IsLoopback()
}
