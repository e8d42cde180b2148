package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"topicgate/config"
)

// writeCertificate makes a self-signed certificate and its key.
func writeCertificate(t *testing.T, name string) (certFile, keyFile string) {
	t.Helper()
	dir := t.TempDir()
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	replaceCertificate(t, certFile, keyFile, name)
	return certFile, keyFile
}

func replaceCertificate(t *testing.T, certFile, keyFile, name string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour)}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: cert}, keyFile: {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTheCertificateForBrokersIsReread(t *testing.T) {
	certFile, keyFile := writeCertificate(t, "one")
	settings, reload, err := upstreamTLS(config.Config{UpstreamCAFile: certFile, UpstreamCertFile: certFile, UpstreamKeyFile: keyFile})
	if err != nil || settings.RootCAs == nil {
		t.Fatalf("upstreamTLS = %+v, %v; want its authorities", settings, err)
	}
	name := func() string {
		cert, err := settings.GetClientCertificate(nil)
		if err != nil {
			t.Fatal(err)
		}
		return cert.Leaf.Subject.CommonName
	}
	replaceCertificate(t, certFile, keyFile, "two")
	if name() != "one" {
		t.Errorf("before reload: %s; want one", name())
	}
	if err := reload(); err != nil || name() != "two" {
		t.Errorf("reload = %v, then %s; want two", err, name())
	}
	if err := os.WriteFile(certFile, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := reload(); err == nil || name() != "two" {
		t.Errorf("reload of nothing = %v, then %s; want an error, and two kept", err, name())
	}
}

func TestBrokersAreCheckedAgainstTheSystemUnlessSaidOtherwise(t *testing.T) {
	settings, reload, err := upstreamTLS(config.Config{})
	if err != nil || settings.RootCAs != nil || settings.GetClientCertificate != nil || settings.InsecureSkipVerify || reload() != nil {
		t.Errorf("upstreamTLS = %+v, %v; want the system's authorities, no certificate", settings, err)
	}
}
