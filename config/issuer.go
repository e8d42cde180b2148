package config

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// Issuer is one that gives tokens.
type Issuer struct {
	URL       string // as in "iss"
	Prefix    string // begins the usernames of its tokens; empty: none
	Discovery string // where its discovery document is fetched from; empty: below URL
	JWKS      string // where its keys are fetched from, without discovery; empty: discovery says
	// Introspection is where it is asked about opaque tokens; empty: they are refused.
	Introspection string
}

// String gives the issuer as it is written in the environment.
func (i Issuer) String() string {
	text := i.URL
	for _, word := range []struct{ name, value string }{{"prefix", i.Prefix}, {"discovery", i.Discovery}, {"jwks", i.JWKS}, {"introspection", i.Introspection}} {
		if word.value != "" {
			text += " " + word.name + "=" + word.value
		}
	}
	return text
}

// keysFrom is the address that decides which keys are the issuer's.
func (i Issuer) keysFrom() string { return cmp.Or(i.JWKS, i.Discovery, i.URL) }

const (
	// tenantID is what a tenant stands in place of, in Microsoft's own spelling.
	tenantID = "{tenantid}"
	// maxTenants bounds the issuers that one template stands for: each has its own keys fetched.
	maxTenants = 100
)

// parseIssuers reads the list. A template counts as many as it has tenants.
func parseIssuers(text string) (any, error) {
	lists, err := listOf(parseIssuer)(text)
	return slices.Concat(lists.([][]Issuer)...), err
}

// parseIssuer reads an issuer and the words behind it: what belongs to one issuer stands together, since lists in
// several variables fall out of step.
func parseIssuer(text string) ([]Issuer, error) {
	words := strings.Fields(text)
	i := Issuer{URL: words[0]}
	var tenants string
	for _, word := range words[1:] {
		name, value, _ := strings.Cut(word, "=")
		to := map[string]*string{"prefix": &i.Prefix, "discovery": &i.Discovery, "jwks": &i.JWKS, "tenants": &tenants, "introspection": &i.Introspection}[name]
		switch {
		case to == nil:
			return nil, fmt.Errorf("%q: behind an issuer stand prefix=TEXT, discovery=URL, jwks=URL, introspection=URL or tenants=A|B; issuers are separated by commas", word)
		case value == "":
			return nil, fmt.Errorf("%q says nothing behind the equals sign", word)
		case *to != "":
			return nil, fmt.Errorf("%q: %s= stands there twice", text, name)
		}
		*to = value
	}
	return i.forTenants(tenants)
}

// forTenants makes an issuer for each tenant of the list, of a template; of an issuer that is none, that one.
func (i Issuer) forTenants(tenants string) ([]Issuer, error) {
	switch template := strings.Contains(i.URL, tenantID); {
	case template && tenants == "":
		return nil, fmt.Errorf("%q: which tenants? tenants=A|B names those whose tokens are accepted", i.URL)
	case !template && tenants != "":
		return nil, fmt.Errorf("tenants= is for an issuer with %s in it, as https://login.microsoftonline.com/%[1]s/v2.0", tenantID)
	case !template:
		return []Issuer{i}, i.problem()
	}
	list := strings.Split(tenants, "|")
	if len(list) > maxTenants {
		return nil, fmt.Errorf("%q has more than %d tenants", i.URL, maxTenants)
	}
	var issuers []Issuer
	for _, tenant := range list {
		if tenant == "" || strings.Trim(tenant, tenantCharacters) != "" {
			return nil, fmt.Errorf("tenant %q is not letters, digits, '-', '_' and '.' alone", tenant)
		}
		of := func(text string) string { return strings.ReplaceAll(text, tenantID, tenant) }
		issuer := Issuer{URL: of(i.URL), Prefix: of(i.Prefix), Discovery: of(i.Discovery), JWKS: of(i.JWKS), Introspection: of(i.Introspection)}
		if err := issuer.problem(); err != nil {
			return nil, err
		}
		issuers = append(issuers, issuer)
	}
	return issuers, nil
}

const tenantCharacters = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_."

func (i Issuer) problem() error {
	if strings.Contains(i.Prefix+i.Discovery+i.JWKS+i.Introspection, tenantID) {
		return fmt.Errorf("%s stands behind %s, which has none itself", tenantID, i.URL)
	}
	if u, err := url.Parse(i.URL); err != nil || !isWebAddress(u) || u.RawQuery != "" { // OpenID Connect Core 2, "iss"
		return fmt.Errorf("%q is not an issuer: https://host, with a path perhaps, without query and fragment", i.URL)
	}
	if problem := prefixProblem(i.Prefix); problem != "" {
		return fmt.Errorf("prefix %q %s", i.Prefix, problem)
	}
	if u, err := url.Parse(i.Discovery); i.Discovery != "" && (err != nil || !isWebAddress(u) || u.RawQuery != "") {
		return fmt.Errorf("discovery=%s is not the address of a discovery document: https://host, with a path perhaps, without query and fragment", i.Discovery)
	}
	if u, err := url.Parse(i.JWKS); i.JWKS != "" && (err != nil || !isWebAddress(u)) {
		return fmt.Errorf("jwks=%s is not the address of a key set: https://host/path", i.JWKS)
	}
	if u, err := url.Parse(i.Introspection); i.Introspection != "" && (err != nil || !isWebAddress(u)) {
		return fmt.Errorf("introspection=%s is not an address: https://host/path", i.Introspection)
	}
	if i.Discovery != "" && i.JWKS != "" {
		return errors.New("discovery= and jwks= exclude each other: with the keys' address nothing is left to be discovered")
	}
	return nil
}

// isWebAddress reports whether u is an absolute http or https URL without user and fragment.
func isWebAddress(u *url.URL) bool {
	return (u.Scheme == "https" || u.Scheme == "http") && u.Hostname() != "" && u.User == nil && u.Fragment == "" && !u.ForceQuery
}

// maxPrefixBytes leaves most of a username's 1,024 bytes to the issuer.
const maxPrefixBytes = 64

// prefixProblem says why a username cannot begin with text. ASCII alone: nothing that comes after it can then change
// what a program that brings text to a normal form makes of it.
func prefixProblem(text string) string {
	switch {
	case strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }):
		return "holds something else than printable ASCII characters"
	case strings.ContainsAny(text, "+#/"):
		return "holds '+', '#' or '/', which no username may"
	case len(text) > maxPrefixBytes:
		return fmt.Sprintf("is longer than %d bytes", maxPrefixBytes)
	}
	return ""
}

// UsernamePrefix is what begins the usernames in tokens of an issuer. Of claims that name none the only issuer counts.
// ok is false when it cannot be told.
func (c *Config) UsernamePrefix(issuer string) (prefix string, ok bool) {
	for _, i := range c.OIDCIssuers {
		if i.URL == issuer || issuer == "" && len(c.OIDCIssuers) == 1 {
			return i.Prefix, true
		}
	}
	return "", !slices.ContainsFunc(c.OIDCIssuers, func(i Issuer) bool { return i.Prefix != "" })
}

// checkIssuers refuses issuers, and client certificates beside them, whose users could be taken for one another:
// Subject and username are unique for one issuer only (OpenID Connect Core 5.7).
func (c *Config) checkIssuers(p *Problems) {
	type source struct{ variable, name, prefix string }
	var sources []source
	for i, issuer := range c.OIDCIssuers {
		if slices.ContainsFunc(c.OIDCIssuers[:i], func(o Issuer) bool { return o.URL == issuer.URL }) {
			p.add("OIDC_ISSUER", "%q stands there twice", issuer.URL)
			return
		}
		sources = append(sources, source{"OIDC_ISSUER", issuer.URL, issuer.Prefix})
	}
	if problem := prefixProblem(c.TLSClientPrefix); problem != "" {
		p.add("TLS_CLIENT_PREFIX", "%q %s", c.TLSClientPrefix, problem)
		return
	}
	if c.TLSClientCAFile != "" && c.TLSCertFile != "" && len(sources) > 0 {
		sources = append(sources, source{"TLS_CLIENT_PREFIX", "client certificates", c.TLSClientPrefix})
	}
	for i, s := range sources {
		for _, earlier := range sources[:i] {
			short, long := earlier, s
			if len(short.prefix) > len(long.prefix) {
				short, long = long, short
			}
			switch {
			case s.prefix == earlier.prefix && !c.SharedUsers:
				p.add(s.variable, "a username of %s could be one of %s too, and would be the same user. Give each a prefix of its own (%s), or set %sSHARED_USERS=true if whoever has a name in one has it in the other",
					s.name, earlier.name, howToPrefix, Prefix)
			case s.prefix != earlier.prefix && strings.HasPrefix(long.prefix, short.prefix):
				p.add(s.variable, "a username of %s, whose prefix is %q, could begin like those of %s, %q: of two prefixes neither may begin the other (%s)",
					short.name, short.prefix, long.name, long.prefix, howToPrefix)
			default:
				continue
			}
			break // one word for each is enough
		}
	}
}

const howToPrefix = Prefix + "OIDC_ISSUER='https://a.example prefix=a:, https://b.example prefix=b:', " + Prefix + "TLS_CLIENT_PREFIX=cert:"
