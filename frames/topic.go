package frames

import (
	"encoding/binary"
	"strings"
	"unicode/utf8"
)

// text is what a topic may be held in. Functions over it do not keep it.
type text interface{ ~string | ~[]byte }

// sharePrefix begins the Topic Filter of a Shared Subscription (section 4.8.2).
const sharePrefix = "$share/"

// CheckTopicName reports, as an *Error, what is wrong with a Topic Name: ill-formed
// UTF-8, U+0000, no or over 65,535 bytes, a wildcard.
func CheckTopicName[T text](name T) error {
	if err := checkTopicName([]byte(name)); err != nil {
		return err
	}
	return nil
}

// CheckTopicFilter reports, as an *Error, what is wrong with a Topic Filter: ill-formed
// UTF-8, U+0000, no or over 65,535 bytes, a wildcard that does not fill its level,
// '#' before the end. A filter that begins with "$share/" must name a group without
// wildcards and a filter after it; that holds for every version, since brokers serve
// Shared Subscriptions to 3.1.1 clients too. A Shared Subscription of "$share/"
// topics is refused: whoever took off one prefix only would read another filter.
func CheckTopicFilter[T text](filter T) error {
	if err := checkTopicFilter([]byte(filter)); err != nil {
		return err
	}
	return nil
}

func checkTopicName(name []byte) *Error {
	switch {
	case len(name) == 0:
		return &Error{Code: TopicNameInvalid, Rule: "MQTT-4.7.3-1", Detail: "empty topic name"}
	case len(name) > MaxStringBytes:
		return &Error{Code: TopicNameInvalid, Rule: "MQTT-4.7.3-3", Detail: "topic name over 65,535 bytes"}
	case plain(name):
		return nil
	}
	if err := checkString(name); err != nil {
		return err
	}
	if index(name, '+') >= 0 || index(name, '#') >= 0 {
		return &Error{Code: TopicNameInvalid, Rule: "MQTT-3.3.2-2", Detail: "wildcard in topic name"}
	}
	return nil
}

func checkTopicFilter(filter []byte) *Error {
	if len(filter) > MaxStringBytes {
		return malformed(0, "MQTT-4.7.3-3", "topic filter over 65,535 bytes")
	}
	if err := checkString(filter); err != nil {
		return err
	}
	if hasSharePrefix(filter) {
		rest := filter[len(sharePrefix):]
		end := index(rest, '/')
		group := rest[:max(end, 0)]
		switch {
		case end == 0, len(rest) == 0:
			return malformed(0, "MQTT-4.8.2-1", "shared subscription without a share name")
		case end < 0, end == len(rest)-1:
			return malformed(0, "MQTT-4.8.2-2", "shared subscription without a topic filter")
		case index(group, '+') >= 0, index(group, '#') >= 0:
			return malformed(0, "MQTT-4.8.2-2", "wildcard in share name")
		}
		if filter = rest[end+1:]; hasSharePrefix(filter) {
			return malformed(0, "MQTT-4.8.2-2", "shared subscription of a shared subscription")
		}
	}
	if len(filter) == 0 {
		return malformed(0, "MQTT-4.7.3-1", "empty topic filter")
	}
	for i, c := range filter {
		startsLevel := i == 0 || filter[i-1] == '/'
		endsLevel := i == len(filter)-1 || filter[i+1] == '/'
		switch {
		case c == '+' && !(startsLevel && endsLevel):
			return malformed(0, "MQTT-4.7.1-2", "'+' does not fill its level")
		case c == '#' && !(startsLevel && i == len(filter)-1):
			return malformed(0, "MQTT-4.7.1-1", "'#' is not the whole last level")
		}
	}
	return nil
}

// checkString checks a UTF-8 encoded string (section 1.5.4): well-formed, which leaves
// out surrogates and over-long forms, and without U+0000.
func checkString(s []byte) *Error {
	if !utf8.Valid(s) {
		return malformed(0, "MQTT-1.5.4-1", "ill-formed UTF-8")
	}
	if index(s, 0) >= 0 {
		return malformed(0, "MQTT-1.5.4-2", "U+0000 in a string")
	}
	return nil
}

func hasSharePrefix(filter []byte) bool {
	return len(filter) >= len(sharePrefix) && string(filter[:len(sharePrefix)]) == sharePrefix
}

// index is bytes.IndexByte, but in Go: so the compiler sees that the bytes are only
// read, and CheckTopicName and CheckTopicFilter need no copy of a string.
func index(s []byte, c byte) int {
	for i := range s {
		if s[i] == c {
			return i
		}
	}
	return -1
}

// plain reports, eight bytes at a time, that s is ASCII without U+0000 and wildcards:
// nearly every Topic Name is, and needs no closer look.
func plain(s []byte) bool {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	for ; len(s) >= 8; s = s[8:] {
		x := binary.LittleEndian.Uint64(s)
		plus, hash := x^(ones*'+'), x^(ones*'#')
		// (y - ones) &^ y has a high bit if some byte of y is zero, and only then.
		if (x|(x-ones)|(plus-ones)&^plus|(hash-ones)&^hash)&highs != 0 {
			return false
		}
	}
	for _, c := range s {
		if c == 0 || c == '+' || c == '#' || c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// SplitShare splits the filter of a Shared Subscription, which CheckTopicFilter has
// accepted, into group and filter. Any other filter is returned as rest.
func SplitShare(filter string) (group, rest string, shared bool) {
	after, shared := strings.CutPrefix(filter, sharePrefix)
	if !shared {
		return "", filter, false
	}
	group, rest, _ = strings.Cut(after, "/")
	return group, rest, true
}

// Match says whether a Topic Filter matches a Topic Name (section 4.7). A filter that
// begins with a wildcard does not match a name that begins with '$' [MQTT-4.7.2-1];
// '#' also matches the level above it, so "a/#" matches "a". Both are valid, the filter
// without $share/<group>/; a filter that is not valid matches nothing more than its
// valid part allows.
func Match[F, T text](filter F, topicName T) bool { return match([]byte(filter), []byte(topicName)) }

func match(filter, name []byte) bool {
	if len(filter) == 0 || len(name) == 0 {
		return false
	}
	if name[0] == '$' && (filter[0] == '+' || filter[0] == '#') {
		return false
	}
	f, n := 0, 0
	for { // f and n begin a level
		switch {
		case f < len(filter) && filter[f] == '#':
			return f == len(filter)-1
		case f < len(filter) && filter[f] == '+':
			f++
			for n < len(name) && name[n] != '/' {
				n++
			}
		default:
			for f < len(filter) && n < len(name) && filter[f] == name[n] && filter[f] != '/' {
				f++
				n++
			}
		}
		switch {
		case n == len(name):
			return f == len(filter) || string(filter[f:]) == "/#"
		case f == len(filter) || filter[f] != '/' || name[n] != '/':
			return false
		}
		f++
		n++
	}
}
