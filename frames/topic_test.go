package frames

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestTopicNamesAndFiltersAreChecked(t *testing.T) {
	long := strings.Repeat("a", MaxStringBytes)
	tests := []struct {
		name         string
		text         string
		asName       ReasonCode // Success: accepted
		asFilter     ReasonCode
		ruleOfFilter string
	}{
		{"one level", "a", 0, 0, ""},
		{"separator alone, 4.7.3", "/", 0, 0, ""},
		{"empty levels", "//a//", 0, 0, ""},
		{"space", " ", 0, 0, ""},
		{"empty", "", TopicNameInvalid, MalformedPacket, "MQTT-4.7.3-1"},
		{"longest", long, 0, 0, ""},
		{"too long", long + "a", TopicNameInvalid, MalformedPacket, "MQTT-4.7.3-3"},
		{"U+0000", "a\x00b", MalformedPacket, MalformedPacket, "MQTT-1.5.4-2"},
		{"U+0000 far in", "0123456789abcdef\x00", MalformedPacket, MalformedPacket, "MQTT-1.5.4-2"},
		{"surrogate U+D800", "a\xed\xa0\x80", MalformedPacket, MalformedPacket, "MQTT-1.5.4-1"},
		{"surrogate U+DFFF", "a\xed\xbf\xbf", MalformedPacket, MalformedPacket, "MQTT-1.5.4-1"},
		{"over-long U+0000", "\xc0\x80", MalformedPacket, MalformedPacket, "MQTT-1.5.4-1"},
		{"over-long '/'", "a\xc0\xafb", MalformedPacket, MalformedPacket, "MQTT-1.5.4-1"},
		{"over-long '#' of three bytes", "\xe0\x80\xa3", MalformedPacket, MalformedPacket, "MQTT-1.5.4-1"},
		{"over U+10FFFF", "\xf4\x90\x80\x80", MalformedPacket, MalformedPacket, "MQTT-1.5.4-1"},
		{"cut in a character", "a\xe2\x82", MalformedPacket, MalformedPacket, "MQTT-1.5.4-1"},
		{"byte order mark is a character, 1.5.4-3", "\ufeffa", 0, 0, ""},
		{"control characters are SHOULD NOT", "a\x01\x7f\u0080\u009f", 0, 0, ""},
		{"non-characters are SHOULD NOT", "\ufdd0\ufffe\uffff\U0001ffff", 0, 0, ""},
		{"last character", "\U0010ffff", 0, 0, ""},
		{"plus", "+", TopicNameInvalid, 0, ""},
		{"hash", "#", TopicNameInvalid, 0, ""},
		{"plus behind non-ASCII", "ä/+", TopicNameInvalid, 0, ""},
		{"plus in the middle", "a/+/b", TopicNameInvalid, 0, ""},
		{"plus and hash", "+/+/#", TopicNameInvalid, 0, ""},
		{"empty level and hash", "/#", TopicNameInvalid, 0, ""},
		{"plus behind text", "a+", TopicNameInvalid, MalformedPacket, "MQTT-4.7.1-2"},
		{"plus before text", "+a/b", TopicNameInvalid, MalformedPacket, "MQTT-4.7.1-2"},
		{"two plus", "++", TopicNameInvalid, MalformedPacket, "MQTT-4.7.1-2"},
		{"hash behind text", "a#", TopicNameInvalid, MalformedPacket, "MQTT-4.7.1-1"},
		{"hash before text", "a/#b", TopicNameInvalid, MalformedPacket, "MQTT-4.7.1-1"},
		{"hash not last", "a/#/b", TopicNameInvalid, MalformedPacket, "MQTT-4.7.1-1"},
		{"hash and separator", "#/", TopicNameInvalid, MalformedPacket, "MQTT-4.7.1-1"},
		{"two hashes", "##", TopicNameInvalid, MalformedPacket, "MQTT-4.7.1-1"},
		{"a name that only looks shared", "$share", 0, 0, ""},
		{"shared", "$share/g/a/+/#", TopicNameInvalid, 0, ""},
		{"shared, separator alone", "$share/g//", 0, 0, ""},
		{"shared without a group", "$share//a", 0, MalformedPacket, "MQTT-4.8.2-1"},
		{"shared with nothing", "$share/", 0, MalformedPacket, "MQTT-4.8.2-1"},
		{"shared without a filter", "$share/g", 0, MalformedPacket, "MQTT-4.8.2-2"},
		{"shared with an empty filter", "$share/g/", 0, MalformedPacket, "MQTT-4.8.2-2"},
		{"shared, group plus", "$share/+/a", TopicNameInvalid, MalformedPacket, "MQTT-4.8.2-2"},
		{"shared, group hash", "$share/g#/a", TopicNameInvalid, MalformedPacket, "MQTT-4.8.2-2"},
		{"shared, hash not last", "$share/g/#/a", TopicNameInvalid, MalformedPacket, "MQTT-4.7.1-1"},
		{"shared twice", "$share/g/$share/h/a", 0, MalformedPacket, "MQTT-4.8.2-2"},
		{"other case is no share", "$SHARE//a", 0, 0, ""},
	}
	for _, tt := range tests {
		for _, call := range []struct {
			name string
			err  error
			want ReasonCode
		}{
			{"CheckTopicName", CheckTopicName(tt.text), tt.asName},
			{"CheckTopicName of bytes", CheckTopicName([]byte(tt.text)), tt.asName},
			{"CheckTopicFilter", CheckTopicFilter(tt.text), tt.asFilter},
			{"CheckTopicFilter of bytes", CheckTopicFilter([]byte(tt.text)), tt.asFilter},
		} {
			got, isError := errors.AsType[*Error](call.err)
			if (call.err == nil) != (call.want == Success) || isError && got.Code != call.want {
				t.Errorf("%s: %s = %v; want %v", tt.name, call.name, call.err, call.want)
			}
			if strings.HasPrefix(call.name, "CheckTopicFilter") && isError && got.Rule != tt.ruleOfFilter {
				t.Errorf("%s: %s names rule %s; want %s", tt.name, call.name, got.Rule, tt.ruleOfFilter)
			}
		}
	}
}

// TestEveryCharacterIsJudgedAsTheStandardSays puts every scalar value and surrogate at
// different places of a name, for the eight bytes at a time path.
func TestEveryCharacterIsJudgedAsTheStandardSays(t *testing.T) {
	for r := rune(0); r <= utf8.MaxRune; r++ {
		s := string(r)
		if r >= 0xD800 && r <= 0xDFFF {
			s = string([]byte{0xED, 0x80 | byte(r>>6)&0x3F, 0x80 | byte(r)&0x3F})
		}
		legal := r != 0 && r != '+' && r != '#' && !(r >= 0xD800 && r <= 0xDFFF)
		for _, name := range []string{s, "abc" + s + "defgh", "abcdefgh" + s} {
			if err := CheckTopicName(name); (err == nil) != legal {
				t.Fatalf("CheckTopicName(%q) = %v; want accepted: %v", name, err, legal)
			}
			if r > 0x2000 && r < 0xD000 || r > 0x11000 {
				break // nothing new there; one place will do
			}
		}
	}
}

func TestSplitShare(t *testing.T) {
	tests := []struct {
		filter, group, rest string
		shared              bool
	}{
		{"$share/g/a/#", "g", "a/#", true},
		{"$share/g//", "g", "/", true},
		{"a/b", "", "a/b", false},
		{"$share", "", "$share", false},
		{"$SYS/#", "", "$SYS/#", false},
	}
	for _, tt := range tests {
		group, rest, shared := SplitShare(tt.filter)
		if group != tt.group || rest != tt.rest || shared != tt.shared {
			t.Errorf("SplitShare(%q) = %q, %q, %v; want %q, %q, %v", tt.filter, group, rest, shared, tt.group, tt.rest, tt.shared)
		}
	}
}

func TestMatchFailsClosedOnWhatIsNotValid(t *testing.T) {
	for _, tt := range [][2]string{
		{"", ""}, {"", "a"}, {"a", ""}, {"#", ""}, {"+", ""}, {"a#", "a"}, {"a#", "ab"}, {"a/#b", "a/x"}, {"a/#/b", "a/x/b"},
		{"+a", "xa"}, {"a+", "ab"}, {"#a", "a"},
	} {
		if Match(tt[0], tt[1]) {
			t.Errorf("Match(%q, %q) = true; want false", tt[0], tt[1])
		}
	}
}

func TestMatchTakesAnyKindOfText(t *testing.T) {
	type name string
	type raw []byte
	if !Match(name("a/+"), raw("a/b")) || !Match(raw("a/#"), name("a")) || Match([]byte("+"), "$x") {
		t.Error("Match of named string and byte types is wrong")
	}
}
