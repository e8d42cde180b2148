// Package auth answers whose token this is, and until when.
//
// A [Verifier] knows a fixed list of issuers. A token goes through it like this:
//
//	size -> cache -> JWS header (alg, typ, crit) -> issuer by exact comparison ->
//	events, aud, exp, nbf, iat, sub -> signature -> username and roles -> Identity
//
// [Verifier.Explain] asks the same questions one by one and tells what it finds.
//
// The registered claims are looked at before the signature. Whatever they say, a token is only ever
// refused by them, never accepted; and a token that is expired or meant for somebody else is refused
// at once, even while its issuer is down, and makes nobody fetch keys. Nothing is taken into an
// [Identity] before the signature holds.
//
// JOSE headers and keys are go-jose's; the check of a signature is golang-jwt's, in three quarters of the time that
// go-jose needs for it; OpenID Connect discovery is go-oidc's. The claims are checked, and the keys of an issuer are
// held, here: go-oidc's verifier and its RemoteKeySet cannot do what is needed: read a token once, take several
// audiences, allow for clocks that differ; fetch ahead, keep an interval between fetches, forget a withdrawn key, or
// say whether its keys were fetched before or after a token arrived.
//
// A payload is split into claims by jsontext, which is the standard library's from Go 1.27 on (the module is then an
// alias): it takes what encoding/json takes in a third of the time, since only the claims that are used are decoded.
//
// What go-jose read of a JWS header is kept for the next token that begins with the same bytes, once a signature
// over it held. It decides nothing but what those bytes mean: payload, signature and key are looked at each time.
//
// # Cannot is not may
//
// What cannot be read refuses a token wherever it could have said less than the rest of it: roles of another type, behind
// something that is no object or in another place, a name that stands twice. What nobody needs is not read at all:
// certificates beside keys, keys that a token brings along.
//
// # Opaque tokens
//
// What holds no JWT is asked about at the one issuer that the operator names for that (RFC 7662), and the claims in the
// answer go through the same checks. Two paths, and no token can take both: what [HoldsToken] finds a JWT in is never
// sent away. A request belongs to all who wait for it and has one of a few turns until it ends, also when they have
// gone; who waits for a turn leaves nothing behind. An answer that says nothing about the token refuses nobody.
//
// # Names
//
// A username is what the issuer says, behind the prefix that the operator gave the issuer; nothing is folded. What the
// operator may have made of it ([Users]: the part in a pattern's group, some characters escaped) keeps two names apart.
// Names that people or programs could take for one another are refused (RFC 8265), and so are those that would
// be more than a name in a rule.
//
// # When keys are fetched
//
// [Verifier.Run] fetches discovery document and JWKS of every issuer at start, again every 14 minutes
// (so that a withdrawn key stops working within 15), and after a failure with a growing pause. If that
// fails, the keys at hand stay in use without a bound: an issuer that is down never stops those whose
// key is known. A token that no key at hand verifies causes a fetch too, at most one in 10 s for an
// issuer, whatever arrives: fetches of Run count, a fetch under way is joined.
//
// # Refused or undecided
//
// Some clients stop for ever when they are refused, others retry for ever when they are told to come
// back. So a signature that does not hold is decided like this:
//
//   - A fetch that began after the token was first seen did not bring its key: [Refused]. A key is
//     published before it signs, so asking once more would not help.
//   - The key that the token names is at hand, fetched within the last 10 s, and the signature is wrong:
//     [Refused]. Issuers do not give an old name to a new key; should one do so in these seconds, its
//     clients are refused until the next fetch.
//   - Otherwise nobody can know yet: [Undecided], "key_unknown" when a fetch was not due,
//     "issuer_unreachable" when it failed. A rotation that comes right after a flood of bad tokens is
//     noticed at most 10 s later.
//
// When an undecided token was first seen is remembered (for the last 10,000 of them). So a client that
// retries a worthless token is refused as soon as one fetch, by whomever, came after its first try, and
// does not have to win the one fetch in 10 s itself. That is all that is remembered of a failure: each
// attempt is verified anew.
//
// An issuer that publishes an empty key set signed nothing: its tokens are undecided, not refused.
//
// # What callers must keep
//
// Errors and log lines of this package never contain any part of a token but issuer and audience as found, bounded,
// quoted and masked (and a character of a username, perhaps, by its number), so they may be logged as they are. [Mask] makes texts of clients fit for that. Roles of an Identity are shared with the cache: read them, do not change them. Its claims stay the JSON
// that they came as: a session keeps them for the rules that may ask for one, now or later, and most rules do not.
package auth
