package auth

import "slices"

// Reasons of a [Refused] token.
const (
	ReasonTooLarge       = "too_large"          // more than 64 KiB
	ReasonMalformed      = "malformed"          // not a JWS in compact form whose payload is a JWT Claims Set
	ReasonWrongAlgorithm = "wrong_algorithm"    // not one of the asymmetric signature algorithms
	ReasonCriticalHeader = "critical_header"    // JWS "crit" or "b64"
	ReasonWrongType      = "wrong_type"         // neither a plain JWT nor an access token, by "typ" or by "events"
	ReasonUnknownIssuer  = "unknown_issuer"     // "iss" is not on the list
	ReasonWrongAudience  = "wrong_audience"     // none of the accepted audiences in "aud", or the claim that the operator chose
	ReasonNoExpiry       = "no_expiry"          // "exp" is missing
	ReasonExpired        = "expired"            // "exp" (and skew) is past
	ReasonNotYetValid    = "not_yet_valid"      // "nbf" is ahead by more than the skew
	ReasonIssuedInFuture = "issued_in_future"   // "iat" is ahead by more than the skew
	ReasonNoSubject      = "no_subject"         // "sub" is missing or empty
	ReasonNoSuchKey      = "no_such_key"        // the issuer does not publish the key ("kid")
	ReasonBadSignature   = "bad_signature"      // the key is known, the signature does not hold
	ReasonNoUsername     = "no_username"        // the username claim is missing, or neither a string nor a whole number
	ReasonBadUsername    = "bad_username"       // the username may never expand in a rule, or does not match the pattern
	ReasonBadRoles       = "bad_roles"          // the roles claim is nothing that holds roles
	ReasonRolesElsewhere = "roles_elsewhere"    // the token says that its roles are to be fetched elsewhere
	ReasonInactive       = "inactive"           // the issuer says so of an opaque token
	ReasonBadCertificate = "bad_certificate"    // a client certificate without one clear subject
	reasonOK             = "ok"                 // result only: verified
	reasonCached         = "cached"             // result only: verified before
	ReasonIssuerDown     = "issuer_unreachable" // Undecided: keys could not be fetched
	ReasonKeyNotYetKnown = "key_unknown"        // Undecided: keys may not be fetched again yet
)

// Refused reports a token (or certificate) that is not good and will not become so: the client needs
// another one. CONNACK 0x05 (3.x), 0x87 (5.0).
type Refused struct {
	Reason string // one of the Reason constants
	Detail string // for the operator's log; of a token issuer and audience at most
}

func (e *Refused) Error() string {
	if e.Detail == "" {
		return "token refused: " + e.Reason
	}
	return "token refused: " + e.Reason + ": " + e.Detail
}

// Undecided reports that a token cannot be judged now: ask again later. CONNACK 0x03 (3.x), 0x88 (5.0).
type Undecided struct {
	Reason string // ReasonIssuerDown or ReasonKeyNotYetKnown
	Err    error  // why; never any part of a token
}

func (e *Undecided) Error() string {
	if e.Err == nil {
		return "token undecided: " + e.Reason
	}
	return "token undecided: " + e.Reason + ": " + e.Err.Error()
}

func (e *Undecided) Unwrap() error { return e.Err }

func refused(reason, detail string) error { return &Refused{Reason: reason, Detail: detail} }

// results holds everything that Observe may be told.
var results = []string{
	reasonOK, reasonCached,
	ReasonTooLarge, ReasonMalformed, ReasonWrongAlgorithm, ReasonCriticalHeader, ReasonWrongType,
	ReasonUnknownIssuer, ReasonWrongAudience, ReasonNoExpiry, ReasonExpired, ReasonNotYetValid,
	ReasonIssuedInFuture, ReasonNoSubject, ReasonNoSuchKey, ReasonBadSignature, ReasonNoUsername,
	ReasonBadUsername, ReasonBadRoles, ReasonRolesElsewhere, ReasonInactive,
	ReasonIssuerDown, ReasonKeyNotYetKnown,
}

// Results lists every result that [Options].Observe may be called with: "ok", "cached" and the reasons
// of refused and undecided tokens. Metrics register their labels from it.
func Results() []string { return slices.Clone(results) }

// resultOf names the outcome of one verification.
func resultOf(cached bool, err error) string {
	switch e := err.(type) {
	case nil:
		if cached {
			return reasonCached
		}
		return reasonOK
	case *Refused:
		return e.Reason
	case *Undecided:
		return e.Reason
	}
	panic("BUG: Verify returned an error of another type")
}
