package auth

import (
	"encoding/base64"
	"encoding/json"
	"strings"
)

// Masked stands where Mask has taken a token out.
const Masked = "[token]"

// HoldsToken reports whether a token stands anywhere in text: three parts of base64url with dots between them, of
// which the first ends with a JOSE header. Whether it is good does not matter: it may be somewhere else.
// It takes time that is linear in text, and no memory for a text without three such parts. A text that was made to
// look as if a header began at many places counts as holding one.
func HoldsToken(text string) bool {
	_, end := findToken(text, 0)
	return end > 0
}

// Mask returns text with each token that HoldsToken would find replaced: for log and audit, where clients have
// their say in topics and names.
func Mask(text string) string {
	start, end := findToken(text, 0)
	if end == 0 {
		return text
	}
	var b strings.Builder
	for from := 0; ; {
		b.WriteString(text[from:start])
		b.WriteString(Masked)
		from = end
		if start, end = findToken(text, from); end == 0 {
			b.WriteString(text[from:])
			return b.String()
		}
	}
}

// findToken returns where the first token in text begins and ends, from a position on; end is 0 without one. Parts
// that follow belong to it (those of RFC 7516 section 7.1 are five).
func findToken(text string, from int) (start, end int) {
	for i := from; i < len(text); i++ {
		first := partEnd(text, i)
		if first == len(text) {
			return 0, 0
		}
		if first > i && text[first] == '.' {
			second := nextPart(text, first)
			third := nextPart(text, second)
			if second > first && third > second {
				if at, ok := headerAtEnd(text[i:first]); ok {
					for next := nextPart(text, third); next > third; next = nextPart(text, third) {
						third = next
					}
					return i + at, third
				}
			}
		}
		i = first // no part begins inside of a part
	}
	return 0, 0
}

// nextPart returns where the part behind the dot at i ends, or i when there is no dot or no part.
func nextPart(text string, i int) int {
	if i >= len(text) || text[i] != '.' {
		return i
	}
	if end := partEnd(text, i+1); end > i+1 {
		return end
	}
	return i
}

// partEnd returns where the characters of base64url (RFC 4648 section 5) that begin at i end.
func partEnd(text string, i int) int {
	for i < len(text) {
		c := text[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			break
		}
		i++
	}
	return i
}

// headerAtEnd returns where in part a JOSE header begins that ends where part does. What stands before it, a client's
// own "web-" for example, may be of the same characters.
func headerAtEnd(part string) (start int, ok bool) {
	work := 4*len(part) + 1024 // bytes that may be decoded
	for ; ; start++ {
		next := strings.IndexByte(part[start:], 'e') // in base64 '{' begins so
		if next < 0 {
			return 0, false
		}
		start += next
		candidate := part[start:]
		if !beginsObject(candidate) {
			continue
		}
		if work -= len(candidate); work < 0 {
			return start, true
		}
		text, err := base64.RawURLEncoding.DecodeString(candidate)
		var header struct {
			Algorithm *string `json:"alg"`
		}
		if err == nil && json.Unmarshal(text, &header) == nil && header.Algorithm != nil {
			return start, true
		}
	}
}

// beginsObject reports whether text decodes to the beginning of a JSON object with members.
func beginsObject(text string) bool {
	if len(text) < 8 {
		return false
	}
	var b [3]byte
	if _, err := base64.RawURLEncoding.Decode(b[:], []byte(text[:4])); err != nil || b[0] != '{' {
		return false
	}
	return strings.IndexByte("\" \t\r\n", b[1]) >= 0
}
