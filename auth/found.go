package auth

import (
	"encoding/base64"
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// What was found in a token, beside what is accepted: for the log and for "topicgate token check". Of a token only
// issuer and audience are told, which are no secrets and where most mistakes are; bounded, quoted, and without a token
// that somebody has put there.

// maxFound bounds how many values of a list are told.
const maxFound = 8

// found quotes values of a claim.
func found(values ...string) string {
	var told []string
	for i, value := range values {
		if i == maxFound {
			told = append(told, "and more")
			break
		}
		if len(value) > maxTokenBytes {
			value = value[:maxTokenBytes]
		}
		told = append(told, quoted(Mask(value)))
	}
	return strings.Join(told, ", ")
}

func (v *Verifier) foundAudience(p *parsed) string {
	audience, _ := p.claims.texts(v.audienceClaim)
	if len(audience) == 0 {
		return "there is no " + v.audienceClaim
	}
	return v.audienceClaim + " is " + found(audience...)
}

func (v *Verifier) acceptedAudience() string {
	return "accepted: " + found(slices.Sorted(maps.Keys(v.audiences))...)
}

func foundIssuer(p *parsed) string {
	if p.issuer == "" {
		return "there is no iss"
	}
	return "iss is " + found(p.issuer)
}

func (v *Verifier) acceptedIssuers() string {
	var names []string
	for _, i := range v.issuers {
		names = append(names, i.Name)
	}
	return "accepted: " + found(names...)
}

// unknownIssuer says what differs, and how little that may be.
func (v *Verifier) unknownIssuer(p *parsed) error {
	detail := foundIssuer(p) + "; " + v.acceptedIssuers()
	for _, i := range v.issuers {
		switch {
		case p.issuer == "":
		case strings.TrimSuffix(i.Name, "/") == strings.TrimSuffix(p.issuer, "/"):
			detail += " (it differs by the slash at the end)"
		case strings.EqualFold(i.Name, p.issuer):
			detail += " (it differs by capital and small letters)"
		case strings.TrimPrefix(i.Name, "https:") == strings.TrimPrefix(p.issuer, "http:"), strings.TrimPrefix(i.Name, "http:") == strings.TrimPrefix(p.issuer, "https:"):
			detail += " (it differs by http and https)"
		default:
			continue
		}
		break
	}
	return refused(ReasonUnknownIssuer, detail)
}

// notCompact says what a text is that is no JWS in compact form.
func notCompact(token string) string {
	const opaque = "an opaque token and no JWT: have the provider give JWT access tokens (Auth0: name an audience; Zitadel, Hydra: choose JWT), send the ID token, or say where the issuer is asked about opaque ones (introspection=)"
	bare := strings.TrimSpace(token)
	switch {
	case bare == "":
		return "there is no token, or blanks alone"
	case len(bare) >= 7 && strings.EqualFold(bare[:7], "bearer "):
		return "it begins with the word Bearer, which belongs into an HTTP header alone"
	case bare != token:
		return "blanks or line breaks stand before or behind the token"
	case strings.ContainsAny(token, " \t\r\n"):
		return "not a JWS in compact form: it holds blanks or line breaks"
	case strings.ContainsAny(token[:1], `"'`):
		return "not a JWS in compact form: it stands in quotes"
	case token[0] == '{':
		return "not a JWS in compact form: it begins like a JSON object"
	}
	parts := strings.Split(token, ".")
	header, err := base64.RawURLEncoding.DecodeString(parts[0])
	isHeader := err == nil && json.Valid(header)
	switch {
	case len(parts) == 5 && isHeader:
		return "an encrypted token (JWE), which the provider alone can read: have it give signed JWTs (Auth0: name an audience)"
	case isHeader:
		return "not a JWS in compact form: a JOSE header, but not three parts with dots between them; is it cut off?"
	case len(parts) == 3 && strings.HasPrefix(parts[0], "ey"):
		return "not a JWS in compact form: its first part is no JOSE header"
	}
	return opaque
}

// knownAlgorithms are told by their names when they are found; of others nobody knows what stands there.
var knownAlgorithms = []string{"none", "ES256K"}

func foundAlgorithm(encodedHeader string) string {
	var header struct {
		Algorithm string `json:"alg"`
	}
	text, _ := base64.RawURLEncoding.DecodeString(encodedHeader)
	_ = json.Unmarshal(text, &header) // a broken one names none
	switch {
	case strings.HasPrefix(header.Algorithm, "HS"):
		return "alg is a symmetric one, HS256 or alike, by which whoever can check a token can make one: choose a signing key at the provider"
	case slices.Contains(knownAlgorithms, header.Algorithm):
		return "alg is " + header.Algorithm
	}
	return "alg is none that is known"
}

func acceptedAlgorithms() string {
	var names []string
	for _, algorithm := range algorithms {
		names = append(names, string(algorithm))
	}
	return "accepted: " + strings.Join(names, ", ")
}
