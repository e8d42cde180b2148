package frames

import "fmt"

// ReasonCode is the result of an operation (5.0 section 2.4). In 3.x it holds
// the CONNACK return codes and the SUBACK return codes.
type ReasonCode uint8

// The Reason Codes of 5.0, table 2-6.
const (
	Success                           ReasonCode = 0x00 // also Normal disconnection, Granted QoS 0
	GrantedQoS1                       ReasonCode = 0x01
	GrantedQoS2                       ReasonCode = 0x02
	DisconnectWithWill                ReasonCode = 0x04
	NoMatchingSubscribers             ReasonCode = 0x10
	NoSubscriptionExisted             ReasonCode = 0x11
	ContinueAuthentication            ReasonCode = 0x18
	Reauthenticate                    ReasonCode = 0x19
	UnspecifiedError                  ReasonCode = 0x80
	MalformedPacket                   ReasonCode = 0x81
	ProtocolError                     ReasonCode = 0x82
	ImplementationSpecificError       ReasonCode = 0x83
	UnsupportedProtocolVersion        ReasonCode = 0x84
	ClientIDNotValid                  ReasonCode = 0x85
	BadUsernameOrPassword             ReasonCode = 0x86
	NotAuthorized                     ReasonCode = 0x87
	ServerUnavailable                 ReasonCode = 0x88
	ServerBusy                        ReasonCode = 0x89
	Banned                            ReasonCode = 0x8A
	ServerShuttingDown                ReasonCode = 0x8B
	BadAuthenticationMethod           ReasonCode = 0x8C
	KeepAliveTimeout                  ReasonCode = 0x8D
	SessionTakenOver                  ReasonCode = 0x8E
	TopicFilterInvalid                ReasonCode = 0x8F
	TopicNameInvalid                  ReasonCode = 0x90
	PacketIDInUse                     ReasonCode = 0x91
	PacketIDNotFound                  ReasonCode = 0x92
	ReceiveMaximumExceeded            ReasonCode = 0x93
	TopicAliasInvalid                 ReasonCode = 0x94
	PacketTooLarge                    ReasonCode = 0x95
	MessageRateTooHigh                ReasonCode = 0x96
	QuotaExceeded                     ReasonCode = 0x97
	AdministrativeAction              ReasonCode = 0x98
	PayloadFormatInvalid              ReasonCode = 0x99
	RetainNotSupported                ReasonCode = 0x9A
	QoSNotSupported                   ReasonCode = 0x9B
	UseAnotherServer                  ReasonCode = 0x9C
	ServerMoved                       ReasonCode = 0x9D
	SharedSubscriptionsNotSupported   ReasonCode = 0x9E
	ConnectionRateExceeded            ReasonCode = 0x9F
	MaximumConnectTime                ReasonCode = 0xA0
	SubscriptionIDsNotSupported       ReasonCode = 0xA1
	WildcardSubscriptionsNotSupported ReasonCode = 0xA2
)

// The CONNACK return codes of 3.1 and 3.1.1 (3.1.1 table 3.1); 0 is [Success].
const (
	V3UnacceptableProtocol  ReasonCode = 1
	V3IdentifierRejected    ReasonCode = 2
	V3ServerUnavailable     ReasonCode = 3
	V3BadUsernameOrPassword ReasonCode = 4
	V3NotAuthorized         ReasonCode = 5
)

// Which packets a Reason Code may stand in, as a set of types: bit 1<<Type.
const (
	inConnack    = 1 << TypeConnack
	inPubackRec  = 1<<TypePuback | 1<<TypePubrec
	inPubrelComp = 1<<TypePubrel | 1<<TypePubcomp
	inSuback     = 1 << TypeSuback
	inUnsuback   = 1 << TypeUnsuback
	inDisconnect = 1 << TypeDisconnect
	inAuth       = 1 << TypeAuth
)

// reasons is table 2-6. DISCONNECT takes 0x8C, which that table allows and
// table 3-13 does not list.
var reasons = map[ReasonCode]struct {
	name string
	in   uint16
}{
	Success:                           {"success", inConnack | inPubackRec | inPubrelComp | inSuback | inUnsuback | inDisconnect | inAuth},
	GrantedQoS1:                       {"granted QoS 1", inSuback},
	GrantedQoS2:                       {"granted QoS 2", inSuback},
	DisconnectWithWill:                {"disconnect with Will message", inDisconnect},
	NoMatchingSubscribers:             {"no matching subscribers", inPubackRec},
	NoSubscriptionExisted:             {"no subscription existed", inUnsuback},
	ContinueAuthentication:            {"continue authentication", inAuth},
	Reauthenticate:                    {"re-authenticate", inAuth},
	UnspecifiedError:                  {"unspecified error", inConnack | inPubackRec | inSuback | inUnsuback | inDisconnect},
	MalformedPacket:                   {"malformed packet", inConnack | inDisconnect},
	ProtocolError:                     {"protocol error", inConnack | inDisconnect},
	ImplementationSpecificError:       {"implementation specific error", inConnack | inPubackRec | inSuback | inUnsuback | inDisconnect},
	UnsupportedProtocolVersion:        {"unsupported protocol version", inConnack},
	ClientIDNotValid:                  {"client identifier not valid", inConnack},
	BadUsernameOrPassword:             {"bad user name or password", inConnack},
	NotAuthorized:                     {"not authorized", inConnack | inPubackRec | inSuback | inUnsuback | inDisconnect},
	ServerUnavailable:                 {"server unavailable", inConnack},
	ServerBusy:                        {"server busy", inConnack | inDisconnect},
	Banned:                            {"banned", inConnack},
	ServerShuttingDown:                {"server shutting down", inDisconnect},
	BadAuthenticationMethod:           {"bad authentication method", inConnack | inDisconnect},
	KeepAliveTimeout:                  {"keep alive timeout", inDisconnect},
	SessionTakenOver:                  {"session taken over", inDisconnect},
	TopicFilterInvalid:                {"topic filter invalid", inSuback | inUnsuback | inDisconnect},
	TopicNameInvalid:                  {"topic name invalid", inConnack | inPubackRec | inDisconnect},
	PacketIDInUse:                     {"packet identifier in use", inPubackRec | inSuback | inUnsuback},
	PacketIDNotFound:                  {"packet identifier not found", inPubrelComp},
	ReceiveMaximumExceeded:            {"receive maximum exceeded", inDisconnect},
	TopicAliasInvalid:                 {"topic alias invalid", inDisconnect},
	PacketTooLarge:                    {"packet too large", inConnack | inDisconnect},
	MessageRateTooHigh:                {"message rate too high", inDisconnect},
	QuotaExceeded:                     {"quota exceeded", inConnack | inPubackRec | inSuback | inDisconnect},
	AdministrativeAction:              {"administrative action", inDisconnect},
	PayloadFormatInvalid:              {"payload format invalid", inConnack | inPubackRec | inDisconnect},
	RetainNotSupported:                {"retain not supported", inConnack | inDisconnect},
	QoSNotSupported:                   {"QoS not supported", inConnack | inDisconnect},
	UseAnotherServer:                  {"use another server", inConnack | inDisconnect},
	ServerMoved:                       {"server moved", inConnack | inDisconnect},
	SharedSubscriptionsNotSupported:   {"shared subscriptions not supported", inSuback | inDisconnect},
	ConnectionRateExceeded:            {"connection rate exceeded", inConnack | inDisconnect},
	MaximumConnectTime:                {"maximum connect time", inDisconnect},
	SubscriptionIDsNotSupported:       {"subscription identifiers not supported", inSuback | inDisconnect},
	WildcardSubscriptionsNotSupported: {"wildcard subscriptions not supported", inSuback | inDisconnect},
}

// reasonTypes is reasons for the path of every acknowledgement: one load.
var reasonTypes = func() (table [256]uint16) {
	for code, r := range reasons {
		table[code] = r.in
	}
	return table
}()

// String returns the standard's name in lower case. The codes 1 to 5 mean other
// things in a CONNACK of 3.x; 3 and 5, which 5.0 does not have, are named for it.
func (c ReasonCode) String() string {
	if r, ok := reasons[c]; ok {
		return r.name
	}
	switch c {
	case V3ServerUnavailable:
		return "server unavailable"
	case V3NotAuthorized:
		return "not authorized"
	}
	return fmt.Sprintf("reason code 0x%02X", uint8(c))
}

// Legal says whether the code may stand in a packet of type t in version v. Who
// may send it is not looked at.
func (c ReasonCode) Legal(t Type, v Version) bool {
	if v == V5 {
		return t < 16 && reasonTypes[c]&(1<<t) != 0
	}
	switch t {
	case TypeConnack: // 3.1.1 table 3.1
		return c <= V3NotAuthorized
	case TypeSuback: // 3.1.1 section 3.9.3; 3.1 has no 0x80, but brokers send it
		return c <= GrantedQoS2 || c == UnspecifiedError
	}
	return c == Success // 3.x has no Reason Code elsewhere
}

// reasonRules names the statement that lists the legal codes of a type.
var reasonRules = [16]string{
	TypeConnack: "MQTT-3.2.2-8", TypePuback: "MQTT-3.4.2-1", TypePubrec: "MQTT-3.5.2-1", TypePubrel: "MQTT-3.6.2-1",
	TypePubcomp: "MQTT-3.7.2-1", TypeSuback: "MQTT-3.9.3-2", TypeUnsuback: "MQTT-3.11.3-2",
	TypeDisconnect: "MQTT-3.14.2-1", TypeAuth: "MQTT-3.15.2-1",
}

// checkReason is the last check of a Parse function: when it fails, all else was right.
func checkReason(c ReasonCode, t Type, v Version) error {
	if c.Legal(t, v) {
		return nil
	}
	return &Error{
		Type: t, Code: ProtocolError, Rule: reasonRules[t&15], reasonOnly: true,
		Detail: fmt.Sprintf("illegal reason code 0x%02X", uint8(c)),
	}
}
