package frames

import (
	"bytes"
	"reflect"
	"testing"
)

// goldenPackets are packets as the specifications show or define them. Written again
// they give the same bytes, except where shortest says in which bytes.
var goldenPackets = []struct {
	name     string
	v        Version
	hex      string
	want     appender
	shortest string
}{
	// CONNECT
	{"3.1 section 3.1, its example payload", V31,
		"10 2b 0006'MQIsdp' 03 ce 000a 0003'abc' 0004'will' 0009'bye, bye!' 0003'joe' 0002'pw'",
		&Connect{
			Version: V31, CleanStart: true, KeepAlive: 10, ClientID: "abc",
			Will: &Will{TopicName: "will", Payload: []byte("bye, bye!"), QoS: 1}, HasUsername: true, Username: "joe",
			HasPassword: true, Password: []byte("pw"),
		}, ""},
	{"3.1: user name and password flagged but missing, section 3.1", V31,
		"10 11 0006'MQIsdp' 03 c2 000a 0003'abc'",
		&Connect{Version: V31, CleanStart: true, KeepAlive: 10, ClientID: "abc"}, "10 11 0006'MQIsdp' 03 02 000a 0003'abc'"},
	{"3.1: password flagged but missing", V31,
		"10 16 0006'MQIsdp' 03 c2 000a 0003'abc' 0003'joe'",
		&Connect{Version: V31, CleanStart: true, KeepAlive: 10, ClientID: "abc", HasUsername: true, Username: "joe"},
		"10 16 0006'MQIsdp' 03 82 000a 0003'abc' 0003'joe'"},
	{"3.1: flags that it does not use", V31, "10 11 0006'MQIsdp' 03 39 0000 0003'abc'",
		&Connect{Version: V31, ClientID: "abc"}, "10 11 0006'MQIsdp' 03 00 0000 0003'abc'"},
	{"3.1.1 figure 3.6, no payload but the client identifier", V311,
		"10 0d 0004'MQTT' 04 02 000a 0001'a'", &Connect{Version: V311, CleanStart: true, KeepAlive: 10, ClientID: "a"}, ""},
	{"3.1.1 everything set", V311,
		"10 1f 0004'MQTT' 04 f6 003c 0001'c' 0003'w/t' 0002 ff00 0001'u' 0004 00ff0001",
		&Connect{
			Version: V311, CleanStart: true, KeepAlive: 60, ClientID: "c",
			Will:        &Will{TopicName: "w/t", Payload: []byte{0xff, 0}, QoS: 2, Retain: true},
			HasUsername: true, Username: "u", HasPassword: true, Password: []byte{0, 0xff, 0, 1},
		}, ""},
	{"3.1.1 empty strings", V311,
		"10 10 0004'MQTT' 04 c2 0000 0000 0000 0000",
		&Connect{Version: V311, CleanStart: true, HasUsername: true, HasPassword: true, Password: []byte{}}, ""},
	{"5.0 Will Properties and a password without a user name", V5,
		"10 25 0004'MQTT' 05 4e 000a 05 11 0000000a 0001'c' 05 18 00000005 0003'w/t' 0001'x' 0002'pw'",
		&Connect{
			Version: V5, CleanStart: true, KeepAlive: 10, ClientID: "c", Properties: Properties("\x11\x00\x00\x00\x0a"),
			Will:        &Will{TopicName: "w/t", Payload: []byte("x"), QoS: 1, Properties: Properties("\x18\x00\x00\x00\x05")},
			HasPassword: true, Password: []byte("pw"),
		}, ""},

	// CONNACK
	{"3.1 section 3.2, the first byte is not used", V31, "20 02 ff 05", Connack{Reason: V3NotAuthorized}, "20 02 00 05"},
	{"3.1.1 section 3.2 session present", V311, "20 02 01 00", Connack{SessionPresent: true}, ""},
	{"3.1.1 section 3.2 not authorized", V311, "20 02 00 05", Connack{Reason: V3NotAuthorized}, ""},
	{"5.0 section 3.2", V5, "20 03 01 00 00", Connack{SessionPresent: true}, ""},
	{"5.0 section 3.2 with properties", V5, "20 0c 00 87 09 22 000a 1f 0003'why'",
		Connack{Reason: NotAuthorized, Properties: Properties("\x22\x00\x0a\x1f\x00\x03why")}, ""},

	// PUBLISH
	{"3.1.1 figure 3.11: a/b, packet identifier 10", V311, "32 07 0003'a/b' 000a",
		&Publish{QoS: 1, TopicName: []byte("a/b"), PacketID: 10, Payload: []byte{}}, ""},
	{"3.1 duplicate, QoS 2, retained", V31, "3d 09 0003'a/b' 000a 6869",
		&Publish{Dup: true, QoS: 2, Retain: true, TopicName: []byte("a/b"), PacketID: 10, Payload: []byte("hi")}, ""},
	{"3.1.1 QoS 0 without payload", V311, "30 05 0003'a/b'", &Publish{TopicName: []byte("a/b"), Payload: []byte{}}, ""},
	{"5.0 figure 3-9: a/b, packet identifier 10, no properties", V5, "32 08 0003'a/b' 000a 00",
		&Publish{QoS: 1, TopicName: []byte("a/b"), PacketID: 10, Payload: []byte{}}, ""},
	{"5.0 Topic Alias without a name, 3.3.2.3.4", V5, "30 07 0000 03 23 0005 68",
		&Publish{TopicName: []byte{}, Properties: Properties("\x23\x00\x05"), Payload: []byte("h")}, ""},
	{"5.0 Subscription Identifiers of several subscriptions, 3.3.2.3.8", V5, "30 0a 0001'a' 05 0b 01 0b ff 7f 68",
		&Publish{TopicName: []byte("a"), Properties: Properties("\x0b\x01\x0b\xff\x7f"), Payload: []byte("h")}, ""},

	// PUBACK, PUBREC, PUBREL, PUBCOMP
	{"3.1.1 section 3.4", V311, "40 02 1234", Ack{Type: TypePuback, PacketID: 0x1234}, ""},
	{"3.1.1 section 3.5", V311, "50 02 1234", Ack{Type: TypePubrec, PacketID: 0x1234}, ""},
	{"3.1.1 section 3.6", V311, "62 02 1234", Ack{Type: TypePubrel, PacketID: 0x1234}, ""},
	{"3.1.1 section 3.7", V311, "70 02 1234", Ack{Type: TypePubcomp, PacketID: 0x1234}, ""},
	{"3.1 section 3.6, repeated with DUP", V31, "6a 02 1234", Ack{Type: TypePubrel, PacketID: 0x1234}, "62 02 1234"},
	{"3.1 section 3.4", V31, "40 02 1234", Ack{Type: TypePuback, PacketID: 0x1234}, ""},
	{"3.1 section 3.5", V31, "50 02 1234", Ack{Type: TypePubrec, PacketID: 0x1234}, ""},
	{"3.1 section 3.7, flags are not used", V31, "7f 02 1234", Ack{Type: TypePubcomp, PacketID: 0x1234}, "70 02 1234"},
	{"5.0 Success may be left out, 3.4.2.1", V5, "40 02 1234", Ack{Type: TypePuback, PacketID: 0x1234}, ""},
	{"5.0 Success, said", V5, "40 03 1234 00", Ack{Type: TypePuback, PacketID: 0x1234}, "40 02 1234"},
	{"5.0 Success, said, and no properties", V5, "40 04 1234 00 00", Ack{Type: TypePuback, PacketID: 0x1234}, "40 02 1234"},
	{"5.0 not authorized", V5, "40 03 1234 87", Ack{Type: TypePuback, PacketID: 0x1234, Reason: NotAuthorized}, ""},
	{"5.0 PUBREC with properties", V5, "50 0b 1234 97 07 26 0001'k' 0001'v'",
		Ack{Type: TypePubrec, PacketID: 0x1234, Reason: QuotaExceeded, Properties: Properties("\x26\x00\x01k\x00\x01v")}, ""},
	{"5.0 PUBREL not found", V5, "62 03 1234 92", Ack{Type: TypePubrel, PacketID: 0x1234, Reason: PacketIDNotFound}, ""},
	{"5.0 PUBCOMP Success with properties", V5, "70 08 1234 00 04 1f 0001'r'",
		Ack{Type: TypePubcomp, PacketID: 0x1234, Properties: Properties("\x1f\x00\x01r")}, ""},

	// SUBSCRIBE, SUBACK
	{"3.1.1 figure 3.23: a/b QoS 1, c/d QoS 2", V311, "82 0e 000a 0003'a/b' 01 0003'c/d' 02",
		&Subscribe{PacketID: 10, Filters: []Subscription{{TopicFilter: "a/b", QoS: 1}, {TopicFilter: "c/d", QoS: 2}}}, ""},
	{"3.1 section 3.8, repeated with DUP, unused bits set", V31, "8a 08 000a 0003'a/b' fd",
		&Subscribe{PacketID: 10, Filters: []Subscription{{TopicFilter: "a/b", QoS: 1}}}, "82 08 000a 0003'a/b' 01"},
	{"5.0 figure 3-21: a/b QoS 1, c/d QoS 2", V5, "82 0f 000a 00 0003'a/b' 01 0003'c/d' 02",
		&Subscribe{PacketID: 10, Filters: []Subscription{{TopicFilter: "a/b", QoS: 1}, {TopicFilter: "c/d", QoS: 2}}}, ""},
	{"5.0 every option, Subscription Identifier 128", V5, "82 0c 000a 03 0b 8001 0003'a/#' 2e",
		&Subscribe{PacketID: 10, Properties: Properties("\x0b\x80\x01"), Filters: []Subscription{
			{TopicFilter: "a/#", QoS: 2, NoLocal: true, RetainAsPublished: true, RetainHandling: 2},
		}}, ""},
	{"3.1.1 figure 3.26: granted 0 and 2, and a failure", V311, "90 05 000a 00 02 80",
		Suback{PacketID: 10, Reasons: []ReasonCode{0, 2, 0x80}}, ""},
	{"3.1 section 3.9: granted 0 and 2", V31, "90 04 000a 00 02", Suback{PacketID: 10, Reasons: []ReasonCode{0, 2}}, ""},
	{"5.0 section 3.9", V5, "90 0a 000a 04 1f 0001'r' 01 87 9e",
		Suback{PacketID: 10, Properties: Properties("\x1f\x00\x01r"), Reasons: []ReasonCode{1, NotAuthorized, SharedSubscriptionsNotSupported}}, ""},

	// UNSUBSCRIBE, UNSUBACK
	{"3.1.1 figure 3.30: a/b, c/d", V311, "a2 0c 000a 0003'a/b' 0003'c/d'", Unsubscribe{PacketID: 10, TopicFilters: []string{"a/b", "c/d"}}, ""},
	{"3.1 section 3.10, repeated with DUP", V31, "aa 07 000a 0003'a/b'", Unsubscribe{PacketID: 10, TopicFilters: []string{"a/b"}}, "a2 07 000a 0003'a/b'"},
	{"5.0 figure 3-30: a/b, c/d", V5, "a2 0d 000a 00 0003'a/b' 0003'c/d'", Unsubscribe{PacketID: 10, TopicFilters: []string{"a/b", "c/d"}}, ""},
	{"3.1 section 3.11", V31, "b0 02 000a", Unsuback{PacketID: 10}, ""},
	{"3.1.1 section 3.11", V311, "b0 02 000a", Unsuback{PacketID: 10}, ""},
	{"5.0 section 3.11", V5, "b0 05 000a 00 00 11", Unsuback{PacketID: 10, Reasons: []ReasonCode{Success, NoSubscriptionExisted}}, ""},

	// PINGREQ, PINGRESP, DISCONNECT, AUTH
	{"3.1 section 3.12", V31, "c0 00", ping(TypePingreq), ""},
	{"3.1.1 section 3.12", V311, "c0 00", ping(TypePingreq), ""},
	{"5.0 section 3.12", V5, "c0 00", ping(TypePingreq), ""},
	{"3.1 section 3.13", V31, "d0 00", ping(TypePingresp), ""},
	{"3.1.1 section 3.13", V311, "d0 00", ping(TypePingresp), ""},
	{"5.0 section 3.13", V5, "d0 00", ping(TypePingresp), ""},
	{"3.1 section 3.14", V31, "e0 00", Disconnect{}, ""},
	{"3.1.1 section 3.14", V311, "e0 00", Disconnect{}, ""},
	{"5.0 section 3.14 normal", V5, "e0 00", Disconnect{}, ""},
	{"5.0 section 3.14 normal, said", V5, "e0 02 00 00", Disconnect{}, "e0 00"},
	{"5.0 section 3.14 with Will", V5, "e0 01 04", Disconnect{Reason: DisconnectWithWill}, ""},
	{"5.0 figure 3-24: Session Expiry Interval 0", V5, "e0 07 00 05 11 00000000", Disconnect{Properties: Properties("\x11\x00\x00\x00\x00")}, ""},
	{"5.0 section 3.15 Success", V5, "f0 00", Auth{}, ""},
	{"5.0 section 3.15 re-authenticate", V5, "f0 0b 19 09 15 0001'm' 16 0002'pw'",
		Auth{Reason: Reauthenticate, Properties: Properties("\x15\x00\x01m\x16\x00\x02pw")}, ""},
}

func TestPacketsAreReadAndWrittenAsTheSpecificationsShowThem(t *testing.T) {
	for _, tt := range goldenPackets {
		t.Run(tt.name, func(t *testing.T) {
			raw := unhex(t, tt.hex)
			got, err := parse(cut(t, raw, tt.v), tt.v)
			if err != nil || !reflect.DeepEqual(got, tt.want) {
				t.Fatalf("parse(% x) = %+v, %v; want %+v", raw, got, err, tt.want)
			}
			if tt.shortest != "" {
				raw = unhex(t, tt.shortest)
			}
			if again := got.Append([]byte("before"), tt.v); !bytes.Equal(again, append([]byte("before"), raw...)) {
				t.Errorf("Append = % x; want % x", again[len("before"):], raw)
			}
		})
	}
}

func TestGoldenPacketsHaveEveryTypeInEveryVersion(t *testing.T) {
	type kind struct {
		t Type
		v Version
	}
	seen := map[kind]bool{}
	for _, tt := range goldenPackets {
		seen[kind{cut(t, unhex(t, tt.hex), tt.v).Type(), tt.v}] = true
	}
	for _, v := range []Version{V31, V311, V5} {
		for packet := TypeConnect; packet <= TypeAuth; packet++ {
			if exists := packet != TypeAuth || v == V5; seen[kind{packet, v}] != exists {
				t.Errorf("a golden %v of %v: %v; want %v", packet, v, !exists, exists)
			}
		}
	}
}
