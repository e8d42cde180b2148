package integration

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"net"
	"path/filepath"
	"testing"
	"time"
)

// authority is a certificate authority of a test's own.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	file        string // PEM
	pool        *x509.CertPool
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	a := &authority{key: newECKey(t), file: filepath.Join(t.TempDir(), "ca.pem"), pool: x509.NewCertPool()}
	template := newTemplate(t, "topicgate test CA")
	template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign
	a.certificate = a.sign(t, template, &a.key.PublicKey, template)
	writeFile(t, a.file, a.pem())
	a.pool.AddCert(a.certificate)
	return a
}

// leaf is a certificate with its key, in files.
type leaf struct {
	certFile, keyFile string
	certPEM, keyPEM   []byte
	pin               string // SHA-256 of the public key, base64, as Chromium wants it
	pair              tls.Certificate
}

// issue makes a certificate for a server on loopback, or for a client with this common name.
func (a *authority) issue(t testing.TB, commonName string, usage x509.ExtKeyUsage) leaf {
	t.Helper()
	key := newECKey(t)
	template := newTemplate(t, commonName)
	template.KeyUsage, template.ExtKeyUsage = x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{usage}
	if usage == x509.ExtKeyUsageServerAuth {
		template.IPAddresses, template.DNSNames = []net.IP{net.IPv4(127, 0, 0, 1)}, []string{"localhost"}
	}
	certificate := a.sign(t, template, &key.PublicKey, a.certificate)
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	l := leaf{
		certFile: filepath.Join(dir, "cert.pem"), certPEM: encodePEM("CERTIFICATE", certificate.Raw),
		keyFile: filepath.Join(dir, "key.pem"), keyPEM: encodePEM("PRIVATE KEY", keyDER),
	}
	writeFile(t, l.certFile, string(l.certPEM))
	writeFile(t, l.keyFile, string(l.keyPEM))
	pin := sha256.Sum256(certificate.RawSubjectPublicKeyInfo)
	l.pin = base64.StdEncoding.EncodeToString(pin[:])
	if l.pair, err = tls.X509KeyPair(l.certPEM, l.keyPEM); err != nil {
		t.Fatal(err)
	}
	return l
}

func (a *authority) issueServer(t testing.TB) leaf {
	t.Helper()
	return a.issue(t, "127.0.0.1", x509.ExtKeyUsageServerAuth)
}

func (a *authority) issueClient(t testing.TB, commonName string) leaf {
	t.Helper()
	return a.issue(t, commonName, x509.ExtKeyUsageClientAuth)
}

// clientTLS trusts this authority and presents the certificates.
func (a *authority) clientTLS(own ...leaf) *tls.Config {
	c := &tls.Config{RootCAs: a.pool, ServerName: "127.0.0.1"}
	for _, l := range own {
		c.Certificates = append(c.Certificates, l.pair)
	}
	return c
}

func (a *authority) sign(t testing.TB, template *x509.Certificate, public *ecdsa.PublicKey, parent *x509.Certificate) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, a.key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}

// pem is the authority's certificate as text.
func (a *authority) pem() string { return string(encodePEM("CERTIFICATE", a.certificate.Raw)) }

func newTemplate(t testing.TB, commonName string) *x509.Certificate {
	t.Helper()
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		t.Fatal(err)
	}
	return &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: commonName},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
}

func newECKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func encodePEM(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}
