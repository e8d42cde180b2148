package auth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"
)

const minRSABits = 2048 // RFC 7518 sections 3.3 and 3.5

// key is one public key of an issuer.
type key struct {
	id         string // "kid"; empty when the issuer gives none
	algorithm  string // "alg"; empty: any that fits the key
	public     crypto.PublicKey
	thumbprint string // RFC 7638
}

// fits says whether k may verify a signature of this algorithm. A key that names its algorithm serves
// for no other (RFC 8725 section 3.1).
func (k key) fits(algorithm string) bool {
	if k.algorithm != "" && k.algorithm != algorithm {
		return false
	}
	switch public := k.public.(type) {
	case *rsa.PublicKey:
		return strings.HasPrefix(algorithm, "RS") || strings.HasPrefix(algorithm, "PS")
	case *ecdsa.PublicKey: // RFC 7518 section 3.4: one curve for each
		switch algorithm {
		case "ES256":
			return public.Curve == elliptic.P256()
		case "ES384":
			return public.Curve == elliptic.P384()
		case "ES512":
			return public.Curve == elliptic.P521()
		}
	case ed25519.PublicKey:
		return algorithm == "EdDSA"
	}
	return false
}

// keySet is what one fetch brought. Immutable.
type keySet struct {
	keys []key
	// number counts the fetches of this issuer that were begun, up to the one that brought this.
	number uint64
	// generation changes when, and only when, the set of keys does.
	generation uint64
}

// unusable is a key of a JWKS that serves for nothing here, and why. Its text may be logged.
type unusable struct {
	id  string
	err error
}

// parseKeys reads a JWKS (RFC 7517 section 5). Keys that cannot be used here are left out, as that
// section asks for: unknown types and curves, symmetric and private ones, those for encryption.
func parseKeys(document []byte) (keys []key, rest []unusable, err error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(document, &set); err != nil {
		return nil, nil, fmt.Errorf("decode JWKS: %w", err)
	}
	if set.Keys == nil {
		return nil, nil, errors.New("decode JWKS: there is no list of keys")
	}
	for _, raw := range set.Keys {
		k, err := parseKey(raw)
		if err != nil {
			rest = append(rest, unusable{k.id, err})
			continue
		}
		keys = append(keys, k)
	}
	return keys, rest, nil
}

// certificateMembers of a JWK or of a JWS header (RFC 7517 sections 4.6 to 4.9, RFC 7515 sections 4.1.5 to 4.1.8)
// stand beside a key. Nothing here asks for them, and go-jose, which would parse them, refuses all the rest together
// with a certificate that crypto/x509 does not take, for its negative serial number for example.
var certificateMembers = []string{"x5u", "x5c", "x5t", "x5t#S256"}

var errNotForSignatures = errors.New("not a key for signatures")

// parseKey reads a public key for signatures. After an error the key holds its id at most.
func parseKey(raw []byte) (key, error) {
	members, err := ParseClaimsSet(raw)
	if err != nil {
		return key{}, err
	}
	k := key{}
	k.id, _ = members.Text("kid")
	var jwk jose.JSONWebKey
	if err := json.Unmarshal(members.without(certificateMembers), &jwk); err != nil {
		return k, err
	}
	switch public := jwk.Key.(type) {
	case *rsa.PublicKey:
		if public.N.BitLen() < minRSABits {
			return k, fmt.Errorf("RSA key of %d bits, fewer than %d", public.N.BitLen(), minRSABits)
		}
	case *ecdsa.PublicKey, ed25519.PublicKey:
	default:
		return k, errors.New("not a public key of a type that is accepted")
	}
	if jwk.Use != "" && jwk.Use != "sig" {
		return k, errNotForSignatures
	}
	if jwk.Algorithm != "" && !slices.Contains(algorithms, jose.SignatureAlgorithm(jwk.Algorithm)) {
		return k, fmt.Errorf("algorithm %q is not accepted", jwk.Algorithm)
	}
	thumbprint, err := jwk.Thumbprint(crypto.SHA256)
	if err != nil {
		return k, err
	}
	return key{id: jwk.KeyID, algorithm: jwk.Algorithm, public: jwk.Key, thumbprint: string(thumbprint)}, nil
}

// sameKeys compares without regard to order.
func sameKeys(a, b []key) bool {
	return slices.Equal(fingerprints(a), fingerprints(b))
}

func fingerprints(keys []key) []string {
	prints := make([]string, len(keys))
	for i, k := range keys {
		prints[i] = fmt.Sprintf("%x %q %q", k.thumbprint, k.algorithm, k.id)
	}
	slices.Sort(prints)
	return slices.Compact(prints)
}

// attempt is one token before its issuer's keys, and what they said.
type attempt struct {
	jws   *compactJWS
	turns turns
	// since counts the fetches of the issuer's keys that had begun when the token was first seen.
	since uint64

	generation uint64 // of the keys that verified it
}

// try says whether the signature holds with one of the keys of set that may have made it: the one that the
// token names, or any when it names none. known says that the set has the one that it names.
func (a *attempt) try(set *keySet) (holds, known bool) {
	a.turns.take()
	defer a.turns.give()
	header := a.jws.header
	for _, k := range set.keys {
		if header.KeyID != "" && header.KeyID != k.id {
			continue
		}
		known = header.KeyID != ""
		if !k.fits(header.Algorithm) {
			continue
		}
		if a.jws.holds(k) {
			return true, known
		}
	}
	return false, known
}
