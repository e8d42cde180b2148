package frames

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

// legalReasons are the tables of 3.2.2.2, 3.4.2.1 to 3.7.2.1, 3.9.3, 3.11.3, 3.14.2.1
// and 3.15.2.1, with DISCONNECT 0x8C from table 2-6.
var legalReasons = map[Type]string{
	TypeConnack:    "00 80 81 82 83 84 85 86 87 88 89 8A 8C 90 95 97 99 9A 9B 9C 9D 9F",
	TypePuback:     "00 10 80 83 87 90 91 97 99",
	TypePubrec:     "00 10 80 83 87 90 91 97 99",
	TypePubrel:     "00 92",
	TypePubcomp:    "00 92",
	TypeSuback:     "00 01 02 80 83 87 8F 91 97 9E A1 A2",
	TypeUnsuback:   "00 11 80 83 87 8F 91",
	TypeDisconnect: "00 04 80 81 82 83 87 89 8B 8C 8D 8E 8F 90 93 94 95 96 97 98 99 9A 9B 9C 9D 9E 9F A0 A1 A2",
	TypeAuth:       "00 18 19",
}

// withReason is a packet of type t with that code; properties in 5.0, if there is room for any.
func withReason(t Type, code ReasonCode, v Version) appender {
	var ps Properties
	if v == V5 {
		ps = ps.AppendPair(PropUserProperty, []byte("a"), []byte("b"))
	}
	switch t {
	case TypeConnack:
		return Connack{Reason: code, Properties: ps}
	case TypeSuback:
		return Suback{PacketID: 7, Reasons: []ReasonCode{0, code, 0}, Properties: ps}
	case TypeUnsuback:
		return Unsuback{PacketID: 7, Reasons: []ReasonCode{0, code, 0}, Properties: ps}
	case TypeDisconnect:
		return Disconnect{Reason: code, Properties: ps}
	case TypeAuth:
		return Auth{Reason: code, Properties: ps.AppendBytes(PropAuthenticationMethod, []byte("m"))}
	}
	return Ack{Type: t, PacketID: 7, Reason: code, Properties: ps}
}

func TestAnIllegalReasonCodeIsToldAndThePacketReadAllTheSame(t *testing.T) {
	for kind, list := range legalReasons {
		for c := range 256 {
			code := ReasonCode(c)
			legal := strings.Contains(list, fmt.Sprintf("%02X", c))
			if got := code.Legal(kind, V5); got != legal {
				t.Errorf("0x%02X.Legal(%v) = %v; want %v", c, kind, got, legal)
			}
			want := withReason(kind, code, V5)
			got, err := parse(cut(t, want.Append(nil, V5), V5), V5)
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%v 0x%02X = %+v; want %+v", kind, c, got, want)
			}
			if legal {
				if err != nil {
					t.Errorf("%v 0x%02X: %v; want nil", kind, c, err)
				}
				continue
			}
			e, isError := errors.AsType[*Error](err)
			if !isError || e.Code != ProtocolError || !errors.Is(err, ErrReasonCode) || !strings.Contains(e.Detail, fmt.Sprintf("illegal reason code 0x%02X", c)) {
				t.Errorf("%v 0x%02X: %v; want illegal reason code", kind, c, err)
			}
		}
	}
}

func TestReasonCodesBefore50(t *testing.T) {
	for _, v := range []Version{V31, V311} {
		for c := range 256 {
			for kind, legal := range map[Type]bool{TypeConnack: c <= 5, TypeSuback: c <= 2 || c == 0x80} {
				want := withReason(kind, ReasonCode(c), v)
				got, err := parse(cut(t, want.Append(nil, v), v), v)
				if !reflect.DeepEqual(got, want) || (err == nil) != legal || !legal && !errors.Is(err, ErrReasonCode) {
					t.Errorf("%v %v 0x%02X = %+v, %v; want %+v, legal: %v", v, kind, c, got, err, want, legal)
				}
			}
		}
	}
}

// TestOtherErrorsAreNoReasonCodes: who repairs a packet because of ErrReasonCode must not
// repair one that is broken elsewhere.
func TestOtherErrorsAreNoReasonCodes(t *testing.T) {
	for _, hex := range []string{"40 02 0000", "40 05 0001 01 00 00", "40 06 0001 01 02 01 00", "40 04 0001 01 01", "90 03 0000 00"} {
		m, err := parse(cut(t, unhex(t, hex), V5), V5)
		if err == nil || errors.Is(err, ErrReasonCode) || !reflect.ValueOf(m).IsZero() {
			t.Errorf("parse(%s) = %+v, %v; want nothing but another error", hex, m, err)
		}
	}
}

func TestABrokersIllegalPubackIsRepaired(t *testing.T) {
	a, err := ParseAck(cut(t, unhex(t, "40 0b 2ae7 01 07 26 0001'a' 0001'b'"), V5), V5)
	if !errors.Is(err, ErrReasonCode) {
		t.Fatalf("ParseAck = %v; want ErrReasonCode", err)
	}
	a.Reason = Success
	if got, want := a.Append(nil, V5), unhex(t, "40 0b 2ae7 00 07 26 0001'a' 0001'b'"); string(got) != string(want) {
		t.Errorf("repaired = % x; want % x", got, want)
	}
}

func TestNames(t *testing.T) {
	for _, tt := range []struct{ got, want string }{
		{V31.String(), "3.1"}, {V311.String(), "3.1.1"}, {V5.String(), "5.0"}, {Version(6).String(), "level 6"},
		{TypeConnect.String(), "CONNECT"}, {TypeAuth.String(), "AUTH"}, {Type(0).String(), "type 0"}, {Type(16).String(), "type 16"},
		{NotAuthorized.String(), "not authorized"}, {V3ServerUnavailable.String(), "server unavailable"},
		{V3NotAuthorized.String(), "not authorized"}, {ReasonCode(0x42).String(), "reason code 0x42"},
		{PropTopicAlias.String(), "Topic Alias"}, {PropertyID(4).String(), "property 0x04"}, {PropertyID(1 << 31).String(), "property 0x80000000"},
		{
			(&Error{Type: TypePublish, Code: TopicNameInvalid, Rule: "MQTT-3.3.2-2", Detail: "wildcard in topic name"}).Error(),
			"PUBLISH: topic name invalid: wildcard in topic name [MQTT-3.3.2-2]",
		},
		{(&Error{Code: MalformedPacket, Detail: "cut"}).Error(), "malformed packet: cut"},
	} {
		if tt.got != tt.want {
			t.Errorf("name = %q; want %q", tt.got, tt.want)
		}
	}
	for c := range 256 {
		if name := ReasonCode(c).String(); name == "" {
			t.Errorf("0x%02X has no name", c)
		}
	}
}
