package auth

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/go-jose/go-jose/v4"
)

// serve runs an issuer on a socket whose answers are handlers by path; "/.well-known/openid-configuration"
// and "/jwks" are good unless replaced.
func serve(t *testing.T, key signer, handlers map[string]http.HandlerFunc) *testbed {
	t.Helper()
	mux := http.NewServeMux()
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return serveOn(t, server, mux, key, handlers, nil)
}

// servePiped is serve without sockets, for a bubble: there the time that an answer may take is no machine's time.
func servePiped(t *testing.T, key signer, handlers map[string]http.HandlerFunc) *testbed {
	t.Helper()
	mux := http.NewServeMux()
	l := &pipes{accepted: make(chan net.Conn), closed: make(chan struct{})}
	server := httptest.NewUnstartedServer(mux)
	server.Listener.Close()
	server.Listener = l
	server.Start()
	t.Cleanup(server.Close)
	return serveOn(t, server, mux, key, handlers, &http.Client{Transport: &http.Transport{DialContext: l.dial}})
}

// pipes is a listener of connections in memory.
type pipes struct {
	accepted chan net.Conn
	once     sync.Once
	closed   chan struct{}
}

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case p.accepted <- there:
		return here, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.accepted:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.closed) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }

func serveOn(t *testing.T, server *httptest.Server, mux *http.ServeMux, key signer, handlers map[string]http.HandlerFunc, client *http.Client) *testbed {
	t.Helper()
	all := map[string]http.HandlerFunc{
		"/.well-known/openid-configuration": func(w http.ResponseWriter, _ *http.Request) {
			json.NewEncoder(w).Encode(claims{"issuer": server.URL, "jwks_uri": server.URL + "/jwks"})
		},
		"/jwks": func(w http.ResponseWriter, _ *http.Request) {
			json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{key.public()}})
		},
	}
	for path, handler := range handlers {
		all[path] = handler
	}
	for path, handler := range all {
		mux.HandleFunc(path, handler)
	}
	b := newTestbed(t, newProvider(server.URL), func(o *Options) { o.HTTPClient = client })
	b.start(t)
	return b
}

func (b *testbed) tokenOf(key signer) string { return key.token(claims{"iss": b.provider.name}) }

func TestIssuerOverHTTP(t *testing.T) {
	key := newKey("a")
	b := serve(t, key, nil)
	b.want(t, "good", b.tokenOf(key), "ok")
}

func TestAnswersThatAreNoKeys(t *testing.T) {
	const discovery, jwks = "/.well-known/openid-configuration", "/jwks"
	write := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			io.WriteString(w, body)
		}
	}
	endless := func(w http.ResponseWriter, _ *http.Request) {
		for chunk := []byte(strings.Repeat(" ", 64<<10)); ; {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	}
	bomb := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		compressor := gzip.NewWriter(w)
		for chunk := make([]byte, 1<<20); ; {
			if _, err := compressor.Write(chunk); err != nil {
				return
			}
		}
	}
	for _, c := range []struct {
		what, path string
		handler    http.HandlerFunc
		status     string // part of Status
	}{
		{"discovery 500", discovery, write(500, "oops"), "discovery failed: "},
		{"discovery 404", discovery, write(404, "not here"), "answered with status 404"},
		{"discovery garbage", discovery, write(200, "<html>"), "discovery failed: "},
		{"discovery of another issuer", discovery, write(200, `{"issuer":"https://evil.example"}`), "did not match"},
		{"discovery of an issuer with a long name", discovery, write(200, `{"issuer":"`+strings.Repeat("x", 1<<16)+`"}`), "..."},
		{"endless discovery", discovery, endless, "longer than 1048576 bytes"},
		{"keys 500", jwks, write(500, strings.Repeat("x", 1<<16)), "keys not fetched: "},
		{"keys 204", jwks, write(204, ""), "answered with status 204"},
		{"keys 302 to nowhere", jwks, write(302, ""), "answered with status 302"},
		{"keys garbage", jwks, write(200, "<html>"), "decode JWKS"},
		{"keys empty", jwks, write(200, ""), "decode JWKS"},
		{"keys without keys", jwks, write(200, `{}`), "no list of keys"},
		{"keys null", jwks, write(200, `{"keys":null}`), "no list of keys"},
		{"keys an object", jwks, write(200, `{"keys":{}}`), "decode JWKS"},
		{"endless keys", jwks, endless, "longer than 1048576 bytes"},
		{"keys that unpack without an end", jwks, bomb, "longer than 1048576 bytes"},
		{"cut off", jwks, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			io.WriteString(w, `{"keys":[`)
		}, "keys not fetched: "},
	} {
		t.Run(c.what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				key := newKey("a")
				b := servePiped(t, key, map[string]http.HandlerFunc{c.path: c.handler})
				b.want(t, "good", b.tokenOf(key), ReasonIssuerDown)
				status := b.Status()[b.provider.name]
				if !strings.Contains(status, c.status) || len(status) > 400 {
					t.Errorf("Status() = %.400q; want it to say %q, in short", status, c.status)
				}
			})
		})
	}
}

func TestRedirectsStayOnTheirHost(t *testing.T) {
	key := newKey("a")
	var asked atomic.Bool
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Store(true)
		json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{key.public()}})
	}))
	defer elsewhere.Close()

	b := serve(t, key, map[string]http.HandlerFunc{"/jwks": func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere.URL, http.StatusFound)
	}})
	b.want(t, "keys on another host", b.tokenOf(key), ReasonIssuerDown)
	if asked.Load() {
		t.Error("a redirect to another host was followed")
	}

	b = serve(t, key, map[string]http.HandlerFunc{
		"/jwks": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/jwks/", http.StatusFound) },
		"/jwks/": func(w http.ResponseWriter, _ *http.Request) {
			json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{key.public()}})
		},
	})
	b.want(t, "keys on the same host", b.tokenOf(key), "ok")

	b = serve(t, key, map[string]http.HandlerFunc{"/jwks": func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/jwks", http.StatusFound)
	}})
	b.want(t, "keys in a circle", b.tokenOf(key), ReasonIssuerDown)
}

func TestHTTPSIssuerKeepsItsKeysOnHTTPS(t *testing.T) {
	for _, jwksURL := range []string{"http://issuer.example/jwks", "/jwks", "file:///etc/jwks", ""} {
		key := newKey("a")
		p := newProvider(testIssuer, key)
		p.fail(func(*http.Request) (*http.Response, error) {
			return answer(200, string(must(json.Marshal(claims{"issuer": testIssuer, "jwks_uri": jwksURL})))), nil
		})
		b := newTestbed(t, p)
		b.want(t, "good", key.token(), ReasonIssuerDown)
		if status := b.Status()[testIssuer]; !strings.Contains(status, "jwks_uri") {
			t.Errorf("Status() with jwks_uri %q = %q", jwksURL, status)
		}
	}
}

func TestUnusableKeysAreSkipped(t *testing.T) {
	key := newKey("a")
	public := func(edit func(*jose.JSONWebKey)) string {
		k := newKey("x").public()
		edit(&k)
		return string(must(json.Marshal(k)))
	}
	good := string(must(json.Marshal(key.public())))
	private := string(must(json.Marshal(jose.JSONWebKey{Key: key.private, KeyID: "private"})))
	document := `{"keys":[` + strings.Join([]string{
		public(func(k *jose.JSONWebKey) { k.Use = "enc" }),
		public(func(k *jose.JSONWebKey) { k.Algorithm = "HS256" }),
		private,
		`{"kty":"oct","kid":"o","k":"c2VjcmV0"}`,
		`{"kty":"OKP","crv":"Ed448","kid":"e","x":"AA"}`,
		`{"kty":"EC","crv":"secp256k1","alg":"ES256K","kid":"k","x":"AA","y":"AA"}`,
		`{"kty":"RSA","kid":"short","n":"` + strings.Repeat("_", 171) + `","e":"AQAB"}`,
		`{"kty":"new"}`, `{}`, `null`, `1`, `"key"`,
		good,
	}, ",") + `]}`
	keys, rest, err := parseKeys([]byte(document))
	if err != nil || len(rest) != 12 || len(keys) != 1 || keys[0].id != "a" {
		t.Errorf("parseKeys() = %d keys, %d unusable, %v; want 1, 12, none", len(keys), len(rest), err)
	}
}
