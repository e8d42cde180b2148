package edge

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"os"
	"strconv"
	"time"
)

// Session tickets let a client resume without a signature (RFC 8446 section 2.2): after a roll-out ten thousand come at
// once. Instances that share a secret take each other's tickets, and their own after a restart.

const (
	// ticketPeriod is for how long tickets are sealed with one key. They are taken until the end of the next period.
	ticketPeriod = 12 * time.Hour
	// minTicketSecret is the least number of bytes of a secret.
	minTicketSecret = 32
)

// ticketSecret is what instances share, and what of it is in force.
type ticketSecret struct {
	bytes  []byte // nil: none, crypto/tls makes keys of its own
	period int64
}

// loadTicketSecret reads the secret; without a file there is none.
func loadTicketSecret(file string) (ticketSecret, error) {
	if file == "" {
		return ticketSecret{}, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return ticketSecret{}, fmt.Errorf("TLS session tickets: %w", err)
	}
	if text = bytes.TrimSpace(text); len(text) < minTicketSecret {
		return ticketSecret{}, fmt.Errorf("TLS session tickets: the secret in %s has %d bytes, less than %d", file, len(text), minTicketSecret)
	}
	return ticketSecret{bytes: text}, nil
}

// apply puts the keys of now in force, if they are not.
func (s *ticketSecret) apply(config *tls.Config, now time.Time) {
	period := now.Unix() / int64(ticketPeriod/time.Second)
	if s.bytes == nil || s.period == period {
		return
	}
	s.period = period
	// The first seals. That of the period to come is for clocks that go apart.
	config.SetSessionTicketKeys([][32]byte{s.key(period), s.key(period - 1), s.key(period + 1)})
}

// key is the one of a period, by HKDF (RFC 5869): from it nobody learns the secret, nor another period's key.
func (s *ticketSecret) key(period int64) (key [32]byte) {
	text, err := hkdf.Key(sha256.New, s.bytes, nil, "topicgate session tickets "+strconv.FormatInt(period, 10), len(key))
	if err != nil {
		panic("BUG: HKDF: " + err.Error()) // of a length or hash that cannot be
	}
	copy(key[:], text)
	return key
}
