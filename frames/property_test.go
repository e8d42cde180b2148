package frames

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
)

// table24 is table 2-4 of 5.0: identifier, a legal value in hex, where it may stand.
var table24 = []struct {
	id    PropertyID
	value string
	in    string
}{
	{PropPayloadFormatIndicator, "01", "PUBLISH Will"},
	{PropMessageExpiryInterval, "00000001", "PUBLISH Will"},
	{PropContentType, "0001'x'", "PUBLISH Will"},
	{PropResponseTopic, "0001'x'", "PUBLISH Will"},
	{PropCorrelationData, "0002 00ff", "PUBLISH Will"},
	{PropSubscriptionIdentifier, "ffffff7f", "PUBLISH SUBSCRIBE"},
	{PropSessionExpiryInterval, "ffffffff", "CONNECT CONNACK DISCONNECT"},
	{PropAssignedClientIdentifier, "0001'x'", "CONNACK"},
	{PropServerKeepAlive, "0000", "CONNACK"},
	{PropAuthenticationMethod, "0001'x'", "CONNECT CONNACK AUTH"},
	{PropAuthenticationData, "0001 00", "CONNECT CONNACK AUTH"},
	{PropRequestProblemInformation, "00", "CONNECT"},
	{PropWillDelayInterval, "00000000", "Will"},
	{PropRequestResponseInformation, "01", "CONNECT"},
	{PropResponseInformation, "0001'x'", "CONNACK"},
	{PropServerReference, "0001'x'", "CONNACK DISCONNECT"},
	{PropReasonString, "0001'x'", "CONNACK PUBACK PUBREC PUBREL PUBCOMP SUBACK UNSUBACK DISCONNECT AUTH"},
	{PropReceiveMaximum, "ffff", "CONNECT CONNACK"},
	{PropTopicAliasMaximum, "0000", "CONNECT CONNACK"},
	{PropTopicAlias, "0001", "PUBLISH"},
	{PropMaximumQoS, "01", "CONNACK"},
	{PropRetainAvailable, "00", "CONNACK"},
	{PropUserProperty, "0001'k' 0001'v'", "CONNECT CONNACK PUBLISH Will PUBACK PUBREC PUBREL PUBCOMP SUBSCRIBE SUBACK UNSUBSCRIBE UNSUBACK DISCONNECT AUTH"},
	{PropMaximumPacketSize, "00000001", "CONNECT CONNACK"},
	{PropWildcardSubscriptionAvailable, "00", "CONNACK"},
	{PropSubscriptionIdentifierAvailable, "01", "CONNACK"},
	{PropSharedSubscriptionAvailable, "01", "CONNACK"},
}

// packetWith is a legal 5.0 packet with these properties.
func packetWith(place string, ps Properties) appender {
	switch place {
	case "CONNECT":
		return &Connect{Version: V5, ClientID: "c", Properties: ps}
	case "Will":
		return &Connect{Version: V5, ClientID: "c", Will: &Will{TopicName: "w", Payload: []byte{}, Properties: ps}}
	case "CONNACK":
		return Connack{Properties: ps}
	case "PUBLISH":
		return &Publish{TopicName: []byte("a"), Properties: ps, Payload: []byte{}}
	case "PUBACK":
		return Ack{Type: TypePuback, PacketID: 1, Properties: ps}
	case "PUBREC":
		return Ack{Type: TypePubrec, PacketID: 1, Properties: ps}
	case "PUBREL":
		return Ack{Type: TypePubrel, PacketID: 1, Properties: ps}
	case "PUBCOMP":
		return Ack{Type: TypePubcomp, PacketID: 1, Properties: ps}
	case "SUBSCRIBE":
		return &Subscribe{PacketID: 1, Properties: ps, Filters: []Subscription{{TopicFilter: "a"}}}
	case "SUBACK":
		return Suback{PacketID: 1, Properties: ps, Reasons: []ReasonCode{0}}
	case "UNSUBSCRIBE":
		return Unsubscribe{PacketID: 1, Properties: ps, TopicFilters: []string{"a"}}
	case "UNSUBACK":
		return Unsuback{PacketID: 1, Properties: ps, Reasons: []ReasonCode{0}}
	case "DISCONNECT":
		return Disconnect{Properties: ps}
	case "AUTH": // needs its method
		return Auth{Reason: ContinueAuthentication, Properties: ps}
	}
	panic("no packet " + place)
}

// parseWith parses that packet; AUTH, and Authentication Data anywhere, get a method.
func parseWith(t *testing.T, place string, ps Properties) error {
	t.Helper()
	_, method := ps.Bytes(PropAuthenticationMethod)
	_, data := ps.Bytes(PropAuthenticationData)
	if !method && (place == "AUTH" || data && (place == "CONNECT" || place == "CONNACK")) {
		ps = slices.Clone(ps).AppendBytes(PropAuthenticationMethod, []byte("m"))
	}
	_, err := parse(cut(t, packetWith(place, ps).Append(nil, V5), V5), V5)
	return err
}

func TestPropertiesStandOnlyWhereTable24HasThem(t *testing.T) {
	if len(table24) != 27 {
		t.Fatalf("%d properties; want 27", len(table24))
	}
	everywhere := strings.Fields(table24[22].in)
	for _, row := range table24 {
		one := append(Properties{byte(row.id)}, unhex(t, row.value)...)
		for _, place := range everywhere {
			legal := slices.Contains(strings.Fields(row.in), place)
			err := parseWith(t, place, one)
			if (err == nil) != legal {
				t.Errorf("%v in %s: %v; want legal: %v", row.id, place, err, legal)
			}
			if !legal {
				if e, isError := errors.AsType[*Error](err); !isError || e.Code != MalformedPacket {
					t.Errorf("%v in %s: %v; want 0x81, section 2.2.2.2", row.id, place, err)
				}
				continue
			}
			mayRepeat := row.id == PropUserProperty || row.id == PropSubscriptionIdentifier && place == "PUBLISH"
			err = parseWith(t, place, append(slices.Clone(one), one...))
			if e, isError := errors.AsType[*Error](err); mayRepeat != (err == nil) || isError && e.Code != ProtocolError {
				t.Errorf("%v twice in %s: %v; want legal: %v, else 0x82", row.id, place, err, mayRepeat)
			}
			for n := 1; n < len(one); n++ { // every cut
				err := parseWith(t, place, one[:n])
				if _, isError := errors.AsType[*Error](err); !isError {
					t.Errorf("%v cut to %d bytes in %s: %v; want an *Error", row.id, n, place, err)
				}
			}
		}
	}
}

func TestPropertyValuesAreJudged(t *testing.T) {
	for _, tt := range []struct {
		place string
		id    PropertyID
		value string
		code  ReasonCode
	}{
		{"PUBLISH", PropPayloadFormatIndicator, "02", ProtocolError},
		{"Will", PropPayloadFormatIndicator, "ff", ProtocolError},
		{"CONNECT", PropRequestProblemInformation, "02", ProtocolError},
		{"CONNECT", PropRequestResponseInformation, "02", ProtocolError},
		{"CONNECT", PropReceiveMaximum, "0000", ProtocolError},
		{"CONNACK", PropReceiveMaximum, "0000", ProtocolError},
		{"CONNECT", PropMaximumPacketSize, "00000000", ProtocolError},
		{"CONNACK", PropMaximumPacketSize, "00000000", ProtocolError},
		{"CONNACK", PropMaximumQoS, "02", ProtocolError},
		{"CONNACK", PropRetainAvailable, "02", ProtocolError},
		{"CONNACK", PropWildcardSubscriptionAvailable, "02", ProtocolError},
		{"CONNACK", PropSubscriptionIdentifierAvailable, "02", ProtocolError},
		{"CONNACK", PropSharedSubscriptionAvailable, "02", ProtocolError},
		{"PUBLISH", PropTopicAlias, "0000", TopicAliasInvalid},
		{"PUBLISH", PropSubscriptionIdentifier, "00", ProtocolError},
		{"SUBSCRIBE", PropSubscriptionIdentifier, "00", ProtocolError},
		{"Will", PropResponseTopic, "0003'a/+'", TopicNameInvalid},
		{"CONNACK", PropReasonString, "0001 00", MalformedPacket},
		{"CONNACK", PropServerReference, "0003 eda080", MalformedPacket},
		{"AUTH", PropAuthenticationMethod, "0001 ff", MalformedPacket},
		{"UNSUBSCRIBE", PropUserProperty, "0001'k' 0002 c080", MalformedPacket},
	} {
		ps := append(Properties{byte(tt.id)}, unhex(t, tt.value)...)
		err := parseWith(t, tt.place, ps)
		if e, isError := errors.AsType[*Error](err); !isError || e.Code != tt.code || !strings.Contains(e.Detail, tt.id.String()) {
			t.Errorf("%v %s in %s: %v; want code %v", tt.id, tt.value, tt.place, err, tt.code)
		}
	}
}

func TestPropertiesAreBuiltAndRead(t *testing.T) {
	var ps Properties
	ps = ps.AppendUint(PropPayloadFormatIndicator, 1)
	ps = ps.AppendUint(PropTopicAlias, 0x1234)
	ps = ps.AppendUint(PropMessageExpiryInterval, 0xdeadbeef)
	ps = ps.AppendUint(PropSubscriptionIdentifier, 200)
	ps = ps.AppendPair(PropUserProperty, []byte("k"), []byte("v"))
	ps = ps.AppendBytes(PropCorrelationData, []byte{0, 0xff})
	ps = ps.AppendPair(PropUserProperty, []byte("k2"), nil)
	ps = ps.AppendUint(PropSubscriptionIdentifier, maxRemainingLength)
	want := unhex(t, "01 01 23 1234 02 deadbeef 0b c801 26 0001'k' 0001'v' 09 0002 00ff 26 0002'k2' 0000 0b ffffff7f")
	if !bytes.Equal(ps, want) {
		t.Fatalf("properties = % x; want % x", ps, want)
	}
	for id, want := range map[PropertyID]uint32{
		PropPayloadFormatIndicator: 1, PropTopicAlias: 0x1234, PropMessageExpiryInterval: 0xdeadbeef, PropSubscriptionIdentifier: 200,
	} {
		if got, ok := ps.Uint(id); !ok || got != want {
			t.Errorf("Uint(%v) = %d, %v; want %d", id, got, ok, want)
		}
	}
	if got, ok := ps.Bytes(PropCorrelationData); !ok || !bytes.Equal(got, []byte{0, 0xff}) {
		t.Errorf("Bytes = % x, %v; want 00 ff", got, ok)
	}
	if _, ok := ps.Uint(PropReceiveMaximum); ok {
		t.Error("a property is found that is not there")
	}
	var pairs []string
	var together []byte
	for p := range ps.All() {
		together = append(together, p.Encoded...)
		if name, value := p.Pair(); p.ID == PropUserProperty {
			pairs = append(pairs, string(name)+"="+string(value))
		} else if name != nil || value != nil {
			t.Errorf("%v has a pair", p.ID)
		}
		if p.ID == PropUserProperty && p.Bytes() != nil {
			t.Error("a pair has Bytes")
		}
	}
	if !slices.Equal(pairs, []string{"k=v", "k2="}) || !bytes.Equal(together, want) {
		t.Errorf("All gives pairs %q, bytes % x", pairs, together)
	}
	left := ps.Without(PropUserProperty).Without(PropSubscriptionIdentifier)
	if want := unhex(t, "01 01 23 1234 02 deadbeef 09 0002 00ff"); !bytes.Equal(left, want) {
		t.Errorf("Without = % x; want % x", left, want)
	}
	if !bytes.Equal(ps, want) {
		t.Error("Without changed what it was called on")
	}
	if got := left.Without(0x33); !bytes.Equal(got, left) || &got[0] == &left[0] {
		t.Error("Without is no copy")
	}
}

func TestIterationEndsAtBrokenProperties(t *testing.T) {
	for _, hex := range []string{"01", "0401", "26 0001'k'", "0b 80", "03 0002'x'", "ff"} {
		for p := range Properties(unhex(t, hex)).All() {
			t.Errorf("% x gives %v", unhex(t, hex), p.ID)
		}
	}
}

func TestWhatCannotBeEncodedIsABug(t *testing.T) {
	long := make([]byte, MaxStringBytes+1)
	for name, call := range map[string]func(){
		"long string":          func() { Properties(nil).AppendBytes(PropReasonString, long) },
		"long name":            func() { Properties(nil).AppendPair(PropUserProperty, long, nil) },
		"long topic name":      func() { (&Publish{TopicName: long}).Append(nil, V311) },
		"long client id":       func() { (&Connect{ClientID: string(long)}).Append(nil, V5) },
		"number as string":     func() { Properties(nil).AppendBytes(PropTopicAlias, nil) },
		"string as number":     func() { Properties(nil).AppendUint(PropReasonString, 1) },
		"string as pair":       func() { Properties(nil).AppendPair(PropReasonString, nil, nil) },
		"no property":          func() { Properties(nil).AppendUint(0x7f, 1) },
		"hole in the table":    func() { Properties(nil).AppendUint(0x04, 1) },
		"identifier too large": func() { Properties(nil).AppendUint(PropSubscriptionIdentifier, maxRemainingLength+1) },
		"unknown version":      func() { (&Connect{}).Append(nil, 6) },
	} {
		func() {
			defer func() {
				if s, _ := recover().(string); !strings.HasPrefix(s, "frames: BUG: ") {
					t.Errorf("%s: panic %q; want a BUG", name, s)
				}
			}()
			call()
		}()
	}
}
