package edge

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// certCheckInterval is how often, at most, a handshake looks whether the files have changed.
const certCheckInterval = time.Second

// CertFiles name the PEM files for TLS towards clients.
type CertFiles struct {
	Cert, Key string
	// ClientCA, if not empty, holds the authorities whose client certificates are accepted.
	ClientCA string
	// RequireClient refuses a handshake without such a certificate.
	RequireClient bool
	// Tickets, if not empty, holds a secret that instances share, so that a client resumes at each of them.
	Tickets string
}

// CertReloader keeps TLS settings that follow their files: a handshake looks at most once a second
// whether one of them has changed. Files that cannot be used leave the last good ones in force.
type CertReloader struct {
	files CertFiles
	log   *slog.Logger

	listener  *tls.Config // which has the keys of session tickets
	current   atomic.Pointer[tls.Config]
	start     time.Time    // what nextCheck counts from, with a monotonic clock
	nextCheck atomic.Int64 // nanoseconds after start

	mu      sync.Mutex    // one load at a time
	seen    []os.FileInfo // guarded by mu: the files as of the last load, good or bad
	tickets ticketSecret  // guarded by mu
}

// NewCertReloader loads the files and fails when they cannot be used.
func NewCertReloader(files CertFiles, log *slog.Logger) (*CertReloader, error) {
	if files.RequireClient && files.ClientCA == "" {
		return nil, errors.New("TLS: client certificates are required, but no authority for them is named")
	}
	c := &CertReloader{files: files, log: log, start: time.Now()}
	c.nextCheck.Store(int64(certCheckInterval))
	c.listener = &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"http/1.1"},
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			c.check()
			return c.current.Load(), nil
		},
	}
	if err := c.Reload(); err != nil {
		return nil, err
	}
	return c, nil
}

// TLSConfig gives the settings for a listener; each handshake gets the files' latest state. The
// keys of session tickets are made of the shared secret, or, without one, those of the returned Config and renewed by crypto/tls, so tickets
// outlive a change of the files; a ticket got with a client certificate is good only as long as
// the authorities of the day verify that certificate, which crypto/tls sees to.
func (c *CertReloader) TLSConfig() *tls.Config { return c.listener }

// Reload reads the files now, changed or not. After an error the last good ones stay in force.
func (c *CertReloader) Reload() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen = c.stat() // before reading, so that a write in between is seen as a change later
	return c.load()
}

// check reloads if the files have changed since they were last looked at. Of handshakes that run
// at the same time one does the work, the others go on with what there is.
func (c *CertReloader) check() {
	now, next := int64(time.Since(c.start)), c.nextCheck.Load()
	if now < next || !c.nextCheck.CompareAndSwap(next, now+int64(certCheckInterval)) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tickets.apply(c.listener, time.Now())
	seen := c.stat()
	if sameFiles(seen, c.seen) {
		return
	}
	c.seen = seen // also when it fails: a broken file is reported once, not each second
	if err := c.load(); err != nil {
		c.log.Error("TLS certificate not reloaded, the last good one stays", "err", err)
	}
}

// load puts the files' contents in force. c.mu is held.
func (c *CertReloader) load() error {
	cert, err := tls.LoadX509KeyPair(c.files.Cert, c.files.Key)
	if err != nil {
		return fmt.Errorf("TLS certificate %s with key %s: %w", c.files.Cert, c.files.Key, err)
	}
	config := &tls.Config{
		MinVersion:   tls.VersionTLS12,
		NextProtos:   []string{"http/1.1"}, // the WebSocket upgrade needs it (RFC 6455 section 4.1)
		Certificates: []tls.Certificate{cert},
	}
	if c.files.ClientCA != "" {
		if config.ClientCAs, err = loadAuthorities(c.files.ClientCA); err != nil {
			return err
		}
		config.ClientAuth = tls.VerifyClientCertIfGiven
		if c.files.RequireClient {
			config.ClientAuth = tls.RequireAndVerifyClientCert
		}
	}
	tickets, err := loadTicketSecret(c.files.Tickets)
	if err != nil {
		return err
	}
	if !bytes.Equal(tickets.bytes, c.tickets.bytes) {
		c.tickets = tickets
		c.tickets.apply(c.listener, time.Now())
	}
	c.current.Store(config)
	c.log.Info("TLS certificate loaded", "subject", cert.Leaf.Subject.String(), "not_after", cert.Leaf.NotAfter)
	if time.Now().After(cert.Leaf.NotAfter) {
		c.log.Warn("TLS certificate has expired", "not_after", cert.Leaf.NotAfter)
	}
	return nil
}

func loadAuthorities(file string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("TLS client authorities: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("TLS client authorities: no certificate in %s", file)
	}
	return pool, nil
}

// stat gives nil for a file that is not there.
func (c *CertReloader) stat() []os.FileInfo {
	names := []string{c.files.Cert, c.files.Key, c.files.ClientCA, c.files.Tickets}
	infos := make([]os.FileInfo, len(names))
	for i, name := range names {
		if info, err := os.Stat(name); err == nil && name != "" {
			infos[i] = info
		}
	}
	return infos
}

// sameFiles compares time, size and identity, since a file moved into place may keep the first two.
func sameFiles(a, b []os.FileInfo) bool {
	for i := range a {
		if (a[i] == nil) != (b[i] == nil) {
			return false
		}
		if a[i] != nil && (!a[i].ModTime().Equal(b[i].ModTime()) || a[i].Size() != b[i].Size() || !os.SameFile(a[i], b[i])) {
			return false
		}
	}
	return true
}
