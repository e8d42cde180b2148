package frames

import (
	"errors"
	"reflect"
	"testing"
)

// refusedPackets break one rule each. Their header is right unless that is the rule.
var refusedPackets = []struct {
	name string
	v    Version
	hex  string
	code ReasonCode
	rule string
}{
	// Fixed header; first bytes are tested one by one in TestFirstBytes.
	{"remaining length of five bytes", V311, "30 ff ff ff ff 01", MalformedPacket, "MQTT-1.5.5-1"},
	{"remaining length that goes on after four bytes", V5, "30 80 80 80 80", MalformedPacket, "MQTT-1.5.5-1"},
	{"remaining length 0 in two bytes", V5, "c0 80 00", MalformedPacket, "MQTT-1.5.5-1"},
	{"remaining length 5 in three bytes", V311, "30 85 80 00 0003'a/b'", MalformedPacket, "MQTT-1.5.5-1"},
	{"PINGREQ with a body", V311, "c0 01 00", MalformedPacket, ""},
	{"PINGRESP with a body", V5, "d0 01 00", MalformedPacket, ""},
	{"DISCONNECT with a body before 5.0", V311, "e0 01 00", MalformedPacket, ""},
	{"DISCONNECT with a body before 5.0", V31, "e0 02 0000", MalformedPacket, ""},

	// CONNECT
	{"level 6", V5, "10 0d 0004'MQTT' 06 02 000a 0001'a'", UnsupportedProtocolVersion, "MQTT-3.1.2-2"},
	{"level 0", V5, "10 0d 0004'MQTT' 00 02 000a 0001'a'", UnsupportedProtocolVersion, "MQTT-3.1.2-2"},
	{"level of 3.1 with the name of 3.1.1", V311, "10 0d 0004'MQTT' 03 02 000a 0001'a'", UnsupportedProtocolVersion, "MQTT-3.1.2-2"},
	{"level of 3.1.1 with the name of 3.1", V311, "10 0f 0006'MQIsdp' 04 02 000a 0001'a'", UnsupportedProtocolVersion, "MQTT-3.1.2-2"},
	{"name in lower case", V5, "10 0d 0004'mqtt' 05 02 000a 0001'a'", UnsupportedProtocolVersion, "MQTT-3.1.2-2"},
	{"no name", V5, "10 09 0000 05 02 000a 0001'a'", UnsupportedProtocolVersion, "MQTT-3.1.2-2"},
	{"name U+0000 and a level of none", V5, "10 0a 0001 00 09 02 000a 0001'a'", UnsupportedProtocolVersion, "MQTT-3.1.2-2"},
	{"bridge bit, 3.1.1", V311, "10 0d 0004'MQTT' 84 02 000a 0001'a'", UnsupportedProtocolVersion, "MQTT-3.1.2-2"},
	{"bridge bit, 3.1", V31, "10 0f 0006'MQIsdp' 83 02 000a 0001'a'", UnsupportedProtocolVersion, "MQTT-3.1.2-2"},
	{"reserved connect flag", V311, "10 0d 0004'MQTT' 04 03 000a 0001'a'", MalformedPacket, "MQTT-3.1.2-3"},
	{"reserved connect flag", V5, "10 0e 0004'MQTT' 05 03 000a 00 0001'a'", MalformedPacket, "MQTT-3.1.2-3"},
	{"Will QoS 3", V311, "10 12 0004'MQTT' 04 1e 000a 0001'a' 0001'w' 0000", MalformedPacket, "MQTT-3.1.2-12"},
	{"Will QoS 3", V31, "10 14 0006'MQIsdp' 03 1e 000a 0001'a' 0001'w' 0000", MalformedPacket, "MQTT-3.1.2-12"},
	{"Will QoS without Will", V311, "10 0d 0004'MQTT' 04 0a 000a 0001'a'", MalformedPacket, "MQTT-3.1.2-11"},
	{"Will QoS 3 without Will", V5, "10 0e 0004'MQTT' 05 1a 000a 00 0001'a'", MalformedPacket, "MQTT-3.1.2-11"},
	{"Will Retain without Will", V5, "10 0e 0004'MQTT' 05 22 000a 00 0001'a'", MalformedPacket, "MQTT-3.1.2-13"},
	{"password without user name", V311, "10 10 0004'MQTT' 04 42 000a 0001'a' 0001'p'", MalformedPacket, "3.1.1 MQTT-3.1.2-22"},
	{"password without user name", V31, "10 12 0006'MQIsdp' 03 42 000a 0001'a' 0001'p'", MalformedPacket, "3.1.1 MQTT-3.1.2-22"},
	{"Will Topic with a wildcard", V311, "10 12 0004'MQTT' 04 06 000a 0001'a' 0001'#' 0000", TopicNameInvalid, "MQTT-3.3.2-2"},
	{"Will Topic empty", V5, "10 13 0004'MQTT' 05 06 000a 00 0001'a' 00 0000 0000", TopicNameInvalid, "MQTT-4.7.3-1"},
	{"Will Topic with U+0000", V311, "10 12 0004'MQTT' 04 06 000a 0001'a' 0001 00 0000", MalformedPacket, "MQTT-1.5.4-2"},
	{"client identifier with a surrogate", V311, "10 0f 0004'MQTT' 04 02 000a 0003 eda080", MalformedPacket, "MQTT-1.5.4-1"},
	{"user name with U+0000", V311, "10 10 0004'MQTT' 04 82 000a 0001'a' 0001 00", MalformedPacket, "MQTT-1.5.4-2"},
	{"user name flagged but missing", V311, "10 0d 0004'MQTT' 04 82 000a 0001'a'", MalformedPacket, ""},
	{"user name not flagged but there", V311, "10 10 0004'MQTT' 04 02 000a 0001'a' 0001'u'", MalformedPacket, ""},
	{"the same in 3.1", V31, "10 12 0006'MQIsdp' 03 02 000a 0001'a' 0001'u'", MalformedPacket, ""},
	{"figure 3-6 of 5.0, which shows no payload", V5, "10 10 0004'MQTT' 05 ce 000a 05 11 0000000a", MalformedPacket, ""},
	{"authentication data without a method", V5, "10 12 0004'MQTT' 05 02 000a 04 16 0001'd' 0001'a'", ProtocolError, ""},
	{"property length 0 in two bytes", V5, "10 0f 0004'MQTT' 05 02 000a 8000 0001'a'", MalformedPacket, "MQTT-1.5.5-1"},
	{"Will Property among the others", V5, "10 13 0004'MQTT' 05 02 000a 05 18 00000001 0001'a'", MalformedPacket, ""},
	{"Receive Maximum among the Will Properties", V5, "10 17 0004'MQTT' 05 06 000a 00 0001'a' 03 21 0001 0001'w' 0000", MalformedPacket, ""},

	// CONNACK
	{"reserved flags", V311, "20 02 02 00", MalformedPacket, "MQTT-3.2.2-1"},
	{"reserved flags", V5, "20 03 80 00 00", MalformedPacket, "MQTT-3.2.2-1"},
	{"session present in a refusal", V311, "20 02 01 05", ProtocolError, "MQTT-3.2.2-6"},
	{"session present in a refusal", V5, "20 03 01 87 00", ProtocolError, "MQTT-3.2.2-6"},
	{"no properties in 5.0", V5, "20 02 00 00", MalformedPacket, ""},
	{"properties in 3.1.1", V311, "20 03 00 00 00", MalformedPacket, ""},

	// PUBLISH
	{"packet identifier 0", V311, "32 07 0003'a/b' 0000", MalformedPacket, "MQTT-2.2.1-3"},
	{"packet identifier 0, QoS 2", V5, "34 08 0003'a/b' 0000 00", MalformedPacket, "MQTT-2.2.1-3"},
	{"wildcard in topic name", V311, "30 05 0003'a/#'", TopicNameInvalid, "MQTT-3.3.2-2"},
	{"wildcard in topic name", V5, "30 06 0003'+/b' 00", TopicNameInvalid, "MQTT-3.3.2-2"},
	{"no topic name", V311, "30 02 0000", MalformedPacket, "MQTT-4.7.3-1"},
	{"no topic name", V31, "30 02 0000", MalformedPacket, "MQTT-4.7.3-1"},
	{"no topic name and no alias", V5, "30 03 0000 00", ProtocolError, ""},
	{"no topic name and other properties", V5, "30 05 0000 02 01 00", ProtocolError, ""},
	{"topic alias 0", V5, "30 07 0001'a' 03 23 0000", TopicAliasInvalid, "MQTT-3.3.2-8"},
	{"topic alias twice", V5, "30 0a 0001'a' 06 23 0001 23 0001", ProtocolError, ""},
	{"topic name over-long UTF-8", V311, "30 05 0003'a' c0af", MalformedPacket, "MQTT-1.5.4-1"},
	{"response topic with a wildcard", V5, "30 08 0001'a' 04 08 0001'#'", TopicNameInvalid, "MQTT-3.3.2-2"},
	{"response topic empty", V5, "30 07 0001'a' 03 08 0000", TopicNameInvalid, "MQTT-4.7.3-1"},
	{"response topic with U+0000", V5, "30 08 0001'a' 04 08 0001 00", MalformedPacket, "MQTT-1.5.4-2"},
	{"content type ill-formed", V5, "30 08 0001'a' 04 03 0001 ff", MalformedPacket, "MQTT-1.5.4-1"},
	{"user property name ill-formed", V5, "30 0a 0001'a' 06 26 0001 ff 0000", MalformedPacket, "MQTT-1.5.4-1"},
	{"user property value with U+0000", V5, "30 0a 0001'a' 06 26 0000 0001 00", MalformedPacket, "MQTT-1.5.4-2"},
	{"payload format 2", V5, "30 06 0001'a' 02 01 02", ProtocolError, ""},
	{"subscription identifier 0", V5, "30 06 0001'a' 02 0b 00", ProtocolError, ""},
	{"subscription identifier not minimal", V5, "30 07 0001'a' 03 0b 8100", MalformedPacket, ""},
	{"subscription identifier of five bytes", V5, "30 0a 0001'a' 06 0b 8080808001", MalformedPacket, ""},
	{"property length beyond the packet", V5, "30 05 0001'a' 02 01", MalformedPacket, ""},
	{"property that goes beyond the property length", V5, "30 06 0001'a' 01 01 00", MalformedPacket, ""},
	{"unknown property", V5, "30 06 0001'a' 02 04 00", MalformedPacket, ""},
	{"property identifier 0", V5, "30 06 0001'a' 02 00 00", MalformedPacket, ""},
	{"property identifier over the table", V5, "30 06 0001'a' 02 2b 00", MalformedPacket, ""},
	{"property identifier in two bytes", V5, "30 07 0001'a' 03 8100 00", MalformedPacket, ""},

	// PUBACK, PUBREC, PUBREL, PUBCOMP
	{"packet identifier 0", V311, "40 02 0000", MalformedPacket, "MQTT-2.2.1-3"},
	{"packet identifier 0", V5, "62 03 0000 92", MalformedPacket, "MQTT-2.2.1-3"},
	{"reason code in 3.1.1", V311, "40 03 0001 00", MalformedPacket, ""},
	{"bytes after the properties", V5, "70 05 0001 00 00 00", MalformedPacket, ""},
	{"reason string twice", V5, "40 0a 0001 00 06 1f 0000 1f 0000", ProtocolError, ""},
	{"property of other packets", V5, "50 06 0001 00 02 01 00", MalformedPacket, ""},
	{"PUBACK 0x01, as a broker was seen to send it", V5, "40 0b 2ae7 01 07 26 0001'a' 0001'b'", ProtocolError, "MQTT-3.4.2-1"},
	{"PUBREL with a code of PUBREC", V5, "62 03 0001 87", ProtocolError, "MQTT-3.6.2-1"},

	// SUBSCRIBE, SUBACK
	{"packet identifier 0", V311, "82 06 0000 0001'a' 00", MalformedPacket, "MQTT-2.2.1-3"},
	{"no filter", V311, "82 02 0001", ProtocolError, "MQTT-3.8.3-2"},
	{"no filter", V5, "82 03 0001 00", ProtocolError, "MQTT-3.8.3-2"},
	{"empty filter", V311, "82 05 0001 0000 00", MalformedPacket, "MQTT-4.7.3-1"},
	{"bad second filter", V311, "82 0b 0001 0001'a' 00 0002'a#' 00", MalformedPacket, "MQTT-4.7.1-1"},
	{"filter without options", V311, "82 05 0001 0001'a'", MalformedPacket, ""},
	{"QoS 3", V311, "82 06 0001 0001'a' 03", ProtocolError, ""},
	{"QoS 3", V31, "82 06 0001 0001'a' 03", ProtocolError, ""},
	{"QoS 3", V5, "82 07 0001 00 0001'a' 03", ProtocolError, ""},
	{"5.0 options in 3.1.1", V311, "82 06 0001 0001'a' 04", MalformedPacket, "MQTT-3.8.3-5"},
	{"reserved option 0x40", V5, "82 07 0001 00 0001'a' 40", MalformedPacket, "MQTT-3.8.3-5"},
	{"reserved option 0x80", V5, "82 07 0001 00 0001'a' 80", MalformedPacket, "MQTT-3.8.3-5"},
	{"Retain Handling 3", V5, "82 07 0001 00 0001'a' 30", ProtocolError, ""},
	{"No Local on a shared subscription", V5, "82 10 0001 00 000a'$share/g/a' 04", ProtocolError, "MQTT-3.8.3-4"},
	{"shared without a group", V311, "82 0e 0001 0009'$share//a' 00", MalformedPacket, "MQTT-4.8.2-1"},
	{"subscription identifier 0", V5, "82 09 0001 02 0b00 0001'a' 00", ProtocolError, ""},
	{"subscription identifier twice", V5, "82 0b 0001 04 0b01 0b02 0001'a' 00", ProtocolError, ""},
	{"SUBACK packet identifier 0", V311, "90 03 0000 00", MalformedPacket, "MQTT-2.2.1-3"},
	{"SUBACK without codes", V311, "90 02 0001", MalformedPacket, ""},
	{"SUBACK without codes", V5, "90 03 0001 00", MalformedPacket, ""},
	{"SUBACK 3", V311, "90 03 0001 03", ProtocolError, "MQTT-3.9.3-2"},
	{"SUBACK 0x87 in 3.1.1", V311, "90 03 0001 87", ProtocolError, "MQTT-3.9.3-2"},
	{"SUBACK second code", V5, "90 05 0001 00 00 04", ProtocolError, "MQTT-3.9.3-2"},

	// UNSUBSCRIBE, UNSUBACK
	{"packet identifier 0", V5, "a2 06 0000 00 0001'a'", MalformedPacket, "MQTT-2.2.1-3"},
	{"no filter", V31, "a2 02 0001", ProtocolError, "MQTT-3.10.3-2"},
	{"no filter", V5, "a2 03 0001 00", ProtocolError, "MQTT-3.10.3-2"},
	{"hash not last", V311, "a2 07 0001 0003'#/a'", MalformedPacket, "MQTT-4.7.1-1"},
	{"shared without a filter", V5, "a2 0d 0001 00 0008'$share/g'", MalformedPacket, "MQTT-4.8.2-2"},
	{"UNSUBACK packet identifier 0", V311, "b0 02 0000", MalformedPacket, "MQTT-2.2.1-3"},
	{"UNSUBACK with codes in 3.1.1", V311, "b0 03 0001 00", MalformedPacket, ""},
	{"UNSUBACK without codes in 5.0", V5, "b0 03 0001 00", MalformedPacket, ""},
	{"UNSUBACK 0x01", V5, "b0 04 0001 00 01", ProtocolError, "MQTT-3.11.3-2"},

	// DISCONNECT, AUTH
	{"DISCONNECT with a code of CONNACK", V5, "e0 01 84", ProtocolError, "MQTT-3.14.2-1"},
	{"DISCONNECT with bytes left over", V5, "e0 03 00 00 00", MalformedPacket, ""},
	{"session expiry twice", V5, "e0 0c 00 0a 11 00000000 11 00000000", ProtocolError, ""},
	{"AUTH without a method", V5, "f0 01 18", ProtocolError, ""},
	{"AUTH with properties and without a method", V5, "f0 06 00 04 1f 0001'r'", ProtocolError, ""},
	{"AUTH with data and without a method", V5, "f0 06 18 04 16 0001'd'", ProtocolError, ""},
	{"AUTH 0x87", V5, "f0 06 87 04 15 0001'm'", ProtocolError, "MQTT-3.15.2-1"},
}

func TestPacketsThatBreakARuleAreRefused(t *testing.T) {
	for _, tt := range refusedPackets {
		t.Run(tt.name+" "+tt.v.String(), func(t *testing.T) {
			raw := unhex(t, tt.hex)
			p, ok, err := Cut(raw, tt.v, 0)
			if err == nil {
				if !ok || len(p.Raw) != len(raw) {
					t.Fatalf("Cut(% x) = %d bytes, %v; the test packet's length is wrong", raw, len(p.Raw), ok)
				}
				_, err = parse(p, tt.v)
			}
			e, isError := errors.AsType[*Error](err)
			if !isError {
				t.Fatalf("error of % x = %v; want an *Error of code %v", raw, err, tt.code)
			}
			if e.Type != Type(raw[0]>>4) || e.Code != tt.code || e.Rule != tt.rule || e.Detail == "" {
				t.Errorf("error of % x = %v, type %v, code %v, rule %q; want code %v, rule %q", raw, e, e.Type, e.Code, e.Rule, tt.code, tt.rule)
			}
		})
	}
}

// TestFirstBytes goes through every type with every flag, in every version.
func TestFirstBytes(t *testing.T) {
	legal := map[Version]string{
		// 3.1.1 section 2.2.2, 5.0 section 2.1.3, and QoS 3 and DUP of section 3.3.1.
		V311: "10 20 30313233 3435 3a3b3c3d 40 50 62 70 82 90 a2 b0 c0 d0 e0",
		V5:   "10 20 30313233 3435 3a3b3c3d 40 50 62 70 82 90 a2 b0 c0 d0 e0 f0",
		// 3.1 marks unused flags "x"; QoS 1 and DUP in sections 3.6, 3.8, 3.10.
		V31: "10 202122232425262728292a2b2c2d2e2f 30313233 3435 3a3b3c3d 404142434445464748494a4b4c4d4e4f" +
			"505152535455565758595a5b5c5d5e5f 62636a6b 707172737475767778797a7b7c7d7e7f 82838a8b 909192939495969798999a9b9c9d9e9f" +
			"a2a3aaab b0b1b2b3b4b5b6b7b8b9babbbcbdbebf c0c1c2c3c4c5c6c7c8c9cacbcccdcecf d0d1d2d3d4d5d6d7d8d9dadbdcdddedf e0e1e2e3e4e5e6e7e8e9eaebecedeeef",
	}
	for v, list := range legal {
		var isLegal [256]bool
		for _, b := range unhex(t, list) {
			isLegal[b] = true
		}
		for b := range 256 {
			_, ok, err := Cut([]byte{byte(b)}, v, 0)
			if ok || (err == nil) != isLegal[b] {
				t.Errorf("Cut(%02x, %v) = %v, %v; want legal: %v", b, v, ok, err, isLegal[b])
			}
			if e, isError := errors.AsType[*Error](err); isError && (e.Code != MalformedPacket || e.Type != Type(b>>4)) {
				t.Errorf("Cut(%02x, %v) = %v, type %v; want 0x81", b, v, err, e.Type)
			}
		}
	}
}

func TestMaximumPacketSizeCountsTheHeaderAndNeedsNoBody(t *testing.T) {
	tests := []struct {
		hex  string
		max  int
		code ReasonCode
	}{
		{"30 05 0003'a/b'", 7, Success},
		{"30 05", 6, PacketTooLarge},
		{"30 80 01", 131, Success},
		{"30 80 01", 130, PacketTooLarge},
		{"30 ff ff ff 7f", 2 << 20, PacketTooLarge},
		{"30 ff ff ff", 2 << 20, Success}, // one more byte to come
		{"30 ff ff ff 7f", 0, Success},
		{"c0 00", 1, PacketTooLarge},
	}
	for _, tt := range tests {
		_, _, err := Cut(unhex(t, tt.hex), V311, tt.max)
		e, isError := errors.AsType[*Error](err)
		if isError && e.Code != tt.code || isError != (tt.code != Success) {
			t.Errorf("Cut(%s, %d) gives %v; want %v", tt.hex, tt.max, err, tt.code)
		}
	}
}

func TestUnsupportedVersionIsTold(t *testing.T) {
	for hex, want := range map[string]Version{
		"10 0d 0004'MQTT' 06 02 000a 0001'a'":   6,
		"10 0d 0004'MQTT' 84 02 000a 0001'a'":   V311,
		"10 0f 0006'MQIsdp' 83 02 000a 0001'a'": V31,
	} {
		m, err := ParseConnect(cut(t, unhex(t, hex), V5))
		if err == nil || m.Version != want {
			t.Errorf("ParseConnect(%s) = version %v, %v; want %v and an error", hex, m.Version, err, want)
		}
	}
}

// Which CONNACK is understood depends on the version, of a CONNECT that is wrong behind it too.
func TestAWrongConnectTellsItsVersion(t *testing.T) {
	for hex, want := range map[string]Version{
		"10 0e 0004'MQTT' 05 03 000a 00 0001'a'":  V5, // reserved flag
		"10 0f 0004'MQTT' 04 02 000a 0003 eda080": V311,
		"10 0c 0006'MQIsdp' 03 02 000a":           V31, // ends early
		"10 07 0004'MQTT' 05":                     V5,
		"10 06 0004'MQTT'":                        0,
		"10 08 0009'MQTT' 05 05":                  0,
		"10 00":                                   0,
	} {
		m, err := ParseConnect(cut(t, unhex(t, hex), V5))
		if err == nil || !reflect.DeepEqual(m, Connect{Version: want}) {
			t.Errorf("ParseConnect(%s) = %+v, %v; want version %d and an error", hex, m, err, want)
		}
	}
}

func TestAPacketIsParsedByItsOwnFunctionOnly(t *testing.T) {
	for _, tt := range goldenPackets {
		p := cut(t, unhex(t, tt.hex), tt.v)
		accepted := 0
		for _, err := range []error{
			second(ParseConnect(p)), second(ParseConnack(p, tt.v)), second(ParsePublish(p, tt.v)), second(ParseAck(p, tt.v)),
			second(ParseSubscribe(p, tt.v)), second(ParseSuback(p, tt.v)), second(ParseUnsubscribe(p, tt.v)),
			second(ParseUnsuback(p, tt.v)), second(ParseDisconnect(p, tt.v)), second(ParseAuth(p, tt.v)),
		} {
			if _, isError := errors.AsType[*Error](err); err != nil && !isError {
				t.Errorf("%s: error %v; want an *Error", tt.name, err)
			}
			if err == nil {
				accepted++
			}
		}
		want := 1
		if p.Type() == TypePingreq || p.Type() == TypePingresp {
			want = 0 // Cut has said all
		}
		if accepted != want {
			t.Errorf("%s: %d Parse functions took it; want %d", tt.name, accepted, want)
		}
	}
	// A packet that did not come from Cut, or for another version, is judged again.
	for hex, v := range map[string]Version{"36 05 0001'a' 0001": V311, "f0 00": V311, "8a 06 0001 0001'a' 00": V5, "41 02 0001": V311, "11 00": V5} {
		raw := unhex(t, hex)
		_, err := parse(Packet{Raw: raw, Body: raw[2:]}, v)
		if e, isError := errors.AsType[*Error](err); !isError || e.Code != MalformedPacket {
			t.Errorf("parse(%s) = %v; want 0x81", hex, err)
		}
	}
	for _, err := range []error{second(ParseConnect(Packet{})), second(ParsePublish(Packet{}, V5)), second(ParseAck(Packet{}, V5))} {
		if _, isError := errors.AsType[*Error](err); !isError {
			t.Errorf("parsing no packet = %v; want an *Error", err)
		}
	}
}

func second[T any](_ T, err error) error { return err }
