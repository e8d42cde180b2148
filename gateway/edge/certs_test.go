package edge

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// testCerts makes certificates and writes them where a CertReloader looks.
type testCerts struct {
	t     *testing.T
	files CertFiles
}

var certSerial atomic.Int64

// testAuthority is a CA of tests.
type testAuthority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newTestCerts(t *testing.T) *testCerts {
	dir := t.TempDir()
	return &testCerts{t, CertFiles{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}}
}

// issue makes a certificate for name: by ca, or, without one, a CA itself.
func (c *testCerts) issue(name string, ca *testAuthority) (*testAuthority, tls.Certificate) {
	c.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		c.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(certSerial.Add(1)), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		// Wide enough for real time and for that of a synctest bubble, which begins in 2000.
		NotBefore: time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2090, 1, 1, 0, 0, 0, 0, time.UTC),
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true, IsCA: ca == nil,
	}
	signer := &testAuthority{template, key, nil}
	if ca != nil {
		signer = ca
	}
	der, err := x509.CreateCertificate(rand.Reader, template, signer.cert, &key.PublicKey, signer.key)
	if err != nil {
		c.t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		c.t.Fatal(err)
	}
	encoded := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return &testAuthority{leaf, key, encoded}, tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func (c *testCerts) write(file string, content []byte) {
	c.t.Helper()
	if err := os.WriteFile(file, content, 0o600); err != nil {
		c.t.Fatal(err)
	}
}

// serve writes a new server certificate of that name and its key.
func (c *testCerts) serve(name string) {
	c.t.Helper()
	made, _ := c.issue(name, nil)
	der, err := x509.MarshalECPrivateKey(made.key)
	if err != nil {
		c.t.Fatal(err)
	}
	c.write(c.files.Cert, made.pem)
	c.write(c.files.Key, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}))
}

// shakeHands does one handshake, one byte from the server included (with TLS 1.3 the client's own
// part ends before the server has judged its certificate), and gives both ends' errors. It goes
// over a socket, since over a net.Pipe both ends of a TLS 1.3 handshake can wait in a write.
func shakeHands(t *testing.T, server, client *tls.Config) (state tls.ConnectionState, serverErr, clientErr error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	done := make(chan error, 1)
	go func() {
		raw, err := l.Accept()
		if err == nil {
			defer raw.Close()
			_, err = tls.Server(raw, server).Write([]byte{1})
		}
		done <- err
	}()
	raw, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	conn := tls.Client(raw, client)
	_, clientErr = io.ReadFull(conn, make([]byte, 1))
	return conn.ConnectionState(), <-done, clientErr
}

// servedName is the name in the certificate that the server shows.
func servedName(t *testing.T, server *tls.Config) string {
	t.Helper()
	state, _, err := shakeHands(t, server, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatalf("handshake: %v", err)
	}
	return state.PeerCertificates[0].Subject.CommonName
}

func newTestReloader(t *testing.T, files CertFiles) (*CertReloader, *bytes.Buffer) {
	t.Helper()
	log := new(bytes.Buffer)
	c, err := NewCertReloader(files, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatalf("NewCertReloader() = %v", err)
	}
	return c, log
}

func TestChangedCertificateIsServedWithinASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTestCerts(t)
		c.serve("one.test")
		reloader, _ := newTestReloader(t, c.files)
		config := reloader.TLSConfig()
		c.serve("two.test")
		if got := servedName(t, config); got != "one.test" {
			t.Errorf("at once: %s is served; want one.test, since files are looked at once a second", got)
		}
		time.Sleep(certCheckInterval)
		if got := servedName(t, config); got != "two.test" {
			t.Errorf("a second later: %s is served; want two.test", got)
		}
		c.serve("three.test")
		if err := reloader.Reload(); err != nil {
			t.Errorf("Reload() = %v", err)
		}
		if got := servedName(t, config); got != "three.test" {
			t.Errorf("after Reload: %s is served; want three.test", got)
		}
	})
}

func TestBrokenCertificateLeavesTheOldOne(t *testing.T) {
	for _, tt := range []struct {
		name  string
		spoil func(c *testCerts) error
	}{
		{"no PEM", func(c *testCerts) error { return os.WriteFile(c.files.Cert, []byte("nonsense"), 0o600) }},
		{"no certificate", func(c *testCerts) error { return os.Remove(c.files.Cert) }},
		{"no key", func(c *testCerts) error { return os.Remove(c.files.Key) }},
		{"key of another certificate", func(c *testCerts) error {
			made, _ := c.issue("two.test", nil)
			return os.WriteFile(c.files.Cert, made.pem, 0o600)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newTestCerts(t)
				c.serve("one.test")
				reloader, log := newTestReloader(t, c.files)
				config := reloader.TLSConfig()
				if err := tt.spoil(c); err != nil {
					t.Fatal(err)
				}
				for range 3 {
					time.Sleep(certCheckInterval)
					if got := servedName(t, config); got != "one.test" {
						t.Errorf("%s is served; want one.test", got)
					}
				}
				if got := strings.Count(log.String(), "level=ERROR"); got != 1 {
					t.Errorf("%d errors logged; want 1, not one each second:\n%s", got, log)
				}
				if err := reloader.Reload(); err == nil {
					t.Error("Reload() = nil; want an error, since it was asked for")
				}
				c.serve("two.test")
				time.Sleep(certCheckInterval)
				if got := servedName(t, config); got != "two.test" {
					t.Errorf("repaired: %s is served; want two.test", got)
				}
			})
		})
	}
}

func TestFileMovedIntoPlaceIsAChangeThoughTimeAndSizeAreKept(t *testing.T) {
	dir := t.TempDir()
	file, other := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	for _, name := range []string{file, other} {
		if err := os.WriteFile(name, []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(name, time.Unix(1, 0), time.Unix(1, 0)); err != nil {
			t.Fatal(err)
		}
	}
	reloader := &CertReloader{files: CertFiles{Cert: file, Key: file}}
	before := reloader.stat()
	if !sameFiles(before, reloader.stat()) {
		t.Error("sameFiles() = false with nothing changed; want true")
	}
	if err := os.Rename(other, file); err != nil {
		t.Fatal(err)
	}
	if sameFiles(before, reloader.stat()) {
		t.Error("sameFiles() = true after a rename; want false")
	}
}

func TestUnusableFilesAreRefusedAtStart(t *testing.T) {
	c := newTestCerts(t)
	c.serve("one.test")
	empty := filepath.Join(t.TempDir(), "ca.pem")
	c.write(empty, []byte("no certificate"))
	for _, tt := range []struct {
		name  string
		files CertFiles
		want  string
	}{
		{"no certificate", CertFiles{Cert: "missing.pem", Key: c.files.Key}, "missing.pem"},
		{"key is a certificate", CertFiles{Cert: c.files.Cert, Key: c.files.Cert}, "found a certificate rather than a key"},
		{"no authorities", CertFiles{Cert: c.files.Cert, Key: c.files.Key, ClientCA: "missing-ca.pem"}, "missing-ca.pem"},
		{"no certificate among the authorities", CertFiles{Cert: c.files.Cert, Key: c.files.Key, ClientCA: empty}, "no certificate in " + empty},
		{"required of nobody", CertFiles{Cert: c.files.Cert, Key: c.files.Key, RequireClient: true}, "no authority"},
	} {
		if _, err := NewCertReloader(tt.files, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: NewCertReloader() = %v; want an error with %q", tt.name, err, tt.want)
		}
	}
}

func TestClientCertificates(t *testing.T) {
	c := newTestCerts(t)
	c.serve("gateway.test")
	good, _ := c.issue("devices", nil)
	bad, _ := c.issue("strangers", nil)
	_, ofGood := c.issue("sensor-1", good)
	_, ofBad := c.issue("sensor-1", bad)
	c.files.ClientCA = filepath.Join(t.TempDir(), "ca.pem")
	c.write(c.files.ClientCA, good.pem)

	for _, tt := range []struct {
		name    string
		require bool
		cert    []tls.Certificate
		ok      bool
	}{
		{"optional, none", false, nil, true},
		{"optional, good", false, []tls.Certificate{ofGood}, true},
		{"optional, of another authority", false, []tls.Certificate{ofBad}, false},
		{"required, none", true, nil, false},
		{"required, good", true, []tls.Certificate{ofGood}, true},
		{"required, of another authority", true, []tls.Certificate{ofBad}, false},
	} {
		files := c.files
		files.RequireClient = tt.require
		reloader, _ := newTestReloader(t, files)
		client := &tls.Config{InsecureSkipVerify: true, GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			if len(tt.cert) == 0 {
				return new(tls.Certificate), nil
			}
			return &tt.cert[0], nil // whatever authorities the server names
		}}
		_, serverErr, clientErr := shakeHands(t, reloader.TLSConfig(), client)
		if (serverErr == nil) != tt.ok || (clientErr == nil) != tt.ok {
			t.Errorf("%s: handshake = %v (server), %v (client); want success %v", tt.name, serverErr, clientErr, tt.ok)
		}
	}
}

func TestTicketIsWorthlessOnceItsAuthorityIsWithdrawn(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		c := newTestCerts(t)
		c.serve("gateway.test")
		old, _ := c.issue("devices", nil)
		next, _ := c.issue("devices", nil)
		_, cert := c.issue("sensor-1", old)
		c.files.ClientCA, c.files.RequireClient = filepath.Join(t.TempDir(), "ca.pem"), true
		c.write(c.files.ClientCA, old.pem)
		reloader, _ := newTestReloader(t, c.files)
		config := reloader.TLSConfig()
		client := &tls.Config{
			InsecureSkipVerify: true, MaxVersion: version, ServerName: "gateway.test", ClientSessionCache: tls.NewLRUClientSessionCache(1),
			GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &cert, nil },
		}
		for i, resumed := range []bool{false, true} {
			if state, _, err := shakeHands(t, config, client); err != nil || state.DidResume != resumed {
				t.Errorf("%s: handshake %d: resumed %v, %v; want %v", tls.VersionName(version), i, state.DidResume, err, resumed)
			}
		}
		c.write(c.files.ClientCA, next.pem)
		if err := reloader.Reload(); err != nil {
			t.Fatal(err)
		}
		if _, err, _ := shakeHands(t, config, client); err == nil {
			t.Errorf("%s: a certificate of the withdrawn authority is accepted with an old ticket; want it refused", tls.VersionName(version))
		}
	}
}

func TestHandshakeLimits(t *testing.T) {
	c := newTestCerts(t)
	c.serve("gateway.test")
	reloader, _ := newTestReloader(t, c.files)
	for _, tt := range []struct {
		name   string
		client *tls.Config
		alpn   string
		ok     bool
	}{
		{"no ALPN", &tls.Config{}, "", true},
		{"browser", &tls.Config{NextProtos: []string{"h2", "http/1.1"}}, "http/1.1", true},
		{"HTTP/2 alone", &tls.Config{NextProtos: []string{"h2"}}, "", false},
		{"TLS 1.2", &tls.Config{MaxVersion: tls.VersionTLS12}, "", true},
		{"TLS 1.1", &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, "", false},
	} {
		tt.client.InsecureSkipVerify = true
		state, _, err := shakeHands(t, reloader.TLSConfig(), tt.client)
		if (err == nil) != tt.ok || state.NegotiatedProtocol != tt.alpn {
			t.Errorf("%s: handshake = %q, %v; want %q, success %v", tt.name, state.NegotiatedProtocol, err, tt.alpn, tt.ok)
		}
	}
}
