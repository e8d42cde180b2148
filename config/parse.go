package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"
)

// parsers replace those of env/v11 for lists, whose elements it does not trim and of whose
// mistakes it tells the first only, and where its words for a mistake are strconv's.
var parsers = map[reflect.Type]env.ParserFunc{
	reflect.TypeFor[time.Duration]():  scalar(time.ParseDuration, "a duration such as 30s or 5m"),
	reflect.TypeFor[int]():            scalar(strconv.Atoi, "a whole number"),
	reflect.TypeFor[float64]():        scalar(func(s string) (float64, error) { return strconv.ParseFloat(s, 64) }, "a number"),
	reflect.TypeFor[bool]():           scalar(strconv.ParseBool, "true or false"),
	reflect.TypeFor[[]string]():       listOf(func(s string) (string, error) { return s, nil }),
	reflect.TypeFor[[]netip.Prefix](): listOf(parseNetwork),
	reflect.TypeFor[[]url.URL]():      listOf(parseUpstream),
	reflect.TypeFor[[]Issuer]():       parseIssuers,
	reflect.TypeFor[[]TokenSource]():  listOf(parseTokenSource),
	reflect.TypeFor[[]AuditSink]():    listOf(parseAuditSink),
}

func scalar[T any](parse func(string) (T, error), want string) env.ParserFunc {
	return func(text string) (any, error) {
		v, err := parse(text)
		if err != nil {
			return nil, fmt.Errorf("%q is not %s", text, want)
		}
		return v, nil
	}
}

// listOf parses a comma list, telling all its mistakes. Empty elements, as after a final comma,
// don't count.
func listOf[T any](parse func(string) (T, error)) env.ParserFunc {
	return func(text string) (any, error) {
		var list []T
		var errs []error
		for element := range strings.SplitSeq(text, ",") {
			if element = strings.TrimSpace(element); element == "" {
				continue
			}
			v, err := parse(element)
			if err != nil {
				errs = append(errs, err)
				continue
			}
			list = append(list, v)
		}
		if len(list) == 0 && len(errs) == 0 {
			errs = append(errs, fmt.Errorf("%q is a list of nothing", text))
		}
		return list, errors.Join(errs...)
	}
}

// parseNetwork reads 10.0.0.0/8, or an address that stands for itself alone.
func parseNetwork(text string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(text); err == nil && a.Zone() == "" {
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%q is neither a network such as 10.0.0.0/8 nor an address", text)
	}
	if p != p.Masked() {
		return netip.Prefix{}, fmt.Errorf("%q has bits beyond its length; did you mean %s?", text, p.Masked())
	}
	return p, nil
}

// parseUpstream reads a broker's address and fills in the port that MQTT has for its scheme.
func parseUpstream(text string) (url.URL, error) {
	if strings.Contains(text, "@") { // not shown: it may hold a password
		return url.URL{}, errors.New("a broker's URL holds no username or password; use " +
			Prefix + "UPSTREAM_USERNAME and " + Prefix + "UPSTREAM_PASSWORD")
	}
	if strings.HasPrefix(text, "unix:") {
		return parseSocket(text)
	}
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || u.Scheme != "tcp" && u.Scheme != "tls" ||
		u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "" {
		return url.URL{}, fmt.Errorf("%q is not of the form tcp://host:port, tls://host:port or unix:///path", text)
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"tcp": "1883", "tls": "8883"}[u.Scheme]
	}
	if !isPort(port, 1) {
		return url.URL{}, fmt.Errorf("%q has no port between 1 and 65535", text)
	}
	return url.URL{Scheme: u.Scheme, Host: net.JoinHostPort(u.Hostname(), port)}, nil
}

// maxSocketPath is what Linux has room for (unix(7)).
const maxSocketPath = 107

// parseSocket reads the path of a broker's Unix socket.
func parseSocket(text string) (url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host != "" || !strings.HasPrefix(u.Path, "/") || u.RawQuery != "" || u.Fragment != "":
		return url.URL{}, fmt.Errorf("%q is not of the form unix:///path/of/the/socket", text)
	case len(u.Path) > maxSocketPath:
		return url.URL{}, fmt.Errorf("%q: the path of a socket has %d bytes at most", text, maxSocketPath)
	}
	return url.URL{Scheme: "unix", Path: u.Path}, nil
}

func parseTokenSource(text string) (TokenSource, error) {
	kind, name, named := strings.Cut(text, ":")
	switch kind {
	case "password", "username", "header":
		if named {
			return TokenSource{}, fmt.Errorf("%q: %s takes no name", text, kind)
		}
	case "cookie", "query":
		if name == "" || !isToken(name) {
			return TokenSource{}, fmt.Errorf("%q: %s needs a name of letters and digits, such as %s:token", text, kind, kind)
		}
	default:
		return TokenSource{}, fmt.Errorf("%q is not one of password, username, header, cookie:NAME, query:NAME", text)
	}
	return TokenSource{Kind: kind, Name: name}, nil
}

// isToken reports whether name is a token of RFC 9110 section 5.6.2, as cookie names are
// (RFC 6265 section 4.1.1).
func isToken(name string) bool {
	for _, c := range []byte(name) {
		if c <= ' ' || c >= 0x7f || strings.IndexByte(`()<>@,;:\"/[]?={}`, c) >= 0 {
			return false
		}
	}
	return name != ""
}

func isPort(text string, least int) bool {
	n, err := strconv.Atoi(text)
	return err == nil && n >= least && n <= 65535
}
