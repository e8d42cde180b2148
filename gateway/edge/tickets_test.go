package edge

import (
	"bytes"
	"crypto/tls"
	"log/slog"
	"path/filepath"
	"testing"
	"time"
)

// A client resumes at another instance that has the same secret, and at none that has another.
func TestInstancesTakeEachOthersTickets(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		c := newTestCerts(t)
		c.serve("gateway.test")
		instance := func(secret string) *CertReloader {
			files := c.files
			files.Tickets = filepath.Join(t.TempDir(), "tickets")
			c.write(files.Tickets, []byte(secret))
			reloader, _ := newTestReloader(t, files)
			return reloader
		}
		const secret, another = "0123456789abcdef0123456789abcdef", "another secret that is long enough\n"
		one, two, third := instance(secret), instance(secret+"\n"), instance(another)
		client := &tls.Config{InsecureSkipVerify: true, MaxVersion: version, ServerName: "gateway.test", ClientSessionCache: tls.NewLRUClientSessionCache(1)}
		resumes := func(at *CertReloader, want bool) {
			t.Helper()
			if state, _, err := shakeHands(t, at.TLSConfig(), client); err != nil || state.DidResume != want {
				t.Errorf("%s: resumed: %t, %v; want %t", tls.VersionName(version), state.DidResume, err, want)
			}
		}
		resumes(one, false)
		resumes(two, true)
		resumes(one, true)
		resumes(third, false)
		resumes(two, false) // with a ticket of the third's
		c.write(two.files.Tickets, []byte(another))
		if err := two.Reload(); err != nil {
			t.Fatal(err)
		}
		resumes(one, true) // with that of before
		resumes(two, false)
		resumes(third, true)
	}
}

// Keys change with the time, and those of the periods beside the present one are taken.
func TestTicketKeysChange(t *testing.T) {
	s := ticketSecret{bytes: bytes.Repeat([]byte{7}, minTicketSecret)}
	seen := map[[32]byte]int64{}
	for period := range int64(100) {
		key := s.key(period)
		if before, twice := seen[key]; twice {
			t.Errorf("periods %d and %d have one key", before, period)
		}
		seen[key] = period
	}
	var config tls.Config
	now := time.Unix(0, 0).Add(1000 * ticketPeriod)
	for range 3 {
		s.apply(&config, now)
		if want := now.Unix() / int64(ticketPeriod/time.Second); s.period != want {
			t.Errorf("keys of period %d at %v; want %d", s.period, now, want)
		}
		now = now.Add(ticketPeriod)
	}
}

// A secret that is none stops the start, and leaves the last good one in force later.
func TestATicketSecretThatIsNone(t *testing.T) {
	c := newTestCerts(t)
	c.serve("gateway.test")
	c.files.Tickets = filepath.Join(t.TempDir(), "tickets")
	if _, err := NewCertReloader(c.files, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("started without the file")
	}
	c.write(c.files.Tickets, []byte("  too short                            \n"))
	if _, err := NewCertReloader(c.files, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("started with a secret of 9 bytes")
	}
	c.write(c.files.Tickets, bytes.Repeat([]byte("x"), 40))
	reloader, _ := newTestReloader(t, c.files)
	before := reloader.tickets.bytes
	c.write(c.files.Tickets, nil)
	if err := reloader.Reload(); err == nil || !bytes.Equal(reloader.tickets.bytes, before) {
		t.Errorf("Reload() = %v, and the secret is %q; want the last good one", err, reloader.tickets.bytes)
	}
}
