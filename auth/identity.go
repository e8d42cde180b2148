package auth

import (
	"crypto/x509"
	"encoding/asn1"
	"time"
)

// Identity is a verified party. Roles may be shared: they must not be changed. Subject and TokenID may be pieces
// of Claims: who keeps one without the other clones it.
type Identity struct {
	Issuer   string   // "iss", or the issuer's distinguished name of a certificate
	Subject  string   // "sub", or the subject's distinguished name of a certificate
	Username string   // the name used in rules and upstream
	Roles    []string // without duplicates, in the token's order
	Claims   string   // the token's Claims Set, a JSON object as the issuer wrote it; empty for a certificate
	TokenID  string   // "jti"; empty when there is none

	// Expiry is when the session must end: "exp" plus clock skew, or a certificate's NotAfter.
	Expiry time.Time
	// Certificate says that a client certificate was the proof, not a token.
	Certificate bool
}

// FromCertificate makes an Identity of a client certificate: prefix and the subject's common name are the username.
// That the certificate is valid now, for clients, and of the right CA is TLS's to verify; it is not
// looked at here. The error is a *[Refused].
func FromCertificate(c *x509.Certificate, prefix string) (Identity, error) {
	if c == nil {
		return Identity{}, refused(ReasonBadCertificate, "there is no certificate")
	}
	commonNames := 0
	for _, attribute := range c.Subject.Names {
		if attribute.Type.Equal(oidCommonName) {
			commonNames++
		}
	}
	if commonNames > 1 { // crypto/x509 would quietly take the last
		return Identity{}, refused(ReasonBadCertificate, "the certificate's subject has several common names")
	}
	if c.Subject.CommonName == "" {
		return Identity{}, refused(ReasonNoUsername, "the certificate's subject has no common name")
	}
	username, problem := withPrefix(prefix, c.Subject.CommonName)
	if problem != "" {
		return Identity{}, refused(ReasonBadUsername, "the certificate's common name "+problem)
	}
	return Identity{
		Issuer:      c.Issuer.String(),
		Subject:     c.Subject.String(),
		Username:    username,
		Expiry:      c.NotAfter,
		Certificate: true,
	}, nil
}

var oidCommonName = asn1.ObjectIdentifier{2, 5, 4, 3} // X.520, id-at-commonName
