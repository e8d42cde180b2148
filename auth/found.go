package auth

import (
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
