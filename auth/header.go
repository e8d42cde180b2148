package auth

import (
	"encoding/base64"
	"strings"
	"sync"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"
)

const (
	// knownHeaders bounds how many headers are kept: issuers have a few keys each. Who puts something different
	// into each header has them read anew.
	knownHeaders = 64
	// maxKnownHeaderBytes bounds a kept one in its encoded form, which is usually 50 to 200 bytes.
	maxKnownHeaderBytes = 1024
)

// headers keeps JWS headers that were read and found good. The tokens that an issuer signs with one key begin with
// the same bytes, and go-jose takes as long for a header as for all the rest but the signature.
type headers struct {
	mu sync.RWMutex
	// By the encoded form. What go-jose made of it is only read from then on.
	known map[string]jose.Header
}

func newHeaders() *headers { return &headers{known: make(map[string]jose.Header)} }

// keep remembers the header of a token whose signature held: nobody else can fill or empty the memory.
func (h *headers) keep(encoded string, read jose.Header) {
	if len(encoded) > maxKnownHeaderBytes {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.known) >= knownHeaders {
		clear(h.known)
	}
	h.known[strings.Clone(encoded)] = read // the token is not kept
}

// read returns what go-jose says of a header, if that is good. known says that it was kept.
func (h *headers) read(encoded string) (header jose.Header, known bool, err error) {
	h.mu.RLock()
	header, known = h.known[encoded]
	h.mu.RUnlock()
	if known {
		return header, true, nil
	}
	plain, err := withoutKeys(encoded)
	if err != nil {
		return header, false, errNoHeader
	}
	bare, err := jose.ParseSignedCompact(plain+"..", algorithms)
	if err != nil { // its text may quote the token
		if _, ok := err.(*jose.ErrUnexpectedSignatureAlgorithm); ok {
			return header, false, refused(ReasonWrongAlgorithm, foundAlgorithm(encoded)+"; "+acceptedAlgorithms())
		}
		return header, false, errNoHeader
	}
	header = bare.Signatures[0].Protected
	return header, false, checkHeader(header)
}

// ownKeys are what a token may bring along to say by which key it was signed. Only the issuer's keys count (RFC 8725
// section 3.10), so it does not matter whether these can be read.
var ownKeys = append([]string{"jwk", "jku"}, certificateMembers...)

// withoutKeys returns an encoded header without what ownKeys names.
func withoutKeys(encoded string) (string, error) {
	text, err := base64.RawURLEncoding.DecodeString(encoded)
	if err != nil {
		return "", err
	}
	members, err := ParseClaimsSet(text)
	if err != nil {
		return "", err
	}
	for _, name := range ownKeys {
		if _, ok := members.get(name); ok {
			return base64.RawURLEncoding.EncodeToString(members.without(ownKeys)), nil
		}
	}
	return encoded, nil
}

var (
	errNoHeader  = refused(ReasonMalformed, "not a JWS in compact form: its first part is no JOSE header")
	errNotBase64 = refused(ReasonMalformed, "not a JWS in compact form: payload or signature is not base64url")
)

// compactJWS is a JWS whose signature has not been verified.
type compactJWS struct {
	encodedHeader string // part of the token
	headerKnown   bool
	header        jose.Header
	signed        string // the part of the token that the signature is over
	payload       []byte
	signature     []byte
}

// parse reads a JWS in compact form (RFC 7515 section 7.1), and no other.
func (h *headers) parse(token string) (*compactJWS, error) {
	header, rest, _ := strings.Cut(token, ".")
	payload, signature, ok := strings.Cut(rest, ".")
	// Base64 decoders skip line breaks.
	if !ok || strings.IndexByte(signature, '.') >= 0 || strings.IndexByte(token, '\n') >= 0 || strings.IndexByte(token, '\r') >= 0 {
		return nil, refused(ReasonMalformed, notCompact(token))
	}
	read, known, err := h.read(header)
	if err == errNoHeader {
		return nil, refused(ReasonMalformed, notCompact(token))
	}
	if err != nil {
		return nil, err
	}
	jws := &compactJWS{encodedHeader: header, headerKnown: known, header: read, signed: token[:len(header)+1+len(payload)]}
	if jws.payload, err = base64.RawURLEncoding.DecodeString(payload); err != nil {
		return nil, errNotBase64
	}
	if jws.signature, err = base64.RawURLEncoding.DecodeString(signature); err != nil {
		return nil, errNotBase64
	}
	return jws, nil
}

// holds says whether the signature is that of a key which fits the algorithm. It is not go-jose that looks: it reads
// the header once more for each signature, and encodes the payload again.
func (j *compactJWS) holds(k key) bool {
	return jwt.GetSigningMethod(j.header.Algorithm).Verify(j.signed, j.signature, k.public) == nil
}
