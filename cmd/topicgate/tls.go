package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"sync/atomic"

	"topicgate/config"
	"topicgate/gateway/edge"
)

// certFiles names the files of the public listener.
func certFiles(c config.Config) edge.CertFiles {
	return edge.CertFiles{
		Cert:          c.TLSCertFile,
		Key:           c.TLSKeyFile,
		ClientCA:      c.TLSClientCAFile,
		RequireClient: c.TLSClientAuth == config.ClientAuthRequire,
		Tickets:       c.TLSTicketKeyFile,
	}
}

// upstreamTLS makes the settings for tls:// brokers. reload reads the client certificate again;
// after an error the last good one stays.
func upstreamTLS(c config.Config) (settings *tls.Config, reload func() error, err error) {
	settings = &tls.Config{MinVersion: tls.VersionTLS12}
	if settings.RootCAs, err = loadAuthorities(c.UpstreamCAFile); err != nil {
		return nil, nil, err
	}
	if c.UpstreamCertFile == "" {
		return settings, func() error { return nil }, nil
	}
	cert, err := newClientCert(c.UpstreamCertFile, c.UpstreamKeyFile)
	if err != nil {
		return nil, nil, err
	}
	settings.GetClientCertificate = cert.get
	return settings, cert.reload, nil
}

// loadAuthorities reads CA certificates; without a file the system's are meant (nil).
func loadAuthorities(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate in PEM form", file)
	}
	return pool, nil
}

// clientCert is the gateway's certificate towards brokers.
type clientCert struct {
	certFile, keyFile string
	current           atomic.Pointer[tls.Certificate]
}

func newClientCert(certFile, keyFile string) (*clientCert, error) {
	c := &clientCert{certFile: certFile, keyFile: keyFile}
	return c, c.reload()
}

func (c *clientCert) reload() error {
	cert, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return fmt.Errorf("certificate %s with key %s: %w", c.certFile, c.keyFile, err)
	}
	c.current.Store(&cert)
	return nil
}

func (c *clientCert) get(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	return c.current.Load(), nil
}
