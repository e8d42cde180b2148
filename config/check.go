package config

import (
	"cmp"
	"net"
	"net/netip"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// checkBounds holds each field against its tags min and max.
func checkBounds(c *Config, problems *Problems) {
	for f := range fields() {
		least, most := f.Tag.Get("min"), f.Tag.Get("max")
		if least == "" {
			continue
		}
		outside := false
		switch v := reflect.ValueOf(c).Elem().FieldByIndex(f.Index).Interface().(type) {
		case time.Duration:
			outside = beyond(v, least, most)
		case int:
			outside = beyond(v, least, most)
		case float64:
			outside = beyond(v, least, most)
		case Size:
			var lo, hi Size
			if lo.UnmarshalText([]byte(least)) != nil || hi.UnmarshalText([]byte(most)) != nil {
				panic("BUG: config: bounds of " + f.Name)
			}
			outside = v < lo || v > hi
		}
		if outside {
			problems.add(f.Tag.Get("env"), "must be between %s and %s", least, most)
		}
	}
}

func beyond[T cmp.Ordered](v T, least, most string) bool {
	parse := parsers[reflect.TypeFor[T]()]
	lo, err1 := parse(least)
	hi, err2 := parse(most)
	if err1 != nil || err2 != nil {
		panic("BUG: config: bounds " + least + ", " + most)
	}
	return !(v >= lo.(T) && v <= hi.(T)) // so that NaN is outside
}

// check holds the fields against their syntax and against each other.
func (c *Config) check(p *Problems) {
	c.checkListeners(p)
	c.checkIdentity(p)
	c.checkUpstream(p)
	c.checkPolicy(p)
	c.checkAudit(p)
	if c.PublishBurst > 0 && c.PublishRate == 0 {
		p.add("PUBLISH_BURST", "has no meaning without %sPUBLISH_RATE", Prefix)
	}
}

func (c *Config) checkListeners(p *Problems) {
	for name, address := range map[string]string{"LISTEN": c.Listen, "ADMIN_LISTEN": c.AdminListen} {
		if _, port, err := net.SplitHostPort(address); err != nil || !isPort(port, 0) {
			p.add(name, "%q is not of the form host:port or :port", address)
		}
	}
	if _, port, _ := net.SplitHostPort(c.Listen); c.Listen == c.AdminListen && port != "0" {
		p.add("ADMIN_LISTEN", "is the public listener too; it must be an address of its own")
	}
	for _, host := range c.AdminHosts {
		if _, err := netip.ParseAddr(host); err != nil && strings.ContainsFunc(host, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune("/:?#@[]*", r) }) {
			p.add("ADMIN_HOSTS", "%q is neither a host name nor an address, without scheme and port", host)
		}
	}
	pair(p, "TLS_CERT_FILE", c.TLSCertFile, "TLS_KEY_FILE", c.TLSKeyFile)
	if c.TLSTicketKeyFile != "" && c.TLSCertFile == "" {
		p.add("TLS_TICKET_KEY_FILE", "needs TLS: set %[1]sTLS_CERT_FILE and %[1]sTLS_KEY_FILE", Prefix)
	}
	if c.TLSClientCAFile != "" && c.TLSCertFile == "" {
		p.add("TLS_CLIENT_CA_FILE", "needs TLS: set %[1]sTLS_CERT_FILE and %[1]sTLS_KEY_FILE", Prefix)
	}
	if c.TLSClientPrefix != "" && c.TLSClientCAFile == "" {
		p.add("TLS_CLIENT_PREFIX", "has no use without %sTLS_CLIENT_CA_FILE", Prefix)
	}
	if c.TLSClientAuth == ClientAuthRequire && c.TLSClientCAFile == "" {
		p.add("TLS_CLIENT_AUTH", "require needs %sTLS_CLIENT_CA_FILE, to know which certificates are good", Prefix)
	}
	for i, path := range c.WSPaths {
		if u, err := url.Parse(path); err != nil || !strings.HasPrefix(path, "/") || u.Path != path {
			p.add("WS_PATH", "%q is not a path such as /mqtt", path)
		} else if slices.Contains(c.WSPaths[:i], path) {
			p.add("WS_PATH", "%q stands there twice", path)
		}
	}
	for i, origin := range c.AllowedOrigins {
		switch {
		case origin == "*":
			if len(c.AllowedOrigins) > 1 {
				p.add("ALLOWED_ORIGINS", "* allows any origin; it must stand alone")
			}
		case !isOrigin(origin):
			p.add("ALLOWED_ORIGINS", "%q is not an origin such as https://app.example.com, without a path", origin)
		default:
			c.AllowedOrigins[i] = strings.ToLower(origin) // RFC 6454 section 4
		}
	}
}

func isOrigin(text string) bool {
	u, err := url.Parse(text)
	return err == nil && u.Scheme != "" && u.Hostname() != "" && u.User == nil && u.Path == "" && u.RawQuery == "" &&
		u.Fragment == "" && u.Opaque == "" && (u.Port() == "" || isPort(u.Port(), 1)) && !strings.ContainsAny(text, "*?#")
}

func (c *Config) checkIdentity(p *Problems) {
	c.checkIssuers(p)
	c.checkIntrospection(p)
	duplicates(p, "OIDC_AUDIENCE", c.OIDCAudiences)
	duplicates(p, "OIDC_ROLES_CLAIM", c.OIDCRolesClaims)
	for name, paths := range map[string][]string{"OIDC_AUDIENCE_CLAIM": {c.OIDCAudienceClaim}, "OIDC_USERNAME_CLAIM": {c.OIDCUsernameClaim}, "OIDC_ROLES_CLAIM": c.OIDCRolesClaims} {
		for _, path := range paths {
			if slices.Contains(strings.Split(path, "."), "") {
				p.add(name, "%q is not a dotted path such as realm_access.roles", path)
			}
		}
	}
	if expression, err := regexp.Compile(c.OIDCUsernamePattern); err != nil {
		p.add("OIDC_USERNAME_PATTERN", "%v", err)
	} else if c.OIDCUsernamePattern != "" && expression.NumSubexp() != 1 {
		p.add("OIDC_USERNAME_PATTERN", "%q has %d groups, not one: (…) around what is the username, (?:…) for others", c.OIDCUsernamePattern, expression.NumSubexp())
	}
	duplicates(p, "TOKEN_SOURCES", c.TokenSources)
	if slices.Contains(c.AllowedOrigins, "*") {
		for _, s := range c.TokenSources {
			if s.Kind == "cookie" { // cross-site WebSocket hijacking
				p.add("TOKEN_SOURCES", "%s cannot be had together with %sALLOWED_ORIGINS=*: any web page could use the visitor's cookie", s, Prefix)
			}
		}
	}
}

func (c *Config) checkIntrospection(p *Problems) {
	asked := 0
	for _, issuer := range c.OIDCIssuers {
		if issuer.Introspection != "" {
			asked++
		}
	}
	if asked > 1 {
		p.add("OIDC_ISSUER", "introspection= stands behind %d issuers, and an opaque token does not say whose it is: one can have it", asked)
	}
	secret := c.OIDCIntrospectionClientSecret.Reveal()
	if asked == 0 && c.OIDCIntrospectionClientID != "" {
		p.add("OIDC_INTROSPECTION_CLIENT_ID", "has no use without introspection= behind an issuer in %sOIDC_ISSUER", Prefix)
		return
	}
	pair(p, "OIDC_INTROSPECTION_CLIENT_ID", c.OIDCIntrospectionClientID, "OIDC_INTROSPECTION_CLIENT_SECRET", secret)
}

func (c *Config) checkUpstream(p *Problems) {
	duplicates(p, "UPSTREAM_URLS", c.UpstreamURLs)
	pair(p, "UPSTREAM_CERT_FILE", c.UpstreamCertFile, "UPSTREAM_KEY_FILE", c.UpstreamKeyFile)
	encrypted := slices.ContainsFunc(c.UpstreamURLs, func(u url.URL) bool { return u.Scheme == "tls" })
	for name, file := range map[string]string{"UPSTREAM_CA_FILE": c.UpstreamCAFile, "UPSTREAM_CERT_FILE": c.UpstreamCertFile} {
		if file != "" && !encrypted {
			p.add(name, "has no use: none of %sUPSTREAM_URLS is tls://", Prefix)
		}
	}
	if rest := strings.ReplaceAll(c.UpstreamUsername, "{username}", ""); strings.ContainsAny(rest, "{}") || !isText(rest) {
		p.add("UPSTREAM_USERNAME", "%q: the only placeholder is {username}", c.UpstreamUsername)
	} else if len(c.UpstreamUsername) > maxTemplateBytes {
		p.add("UPSTREAM_USERNAME", "is longer than %d bytes", maxTemplateBytes)
	}
	if len(c.UpstreamPassword.Reveal()) > 65535 {
		p.add("UPSTREAM_PASSWORD", "is longer than the 65535 bytes that MQTT has room for")
	}
	if message := checkClientID(c.ClientID); message != "" {
		p.add("CLIENT_ID", "%q %s", c.ClientID, message)
	} else if c.UpstreamDialect == DialectNATS && strings.ContainsAny(c.ClientID, ".*>") {
		p.add("CLIENT_ID", "%q must not hold '.', '*' or '>' with %sUPSTREAM_DIALECT=nats: NATS takes no Client Identifier with one of these", c.ClientID, Prefix)
	}
	if !isText(c.UserProperty) || len(c.UserProperty) > 65535 {
		p.add("USER_PROPERTY", "%q is not a name for a User Property", c.UserProperty)
	}
}

// maxTemplateBytes leaves room for the longest username, encoded, in the 65,535 bytes of a string in MQTT.
const maxTemplateBytes = 200

// checkClientID says what is wrong with a template of Client Identifiers, or "".
//
// In a username every byte but letters of ASCII, digits, '-' and '_' is written as %XX. So the first (or,
// with the username last, the last) separating character that no encoded name holds tells where the
// username ends, and two pairs of username and Client Identifier never give the same text. That
// needs each placeholder once, and between them such a character.
func checkClientID(template string) string {
	const username, clientID = "{username}", "{client_id}"
	if strings.Count(template, username) != 1 || strings.Count(template, clientID) != 1 {
		return "must contain {username} and {client_id}, once each"
	}
	u, i := strings.Index(template, username), strings.Index(template, clientID)
	between := template[min(u+len(username), i+len(clientID)):max(u, i)]
	literal := strings.NewReplacer(username, "", clientID, "").Replace(template)
	if strings.IndexFunc(literal, func(r rune) bool { return r <= ' ' || r > '~' || r == '{' || r == '}' }) >= 0 {
		return "must hold nothing else but printable ASCII characters without spaces and braces"
	}
	if strings.Trim(between, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_%") == "" {
		return "must separate {username} and {client_id} by a character that is no letter, no digit and none of '-', '_' and '%', such as ':', or users could share an identifier"
	}
	return ""
}

func (c *Config) checkPolicy(p *Problems) {
	redis := c.UsesRedis()
	scheme, _, found := strings.Cut(c.RedisURL.Reveal(), "://")
	if redis && (!found || !slices.Contains([]string{"redis", "rediss", "redis-sentinel", "rediss-sentinel"}, scheme)) {
		p.add("REDIS_URL", "must begin with redis://, rediss:// or redis-sentinel://, or be none")
	}
	if !redis && c.PolicyFile == "" {
		p.add("POLICY_FILE", "is required without Redis (%sREDIS_URL=none): there would be no rules at all", Prefix)
	}
	if !isText(c.RedisPrefix) || strings.ContainsAny(c.RedisPrefix, " *?[]\\") {
		p.add("REDIS_PREFIX", "%q holds a space, a control character or one of *?[]\\", c.RedisPrefix)
	}
}

// UsesRedis reports whether there is a Redis.
func (c *Config) UsesRedis() bool { return c.RedisURL.Reveal() != "none" }

func pair(p *Problems, cert, certFile, key, keyFile string) {
	switch {
	case certFile != "" && keyFile == "":
		p.add(cert, "needs %s%s too", Prefix, key)
	case certFile == "" && keyFile != "":
		p.add(key, "needs %s%s too", Prefix, cert)
	}
}

func duplicates[T comparable](p *Problems, name string, list []T) {
	for i, v := range list {
		if slices.Contains(list[:i], v) {
			p.add(name, "%q stands there twice", show(v))
		}
	}
}

// isText reports whether MQTT can carry s as a UTF-8 string without control characters
// (MQTT 5.0 section 1.5.4).
func isText(s string) bool {
	return utf8.ValidString(s) && strings.IndexFunc(s, unicode.IsControl) < 0
}
