package frames

import (
	"errors"
	"math"
	"reflect"
	"testing"
)

// faultyMessages are PUBLISH packets whose message alone is wrong, with what is known all the same.
var faultyMessages = []struct {
	name string
	v    Version
	hex  string
	code ReasonCode
	want Publish
}{
	{"'+' in the topic name", V311, "3d 07 0003'a/+' 0007", TopicNameInvalid,
		Publish{Dup: true, QoS: 2, Retain: true, TopicName: []byte("a/+"), PacketID: 7, Payload: []byte{}}},
	{"'#' in the topic name", V31, "32 08 0003'#/a' 0007'x'", TopicNameInvalid,
		Publish{QoS: 1, TopicName: []byte("#/a"), PacketID: 7, Payload: []byte("x")}},
	{"the same, QoS 0", V311, "30 06 0003'#/a''x'", TopicNameInvalid, Publish{TopicName: []byte("#/a"), Payload: []byte("x")}},
	{"U+0000 in the topic name", V311, "32 08 0003'a'00'b' 0007'x'", MalformedPacket,
		Publish{QoS: 1, TopicName: []byte("a\x00b"), PacketID: 7, Payload: []byte("x")}},
	{"ill-formed UTF-8 in the topic name", V5, "32 08 0002'a'ff 0007 00'x'", MalformedPacket,
		Publish{QoS: 1, TopicName: []byte("a\xff"), PacketID: 7, Payload: []byte("x")}},
	{"no topic name", V311, "32 05 0000 0007'x'", MalformedPacket, Publish{QoS: 1, TopicName: []byte{}, PacketID: 7, Payload: []byte("x")}},
	{"neither topic name nor alias", V5, "32 0b 0000 0007 05 02 0000000a'x'", ProtocolError,
		Publish{QoS: 1, TopicName: []byte{}, PacketID: 7, Payload: []byte("x")}},
	{"a topic name with a wildcard, for an alias", V5, "32 0e 0001'+' 0007 08 23 0005 26 0000 0000", TopicNameInvalid,
		Publish{QoS: 1, TopicName: []byte("+"), PacketID: 7, Properties: Properties("\x23\x00\x05"), Payload: []byte{}}},
	{"payload format 2", V5, "30 07 0001'a' 02 01 02'x'", ProtocolError, Publish{TopicName: []byte("a"), Payload: []byte("x")}},
	{"payload format 2 before an alias", V5, "30 09 0001'a' 05 01 02 23 0005", ProtocolError,
		Publish{TopicName: []byte("a"), Properties: Properties("\x23\x00\x05"), Payload: []byte{}}},
	{"response topic with a wildcard", V5, "34 0d 0001'a' 0007 07 23 0001 08 0001'#'", TopicNameInvalid,
		Publish{QoS: 2, TopicName: []byte("a"), PacketID: 7, Properties: Properties("\x23\x00\x01"), Payload: []byte{}}},
	{"content type ill-formed", V5, "30 08 0001'a' 04 03 0001 ff", MalformedPacket, Publish{TopicName: []byte("a"), Payload: []byte{}}},
	{"a property of other packets", V5, "30 07 0001'a' 03 1f 0000", MalformedPacket, Publish{TopicName: []byte("a"), Payload: []byte{}}},
	{"content type twice", V5, "30 0a 0001'a' 06 03 0000 03 0000", ProtocolError, Publish{TopicName: []byte("a"), Payload: []byte{}}},
	{"topic alias 0, which means nothing later", V5, "30 07 0001'a' 03 23 0000", TopicAliasInvalid, Publish{TopicName: []byte("a"), Payload: []byte{}}},
	{"the first of two faults", V5, "30 06 0001'#' 02 01 02", TopicNameInvalid, Publish{TopicName: []byte("#"), Payload: []byte{}}},
}

func TestAFaultyMessageIsToldApart(t *testing.T) {
	for _, tt := range faultyMessages {
		t.Run(tt.name+" "+tt.v.String(), func(t *testing.T) {
			got, err := ParsePublish(cut(t, unhex(t, tt.hex), tt.v), tt.v)
			e, isError := errors.AsType[*Error](err)
			if !isError || e.Code != tt.code || e.Type != TypePublish || !errors.Is(err, ErrFaultyMessage) || errors.Is(err, ErrReasonCode) {
				t.Errorf("ParsePublish(%s) = %v; want ErrFaultyMessage of code %v", tt.hex, err, tt.code)
			}
			if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("ParsePublish(%s) = %+v; want %+v", tt.hex, got, tt.want)
			}
		})
	}
}

// What must be known to complete a PUBLISH, or to understand those after it, is not a fault of the message alone.
func TestOtherFaultsOfAPublishAreNotOfItsMessageAlone(t *testing.T) {
	for _, tt := range []struct {
		name string
		v    Version
		hex  string
	}{
		{"topic name beyond the packet", V311, "32 05 0004'a/b'"},
		{"packet identifier missing, behind a wildcard", V311, "32 03 0001'#'"},
		{"packet identifier 0", V311, "32 05 0001'a' 0000"},
		{"packet identifier 0, behind a wildcard", V5, "32 06 0001'#' 0000 00"},
		{"property length beyond the packet", V5, "30 05 0001'a' 02 01"},
		{"property length not minimal", V5, "30 05 0001'a' 8000"},
		{"property length missing, behind a wildcard", V5, "30 03 0001'#'"},
		{"unknown property: an alias might follow", V5, "30 09 0001'a' 05 04 00 23 0001"},
		{"property that ends early", V5, "30 06 0001'a' 02 08 00"},
		{"subscription identifier not minimal: its end is a guess", V5, "30 07 0001'a' 03 0b 8100"},
		{"two aliases", V5, "30 0a 0001'a' 06 23 0001 23 0002"},
		{"two aliases, behind a wildcard", V5, "30 0a 0001'#' 06 23 0001 23 0002"},
		{"two aliases, behind another fault", V5, "30 0c 0001'a' 08 01 02 23 0001 23 0001"},
		{"QoS 3", V311, "36 05 0001'#' 0001"},
		{"no PUBLISH", V311, "40 02 0001"},
	} {
		raw := unhex(t, tt.hex)
		got, err := ParsePublish(Packet{Raw: raw, Body: raw[2:]}, tt.v)
		if _, isError := errors.AsType[*Error](err); !isError || errors.Is(err, ErrFaultyMessage) || !reflect.ValueOf(got).IsZero() {
			t.Errorf("%s: ParsePublish = %+v, %v; want nothing but another error", tt.name, got, err)
		}
	}
}

// sameHead says whether a head is what ParsePublish makes of the whole packet.
func sameHead(t *testing.T, h PublishHead, err error, raw []byte, v Version) {
	t.Helper()
	want, wantErr := ParsePublish(cut(t, raw, v), v)
	want.Payload = nil
	if !reflect.DeepEqual(err, wantErr) {
		t.Errorf("ParsePublishHead of % x = %v; ParsePublish says %v", raw, err, wantErr)
	}
	if wantErr != nil && !errors.Is(wantErr, ErrFaultyMessage) {
		want = Publish{}
	} else if h.PacketBytes != len(raw) {
		t.Errorf("ParsePublishHead of % x: %d bytes; want %d", raw, h.PacketBytes, len(raw))
	}
	if !reflect.DeepEqual(h.Publish, want) {
		t.Errorf("ParsePublishHead of % x = %+v; want %+v", raw, h.Publish, want)
	}
}

// Cut anywhere, a PUBLISH gives its head as soon as that is there, and not before.
func TestAPublishHeadIsThereWithItsLastByte(t *testing.T) {
	type packet struct {
		name  string
		v     Version
		raw   []byte
		legal bool
	}
	var packets []packet
	for _, tt := range goldenPackets {
		packets = append(packets, packet{tt.name, tt.v, unhex(t, tt.hex), true})
	}
	for _, tt := range faultyMessages {
		packets = append(packets, packet{tt.name, tt.v, unhex(t, tt.hex), true})
	}
	for _, tt := range refusedPackets {
		packets = append(packets, packet{tt.name, tt.v, unhex(t, tt.hex), false})
	}
	long := Publish{QoS: 1, PacketID: 1, TopicName: make([]byte, 300), Payload: make([]byte, 300)}
	for i := range long.TopicName {
		long.TopicName[i] = 'a'
	}
	for range 50 {
		long.Properties = long.Properties.AppendPair(PropUserProperty, []byte("k"), []byte("v"))
	}
	for _, v := range []Version{V31, V311, V5} {
		packets = append(packets, packet{"long", v, long.Append(nil, v), true})
	}
	for _, tt := range packets {
		if Type(tt.raw[0]>>4) != TypePublish || firstBytes[tt.raw[0]]&versionBit(tt.v) == 0 {
			if _, ok, err := ParsePublishHead(tt.raw, tt.v, 0); ok || err == nil {
				t.Errorf("%s: ParsePublishHead = %v, %v; want an error", tt.name, ok, err)
			}
			continue
		}
		whole, _, err := Cut(tt.raw, tt.v, 0)
		if err != nil { // the Remaining Length is wrong
			if _, ok, got := ParsePublishHead(tt.raw, tt.v, 0); ok || !reflect.DeepEqual(got, err) {
				t.Errorf("%s: ParsePublishHead = %v, %v; want %v", tt.name, ok, got, err)
			}
			continue
		}
		headBytes := len(tt.raw)
		if m, err := ParsePublish(whole, tt.v); err == nil || errors.Is(err, ErrFaultyMessage) {
			headBytes -= len(m.Payload)
		}
		for n := range len(tt.raw) + 2 {
			buf := append(tt.raw[:len(tt.raw):len(tt.raw)], 0x30, 0xff)[:n]
			h, ok, err := ParsePublishHead(buf, tt.v, 0)
			switch {
			case n < headBytes && tt.legal && (ok || err != nil || h.PacketBytes != 0):
				t.Errorf("%s: ParsePublishHead of %d of %d bytes = %+v, %v, %v; want to wait", tt.name, n, headBytes, h, ok, err)
			case n >= headBytes && !ok && err == nil:
				t.Errorf("%s: ParsePublishHead waits for more than all %d bytes", tt.name, headBytes)
			case ok || err != nil:
				sameHead(t, h, err, tt.raw, tt.v)
			}
		}
		for limit, large := range map[int]bool{headBytes: false, headBytes - 1: true} {
			_, _, err := ParsePublishHead(tt.raw, tt.v, limit)
			if e, isError := errors.AsType[*Error](err); tt.legal && (isError && e.Code == PacketTooLarge) != large {
				t.Errorf("%s: a head of %d bytes where %d are taken: %v", tt.name, headBytes, limit, err)
			}
		}
	}
}

func TestALongHeadIsRefusedBeforeItIsThere(t *testing.T) {
	for _, tt := range []struct {
		v   Version
		hex string
	}{{V311, "32 ff ff 7f ffff"}, {V5, "30 ff ff ff 7f 0001'a' ffffff7f"}} {
		h, ok, err := ParsePublishHead(unhex(t, tt.hex), tt.v, 60_000)
		if e, isError := errors.AsType[*Error](err); ok || !isError || e.Code != PacketTooLarge || e.Type != TypePublish || h.PacketBytes != 0 {
			t.Errorf("ParsePublishHead(%s) = %+v, %v, %v; want 0x95", tt.hex, h, ok, err)
		}
	}
}

func TestTheLongestPacketIsThatOfFourBytesOfLength(t *testing.T) {
	_, _, err := Cut([]byte{0x30, 0xff, 0xff, 0xff, 0x7f}, V311, MaxPacketBytes)
	_, _, over := Cut([]byte{0x30, 0xff, 0xff, 0xff, 0x7f}, V311, MaxPacketBytes-1)
	if err != nil || over == nil || MaxPacketBytes > math.MaxInt32 {
		t.Errorf("the longest packet: %v; with one byte less allowed: %v", err, over)
	}
}
