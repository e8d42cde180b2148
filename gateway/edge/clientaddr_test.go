package edge

import (
	"bufio"
	"crypto/tls"
	"encoding/hex"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/pires/go-proxyproto"
)

func TestClientAddrBelievesOnlyTrustedProxies(t *testing.T) {
	trusted := TrustedProxies{
		netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8:1::/48"), netip.MustParsePrefix("fe80::/10"),
	}
	for _, tt := range []struct {
		name, peer string
		lines      []string // of X-Forwarded-For
		want       string
	}{
		{"no header", "10.0.0.1:5000", nil, "10.0.0.1:5000"},
		{"peer is not trusted", "192.0.2.1:5000", []string{"198.51.100.7"}, "192.0.2.1:5000"},
		{"one proxy", "10.0.0.1:5000", []string{"198.51.100.7"}, "198.51.100.7:0"},
		{"forged entry on the left", "10.0.0.1:5000", []string{"203.0.113.9, 198.51.100.7"}, "198.51.100.7:0"},
		{"two proxies", "10.0.0.1:5000", []string{"198.51.100.7, 10.1.1.1"}, "198.51.100.7:0"},
		{"lines are joined in order", "10.0.0.1:5000", []string{"203.0.113.9", "198.51.100.7,10.1.1.1", "10.2.2.2"}, "198.51.100.7:0"},
		{"all trusted: the leftmost", "10.0.0.1:5000", []string{"10.3.3.3, 10.2.2.2"}, "10.3.3.3:0"},
		{"malformed: the last that was sure", "10.0.0.1:5000", []string{"198.51.100.7, unknown, 10.1.1.1"}, "10.1.1.1:0"},
		{"malformed at once", "10.0.0.1:5000", []string{"198.51.100.7, _hidden"}, "10.0.0.1:5000"},
		{"empty line", "10.0.0.1:5000", []string{""}, "10.0.0.1:5000"},
		{"empty entry", "10.0.0.1:5000", []string{"198.51.100.7,"}, "10.0.0.1:5000"},
		{"port", "10.0.0.1:5000", []string{"198.51.100.7:4711"}, "198.51.100.7:4711"},
		{"port out of range", "10.0.0.1:5000", []string{"198.51.100.7:65536"}, "10.0.0.1:5000"},
		{"blanks and tabs", "10.0.0.1:5000", []string{" \t198.51.100.7 , 10.1.1.1\t"}, "198.51.100.7:0"},
		{"IPv6", "[2001:db8:1::1]:5000", []string{"2001:db8:2::7"}, "[2001:db8:2::7]:0"},
		{"IPv6 in brackets", "10.0.0.1:5000", []string{"[2001:db8:2::7]"}, "[2001:db8:2::7]:0"},
		{"IPv6 in brackets with a port", "10.0.0.1:5000", []string{"[2001:db8:2::7]:443"}, "[2001:db8:2::7]:443"},
		{"bracket is not closed", "10.0.0.1:5000", []string{"[2001:db8:2::7"}, "10.0.0.1:5000"},
		{"zone of the peer", "[fe80::1%eth0]:5000", []string{"198.51.100.7"}, "198.51.100.7:0"},
		{"zone of a hop", "10.0.0.1:5000", []string{"198.51.100.7, fe80::2%eth1"}, "198.51.100.7:0"},
		{"zone in the result", "10.0.0.1:5000", []string{"2001:db8:2::7%evil"}, "[2001:db8:2::7]:0"},
		{"IPv4 mapped to IPv6", "[::ffff:10.0.0.1]:5000", []string{"::ffff:198.51.100.7"}, "198.51.100.7:0"},
		{"mapped peer that is not trusted", "[::ffff:192.0.2.1]:5000", []string{"198.51.100.7"}, "192.0.2.1:5000"},
		{"a UNIX socket", "@", []string{"198.51.100.7"}, "invalid AddrPort"},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = tt.peer
		for _, line := range tt.lines {
			r.Header.Add("x-forwarded-for", line)
		}
		if got := trusted.ClientAddr(r).String(); got != tt.want {
			t.Errorf("%s: ClientAddr(%s, %q) = %s; want %s", tt.name, tt.peer, tt.lines, got, tt.want)
		}
	}
	r := httptest.NewRequest("GET", "/", nil)
	r.RemoteAddr = "10.0.0.1:5000"
	r.Header.Set("X-Forwarded-For", "198.51.100.7")
	if got := (TrustedProxies(nil)).ClientAddr(r).String(); got != r.RemoteAddr {
		t.Errorf("without proxies ClientAddr = %s; want %s", got, r.RemoteAddr)
	}
}

// The v2 header of PROXY protocol section 2.2: signature, PROXY, TCP over IPv4, 12 bytes of addresses.
const proxyV2 = "0d0a0d0a000d0a515549540a 21 11 000c c6336407 c0000201 1267 01bb"

func proxyHeaderBytes(t *testing.T, s string) string {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// serveClientAddr answers each request with the address that the gateway would log, and takes the
// connection over to echo one more line, on the connection below the wrapper of the PROXY protocol:
// that must have handed out all that it read ahead.
func serveClientAddr(t *testing.T, proxies TrustedProxies) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Errorf("Hijack() = %v", err)
			return
		}
		defer conn.Close()
		bare := conn
		if wrapper, ok := conn.(*proxyproto.Conn); ok {
			bare = wrapper.Raw()
		}
		_, _ = io.WriteString(bare, "HTTP/1.1 101 Switching Protocols\r\n\r\n"+proxies.ClientAddr(r).String()+"\n")
		// What came with the request is in net/http's buffer, the rest still in the socket.
		line, err := bufio.NewReader(io.MultiReader(io.LimitReader(buffered, int64(buffered.Reader.Buffered())), bare)).ReadString('\n')
		if err != nil {
			t.Errorf("read after the request = %q, %v", line, err)
		}
		_, _ = io.WriteString(bare, line)
	})}
	go func() { _ = server.Serve(proxies.Listener(l)) }()
	t.Cleanup(func() { server.Close() })
	return l.Addr().String()
}

func TestProxyProtocolHeaderNamesTheClient(t *testing.T) {
	loopback := TrustedProxies{netip.MustParsePrefix("127.0.0.0/8")}
	long := "GET / HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("x", 1000) + "\r\n\r\n"
	forwarded := "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 203.0.113.5\r\n\r\n"
	for _, tt := range []struct {
		name    string
		proxies TrustedProxies
		sent    string
		want    string // own: the address that dialled
	}{
		{"v1", loopback, "PROXY TCP4 198.51.100.7 192.0.2.1 4711 443\r\n" + long, "198.51.100.7:4711"},
		{"v1, IPv6", loopback, "PROXY TCP6 2001:db8::7 2001:db8::1 4711 443\r\n" + long, "[2001:db8::7]:4711"},
		{"v1, unknown", loopback, "PROXY UNKNOWN\r\n" + long, "own"},
		{"v2", loopback, proxyHeaderBytes(t, proxyV2) + long, "198.51.100.7:4711"},
		{"v2, LOCAL", loopback, proxyHeaderBytes(t, "0d0a0d0a000d0a515549540a 20 00 0000") + long, "own"},
		{"none", loopback, long, "own"},
		{"the client that it names is not trusted", loopback, proxyHeaderBytes(t, proxyV2) + forwarded, "198.51.100.7:4711"},
		{"none, but X-Forwarded-For", loopback, forwarded, "203.0.113.5:0"},
		{"no proxy is trusted", nil, forwarded, "own"},
		{"another proxy is trusted", TrustedProxies{netip.MustParsePrefix("192.0.2.0/24")}, forwarded, "own"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			conn, err := net.Dial("tcp", serveClientAddr(t, tt.proxies))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			// In one segment: whatever a wrapper has read ahead must not be lost.
			_, _ = io.WriteString(conn, tt.sent+"ahead ")
			r := bufio.NewReader(conn)
			response, err := http.ReadResponse(r, nil)
			if err != nil || response.StatusCode != http.StatusSwitchingProtocols {
				t.Fatalf("ReadResponse() = %v, %v; want 101", response, err)
			}
			if tt.want == "own" {
				tt.want = conn.LocalAddr().String()
			}
			if got, err := r.ReadString('\n'); got != tt.want+"\n" {
				t.Errorf("client address = %q, %v; want %q", got, err, tt.want)
			}
			_, _ = io.WriteString(conn, "later\n")
			if got, err := r.ReadString('\n'); got != "ahead later\n" {
				t.Errorf("echo = %q, %v; want %q", got, err, "ahead later\n")
			}
		})
	}
}

func TestProxyProtocolHeaderIsRefused(t *testing.T) {
	loopback := TrustedProxies{netip.MustParsePrefix("127.0.0.0/8")}
	request := "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
	unix := proxyHeaderBytes(t, "0d0a0d0a000d0a515549540a 21 31 00d8"+strings.Repeat("2f", 216))
	for _, tt := range []struct {
		name    string
		proxies TrustedProxies
		sent    string
	}{
		{"peer is not trusted", TrustedProxies{netip.MustParsePrefix("192.0.2.0/24")}, "PROXY TCP4 198.51.100.7 192.0.2.1 4711 443\r\n" + request},
		{"no proxy is trusted", nil, proxyHeaderBytes(t, proxyV2) + request},
		{"UNIX socket", loopback, unix + request},
		{"bad address", loopback, "PROXY TCP4 198.51.100.777 192.0.2.1 4711 443\r\n" + request},
		{"bad family", loopback, proxyHeaderBytes(t, "0d0a0d0a000d0a515549540a 21 51 0000") + request},
		{"short", loopback, proxyHeaderBytes(t, "0d0a0d0a000d0a515549540a 21 11 0004 c6336407") + request},
	} {
		t.Run(tt.name, func(t *testing.T) {
			conn, err := net.Dial("tcp", serveClientAddr(t, tt.proxies))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_, _ = io.WriteString(conn, tt.sent)
			if got, _ := io.ReadAll(conn); len(got) > 0 && !strings.HasPrefix(string(got), "HTTP/1.1 400 ") {
				t.Errorf("answer = %q; want 400 or none", got)
			}
		})
	}
}

func TestProxyProtocolHeaderStandsBeforeTLS(t *testing.T) {
	c := newTestCerts(t)
	c.serve("gateway.test")
	reloader, _ := newTestReloader(t, c.files)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	loopback := TrustedProxies{netip.MustParsePrefix("127.0.0.0/8")}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, loopback.ClientAddr(r).String())
	})}
	go func() { _ = server.Serve(tls.NewListener(loopback.Listener(l), reloader.TLSConfig())) }()
	defer server.Close()

	raw, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	_, _ = io.WriteString(raw, proxyHeaderBytes(t, proxyV2))
	conn := tls.Client(raw, &tls.Config{InsecureSkipVerify: true})
	_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("ReadResponse() = %v", err)
	}
	defer response.Body.Close()
	if got, err := io.ReadAll(response.Body); string(got) != "198.51.100.7:4711" {
		t.Errorf("client address = %q, %v; want 198.51.100.7:4711", got, err)
	}
}

func TestListenerWithoutProxiesIsTheListenerItself(t *testing.T) {
	l := new(net.TCPListener)
	if got := (TrustedProxies(nil)).Listener(l); got != net.Listener(l) {
		t.Errorf("Listener() = %T; want the same %T", got, l)
	}
}
