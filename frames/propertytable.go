package frames

type propertyKind uint8

const (
	kindByte propertyKind = 1 + iota
	kindUint16
	kindUint32
	kindVarint
	kindString
	kindBinary
	kindPair
)

// Where a property may stand: bits 1<<Type, and bit 0, which no type has, for the
// Will Properties inside CONNECT (section 3.1.3.2).
const (
	inWill        uint32 = 1
	inConnect     uint32 = 1 << TypeConnect
	inPublish     uint32 = 1 << TypePublish
	inSubscribe   uint32 = 1 << TypeSubscribe
	inAnyAck      uint32 = inConnack | inPubackRec | inPubrelComp | inSuback | inUnsuback
	inMessage     uint32 = inPublish | inWill
	inHandshake   uint32 = inConnect | inConnack
	inEverything  uint32 = inConnect | inMessage | inAnyAck | inSubscribe | 1<<TypeUnsubscribe | inDisconnect | inAuth
	inWithReasons uint32 = inAnyAck | inDisconnect | inAuth
)

// valueRange is a limit of a value beyond its type.
type valueRange uint8

const (
	anyValue valueRange = iota
	zeroOrOne
	notZero
)

// propertyTable is table 2-4, by identifier.
var propertyTable = [0x2B]struct {
	name   string
	kind   propertyKind
	in     uint32
	values valueRange
}{
	PropPayloadFormatIndicator:          {"Payload Format Indicator", kindByte, inMessage, zeroOrOne},
	PropMessageExpiryInterval:           {"Message Expiry Interval", kindUint32, inMessage, anyValue},
	PropContentType:                     {"Content Type", kindString, inMessage, anyValue},
	PropResponseTopic:                   {"Response Topic", kindString, inMessage, anyValue},
	PropCorrelationData:                 {"Correlation Data", kindBinary, inMessage, anyValue},
	PropSubscriptionIdentifier:          {"Subscription Identifier", kindVarint, inPublish | inSubscribe, notZero},
	PropSessionExpiryInterval:           {"Session Expiry Interval", kindUint32, inHandshake | inDisconnect, anyValue},
	PropAssignedClientIdentifier:        {"Assigned Client Identifier", kindString, inConnack, anyValue},
	PropServerKeepAlive:                 {"Server Keep Alive", kindUint16, inConnack, anyValue},
	PropAuthenticationMethod:            {"Authentication Method", kindString, inHandshake | inAuth, anyValue},
	PropAuthenticationData:              {"Authentication Data", kindBinary, inHandshake | inAuth, anyValue},
	PropRequestProblemInformation:       {"Request Problem Information", kindByte, inConnect, zeroOrOne},
	PropWillDelayInterval:               {"Will Delay Interval", kindUint32, inWill, anyValue},
	PropRequestResponseInformation:      {"Request Response Information", kindByte, inConnect, zeroOrOne},
	PropResponseInformation:             {"Response Information", kindString, inConnack, anyValue},
	PropServerReference:                 {"Server Reference", kindString, inConnack | inDisconnect, anyValue},
	PropReasonString:                    {"Reason String", kindString, inWithReasons, anyValue},
	PropReceiveMaximum:                  {"Receive Maximum", kindUint16, inHandshake, notZero},
	PropTopicAliasMaximum:               {"Topic Alias Maximum", kindUint16, inHandshake, anyValue},
	PropTopicAlias:                      {"Topic Alias", kindUint16, inPublish, notZero},
	PropMaximumQoS:                      {"Maximum QoS", kindByte, inConnack, zeroOrOne},
	PropRetainAvailable:                 {"Retain Available", kindByte, inConnack, zeroOrOne},
	PropUserProperty:                    {"User Property", kindPair, inEverything, anyValue},
	PropMaximumPacketSize:               {"Maximum Packet Size", kindUint32, inHandshake, notZero},
	PropWildcardSubscriptionAvailable:   {"Wildcard Subscription Available", kindByte, inConnack, zeroOrOne},
	PropSubscriptionIdentifierAvailable: {"Subscription Identifier Available", kindByte, inConnack, zeroOrOne},
	PropSharedSubscriptionAvailable:     {"Shared Subscription Available", kindByte, inConnack, zeroOrOne},
}

func mustKind(id PropertyID) propertyKind {
	if int64(id) >= int64(len(propertyTable)) {
		panic("frames: BUG: unknown " + id.String())
	}
	return propertyTable[id].kind
}

// checkProperties checks properties for packet type t at a place of the table.
func checkProperties(ps Properties, t Type, where uint32) *Error {
	var seen uint64 // bit 1<<identifier
	for len(ps) > 0 {
		p, rest, ok := ps.first()
		if !ok {
			return malformed(t, "", PropertyID(ps[0]).String()+" is unknown or ends early") // section 2.2.2.2
		}
		ps = rest
		row := &propertyTable[p.ID]
		if row.in&where == 0 { // section 2.2.2.2
			return malformed(t, "", row.name+" is not allowed here")
		}
		// Only User Properties repeat, and, in a message that matched several
		// subscriptions, Subscription Identifiers (section 3.3.4).
		repeats := p.ID == PropUserProperty || p.ID == PropSubscriptionIdentifier && t == TypePublish
		if seen&(1<<p.ID) != 0 && !repeats {
			return protocolError(t, "", row.name+" twice")
		}
		seen |= 1 << p.ID
		if err := checkPropertyValue(p, t); err != nil {
			return err
		}
	}
	if seen&(1<<PropAuthenticationData) != 0 && seen&(1<<PropAuthenticationMethod) == 0 {
		return protocolError(t, "", "Authentication Data without Authentication Method") // section 3.1.2.11.10
	}
	return nil
}

func checkPropertyValue(p Property, t Type) *Error {
	row := &propertyTable[p.ID]
	var err *Error
	switch {
	case row.values == zeroOrOne && p.number > 1:
		return protocolError(t, "", row.name+" is neither 0 nor 1")
	case row.values == notZero && p.number == 0 && p.ID == PropTopicAlias:
		return &Error{Type: t, Code: TopicAliasInvalid, Rule: "MQTT-3.3.2-8", Detail: "Topic Alias 0"}
	case row.values == notZero && p.number == 0:
		return protocolError(t, "", row.name+" 0")
	case p.ID == PropResponseTopic:
		err = checkTopicName(p.value) // [MQTT-3.3.2-13], [MQTT-3.3.2-14]
	case row.kind == kindString:
		err = checkString(p.value)
	case row.kind == kindPair:
		if err = checkString(p.value); err == nil {
			err = checkString(p.second)
		}
	}
	if err != nil {
		err.Type, err.Detail = t, row.name+": "+err.Detail
	}
	return err
}
