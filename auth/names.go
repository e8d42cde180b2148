package auth

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/secure/precis"
)

// maxNameBytes bounds a username, a Subject and a token identifier. A username becomes part of topics,
// of the Client Identifier and of Redis keys; a real one is far below.
const maxNameBytes = 1024

// withPrefix makes the username of the name that an issuer or a certificate gives. problem says why there is none.
// The rules for names are asked about the name alone, since some look at a name as a whole: with letters before it a
// name in Hebrew would break them. The prefix is ASCII.
func withPrefix(prefix, name string) (username, problem string) {
	if problem := nameProblem(name); problem != "" {
		return "", problem
	}
	if len(prefix)+len(name) > maxNameBytes {
		return "", tooLongProblem
	}
	return prefix + name, ""
}

// nameProblem says why name can be no username, or nothing when it can. '+' and '#' would widen a
// rule (CVE-2017-7650), '/' would add a level, control characters have no place in a topic [MQTT-1.5.4-2].
func nameProblem(name string) string {
	switch {
	case name == "":
		return "is empty"
	case len(name) > maxNameBytes:
		return tooLongProblem
	case !utf8.ValidString(name):
		return "is not valid UTF-8"
	case strings.ContainsAny(name, "+#/"):
		return "contains '+', '#' or '/'"
	case strings.ContainsFunc(name, unicode.IsControl):
		return "contains a control character"
	case strings.ContainsRune(name, utf8.RuneError):
		return replacementProblem
	case HoldsToken(name): // it would be logged, and stand in Redis keys and upstream
		return "contains a token"
	}
	return preparedProblem(name)
}

const (
	tooLongProblem = "is longer than 1024 bytes"

	// A JSON string with half a surrogate pair ("\ud800") decodes to U+FFFD: names that differ would become
	// one name.
	replacementProblem = "contains U+FFFD, which stands for broken characters"
)

// preparedProblem says what the profile UsernameCasePreserved of RFC 8265 section 3.4 would change in name, or why it
// would refuse it: names that people or programs take for one another must not be two users. Nothing is changed
// here, since the issuer's name is who the user is. As section 3.1 has it, a name may be several parts with a space
// between them ("Alice Smith"), of which the profile knows one. Zero width joiners are refused where the profile
// would leave them, too: nobody sees that they are there.
func preparedProblem(name string) string {
	for part := range strings.SplitSeq(name, " ") {
		if part == "" {
			return "begins or ends with a space, or has two in a row"
		}
		if isASCII(part) {
			continue // which the profile leaves as it is
		}
		prepared, err := precis.UsernameCasePreserved.String(part)
		if err == nil && prepared == part && !strings.ContainsAny(part, zeroWidthJoiners) {
			continue
		}
		allowed := precis.UsernameCasePreserved.Allowed()
		for _, r := range part {
			if !allowed.Contains(r) {
				return fmt.Sprintf("contains %U, which a username may not hold there (RFC 8265)", r)
			}
		}
		if err != nil {
			return "mixes directions of writing (RFC 8265)"
		}
		return "is not in normal form C (RFC 8265)"
	}
	return ""
}

const zeroWidthJoiners = "\u200c\u200d"

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
