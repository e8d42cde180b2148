package config

import (
	"net"
	"net/netip"
	"net/url"
)

// warn lists what is allowed and yet worth a line at start.
func (c *Config) warn(p *Problems) {
	for _, issuer := range c.OIDCIssuers {
		if u, err := url.Parse(issuer.keysFrom()); err == nil && u.Scheme == "http" && !isLoopback(u.Hostname()) {
			p.add("OIDC_ISSUER", "%s: keys come over an unencrypted connection; whoever sits on it can forge tokens", u)
		}
	}
	if host, _, err := net.SplitHostPort(c.AdminListen); err == nil && !isLoopback(host) {
		p.add("ADMIN_LISTEN", "%s can be reached from other machines and asks nobody for a password", c.AdminListen)
	}
	for _, n := range c.TrustedProxies {
		if n.Bits() == 0 {
			p.add("TRUSTED_PROXIES", "%s believes anybody who names an address", n)
		}
	}
}

func isLoopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.IsLoopback()
}
